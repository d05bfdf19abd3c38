//! Rows of the tables as cells, error counts and call counts, of which there is a limit.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use haldane_store::schema::{BUCKET_SECONDS, OTHER_OPERATION};
use haldane_store::{ExponentialHistogram, UnixNanos};

use super::columns::{Columns, optional, text, unsigned};
use super::gather::GatherError;
use crate::judge::{CallCount, Cell, Cells, ErrorCount, Names, Role};

type CellKey = (UnixNanos, Role, Arc<str>, Arc<str>);
type ErrorKey = (UnixNanos, Role, Arc<str>, Arc<str>, Arc<str>);
type CallKey = (UnixNanos, Role, Arc<str>, Arc<str>, Arc<str>);

/// More keys of each kind than this are not held: a key takes some hundred bytes.
pub(super) const KEYS_MAX: usize = 300_000;
/// How wide the windows of requests become, step by step, where there are more.
const WIDTHS: [Duration; 3] = [Duration::from_secs(BUCKET_SECONDS), Duration::from_secs(60), Duration::from_secs(300)];
/// Then so many operations are kept apart, those with most requests.
const OPERATIONS_KEPT: [usize; 3] = [200, 20, 0];
/// What errors lose, step by step: their operation, their instance, and being told apart but for the most frequent ones.
const FINGERPRINTS_KEPT: [usize; 4] = [usize::MAX, usize::MAX, 500, 50];
/// So many called names are kept apart, those with most calls.
const NAMES_KEPT: [usize; 3] = [200, 50, 5];

/// Rows added up by key, of which there is a limit.
#[derive(Debug)]
pub(super) struct CellRows {
    cells: BTreeMap<CellKey, Cell>,
    errors: BTreeMap<ErrorKey, ErrorCount>,
    calls: BTreeMap<CallKey, CallCount>,
    grain: Grain,
    names: Names,
    keys_max: usize,
}

/// How rows become keys. A reading that goes on from another one takes it over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    grain: Grain,
    names: Names,
}

/// What was given up because there was too much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Grain {
    /// How often the cells became coarser.
    coarser: usize,
    /// Operations that are kept apart, once not all are.
    kept: Option<HashSet<Arc<str>>>,
    /// How much of the errors was given up.
    fewer_errors: usize,
    fingerprints: Option<HashSet<Arc<str>>>,
    /// How much of the calls was given up.
    fewer_calls: usize,
    called: Option<HashSet<Arc<str>>>,
}

impl Keys {
    /// How wide the windows are.
    pub(super) fn window(&self) -> Duration {
        self.grain.window()
    }

    /// Whether the same rows become the same keys.
    pub(super) fn are_as(&self, other: &Self) -> bool {
        self.grain == other.grain
    }
}

impl Grain {
    fn window(&self) -> Duration {
        WIDTHS[self.coarser.min(WIDTHS.len() - 1)]
    }
}

impl Default for CellRows {
    fn default() -> Self {
        Self::with_keys(Keys::default())
    }
}

/// Cells, errors and calls, each sorted by time.
pub(super) type Finished = (Cells, Vec<ErrorCount>, Vec<CallCount>);

impl CellRows {
    fn new(keys_max: usize) -> Self {
        Self {
            cells: BTreeMap::new(),
            errors: BTreeMap::new(),
            calls: BTreeMap::new(),
            grain: Grain::default(),
            names: Names::default(),
            keys_max,
        }
    }

    /// None yet, and as coarse as an earlier reading.
    pub(super) fn with_keys(keys: Keys) -> Self {
        Self { grain: keys.grain, names: keys.names, ..Self::new(KEYS_MAX) }
    }

    pub(super) fn add_cells(&mut self, role: Role, batch: &RecordBatch) -> Result<(), GatherError> {
        if batch.column_by_name("duration_counts").is_some() {
            self.add_rollups(role, batch)?
        } else {
            self.add_spans(role, batch)?
        }
        self.limit();
        Ok(())
    }

