//! A data point of any of OTLP's five types, seen the same way.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint, metric,
    number_data_point,
};

/// What only some types of point carry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PointValue<'a> {
    Number(Option<number_data_point::Value>),
    Histogram(&'a HistogramDataPoint),
    Exponential(&'a ExponentialHistogramDataPoint),
    Summary(&'a SummaryDataPoint),
}

/// What every point carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point<'a> {
    pub(crate) time_unix_nano: u64,
    pub(crate) start_time_unix_nano: u64,
    pub(crate) flags: u32,
    pub(crate) attributes: &'a [KeyValue],
    pub(crate) exemplars: &'a [Exemplar],
    pub(crate) value: PointValue<'a>,
}

/// What a metric says about its points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointKind {
    pub(crate) type_name: &'static str,
    pub(crate) temporality: Option<i32>,
    pub(crate) is_monotonic: Option<bool>,
}

impl<'a> From<&'a NumberDataPoint> for Point<'a> {
    fn from(point: &'a NumberDataPoint) -> Self {
        Self {
            time_unix_nano: point.time_unix_nano,
            start_time_unix_nano: point.start_time_unix_nano,
            flags: point.flags,
            attributes: &point.attributes,
            exemplars: &point.exemplars,
            value: PointValue::Number(point.value),
        }
    }
}

impl<'a> From<&'a HistogramDataPoint> for Point<'a> {
    fn from(point: &'a HistogramDataPoint) -> Self {
        Self {
            time_unix_nano: point.time_unix_nano,
            start_time_unix_nano: point.start_time_unix_nano,
            flags: point.flags,
            attributes: &point.attributes,
            exemplars: &point.exemplars,
            value: PointValue::Histogram(point),
        }
    }
}

impl<'a> From<&'a ExponentialHistogramDataPoint> for Point<'a> {
    fn from(point: &'a ExponentialHistogramDataPoint) -> Self {
        Self {
            time_unix_nano: point.time_unix_nano,
            start_time_unix_nano: point.start_time_unix_nano,
            flags: point.flags,
            attributes: &point.attributes,
            exemplars: &point.exemplars,
            value: PointValue::Exponential(point),
        }
    }
}

impl<'a> From<&'a SummaryDataPoint> for Point<'a> {
    fn from(point: &'a SummaryDataPoint) -> Self {
        Self {
            time_unix_nano: point.time_unix_nano,
            start_time_unix_nano: point.start_time_unix_nano,
            flags: point.flags,
            attributes: &point.attributes,
            exemplars: &[],
            value: PointValue::Summary(point),
        }
    }
}

/// The points of a metric and what it says about them; `None` for a metric without any.
pub(crate) fn points(metric: &Metric) -> Option<(PointKind, Vec<Point<'_>>)> {
    let plain = |type_name| PointKind { type_name, temporality: None, is_monotonic: None };
    let over_time = |type_name, temporality| PointKind { type_name, temporality: Some(temporality), is_monotonic: None };
    Some(match metric.data.as_ref()? {
        metric::Data::Gauge(gauge) => (plain("gauge"), gauge.data_points.iter().map(Point::from).collect()),
        metric::Data::Sum(sum) => {
            let kind = PointKind { is_monotonic: Some(sum.is_monotonic), ..over_time("sum", sum.aggregation_temporality) };
            (kind, sum.data_points.iter().map(Point::from).collect())
        }
        metric::Data::Histogram(histogram) => {
            (over_time("histogram", histogram.aggregation_temporality), histogram.data_points.iter().map(Point::from).collect())
        }
        metric::Data::ExponentialHistogram(histogram) => {
            let kind = over_time("exponential_histogram", histogram.aggregation_temporality);
            (kind, histogram.data_points.iter().map(Point::from).collect())
        }
        metric::Data::Summary(summary) => (plain("summary"), summary.data_points.iter().map(Point::from).collect()),
    })
}

/// A temporality as the tables have it; a number that OTLP does not name stays that number.
pub(crate) fn temporality_name(temporality: i32) -> String {
    match AggregationTemporality::try_from(temporality) {
        Ok(AggregationTemporality::Unspecified) => "unspecified".to_owned(),
        Ok(AggregationTemporality::Delta) => "delta".to_owned(),
        Ok(AggregationTemporality::Cumulative) => "cumulative".to_owned(),
        Err(_) => temporality.to_string(),
    }
}
