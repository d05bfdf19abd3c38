//! Rows of `red`: how many spans of a key there were in a bucket, how many failed, and how long they took.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Builder, Int64Builder, StringBuilder};
use arrow::record_batch::RecordBatch;
use haldane_store::histogram::DURATION_SCALE;
use haldane_store::{ExponentialHistogram, TableName, UnixNanos};

use super::cohort::{Cohort, KeyColumns};
use super::{Seen, failed};
use crate::decode::{CountListColumn, hex, kind_name, span_duration_ns};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    cohort: Arc<Cohort>,
    bucket: UnixNanos,
    kind: i32,
    operation: Arc<str>,
}

#[derive(Debug)]
struct Cell {
    requests: i64,
    errors: i64,
    duration_sum_ns: i64,
    duration_min_ns: i64,
    duration_max_ns: i64,
    durations: ExponentialHistogram,
    error_trace_id: Option<Vec<u8>>,
    slow_trace_id: Vec<u8>,
}

/// Collects the cells of one batch.
#[derive(Debug, Default)]
pub(super) struct RedRows {
    cells: HashMap<Key, Cell>,
}

impl RedRows {
    pub(super) fn add(&mut self, cohort: &Arc<Cohort>, seen: Seen<'_>) {
        let key = Key { cohort: cohort.clone(), bucket: seen.bucket, kind: seen.span.kind, operation: seen.operation.clone() };
        self.cells.entry(key).or_insert_with(Cell::new).add(seen);
    }

    pub(super) fn finish(&mut self) -> RecordBatch {
        let mut cells: Vec<_> = std::mem::take(&mut self.cells).into_iter().collect();
        cells.sort_by(|(a, _), (b, _)| (&a.cohort, a.bucket, a.kind, &a.operation).cmp(&(&b.cohort, b.bucket, b.kind, &b.operation)));
        let mut columns = RedColumns::new();
        for (key, cell) in &cells {
            columns.append(key, cell);
        }
        columns.finish()
    }
}

impl Cell {
    fn new() -> Self {
        Self {
            requests: 0,
            errors: 0,
            duration_sum_ns: 0,
            duration_min_ns: i64::MAX,
            duration_max_ns: -1,
            durations: ExponentialHistogram::new(DURATION_SCALE),
            error_trace_id: None,
            slow_trace_id: Vec::new(),
        }
    }

    fn add(&mut self, Seen { span, attributes, .. }: Seen<'_>) {
        let duration = i64::try_from(span_duration_ns(span)).unwrap_or(i64::MAX);
        self.requests += 1;
        self.duration_sum_ns = self.duration_sum_ns.saturating_add(duration);
        self.duration_min_ns = self.duration_min_ns.min(duration);
        self.durations.record(duration as f64);
        if duration > self.duration_max_ns {
            self.duration_max_ns = duration;
            self.slow_trace_id.clone_from(&span.trace_id);
        }
        if failed(span, attributes) {
            self.errors += 1;
            self.error_trace_id.get_or_insert_with(|| span.trace_id.clone());
        }
    }
}

#[derive(Debug)]
struct RedColumns {
    key: KeyColumns,
    span_kind: StringBuilder,
    numbers: [Int64Builder; 5],
    duration_scale: Int32Builder,
    duration_zero_count: Int64Builder,
    duration_offset: Int32Builder,
    duration_counts: CountListColumn,
    error_trace_id: StringBuilder,
    slow_trace_id: StringBuilder,
}

impl RedColumns {
    fn new() -> Self {
        Self {
            key: KeyColumns::new(),
            span_kind: StringBuilder::new(),
            numbers: Default::default(),
            duration_scale: Int32Builder::new(),
            duration_zero_count: Int64Builder::new(),
            duration_offset: Int32Builder::new(),
            duration_counts: CountListColumn::new(),
            error_trace_id: StringBuilder::new(),
            slow_trace_id: StringBuilder::new(),
        }
    }

    fn append(&mut self, key: &Key, cell: &Cell) {
        self.key.append(key.bucket, &key.cohort, &key.operation);
        self.span_kind.append_value(kind_name(key.kind));
        let numbers = [cell.requests, cell.errors, cell.duration_sum_ns, cell.duration_min_ns, cell.duration_max_ns];
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.append_value(number);
        }
        self.duration_scale.append_value(cell.durations.scale());
        self.duration_zero_count.append_value(i64::try_from(cell.durations.zero_count()).unwrap_or(i64::MAX));
        self.duration_offset.append_value(cell.durations.offset());
        self.duration_counts.append(Some(cell.durations.counts()));
        self.error_trace_id.append_option(cell.error_trace_id.as_deref().map(hex::encode));
        self.slow_trace_id.append_value(hex::encode(&cell.slow_trace_id));
    }

    fn finish(mut self) -> RecordBatch {
        let mut columns = Vec::new();
        self.key.finish_into(&mut columns);
        columns.push(Arc::new(self.span_kind.finish()));
        columns.extend(self.numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.duration_scale.finish()));
        columns.push(Arc::new(self.duration_zero_count.finish()));
        columns.push(Arc::new(self.duration_offset.finish()));
        columns.push(self.duration_counts.finish());
        columns.push(Arc::new(self.error_trace_id.finish()));
        columns.push(Arc::new(self.slow_trace_id.finish()));
        RecordBatch::try_new(TableName::Red.schema(), columns).expect("columns are built in the order and types of the schema")
    }
}