    /// How many keys of the kind that has most.
    pub(super) fn keys(&self) -> usize {
        self.cells.len().max(self.errors.len()).max(self.calls.len())
    }

    /// Gives up what there is too much of. Requests become coarser for their own sake only: they decide, errors and calls explain.
    fn limit(&mut self) {
        while self.cells.len() > self.keys_max && self.grain.coarser < WIDTHS.len() - 1 + OPERATIONS_KEPT.len() {
            self.grain.coarser += 1;
            if let Some(step) = self.grain.coarser.checked_sub(WIDTHS.len()) {
                let requests = self.cells.values().map(|cell| (&cell.operation, cell.requests));
                self.grain.kept = Some(most_frequent(requests, OPERATIONS_KEPT[step]));
            }
            self.regroup_cells();
        }
        while self.errors.len() > self.keys_max && self.grain.fewer_errors < FINGERPRINTS_KEPT.len() {
            let kept = FINGERPRINTS_KEPT[self.grain.fewer_errors];
            if kept < usize::MAX {
                self.grain.fingerprints = Some(most_frequent(self.errors.values().map(|error| (&error.fingerprint, error.count)), kept));
            }
            self.grain.fewer_errors += 1;
            std::mem::take(&mut self.errors).into_values().for_each(|error| self.put_error(error));
        }
        while self.calls.len() > self.keys_max && self.grain.fewer_calls < NAMES_KEPT.len() {
            self.grain.called =
                Some(most_frequent(self.calls.values().map(|call| (&call.name, call.count)), NAMES_KEPT[self.grain.fewer_calls]));
            self.grain.fewer_calls += 1;
            std::mem::take(&mut self.calls).into_values().for_each(|call| self.put_call(call));
        }
    }

    /// Adds all cells up anew under the keys that are left.
    fn regroup_cells(&mut self) {
        let width = self.grain.window();
        for old in std::mem::take(&mut self.cells).into_values() {
            let cell = self.cell(old.at.bucket(width), old.cohort, &old.operation, &old.instance);
            cell.requests = cell.requests.saturating_add(old.requests);
            cell.errors = cell.errors.saturating_add(old.errors);
            cell.durations.merge(&old.durations);
            cell.error_trace = cell.error_trace.take().or(old.error_trace);
            cell.slow_trace = old.slow_trace.or_else(|| cell.slow_trace.take());
        }
    }

    /// The name that an operation is counted under.
    fn operation(&mut self, operation: &str) -> Arc<str> {
        let is_kept = self.grain.kept.as_ref().is_none_or(|kept| kept.contains(operation));
        self.names.get(if is_kept { operation } else { OTHER_OPERATION })
    }

