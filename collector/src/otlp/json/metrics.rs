//! Metrics of every type.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric, number_data_point,
};

use super::attribute::{key_value, resource, scope};
use super::place::{Object, ShapeError};

pub(super) fn resource_metrics(object: &Object<'_, '_>) -> Result<ResourceMetrics, ShapeError> {
    Ok(ResourceMetrics {
        resource: object.child("resource", resource)?,
        scope_metrics: object.list("scopeMetrics", scope_metrics)?,
        schema_url: object.text("schemaUrl")?,
    })
}

fn scope_metrics(object: &Object<'_, '_>) -> Result<ScopeMetrics, ShapeError> {
    Ok(ScopeMetrics {
        scope: object.child("scope", scope)?,
        metrics: object.list("metrics", metric)?,
        schema_url: object.text("schemaUrl")?,
    })
}

fn metric(object: &Object<'_, '_>) -> Result<Metric, ShapeError> {
    Ok(Metric {
        name: object.text("name")?,
        description: object.text("description")?,
        unit: object.text("unit")?,
        metadata: object.list("metadata", key_value)?,
        data: metric_data(object)?,
    })
}

fn metric_data(object: &Object<'_, '_>) -> Result<Option<metric::Data>, ShapeError> {
    if let Some(data) = object.child("gauge", |gauge| Ok(Gauge { data_points: gauge.list("dataPoints", number)? }))? {
        return Ok(Some(metric::Data::Gauge(data)));
    }
    if let Some(data) = object.child("sum", sum)? {
        return Ok(Some(metric::Data::Sum(data)));
    }
    if let Some(data) = object.child("histogram", histogram)? {
        return Ok(Some(metric::Data::Histogram(data)));
    }
    if let Some(data) = object.child("exponentialHistogram", exponential_histogram)? {
        return Ok(Some(metric::Data::ExponentialHistogram(data)));
    }
    let summary = object.child("summary", |data| Ok(Summary { data_points: data.list("dataPoints", summary_point)? }))?;
    Ok(summary.map(metric::Data::Summary))
}

fn temporality(object: &Object<'_, '_>) -> Result<i32, ShapeError> {
    object.choice("aggregationTemporality", |name| AggregationTemporality::from_str_name(name).map(i32::from))
}

fn sum(object: &Object<'_, '_>) -> Result<Sum, ShapeError> {
    Ok(Sum {
        data_points: object.list("dataPoints", number)?,
        aggregation_temporality: temporality(object)?,
        is_monotonic: object.boolean("isMonotonic")?,
    })
}

fn histogram(object: &Object<'_, '_>) -> Result<Histogram, ShapeError> {
    Ok(Histogram { data_points: object.list("dataPoints", histogram_point)?, aggregation_temporality: temporality(object)? })
}

fn exponential_histogram(object: &Object<'_, '_>) -> Result<ExponentialHistogram, ShapeError> {
    Ok(ExponentialHistogram { data_points: object.list("dataPoints", exponential_point)?, aggregation_temporality: temporality(object)? })
}

fn number(object: &Object<'_, '_>) -> Result<NumberDataPoint, ShapeError> {
    let value = match object.double("asDouble")? {
        Some(number) => Some(number_data_point::Value::AsDouble(number)),
        None if object.has("asInt") => Some(number_data_point::Value::AsInt(object.i64("asInt")?)),
        None => None,
    };
    Ok(NumberDataPoint {
        attributes: object.list("attributes", key_value)?,
        start_time_unix_nano: object.u64("startTimeUnixNano")?,
        time_unix_nano: object.u64("timeUnixNano")?,
        exemplars: object.list("exemplars", exemplar)?,
        flags: object.u32("flags")?,
        value,
    })
}

fn histogram_point(object: &Object<'_, '_>) -> Result<HistogramDataPoint, ShapeError> {
    Ok(HistogramDataPoint {
        attributes: object.list("attributes", key_value)?,
        start_time_unix_nano: object.u64("startTimeUnixNano")?,
        time_unix_nano: object.u64("timeUnixNano")?,
        count: object.u64("count")?,
        sum: object.double("sum")?,
        bucket_counts: object.counts("bucketCounts")?,
        explicit_bounds: object.doubles("explicitBounds")?,
        exemplars: object.list("exemplars", exemplar)?,
        flags: object.u32("flags")?,
        min: object.double("min")?,
        max: object.double("max")?,
    })
}

fn exponential_point(object: &Object<'_, '_>) -> Result<ExponentialHistogramDataPoint, ShapeError> {
    Ok(ExponentialHistogramDataPoint {
        attributes: object.list("attributes", key_value)?,
        start_time_unix_nano: object.u64("startTimeUnixNano")?,
        time_unix_nano: object.u64("timeUnixNano")?,
        count: object.u64("count")?,
        sum: object.double("sum")?,
        scale: object.i32("scale")?,
        zero_count: object.u64("zeroCount")?,
        positive: object.child("positive", buckets)?,
        negative: object.child("negative", buckets)?,
        flags: object.u32("flags")?,
        exemplars: object.list("exemplars", exemplar)?,
        min: object.double("min")?,
        max: object.double("max")?,
        zero_threshold: object.double("zeroThreshold")?.unwrap_or_default(),
    })
}

fn buckets(object: &Object<'_, '_>) -> Result<Buckets, ShapeError> {
    Ok(Buckets { offset: object.i32("offset")?, bucket_counts: object.counts("bucketCounts")? })
}

fn summary_point(object: &Object<'_, '_>) -> Result<SummaryDataPoint, ShapeError> {
    Ok(SummaryDataPoint {
        attributes: object.list("attributes", key_value)?,
        start_time_unix_nano: object.u64("startTimeUnixNano")?,
        time_unix_nano: object.u64("timeUnixNano")?,
        count: object.u64("count")?,
        sum: object.double("sum")?.unwrap_or_default(),
        quantile_values: object.list("quantileValues", quantile)?,
        flags: object.u32("flags")?,
    })
}

fn quantile(object: &Object<'_, '_>) -> Result<ValueAtQuantile, ShapeError> {
    Ok(ValueAtQuantile { quantile: object.double("quantile")?.unwrap_or_default(), value: object.double("value")?.unwrap_or_default() })
}

fn exemplar(object: &Object<'_, '_>) -> Result<Exemplar, ShapeError> {
    let value = match object.double("asDouble")? {
        Some(number) => Some(exemplar::Value::AsDouble(number)),
        None if object.has("asInt") => Some(exemplar::Value::AsInt(object.i64("asInt")?)),
        None => None,
    };
    Ok(Exemplar {
        filtered_attributes: object.list("filteredAttributes", key_value)?,
        time_unix_nano: object.u64("timeUnixNano")?,
        span_id: object.id("spanId")?,
        trace_id: object.id("traceId")?,
        value,
    })
}
