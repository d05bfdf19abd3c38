//! What the kept evidence says in more detail than the verdict: latency of both versions, operations and instances by what they contribute, new errors,
//! and which traces stand for the two versions.
//!
//! Pure. Left out on purpose: any part in a decision. Contributions are ranked for people; the judge has its own culprits.

mod examples;

use std::collections::HashMap;
use std::sync::Arc;

use haldane_analyzer::judge::{CellRef, Evidence, Pairing, Role};
use haldane_store::ExponentialHistogram;
use haldane_store::histogram::{DURATION_SCALE, bucket_index, bucket_upper};

pub(crate) use examples::{Examples, NewError, examples, seen_at};

/// Most operations and instances that are kept for a page.
const RANKED_MAX: usize = 500;
/// A request is slow that took longer than one of these quantiles of the baseline.
const SLOW: [f64; 2] = [0.95, 0.99];

/// What one cohort served, of an operation or altogether.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Served {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// In nanoseconds.
    pub(crate) durations: ExponentialHistogram,
}

/// An operation of both versions, or an instance of the canary beside what the baseline would have done with its requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ranked {
    pub(crate) name: Arc<str>,
    /// The baseline's share of failed requests; absent where it served none.
    pub(crate) baseline_failed: Option<f64>,
    /// The baseline; none for instances.
    pub(crate) baseline: Option<Served>,
    pub(crate) canary: Served,
    /// Requests that failed or were slow beyond what the baseline's rates and chance explain.
    pub(crate) harmed: f64,
}

/// Some of many, the worst first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ranking {
    pub(crate) rows: Vec<Ranked>,
    /// How many there are in all.
    pub(crate) of: usize,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exhibits {
    pub(crate) baseline: Served,
    pub(crate) canary: Served,
    pub(crate) operations: Ranking,
    pub(crate) instances: Ranking,
    /// Errors that only the canary has, or has far more often, and how many there are in all.
    pub(crate) new_errors: (Vec<NewError>, usize),
}

impl Default for Served {
    fn default() -> Self {
        Self { requests: 0, errors: 0, durations: ExponentialHistogram::new(DURATION_SCALE) }
    }
}

impl Served {
    fn add(&mut self, cell: &CellRef<'_>) {
        self.requests += cell.requests;
        self.errors += cell.errors;
        cell.durations.add_to(&mut self.durations);
    }

    /// The share that failed; absent without requests.
    pub(crate) fn failed(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }

    /// A quantile of the durations in seconds; absent without any.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        (self.durations.count() > 0).then(|| self.durations.quantile(q) / 1e9)
    }
}

/// What there is to expect of an operation.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    failed: f64,
    /// Of each of [`SLOW`]: its nanoseconds, and the share of the baseline's requests that took longer. Nothing where it served none.
    slow: [Option<(f64, f64)>; SLOW.len()],
}

/// Slow requests that were seen, and those that the baseline would have had, by each of [`SLOW`].
type Slow = [(f64, f64); SLOW.len()];

impl Exhibits {
    /// Reads evidence. Costs a few passes over its cells.
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let (mut baseline, mut canary) = (Served::default(), Served::default());
        let mut operations: HashMap<&Arc<str>, (Served, Served)> = HashMap::new();
        for cell in compared(evidence) {
            let both = operations.entry(cell.operation).or_default();
            match cell.cohort {
                Role::Baseline => both.0.add(&cell),
                Role::Canary => both.1.add(&cell),
            }
        }
        for (before, after) in operations.values() {
            join(&mut baseline, before);
            join(&mut canary, after);
        }
        let expected: HashMap<&Arc<str>, Expected> = operations.iter().map(|(name, (before, _))| (*name, Expected::of(before))).collect();
        let instances = instances(evidence, &expected);
        let operations = operations.into_iter().filter(|(_, (_, canary))| canary.requests > 0).map(|(name, (baseline, canary))| {
            let harmed = expected.get(name).copied().unwrap_or_default().harmed(&canary);
            Ranked { name: name.clone(), baseline_failed: baseline.failed(), baseline: Some(baseline), canary, harmed }
        });
        Self {
            baseline,
            canary,
            operations: ranking(operations.collect()),
            instances: ranking(instances),
            new_errors: examples::new_errors(evidence),
        }
    }
}

