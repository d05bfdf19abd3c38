//! Counts of requests by window, cohort, operation and instance, in little memory and in the form in which they are judged: names as numbers, trace ids as
//! bytes, histograms without empty buckets.
//!
//! Always holds: what was put in comes out as it was, except that a histogram begins and ends with a bucket that is not empty, and that a bucket holds
//! `u32::MAX` where it would hold more, which no instance ever serves.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use haldane_store::{ExponentialHistogram, UnixNanos};

use super::buckets::{Bucket, Buckets};
use super::evidence::{Cell, Role};
use super::trace_id::TraceId;

/// Cells, in the order in which they were put in.
#[derive(Debug, Clone, Default)]
pub struct Cells {
    operations: Numbered,
    instances: Numbered,
    rows: Vec<CellRow>,
    /// By row.
    traces: Vec<Traces>,
    /// The buckets of all rows, one after the other.
    buckets: Vec<Bucket>,
}

/// What judging reads of every cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct CellRow {
    pub(super) at: UnixNanos,
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// Requests whose duration is known.
    pub(super) timed: u64,
    zero_count: u64,
    /// Where its buckets begin. They end where those of the next row begin.
    buckets_at: usize,
    pub(super) operation: u32,
    pub(super) instance: u32,
    pub(super) scale: i32,
    pub(super) cohort: Role,
}

/// A trace that failed, and the slowest one.
type Traces = [Option<TraceId>; 2];

/// One of the cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellRef<'a> {
    /// Start of the window.
    pub at: UnixNanos,
    /// Whose requests these are.
    pub cohort: Role,
    /// The operation, such as `POST /pay`.
    pub operation: &'a Arc<str>,
    /// The instance that served them.
    pub instance: &'a Arc<str>,
    /// How many requests.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How long they took, in nanoseconds.
    pub durations: Buckets<'a>,
    /// A trace that failed.
    pub error_trace: Option<&'a TraceId>,
    /// The slowest trace.
    pub slow_trace: Option<&'a TraceId>,
}

/// Names as numbers, in the order in which they were first seen.
#[derive(Debug, Clone, Default)]
struct Numbered {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Cells {
    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = CellRef<'_>> + ExactSizeIterator {
        (0..self.rows.len()).map(|place| self.at(place))
    }

