//! The evidence as the checks read it: rows by operation, with names as numbers and time as window numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use haldane_store::UnixNanos;

use super::durations::total_up_to;
use super::evidence::{Cell, Evidence, Pairing, Role};

/// All rows that a judgement may use.
pub(super) struct Table<'a> {
    /// Sorted; a row's operation is an index.
    pub(super) operations: Vec<Arc<str>>,
    /// Sorted; a row's instance is an index.
    pub(super) instances: Vec<Arc<str>>,
    /// Rows by operation, each sorted by window.
    pub(super) rows: Vec<Vec<Row<'a>>>,
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
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) window: i64,
    pub(super) side: Part,
    pub(super) instance: u32,
    pub(super) requests: f64,
    pub(super) errors: f64,
    /// Requests whose duration is known.
    pub(super) timed: f64,
    pub(super) cell: &'a Cell,
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
        let operations = Names::of(evidence.cells.iter().map(|cell| &cell.operation));
        let instances = Names::of(evidence.cells.iter().map(|cell| &cell.instance));
        let mut rows: Vec<Vec<Row<'a>>> = operations.counts().into_iter().map(Vec::with_capacity).collect();
        let mut broken = 0;
        for ((cell, operation), instance) in evidence.cells.iter().zip(&operations.numbers).zip(&instances.numbers) {
            let window = clock.number(cell.at);
            let Some(side) = clock.part(window, cell.cohort, evidence.pairing) else { continue };
            let timed = total_up_to(&cell.durations, REQUESTS_MAX);
            let Some(timed) = timed.filter(|_| cell.errors <= cell.requests && cell.requests <= REQUESTS_MAX) else {
                broken += 1;
                continue;
            };
            let (requests, errors) = (cell.requests as f64, cell.errors as f64);
            rows[*operation as usize].push(Row { window, side, instance: *instance, requests, errors, timed, cell });
        }
        for rows in &mut rows {
            // As evidence comes; so that sums are the same in whatever order it came.
            let place = |row: &Row<'_>| (row.window, row.side == Part::Canary, row.instance);
            if !rows.is_sorted_by_key(place) {
                rows.sort_by_key(place);
            }
        }
        let halves = halves(&rows, instances.sorted.len());
        let born = born(&rows, instances.sorted.len());
        Self { operations: operations.sorted, instances: instances.sorted, rows, broken, halves, born, pairing: evidence.pairing, clock }
    }

    /// Whether the row's instance began less than this long before it.
    pub(super) fn is_young(&self, row: &Row<'_>, age: Duration) -> bool {
        self.born[row.instance as usize].is_some_and(|born| row.window - born < self.clock.windows(age))
    }

    /// The number of an instance that serves requests.
    pub(super) fn instance(&self, name: &str) -> Option<u32> {
        self.instances.binary_search_by(|known| (**known).cmp(name)).ok().and_then(|number| u32::try_from(number).ok())
    }

    /// All rows.
    pub(super) fn all(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().flatten()
    }

    /// The operation's name.
    pub(super) fn operation(&self, index: usize) -> &Arc<str> {
        &self.operations[index]
    }
}

/// The baseline's instances, alternately first and second half in the order of their names.
fn halves(rows: &[Vec<Row<'_>>], instances: usize) -> Vec<u8> {
    let mut known = vec![false; instances];
    for row in rows.iter().flatten().filter(|row| row.side != Part::Canary) {
        known[row.instance as usize] = true;
    }
    let mut next = 0;
    known
        .into_iter()
        .map(|is_baseline| {
            next ^= u8::from(is_baseline);
            next
        })
        .collect()
}

/// The first window of each instance that was not there from the beginning.
fn born(rows: &[Vec<Row<'_>>], instances: usize) -> Vec<Option<i64>> {
    let mut first = vec![i64::MAX; instances];
    for row in rows.iter().flatten() {
        let first = &mut first[row.instance as usize];
        *first = row.window.min(*first);
    }
    let beginning = first.iter().copied().min().unwrap_or(i64::MAX);
    first.into_iter().map(|window| (window > beginning).then_some(window)).collect()
}

/// No instance serves more in a window. What claims to is damaged.
const REQUESTS_MAX: u64 = 1 << 40;

/// Names as numbers.
struct Names {
    sorted: Vec<Arc<str>>,
    /// Of each that was given: its place among the sorted ones.
    numbers: Vec<u32>,
}

impl Names {
    fn of<'a>(all: impl Iterator<Item = &'a Arc<str>>) -> Self {
        let mut known: HashMap<&'a str, u32, BuildHasherDefault<NameHasher>> = HashMap::default();
        let mut names: Vec<&Arc<str>> = Vec::new();
        let mut numbers = Vec::with_capacity(all.size_hint().0);
        for name in all {
            let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
            let number = *known.entry(name).or_insert(next);
            if number == next {
                names.push(name);
            }
            numbers.push(number);
        }
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|number| names[*number]);
        let mut places = vec![0; names.len()];
        for (place, number) in (0..).zip(&order) {
            places[*number] = place;
        }
        numbers.iter_mut().for_each(|number| *number = places[*number as usize]);
        Self { sorted: order.into_iter().map(|number| names[number].clone()).collect(), numbers }
    }

    /// How often each was given.
    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.sorted.len()];
        self.numbers.iter().for_each(|number| counts[*number as usize] += 1);
        counts
    }
}

/// FNV-1a over eight bytes at a time: names are short, and there are two in every cell.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        }
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
