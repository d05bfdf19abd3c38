//! The evidence as the checks read it: rows by operation, with names as numbers and time as window numbers.

use std::sync::Arc;
use std::time::Duration;

use haldane_store::UnixNanos;

use super::buckets::Buckets;
use super::cells::{CellRef, Cells};
use super::cores::CELLS_MANY;
use super::durations::SCALE_MAX;
use super::evidence::{Evidence, Pairing, Role};
use super::served::{Served, ServedSums, Spot};

/// All rows that a judgement may use.
pub(super) struct Table<'a> {
    /// Sorted; a row's operation is an index.
    pub(super) operations: Vec<Arc<str>>,
    /// Sorted; a row's instance is an index.
    pub(super) instances: Vec<Arc<str>>,
    /// Rows by operation, each sorted by window.
    pub(super) rows: Vec<Vec<Row>>,
    /// What the rows of all operations served, sorted; zero where cells say that nothing was served.
    pub(super) served: Vec<Served>,
    /// By operation: what baseline and canary served of it.
    pub(super) mix: Vec<[f64; 2]>,
    /// By operation: the scale on which all of its durations can be read.
    pub(super) scales: Vec<i32>,
    cells: &'a Cells,
    /// Cells that contradict themselves and were left out.
    pub(super) broken: u64,
    /// By instance: which half of the baseline it is in when the baseline is compared with itself.
    pub(super) halves: Vec<u8>,
    /// By instance: its first window, if it began while one was watching.
    born: Vec<Option<i64>>,
    pub(super) pairing: Pairing,
    pub(super) clock: WindowClock,
}

/// One cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) window: i64,
    pub(super) side: Part,
    pub(super) instance: u32,
    pub(super) requests: f64,
    pub(super) errors: f64,
    /// Requests whose duration is known.
    pub(super) timed: f64,
    /// Of its cell among all.
    place: usize,
}

impl Row {
    pub(super) fn spot(&self) -> Spot {
        Spot { window: self.window, side: self.side, instance: self.instance }
    }

    /// Where it stands among those of its operation.
    fn order(&self) -> (i64, bool, u32) {
        (self.window, self.side == Part::Canary, self.instance)
    }
}

/// When an instance was first seen, and whether it ever was one of the baseline's.
#[derive(Clone, Copy)]
struct Seen {
    first: i64,
    is_baseline: bool,
}

/// The part a row plays in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    /// The canary.
    Canary,
    /// The baseline that the canary is compared with.
    Baseline,
    /// The baseline outside of the comparison: noise and thresholds are learnt from it.
    Aside,
}

/// Instants as window numbers.
#[derive(Clone, Copy)]
pub(super) struct WindowClock {
    width: i64,
    /// The window in which the rollout began.
    pub(super) start: i64,
    /// The first window that is not complete.
    pub(super) end: i64,
}