    /// The first of them.
    pub fn first(&self) -> Option<CellRef<'_>> {
        self.iter().next()
    }

    /// Puts one behind the others.
    pub fn push(&mut self, cell: &Cell) {
        let durations = &cell.durations;
        let filled = |(index, count)| Bucket { index, count: u32::try_from(count).unwrap_or(u32::MAX) };
        let filled: Vec<Bucket> = durations.buckets().map(filled).collect();
        self.push_ref(CellRef {
            at: cell.at,
            cohort: cell.cohort,
            operation: &cell.operation,
            instance: &cell.instance,
            requests: cell.requests,
            errors: cell.errors,
            durations: Buckets::new((durations.scale(), durations.zero_count()), &filled),
            error_trace: cell.error_trace.as_ref(),
            slow_trace: cell.slow_trace.as_ref(),
        });
    }

    /// Puts one of others behind them.
    pub(crate) fn push_ref(&mut self, cell: CellRef<'_>) {
        let buckets_at = self.buckets.len();
        self.buckets.extend_from_slice(cell.durations.filled());
        self.rows.push(CellRow {
            at: cell.at,
            requests: cell.requests,
            errors: cell.errors,
            timed: cell.durations.count(),
            zero_count: cell.durations.zero_count(),
            buckets_at,
            operation: self.operations.number(cell.operation),
            instance: self.instances.number(cell.instance),
            scale: cell.durations.scale(),
            cohort: cell.cohort,
        });
        self.traces.push([cell.error_trace.cloned(), cell.slow_trace.cloned()]);
    }

    /// Those from a time on are the canary's.
    pub(crate) fn become_canary(&mut self, from: UnixNanos) {
        self.rows.iter_mut().filter(|row| row.at >= from).for_each(|row| row.cohort = Role::Canary);
    }

    /// Those that began before a time, of cells in the order of time, and others in place of the rest.
    pub(crate) fn replaced_since(&self, from: UnixNanos, others: Self) -> Self {
        let rows = self.rows.partition_point(|row| row.at < from);
        let buckets = self.buckets_from(rows);
        let (mut operations, mut instances) = (self.operations.clone(), self.instances.clone());
        let operation_of: Vec<u32> = others.operations.names.iter().map(|name| operations.number(name)).collect();
        let instance_of: Vec<u32> = others.instances.names.iter().map(|name| instances.number(name)).collect();
        let behind = others.rows.iter().map(|row| CellRow {
            buckets_at: row.buckets_at + buckets,
            operation: operation_of[row.operation as usize],
            instance: instance_of[row.instance as usize],
            ..*row
        });
        Self {
            rows: joined(&self.rows[..rows], behind),
            traces: joined(&self.traces[..rows], others.traces.into_iter()),
            buckets: joined(&self.buckets[..buckets], others.buckets.into_iter()),
            operations,
            instances,
        }
    }

    /// About the memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.rows.capacity() * size_of::<CellRow>() + self.traces.capacity() * size_of::<Traces>();
        rows + self.buckets.capacity() * size_of::<Bucket>()
    }

    pub(super) fn rows(&self) -> &[CellRow] {
        &self.rows
    }

    /// The operations' names, by number. There may be some of which there is no cell.
    pub(super) fn operations(&self) -> &[Arc<str>] {
        &self.operations.names
    }

    /// The instances' names, by number. There may be some of which there is no cell.
    pub(super) fn instances(&self) -> &[Arc<str>] {
        &self.instances.names
    }

    pub(super) fn at(&self, place: usize) -> CellRef<'_> {
        let (row, [error_trace, slow_trace]) = (&self.rows[place], &self.traces[place]);
        CellRef {
            at: row.at,
            cohort: row.cohort,
            operation: &self.operations.names[row.operation as usize],
            instance: &self.instances.names[row.instance as usize],
            requests: row.requests,
            errors: row.errors,
            durations: self.durations(place),
            error_trace: error_trace.as_ref(),
            slow_trace: slow_trace.as_ref(),
        }
    }

    pub(super) fn durations(&self, place: usize) -> Buckets<'_> {
        let row = &self.rows[place];
        Buckets::new((row.scale, row.zero_count), &self.buckets[row.buckets_at..self.buckets_from(place + 1)])
    }

    /// Where the buckets of a row begin, or would begin if there were one more.
    fn buckets_from(&self, place: usize) -> usize {
        self.rows.get(place).map_or(self.buckets.len(), |row| row.buckets_at)
    }

    /// With no more memory than they need.
    fn fitted(mut self) -> Self {
        self.rows.shrink_to_fit();
        self.traces.shrink_to_fit();
        self.buckets.shrink_to_fit();
        self
    }
}

#[cfg(test)]
impl Cells {
    /// Keeps those of which this holds.
    pub(crate) fn retain(&mut self, keep: impl Fn(CellRef<'_>) -> bool) {
        *self = self.iter().filter(|cell| keep(*cell)).collect();
    }

    /// Changes each of them.
    pub(crate) fn change(&mut self, mut change: impl FnMut(&mut Cell)) {
        let changed = |cell: CellRef<'_>| {
            let mut cell = cell.to_cell();
            change(&mut cell);
            cell
        };
        *self = self.iter().map(changed).collect();
    }
}

/// Two lists as one, with no more memory than it needs.
fn joined<T: Clone>(first: &[T], second: impl ExactSizeIterator<Item = T>) -> Vec<T> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    all.extend_from_slice(first);
    all.extend(second);
    all
}

impl FromIterator<Cell> for Cells {
    fn from_iter<I: IntoIterator<Item = Cell>>(cells: I) -> Self {
        let mut all = Self::default();
        cells.into_iter().for_each(|cell| all.push(&cell));
        all.fitted()
    }
}

#[cfg(test)]
impl<'a> FromIterator<CellRef<'a>> for Cells {
    fn from_iter<I: IntoIterator<Item = CellRef<'a>>>(cells: I) -> Self {
        let mut all = Self::default();
        cells.into_iter().for_each(|cell| all.push_ref(cell));
        all.fitted()
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl CellRef<'_> {
    /// By itself.
    pub fn to_cell(&self) -> Cell {
        Cell {
            at: self.at,
            cohort: self.cohort,
            operation: self.operation.clone(),
            instance: self.instance.clone(),
            requests: self.requests,
            errors: self.errors,
            durations: ExponentialHistogram::from(self.durations),
            error_trace: self.error_trace.cloned(),
            slow_trace: self.slow_trace.cloned(),
        }
    }
}

