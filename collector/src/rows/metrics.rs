//! Rows of `metrics`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, StructArray};
use arrow::record_batch::RecordBatch;
use haldane_store::schema::exemplar_fields;
use haldane_store::{TableName, UnixNanos};

use super::attributes::{RecordAttributes, push_all};
use super::columns::{Columns, DictionaryColumn, IntegerColumn, ListRows, MapColumn, PlainColumn, Seal, TimeColumns, batch_of};
use super::numbers::ValueColumns;
use super::origin::{OriginColumns, ResourceOrigin, ScopeOrigin};
use super::{first_known, given, series, set_text, signed};
use crate::decode::Irregular;
use crate::decode::metric::{Exemplar, Metric, Point, PointLists, Series, temporality_name};
use crate::hex;

/// A metric, ready for its points.
#[derive(Debug)]
pub(crate) struct MetricOrigin<'m, 'a> {
    metric: &'m Metric<'a>,
    series: Series<'a>,
    temporality: Option<String>,
    id: u64,
}

impl<'m, 'a> MetricOrigin<'m, 'a> {
    pub(crate) fn new(metric: &'m Metric<'a>, series: Series<'a>) -> Self {
        Self { metric, series, temporality: series.temporality.map(temporality_name), id: series::of_metric(metric, series) }
    }
}

/// Builds a batch of `metrics`.
#[derive(Debug)]
pub(crate) struct MetricRows {
    pub(crate) rows: usize,
    time: TimeColumns,
    metric_name: DictionaryColumn,
    pub(crate) origin: OriginColumns,
    metric_type: DictionaryColumn,
    unit: DictionaryColumn,
    description: DictionaryColumn,
    temporality: DictionaryColumn,
    is_monotonic: BooleanBuilder,
    series_id: DictionaryColumn,
    /// Of the rows that have no origin yet: what their metric and their own attributes make of the id.
    unnamed: Vec<[u64; 2]>,
    time_unix_nano: IntegerColumn,
    start_time_unix_nano: IntegerColumn,
    values: ValueColumns,
    attributes: RecordAttributes,
    exemplars: ExemplarColumn,
    flags: IntegerColumn,
    metric_metadata: MapColumn,
}

impl MetricRows {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            time: TimeColumns::default(),
            metric_name: DictionaryColumn::new(),
            origin: OriginColumns::new(),
            metric_type: DictionaryColumn::new(),
            unit: DictionaryColumn::new(),
            description: DictionaryColumn::new(),
            temporality: DictionaryColumn::new(),
            is_monotonic: BooleanBuilder::new(),
            series_id: DictionaryColumn::new(),
            unnamed: Vec::new(),
            time_unix_nano: IntegerColumn::new(),
            start_time_unix_nano: IntegerColumn::new(),
            values: ValueColumns::new(),
            attributes: RecordAttributes::new(),
            exemplars: ExemplarColumn::new(),
            flags: IntegerColumn::new(),
            metric_metadata: MapColumn::new(),
        }
    }

    /// Adds one point of a metric; [`Self::set_origin`] gives it the rest.
    pub(crate) fn append(
        &mut self,
        origin: &MetricOrigin<'_, '_>,
        point: &Point<'_>,
        lists: &PointLists<'_>,
        received: UnixNanos,
    ) -> Result<(), Irregular> {
        let (row, metric) = (self.rows, origin.metric);
        self.time.push(first_known([point.time_unix_nano], received));
        self.metric_name.set(row, metric.name);
        self.metric_type.set(row, origin.series.kind.name().as_bytes());
        set_text(&mut self.unit, row, metric.unit);
        set_text(&mut self.description, row, metric.description);
        if let Some(temporality) = &origin.temporality {
            self.temporality.set(row, temporality.as_bytes());
        }
        self.is_monotonic.append_option(origin.series.is_monotonic);
        let times = [(&mut self.time_unix_nano, point.time_unix_nano), (&mut self.start_time_unix_nano, point.start_time_unix_nano)];
        for (column, nanos) in times {
            if nanos > 0 {
                column.set(row, signed(nanos));
            }
        }
        self.values.set(row, point, lists);
        self.attributes.set(row, &lists.attributes);
        self.unnamed.push([origin.id, series::of_attributes(&lists.attributes)]);
        if !lists.exemplars.is_empty() {
            self.exemplars.set(row, &lists.exemplars)?;
        }
        self.flags.set(row, i64::from(point.flags));
        push_all(&mut self.metric_metadata, &metric.metadata);
        self.metric_metadata.end_row(row);
        self.rows += 1;
        Ok(())
    }

    /// Gives all rows that have none their resource and scope, and with them the series they are of.
    pub(crate) fn set_origin(&mut self, resource: &ResourceOrigin, scope: &ScopeOrigin<'_>) {
        self.origin.set_until(self.rows, resource, scope);
        let (first, scope) = (self.rows - self.unnamed.len(), scope.series());
        for (row, [metric, attributes]) in (first..).zip(self.unnamed.drain(..)) {
            let id = series::together([metric, resource.series, scope, attributes]);
            self.series_id.set(row, hex::encode(&id.to_be_bytes()).as_bytes());
        }
    }

    /// Bytes of what all points of a metric, a scope or a resource share, written out for each.
    pub(crate) fn repeated_bytes(&self) -> usize {
        self.origin.repeated_bytes() + self.metric_metadata.bytes()
    }

    /// All rows since the last call, in the columns of `metrics`.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let seal = Seal::new(std::mem::take(&mut self.rows));
        let mut columns = Columns::new();
        self.time.finish_into(&mut columns);
        columns.push(self.metric_name.finish(&seal));
        self.origin.finish_promoted_into(&mut columns, &seal);
        columns.push(self.metric_type.finish(&seal));
        columns.push(self.unit.finish(&seal));
        columns.push(self.description.finish(&seal));
        columns.push(self.temporality.finish(&seal));
        columns.push(Arc::new(self.is_monotonic.finish()));
        columns.push(self.series_id.finish(&seal));
        columns.push(self.time_unix_nano.finish(&seal));
        columns.push(self.start_time_unix_nano.finish(&seal));
        self.values.finish_into(&mut columns, &seal);
        self.attributes.promoted.finish_into(&mut columns, &seal);
        columns.push(self.attributes.rest.finish(&seal));
        columns.push(self.exemplars.finish(&seal));
        columns.push(self.flags.finish(&seal));
        columns.push(self.metric_metadata.finish(&seal));
        self.origin.finish_rest_into(&mut columns, &seal);
        batch_of(TableName::Metrics, columns)
    }
}