impl WindowClock {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let width = i64::try_from(evidence.window.as_nanos()).unwrap_or(i64::MAX).max(1);
        let number = |at: UnixNanos| at.as_nanos().div_euclid(width);
        Self { width, start: number(evidence.started_at), end: number(evidence.until) }
    }

    pub(super) fn number(&self, at: UnixNanos) -> i64 {
        at.as_nanos().div_euclid(self.width)
    }

    /// How many windows make up this time, one at least.
    pub(super) fn windows(&self, time: Duration) -> i64 {
        (i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) / self.width).max(1)
    }

    /// How long this many windows last.
    pub(super) fn duration(&self, windows: i64) -> Duration {
        Duration::from_nanos(u64::try_from(windows.saturating_mul(self.width)).unwrap_or(0))
    }

    /// The part that a cell of this window and cohort plays, if any.
    ///
    /// The window in which the rollout began belongs to it: the canary's first requests lie there.
    pub(super) fn part(&self, window: i64, cohort: Role, pairing: Pairing) -> Option<Part> {
        if window >= self.end {
            return None;
        }
        match (cohort, pairing, window >= self.start) {
            (Role::Canary, _, true) => Some(Part::Canary),
            (Role::Canary, _, false) => None,
            (Role::Baseline, Pairing::Concurrent, during) => Some(if during { Part::Baseline } else { Part::Aside }),
            (Role::Baseline, Pairing::Preceding, during) => Some(if during { Part::Aside } else { Part::Baseline }),
        }
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let clock = WindowClock::new(evidence);
        let cells = &evidence.cells;
        let cells_of = count_by(cells.operations(), cells.rows().iter().map(|cell| cell.operation));
        let operations = Ranks::of(cells.operations(), &cells_of);
        let instances = Ranks::of(cells.instances(), &count_by(cells.instances(), cells.rows().iter().map(|cell| cell.instance)));
        let mut rows: Vec<Vec<Row>> = vec![Vec::new(); operations.sorted.len()];
        for (rank, cells) in operations.by_number.iter().zip(&cells_of).filter(|(_, cells)| **cells > 0) {
            rows[*rank as usize].reserve_exact(*cells);
        }
        let mut mix = vec![[0.0; 2]; operations.sorted.len()];
        let mut scales = vec![SCALE_MAX; operations.sorted.len()];
        let mut seen = vec![Seen { first: i64::MAX, is_baseline: false }; instances.sorted.len()];
        let mut served = ServedSums::new(instances.sorted.len());
        let (mut is_sorted, mut broken) = (true, 0);
        for (place, cell) in cells.rows().iter().enumerate() {
            let window = clock.number(cell.at);
            let Some(side) = clock.part(window, cell.cohort, evidence.pairing) else { continue };
            if cell.errors > cell.requests || cell.requests.max(cell.timed) >= REQUESTS_MAX {
                broken += 1;
                continue;
            }
            let (requests, errors, timed) = (cell.requests as f64, cell.errors as f64, cell.timed as f64);
            let instance = instances.by_number[cell.instance as usize];
            let operation = operations.by_number[cell.operation as usize] as usize;
            scales[operation] = scales[operation].min(cell.scale);
            match side {
                Part::Baseline => mix[operation][0] += requests,
                Part::Canary => mix[operation][1] += requests,
                Part::Aside => {}
            }
            let seen = &mut seen[instance as usize];
            *seen = Seen { first: seen.first.min(window), is_baseline: seen.is_baseline || side != Part::Canary };
            let (row, rows) = (Row { window, side, instance, requests, errors, timed, place }, &mut rows[operation]);
            // Whole numbers that are small enough for sums to be exact in any order.
            served.add(row.spot(), requests);
            is_sorted &= rows.last().is_none_or(|last| last.order() <= row.order());
            rows.push(row);
        }
        if !is_sorted {
            // As evidence comes; so that sums are the same in whatever order it came.
            rows.iter_mut().for_each(|rows| rows.sort_by_key(Row::order));
        }
        let (halves, born) = (halves(&seen), born(&seen));
        Self {
            operations: operations.sorted,
            instances: instances.sorted,
            rows,
            served: served.finish(),
            mix,
            scales,
            cells,
            broken,
            halves,
            born,
            pairing: evidence.pairing,
            clock,
        }
    }

    /// Whether parts of a judgement are worth a core each.
    pub(super) fn is_large(&self) -> bool {
        self.cells.len() >= CELLS_MANY
    }

    /// Whether the row's instance began less than this long before it.
    pub(super) fn is_young(&self, row: &Row, age: Duration) -> bool {
        self.born[row.instance as usize].is_some_and(|born| row.window.saturating_sub(born) < self.clock.windows(age))
    }

    /// The number of an instance that serves requests.
    pub(super) fn instance(&self, name: &str) -> Option<u32> {
        self.instances.binary_search_by(|known| (**known).cmp(name)).ok().and_then(|number| u32::try_from(number).ok())
    }

    /// All rows.
    pub(super) fn all(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flatten()
    }

    /// How long a row's requests took.
    pub(super) fn durations(&self, row: &Row) -> Buckets<'a> {
        self.cells.durations(row.place)
    }

    /// What else is known of a row.
    pub(super) fn cell(&self, row: &Row) -> CellRef<'a> {
        self.cells.at(row.place)
    }

    /// The operation's name.
    pub(super) fn operation(&self, index: usize) -> &Arc<str> {
        &self.operations[index]
    }
}

/// The baseline's instances, alternately first and second half in the order of their names.
fn halves(instances: &[Seen]) -> Vec<u8> {
    let mut next = 0;
    let half = |seen: &Seen| {
        next ^= u8::from(seen.is_baseline);
        next
    };
    instances.iter().map(half).collect()
}

/// The first window of each instance that was not there from the beginning.
fn born(instances: &[Seen]) -> Vec<Option<i64>> {
    let beginning = instances.iter().map(|seen| seen.first).min().unwrap_or(i64::MAX);
    instances.iter().map(|seen| (seen.first > beginning).then_some(seen.first)).collect()
}

/// No instance serves so many in a window. What claims to is damaged.
const REQUESTS_MAX: u64 = u32::MAX as u64;

/// The names that cells have, sorted, and which of them a name's number stands for.
struct Ranks {
    sorted: Vec<Arc<str>>,
    by_number: Vec<u32>,
}

impl Ranks {
    /// Names of which there is no cell are left out: a judgement must not depend on them.
    fn of(names: &[Arc<str>], cells_of: &[usize]) -> Self {
        let mut numbers: Vec<usize> = (0..names.len()).filter(|number| cells_of[*number] > 0).collect();
        numbers.sort_by_key(|number| &names[*number]);
        let mut by_number = vec![u32::MAX; names.len()];
        for (rank, number) in (0..).zip(&numbers) {
            by_number[*number] = rank;
        }
        Self { sorted: numbers.into_iter().map(|number| names[number].clone()).collect(), by_number }
    }
}

/// How many cells have each name.
fn count_by(names: &[Arc<str>], numbers: impl Iterator<Item = u32>) -> Vec<usize> {
    let mut counts = vec![0; names.len()];
    numbers.for_each(|number| counts[number as usize] += 1);
    counts
}