/// The cells of the time that is compared: of the canary since it began, of the baseline beside it or before it.
fn compared(evidence: &Evidence) -> impl DoubleEndedIterator<Item = CellRef<'_>> {
    evidence.cells.iter().filter(|cell| match (cell.cohort, evidence.pairing) {
        (Role::Canary, _) | (Role::Baseline, Pairing::Concurrent) => cell.at >= evidence.started_at,
        (Role::Baseline, Pairing::Preceding) => cell.at < evidence.started_at,
    })
}

fn instances(evidence: &Evidence, expected: &HashMap<&Arc<str>, Expected>) -> Vec<Ranked> {
    let mut found: HashMap<&Arc<str>, HashMap<&Arc<str>, Served>> = HashMap::new();
    for cell in compared(evidence).filter(|cell| cell.cohort == Role::Canary) {
        found.entry(cell.instance).or_default().entry(cell.operation).or_default().add(&cell);
    }
    let ranked = |(name, operations): (&Arc<str>, HashMap<&Arc<str>, Served>)| {
        let (mut canary, mut failed, mut slow) = (Served::default(), 0.0, Slow::default());
        for (operation, served) in operations {
            let of = expected.get(operation).copied().unwrap_or_default();
            failed += of.failed * served.requests as f64;
            for (all, one) in slow.iter_mut().zip(of.slow_of(&served)) {
                *all = (all.0 + one.0, all.1 + one.1);
            }
            join(&mut canary, &served);
        }
        let harmed = harmed((canary.errors as f64, failed), slow);
        let baseline_failed = (canary.requests > 0).then(|| failed / canary.requests as f64);
        Ranked { name: name.clone(), baseline_failed, baseline: None, canary, harmed }
    };
    found.into_iter().map(ranked).collect()
}

impl Expected {
    fn of(baseline: &Served) -> Self {
        let slow = SLOW.map(|q| {
            let index = baseline.durations.quantile_index(q)?;
            let (from, all) = (bucket_upper(index, baseline.durations.scale()), baseline.durations.count());
            Some((from, slower_than(from, baseline) as f64 / all as f64))
        });
        Self { failed: baseline.failed().unwrap_or(0.0), slow }
    }

    fn harmed(self, canary: &Served) -> f64 {
        harmed((canary.errors as f64, self.failed * canary.requests as f64), self.slow_of(canary))
    }

    fn slow_of(self, canary: &Served) -> Slow {
        let seen = |(from, share)| (slower_than(from, canary) as f64, share * canary.durations.count() as f64);
        self.slow.map(|one| one.map(seen).unwrap_or_default())
    }
}

/// The most that any way to look at it shows; a request that failed and was slow counts once.
fn harmed(failed: (f64, f64), slow: Slow) -> f64 {
    slow.into_iter().chain([failed]).map(|(seen, expected)| beyond(seen, expected)).fold(0.0, f64::max)
}

/// Requests in buckets above the one that holds this many nanoseconds.
fn slower_than(nanos: f64, served: &Served) -> u64 {
    served.durations.count_from(bucket_index(nanos, served.durations.scale()) + 1)
}

/// What was seen beyond what was expected; nothing where chance explains it (two standard deviations).
fn beyond(seen: f64, expected: f64) -> f64 {
    let more = seen - expected;
    if more > 2.0 * expected.max(1.0).sqrt() { more } else { 0.0 }
}

fn join(all: &mut Served, one: &Served) {
    all.requests += one.requests;
    all.errors += one.errors;
    all.durations.merge(&one.durations);
}

fn ranking(mut rows: Vec<Ranked>) -> Ranking {
    rows.sort_by(|a, b| b.harmed.total_cmp(&a.harmed).then(b.canary.requests.cmp(&a.canary.requests)).then(a.name.cmp(&b.name)));
    let of = rows.len();
    rows.truncate(RANKED_MAX);
    Ranking { rows, of }
}

#[cfg(test)]
mod tests;