#[derive(Debug)]
struct ExemplarColumn {
    rows: ListRows,
    items: usize,
    time_unix_nano: IntegerColumn,
    value_double: Float64Builder,
    value_int: IntegerColumn,
    trace_id: PlainColumn,
    span_id: PlainColumn,
    filtered_attributes: MapColumn,
}

impl ExemplarColumn {
    fn new() -> Self {
        Self {
            rows: ListRows::always(),
            items: 0,
            time_unix_nano: IntegerColumn::new(),
            value_double: Float64Builder::new(),
            value_int: IntegerColumn::new(),
            trace_id: PlainColumn::new(),
            span_id: PlainColumn::new(),
            filtered_attributes: MapColumn::new(),
        }
    }

    fn set(&mut self, row: usize, exemplars: &[&[u8]]) -> Result<(), Irregular> {
        for exemplar in exemplars {
            let exemplar = Exemplar::parse(exemplar)?;
            if exemplar.time_unix_nano > 0 {
                self.time_unix_nano.set(self.items, signed(exemplar.time_unix_nano));
            }
            self.value_double.append_option(exemplar.value_double);
            if let Some(number) = exemplar.value_int {
                self.value_int.set(self.items, number);
            }
            for (column, id) in [(&mut self.trace_id, exemplar.trace_id), (&mut self.span_id, exemplar.span_id)] {
                if let Some(id) = given(id) {
                    column.set_with(self.items, |text| hex::append(id, text));
                }
            }
            push_all(&mut self.filtered_attributes, &exemplar.filtered_attributes);
            self.filtered_attributes.end_row(self.items);
            self.items += 1;
        }
        self.rows.end_row(row, self.items);
        Ok(())
    }

    fn finish(&mut self, seal: &Seal) -> ArrayRef {
        let inner = Seal::new(std::mem::take(&mut self.items));
        let columns: Columns = vec![
            self.time_unix_nano.finish(&inner),
            Arc::new(self.value_double.finish()),
            self.value_int.finish(&inner),
            self.trace_id.finish(&inner),
            self.span_id.finish(&inner),
            self.filtered_attributes.finish(&inner),
        ];
        self.rows.finish(Arc::new(StructArray::new(exemplar_fields(), columns, None)), seal)
    }
}
