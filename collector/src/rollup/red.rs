//! Rows of `red`: how many spans of a key there were in a bucket, how many failed, and how long they took.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::Int32Array;
use arrow::record_batch::RecordBatch;
use haldane_store::histogram::DURATION_SCALE;
use haldane_store::{ExponentialHistogram, TableName, UnixNanos};
use hashbrown::HashTable;

use super::cohort::KeyColumns;
use super::keys::BatchKeys;
use super::{KIND_CONSUMER, KIND_SERVER, Seen, failed};
use crate::hex;
use crate::rows::{CountListColumn, DictionaryColumn, IntegerColumn, batch_of, kind_name};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    cohort: u32,
    bucket: UnixNanos,
    kind: i32,
    operation: u32,
}

#[derive(Debug)]
struct Cell {
    key: Key,
    requests: i64,
    errors: i64,
    duration_sum_ns: i64,
    duration_min_ns: i64,
    duration_max_ns: i64,
    durations: ExponentialHistogram,
    error_trace_id: Option<[u8; 16]>,
    slow_trace_id: [u8; 16],
}

/// Collects the cells of one batch.
#[derive(Debug, Default)]
pub(super) struct RedRows {
    cells: Vec<Cell>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl RedRows {
    #[inline]
    pub(super) fn add(&mut self, seen: Seen<'_, '_>) {
        let key = Key { cohort: seen.cohort, bucket: seen.bucket, kind: seen.span.kind, operation: seen.operation };
        let hash = self.hasher.hash_one(key);
        let cells = &self.cells;
        let number = match self.index.find(hash, |number| cells[*number as usize].key == key) {
            Some(number) => *number,
            None => self.new_cell(key, hash),
        };
        self.cells[number as usize].add(seen);
    }

    #[cold]
    fn new_cell(&mut self, key: Key, hash: u64) -> u32 {
        let number = u32::try_from(self.cells.len()).expect("a batch has fewer cells than 2^32");
        self.cells.push(Cell::new(key));
        let (cells, hasher) = (&self.cells, &self.hasher);
        self.index.insert_unique(hash, number, |number| hasher.hash_one(cells[*number as usize].key));
        number
    }

    /// Requests of each cohort in the batch: all, and those that failed.
    pub(super) fn requests(&self) -> BTreeMap<u32, (u64, u64)> {
        let mut counts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for cell in self.cells.iter().filter(|cell| cell.key.kind == KIND_SERVER || cell.key.kind == KIND_CONSUMER) {
            let (requests, failed) = counts.entry(cell.key.cohort).or_default();
            *requests += cell.requests.unsigned_abs();
            *failed += cell.errors.unsigned_abs();
        }
        counts
    }

    pub(super) fn finish(&mut self, keys: &BatchKeys) -> RecordBatch {
        let mut cells = std::mem::take(&mut self.cells);
        self.index.clear();
        cells.sort_by(|a, b| place_of(a, keys).cmp(&place_of(b, keys)));
        let mut columns = RedColumns::new();
        for cell in &cells {
            columns.append(cell, keys);
        }
        columns.finish()
    }
}

/// Cells are in this order, whatever order the spans came in.
fn place_of<'k>(cell: &Cell, keys: &'k BatchKeys) -> impl Ord + use<'k> {
    let Key { cohort, bucket, kind, operation } = cell.key;
    (keys.cohort_at(cohort), bucket, kind, keys.operation_at(operation))
}

impl Cell {
    fn new(key: Key) -> Self {
        Self {
            key,
            requests: 0,
            errors: 0,
            duration_sum_ns: 0,
            duration_min_ns: i64::MAX,
            duration_max_ns: -1,
            durations: ExponentialHistogram::new(DURATION_SCALE),
            error_trace_id: None,
            slow_trace_id: [0; 16],
        }
    }

    #[inline]
    fn add(&mut self, seen: Seen<'_, '_>) {
        let duration = i64::try_from(seen.span.duration_ns()).unwrap_or(i64::MAX);
        let trace_id = || seen.span.trace_id.as_array().copied().unwrap_or_default();
        self.requests += 1;
        self.duration_sum_ns = self.duration_sum_ns.saturating_add(duration);
        self.duration_min_ns = self.duration_min_ns.min(duration);
        self.durations.record(duration as f64);
        if duration > self.duration_max_ns {
            self.duration_max_ns = duration;
            self.slow_trace_id = trace_id();
        }
        if failed(seen) {
            self.errors += 1;
            self.error_trace_id.get_or_insert_with(trace_id);
        }
    }
}

#[derive(Debug)]
struct RedColumns {
    key: KeyColumns,
    span_kind: DictionaryColumn,
    numbers: [IntegerColumn; 5],
    duration_scale: Vec<i32>,
    duration_zero_count: IntegerColumn,
    duration_offset: Vec<i32>,
    duration_counts: CountListColumn,
    error_trace_id: DictionaryColumn,
    slow_trace_id: DictionaryColumn,
}

impl RedColumns {
    fn new() -> Self {
        Self {
            key: KeyColumns::new(),
            span_kind: DictionaryColumn::new(),
            numbers: std::array::from_fn(|_| IntegerColumn::new()),
            duration_scale: Vec::new(),
            duration_zero_count: IntegerColumn::new(),
            duration_offset: Vec::new(),
            duration_counts: CountListColumn::new(),
            error_trace_id: DictionaryColumn::new(),
            slow_trace_id: DictionaryColumn::new(),
        }
    }

    fn append(&mut self, cell: &Cell, keys: &BatchKeys) {
        let key = cell.key;
        let row = self.key.append(key.bucket, keys.cohort_at(key.cohort), keys.operation_at(key.operation));
        self.span_kind.set(row, &kind_name(key.kind));
        let numbers = [cell.requests, cell.errors, cell.duration_sum_ns, cell.duration_min_ns, cell.duration_max_ns];
        for (column, number) in self.numbers.iter_mut().zip(numbers) {
            column.set(row, number);
        }
        self.duration_scale.push(cell.durations.scale());
        self.duration_zero_count.set(row, i64::try_from(cell.durations.zero_count()).unwrap_or(i64::MAX));
        self.duration_offset.push(cell.durations.offset());
        self.duration_counts.set(row, Some(cell.durations.counts().iter().copied()));
        if let Some(trace_id) = &cell.error_trace_id {
            self.error_trace_id.set(row, &hex::digits(trace_id));
        }
        self.slow_trace_id.set(row, &hex::digits(&cell.slow_trace_id));
    }

    fn finish(self) -> RecordBatch {
        let Self { key, mut span_kind, mut numbers, mut duration_zero_count, mut duration_counts, .. } = self;
        let (mut error_trace_id, mut slow_trace_id) = (self.error_trace_id, self.slow_trace_id);
        let (mut columns, seal) = key.finish();
        columns.push(span_kind.finish(&seal));
        columns.extend(numbers.iter_mut().map(|column| column.finish(&seal)));
        columns.push(Arc::new(Int32Array::from(self.duration_scale)));
        columns.push(duration_zero_count.finish(&seal));
        columns.push(Arc::new(Int32Array::from(self.duration_offset)));
        columns.push(duration_counts.finish(&seal));
        columns.push(error_trace_id.finish(&seal));
        columns.push(slow_trace_id.finish(&seal));
        batch_of(TableName::Red, columns)
    }
}