    fn put_error(&mut self, error: ErrorCount) {
        let operation = self.names.get(if self.grain.fewer_errors > 0 { "" } else { &error.operation });
        let instance = self.names.get(if self.grain.fewer_errors > 1 { "" } else { &error.instance });
        let is_kept = self.grain.fingerprints.as_ref().is_none_or(|kept| kept.contains(&error.fingerprint));
        let fingerprint = self.names.get(if is_kept { &error.fingerprint } else { OTHER_OPERATION });
        let error = ErrorCount { operation, instance, fingerprint, ..error };
        let key = (error.at, error.cohort, error.operation.clone(), error.instance.clone(), error.fingerprint.clone());
        match self.errors.entry(key) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                known.count = known.count.saturating_add(error.count);
                known.trace = known.trace.take().or(error.trace);
            }
            Entry::Vacant(place) => {
                place.insert(error);
            }
        }
    }

    fn put_call(&mut self, call: CallCount) {
        let is_kept = self.grain.called.as_ref().is_none_or(|kept| kept.contains(&call.name));
        let call = CallCount { name: self.names.get(if is_kept { &call.name } else { OTHER_OPERATION }), ..call };
        let key = (call.at, call.cohort, call.instance.clone(), call.kind.clone(), call.name.clone());
        match self.calls.entry(key) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                known.count = known.count.saturating_add(call.count);
                known.errors = known.errors.saturating_add(call.errors);
            }
            Entry::Vacant(place) => {
                place.insert(call);
            }
        }
    }

    fn add_rollups(&mut self, role: Role, batch: &RecordBatch) -> Result<(), GatherError> {
        let columns = Columns { table: "red", batch };
        let (times, operations, instances) = (columns.times("time")?, columns.texts("operation")?, columns.texts("service_instance_id")?);
        let (requests, errors) = (columns.longs("requests")?, columns.longs("errors")?);
        let (scales, offsets) = (columns.ints("duration_scale")?, columns.ints("duration_offset")?);
        let zeros = columns.longs("duration_zero_count")?;
        let counts = columns.column("duration_counts")?;
        let counts = counts.as_list_opt::<i32>().ok_or(columns.unexpected("duration_counts"))?;
        let (failed, slow) = (columns.texts("error_trace_id")?, columns.texts("slow_trace_id")?);
        let width = self.grain.window();
        for (row, at) in times.iter().copied().enumerate() {
            let buckets = counts.value(row);
            let buckets = buckets.as_primitive_opt::<Int64Type>().ok_or(columns.unexpected("duration_counts"))?;
            let durations = ExponentialHistogram::from_parts(
                scales.value(row),
                unsigned(&zeros, row),
                offsets.value(row),
                buckets.values().iter().map(|count| u64::try_from(*count).unwrap_or(0)).collect(),
            );
            let cell = self.cell(at.bucket(width), role, text(&operations, row), text(&instances, row));
            cell.requests = cell.requests.saturating_add(unsigned(&requests, row));
            cell.errors = cell.errors.saturating_add(unsigned(&errors, row));
            cell.durations.merge(&durations);
            cell.error_trace = cell.error_trace.take().or_else(|| optional(&failed, row));
            cell.slow_trace = optional(&slow, row).or_else(|| cell.slow_trace.take());
        }
        Ok(())
    }

    fn add_spans(&mut self, role: Role, batch: &RecordBatch) -> Result<(), GatherError> {
        let columns = Columns { table: "spans", batch };
        let (times, operations, instances) = (columns.times("time")?, columns.texts("operation")?, columns.texts("service_instance_id")?);
        let (errors, durations, traces) = (columns.longs("errors")?, columns.longs("duration_ns")?, columns.texts("trace_id")?);
        let window = self.grain.window();
        for (row, at) in times.iter().enumerate() {
            let cell = self.cell(at.bucket(window), role, text(&operations, row), text(&instances, row));
            cell.requests += 1;
            cell.durations.record(durations.value(row) as f64);
            if unsigned(&errors, row) > 0 {
                cell.errors += 1;
                cell.error_trace = cell.error_trace.take().or_else(|| optional(&traces, row));
            }
            cell.slow_trace = optional(&traces, row).or_else(|| cell.slow_trace.take());
        }
        Ok(())
    }

    pub(super) fn add_errors(&mut self, role: Role, batch: &RecordBatch) -> Result<(), GatherError> {
        let columns = Columns { table: "errors", batch };
        let (times, operations, instances) = (columns.times("time")?, columns.texts("operation")?, columns.texts("service_instance_id")?);
        let (fingerprints, sources) = (columns.texts("fingerprint")?, columns.texts("source")?);
        let (kinds, messages) = (columns.texts("error_type")?, columns.texts("message")?);
        let (counts, traces) = (columns.longs("count")?, columns.texts("trace_id")?);
        for (row, at) in times.iter().copied().enumerate() {
            let error = ErrorCount {
                at,
                cohort: role,
                operation: self.names.get(text(&operations, row)),
                instance: self.names.get(text(&instances, row)),
                fingerprint: self.names.get(text(&fingerprints, row)),
                source: self.names.get(text(&sources, row)),
                error_type: self.names.get(text(&kinds, row)),
                message: self.names.get(text(&messages, row)),
                count: unsigned(&counts, row),
                trace: optional(&traces, row),
            };
            self.put_error(error);
        }
        self.limit();
        Ok(())
    }

    pub(super) fn add_calls(&mut self, role: Role, batch: &RecordBatch) -> Result<(), GatherError> {
        let columns = Columns { table: "red", batch };
        let (times, kinds, called) = (columns.times("time")?, columns.texts("span_kind")?, columns.texts("name")?);
        let (instances, counts, errors) = (columns.texts("service_instance_id")?, columns.longs("count")?, columns.longs("errors")?);
        for (row, at) in times.iter().copied().enumerate() {
            let call = CallCount {
                at,
                cohort: role,
                instance: self.names.get(text(&instances, row)),
                kind: self.names.get(text(&kinds, row)),
                name: self.names.get(text(&called, row)),
                count: unsigned(&counts, row),
                errors: unsigned(&errors, row),
            };
            self.put_call(call);
        }
        self.limit();
        Ok(())
    }

    /// All of it, and how it was told apart.
    pub(super) fn finish(self) -> (Finished, Keys) {
        let finished = (self.cells.into_values().collect(), self.errors.into_values().collect(), self.calls.into_values().collect());
        (finished, Keys { grain: self.grain, names: self.names })
    }

    fn cell(&mut self, at: UnixNanos, cohort: Role, operation: &str, instance: &str) -> &mut Cell {
        let (operation, instance) = (self.operation(operation), self.names.get(instance));
        let key = (at, cohort, operation.clone(), instance.clone());
        self.cells.entry(key).or_insert_with(|| Cell::new(at, cohort, operation, instance))
    }
}