impl Numbered {
    fn number(&mut self, name: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::world::World;
    use super::super::{Evidence, judge};
    use super::*;
    use crate::policy::Policy;
    use proptest::prelude::*;

    fn trace() -> impl Strategy<Value = Option<TraceId>> {
        prop_oneof![Just(None), "[0-9a-f]{32}|[a-z]{0,3}".prop_map(|text| Some(text.into()))]
    }

    prop_compose! {
        fn cell()(
            at in 0_i64..5,
            canary in any::<bool>(),
            names in ("[ab]{0,2}", "[ab]{0,2}"),
            numbers in (any::<u64>(), any::<u64>(), any::<u64>()),
            (scale, offset) in (-4_i32..8, -1_000_000_000..1_000_000_000),
            counts in prop::collection::vec(prop_oneof![5 => Just(0), 3 => 1_u64..9, 1 => any::<u64>()], 0..60),
            traces in (trace(), trace()),
        ) -> Cell {
            Cell {
                at: UnixNanos::from_seconds(at),
                cohort: if canary { Role::Canary } else { Role::Baseline },
                operation: names.0.into(),
                instance: names.1.into(),
                requests: numbers.0,
                errors: numbers.1,
                durations: ExponentialHistogram::from_parts(scale, numbers.2, offset, counts),
                error_trace: traces.0,
                slow_trace: traces.1,
            }
        }
    }

    /// With what does not come out again.
    fn kept(cell: &Cell) -> Cell {
        let durations = &cell.durations;
        let mut filled = durations.buckets();
        let offset = filled.next().map_or(0, |(index, _)| index);
        let empty = durations.counts().iter().take_while(|count| **count == 0).count();
        let counts = durations.counts().iter().skip(empty).map(|count| (*count).min(u64::from(u32::MAX)));
        let mut counts: Vec<u64> = counts.collect();
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        Cell { durations: ExponentialHistogram::from_parts(durations.scale(), durations.zero_count(), offset, counts), ..cell.clone() }
    }

    fn out(cells: &Cells) -> Vec<Cell> {
        cells.iter().map(|cell| cell.to_cell()).collect()
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out_as_it_was(mut cells in prop::collection::vec(cell(), 0..20), from in 0_i64..6) {
            cells.sort_by_key(|cell| cell.at);
            let from = UnixNanos::from_seconds(from);
            let all: Cells = cells.iter().cloned().collect();
            prop_assert_eq!(out(&all), cells.iter().map(kept).collect::<Vec<_>>());
            prop_assert_eq!(&all.iter().collect::<Cells>(), &all);
            let (before, after): (Vec<Cell>, Vec<Cell>) = cells.iter().map(kept).partition(|cell| cell.at < from);
            prop_assert_eq!(out(&all.replaced_since(from, Cells::default())), before);
            let joined = all.replaced_since(from, after.into_iter().collect());
            prop_assert_eq!(joined.bytes(), all.bytes(), "no room is left over");
            prop_assert_eq!(joined, all);
        }
    }

    #[test]
    fn names_of_which_there_is_no_cell_any_more_make_no_difference() {
        let whole = World { windows: 60, ..World::default() }.evidence();
        let mut cells: Cells = whole.cells.clone();
        cells.change(|cell| {
            if cell.at >= whole.until.minus(whole.window) {
                (cell.operation, cell.instance) = ("AAA /new".into(), "aaa".into());
            }
        });
        let from = whole.until.minus(whole.window);
        let left = cells.replaced_since(from, Cells::default());
        let anew: Cells = left.iter().collect();
        assert!(cells.instances().len() == left.instances().len() && left.instances().len() > anew.instances().len());
        let judged = |cells: Cells| format!("{:?}", judge(&Policy::default(), &Evidence { cells, ..whole.clone() }));
        assert_eq!(judged(left), judged(anew));
    }
}
