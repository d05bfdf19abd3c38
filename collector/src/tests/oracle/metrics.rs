//! Rows of `metrics`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, StructArray};
use arrow::record_batch::RecordBatch;
use haldane_store::schema::{SPAN_AND_LOG_COLUMNS, exemplar_fields};
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, exemplar};

use super::attributes::{Attributes, Entries, entries};
use super::columns::{Columns, ListRows, MapColumn, PromotedColumns, TimeColumns, append_id_given, append_instant, append_text};
use super::numbers::ValueColumns;
use super::point::{Point, PointKind, temporality_name};
use super::resource::{Origin, OriginColumns};
use super::series;
use super::spans::first_known;

/// A metric, ready to be appended with each of its points.
#[derive(Debug)]
pub(crate) struct MetricView<'a> {
    metric: &'a Metric,
    metadata: Entries<'a>,
    kind: PointKind,
    temporality: Option<String>,
}

impl<'a> MetricView<'a> {
    pub(crate) fn new(metric: &'a Metric, kind: PointKind) -> Self {
        Self { metric, metadata: entries(&metric.metadata), kind, temporality: kind.temporality.map(temporality_name) }
    }

    fn series(&self) -> u64 {
        let mut bytes = format!("{}\0{}\0{}\0", self.metric.name, self.metric.unit, self.kind.type_name).into_bytes();
        bytes.push(u8::from(self.kind.is_monotonic == Some(true)));
        bytes.push(0);
        bytes.extend(self.kind.temporality.unwrap_or(0).to_le_bytes());
        series::hash(&bytes)
    }
}

/// Builds a batch of `metrics`.
#[derive(Debug)]
pub(crate) struct MetricRows {
    time: TimeColumns,
    metric_name: StringBuilder,
    origin: OriginColumns,
    metric_type: StringBuilder,
    unit: StringBuilder,
    description: StringBuilder,
    temporality: StringBuilder,
    is_monotonic: BooleanBuilder,
    series_id: StringBuilder,
    time_unix_nano: Int64Builder,
    start_time_unix_nano: Int64Builder,
    values: ValueColumns,
    promoted: PromotedColumns,
    attributes: MapColumn,
    exemplars: ExemplarColumn,
    flags: Int64Builder,
    metric_metadata: MapColumn,
}

impl MetricRows {
    pub(crate) fn new() -> Self {
        Self {
            time: TimeColumns::default(),
            metric_name: StringBuilder::new(),
            origin: OriginColumns::new(),
            metric_type: StringBuilder::new(),
            unit: StringBuilder::new(),
            description: StringBuilder::new(),
            temporality: StringBuilder::new(),
            is_monotonic: BooleanBuilder::new(),
            series_id: StringBuilder::new(),
            time_unix_nano: Int64Builder::new(),
            start_time_unix_nano: Int64Builder::new(),
            values: ValueColumns::new(),
            promoted: PromotedColumns::new(SPAN_AND_LOG_COLUMNS),
            attributes: MapColumn::new(),
            exemplars: ExemplarColumn::new(),
            flags: Int64Builder::new(),
            metric_metadata: MapColumn::new(),
        }
    }

    /// Adds one point of a metric.
    pub(crate) fn append(&mut self, origin: Origin<'_>, metric: &MetricView<'_>, point: &Point<'_>, received: UnixNanos) {
        self.time.append(first_known([point.time_unix_nano], received));
        self.metric_name.append_value(&metric.metric.name);
        self.origin.append(origin);
        self.metric_type.append_value(metric.kind.type_name);
        append_text(&mut self.unit, &metric.metric.unit);
        append_text(&mut self.description, &metric.metric.description);
        self.temporality.append_option(metric.temporality.as_deref());
        self.is_monotonic.append_option(metric.kind.is_monotonic);
        self.series_id.append_value(format!(
            "{:016x}",
            series::together(&[metric.series(), origin.resource.series, origin.scope.series, series::of_attributes(point.attributes),])
        ));
        append_instant(&mut self.time_unix_nano, point.time_unix_nano);
        append_instant(&mut self.start_time_unix_nano, point.start_time_unix_nano);
        self.values.append(point.value);
        let attributes = Attributes::of_record(point.attributes);
        self.promoted.append(&attributes.columns);
        self.attributes.append(&attributes.rest);
        self.exemplars.append(point.exemplars);
        self.flags.append_value(i64::from(point.flags));
        self.metric_metadata.append(&metric.metadata);
    }

    /// All rows since the last call, in the schema of `metrics`.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let mut columns = Columns::new();
        self.time.finish_into(&mut columns);
        columns.push(Arc::new(self.metric_name.finish()));
        self.origin.finish_promoted_into(&mut columns);
        columns.push(Arc::new(self.metric_type.finish()));
        columns.push(Arc::new(self.unit.finish()));
        columns.push(Arc::new(self.description.finish()));
        columns.push(Arc::new(self.temporality.finish()));
        columns.push(Arc::new(self.is_monotonic.finish()));
        columns.push(Arc::new(self.series_id.finish()));
        columns.push(Arc::new(self.time_unix_nano.finish()));
        columns.push(Arc::new(self.start_time_unix_nano.finish()));
        self.values.finish_into(&mut columns);
        self.promoted.finish_into(&mut columns);
        columns.push(self.attributes.finish());
        columns.push(self.exemplars.finish());
        columns.push(Arc::new(self.flags.finish()));
        columns.push(self.metric_metadata.finish());
        self.origin.finish_rest_into(&mut columns);
        RecordBatch::try_new(TableName::Metrics.schema(), columns).expect("columns are built in the order and types of the schema")
    }
}

#[derive(Debug)]
struct ExemplarColumn {
    rows: ListRows,
    items: usize,
    time_unix_nano: Int64Builder,
    value_double: Float64Builder,
    value_int: Int64Builder,
    trace_id: StringBuilder,
    span_id: StringBuilder,
    filtered_attributes: MapColumn,
    scratch: String,
}

impl ExemplarColumn {
    fn new() -> Self {
        Self {
            rows: ListRows::new(),
            items: 0,
            time_unix_nano: Int64Builder::new(),
            value_double: Float64Builder::new(),
            value_int: Int64Builder::new(),
            trace_id: StringBuilder::new(),
            span_id: StringBuilder::new(),
            filtered_attributes: MapColumn::new(),
            scratch: String::new(),
        }
    }

    fn append(&mut self, exemplars: &[Exemplar]) {
        for exemplar in exemplars {
            append_instant(&mut self.time_unix_nano, exemplar.time_unix_nano);
            let (double, int) = match exemplar.value {
                Some(exemplar::Value::AsDouble(number)) => (Some(number), None),
                Some(exemplar::Value::AsInt(number)) => (None, Some(number)),
                None => (None, None),
            };
            self.value_double.append_option(double);
            self.value_int.append_option(int);
            append_id_given(&mut self.trace_id, &exemplar.trace_id, &mut self.scratch);
            append_id_given(&mut self.span_id, &exemplar.span_id, &mut self.scratch);
            self.filtered_attributes.append(&entries(&exemplar.filtered_attributes));
        }
        self.items += exemplars.len();
        self.rows.end_row(self.items);
    }

    fn finish(&mut self) -> ArrayRef {
        self.items = 0;
        let columns: Columns = vec![
            Arc::new(self.time_unix_nano.finish()),
            Arc::new(self.value_double.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            self.filtered_attributes.finish(),
        ];
        self.rows.finish(Arc::new(StructArray::new(exemplar_fields(), columns, None)))
    }
}