/// Those that count most, so many of them.
fn most_frequent<'a>(counts: impl Iterator<Item = (&'a Arc<str>, u64)>, kept: usize) -> HashSet<Arc<str>> {
    let mut sums: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
    for (name, count) in counts {
        let known = sums.entry(name).or_default();
        *known = known.saturating_add(count);
    }
    let mut sorted: Vec<(&Arc<str>, u64)> = sums.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    sorted.into_iter().take(kept).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(rows: &mut CellRows, second: i64, operation: &str, instance: &str) {
        let at = UnixNanos::from_seconds(second).bucket(rows.grain.window());
        let cell = rows.cell(at, Role::Canary, operation, instance);
        cell.requests += 1;
        cell.durations.record(1e6);
        rows.limit();
    }

    fn of(keys_max: usize, operations: usize, windows: i64) -> (Duration, Cells) {
        let mut rows = CellRows::new(keys_max);
        for second in (0..10 * windows).step_by(10) {
            for operation in 0..operations {
                // The lower its number, the more often it is asked for.
                for _ in 0..=(operations - operation) / 10 {
                    cell(&mut rows, second, &format!("GET /{operation}"), "pod-1");
                }
            }
        }
        (rows.grain.window(), rows.finish().0.0)
    }

    #[test]
    fn too_many_windows_become_wider_and_too_many_operations_fewer_but_no_request_is_lost() {
        let requests = |cells: &Cells| cells.iter().map(|cell| cell.requests).sum::<u64>();
        let (window, whole) = of(1_000_000, 30, 60);
        assert_eq!((window, whole.len()), (Duration::from_secs(10), 1_800));
        let (window, wider) = of(400, 30, 60);
        assert_eq!((window, wider.len(), requests(&wider)), (Duration::from_secs(60), 300, requests(&whole)));
        let (window, fewer) = of(45, 30, 60);
        assert_eq!((window, requests(&fewer)), (Duration::from_secs(300), requests(&whole)));
        let names: Vec<&str> = fewer.iter().map(|cell| &**cell.operation).collect();
        assert!(
            names.len() == 42 && names.contains(&"GET /0") && names.contains(&OTHER_OPERATION) && !names.contains(&"GET /29"),
            "{names:?}"
        );
        assert!(fewer.iter().all(|cell| cell.durations.count() == cell.requests));
    }
}
