//! Events and requests of one comparison, by operation, window and instance.

use std::collections::BTreeMap;

use crate::stats::dispersion::{GroupCount, WindowCount};
use crate::stats::likelihood::PairCounts;

use super::evidence::Pairing;
use super::served::Spot;
use super::table::{Part, Table};

/// What rows add to a comparison.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowCounts {
    pub(super) requests: f64,
    /// Events against the rollback margin.
    pub(super) events: f64,
    /// Events against the promotion margin; differs for latency only.
    pub(super) promote_events: f64,
}

impl RowCounts {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.events += other.events;
        self.promote_events += other.promote_events;
    }
}

/// A comparison's counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) strata: Vec<Stratum>,
}

/// One operation's counts.
#[derive(Debug, Default)]
pub(super) struct Stratum {
    /// Index of the operation.
    pub(super) operation: usize,
    /// What is compared, against the rollback margin.
    pub(super) pairs: Vec<PairCounts>,
    /// What is compared, against the promotion margin.
    pub(super) promote_pairs: Vec<PairCounts>,
    /// Sum of `pairs`.
    pub(super) compared: PairCounts,
    /// All of the baseline, history included.
    pub(super) known: GroupCount,
    /// All of the canary, compared or not.
    pub(super) canary: GroupCount,
    canary_windows: Vec<WindowCount>,
    baseline_windows: Vec<WindowCount>,
    half_windows: [Vec<WindowCount>; 2],
    instances: Vec<InstanceCounts>,
}

/// One instance's counts for one operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct InstanceCounts {
    pub(super) instance: u32,
    pub(super) part: Part,
    pub(super) requests: f64,
    pub(super) events: f64,
}

/// Windows are joined until both cohorts served in them, up to this many.
const JOINED_MAX: i64 = 6;

/// Counts rows into strata, one after the other. The rows of one come sorted by window.
pub(super) struct StratumBuilder {
    stratum: Stratum,
    joiner: Joiner,
    pairing: Pairing,
    open: Option<Run>,
    /// By instance and part: where its counts are in the stratum.
    places: Vec<usize>,
}

/// Rows of the same window and part, one after the other.
#[derive(Clone, Copy)]
struct Run {
    window: i64,
    side: Part,
    /// By half of the baseline; all of the canary is in the first.
    halves: [RowCounts; 2],
}

impl StratumBuilder {
    pub(super) fn new(table: &Table<'_>) -> Self {
        let places = vec![usize::MAX; 3 * table.instances.len()];
        Self { stratum: Stratum::default(), joiner: Joiner::default(), pairing: table.pairing, open: None, places }
    }

    pub(super) fn add(&mut self, table: &Table<'_>, spot: Spot, counts: RowCounts) {
        if counts.requests <= 0.0 {
            return;
        }
        if self.open.is_none_or(|run| run.window != spot.window || run.side != spot.side) {
            self.close();
            self.open = Some(Run { window: spot.window, side: spot.side, halves: Default::default() });
        }
        if let Some(run) = &mut self.open {
            let half = if spot.side == Part::Canary { 0 } else { usize::from(table.halves[spot.instance as usize] & 1) };
            run.halves[half].add(counts);
        }
        let stratum = &mut self.stratum;
        let place = &mut self.places[place(spot.instance, spot.side)];
        if *place == usize::MAX {
            *place = stratum.instances.len();
            stratum.instances.push(InstanceCounts { instance: spot.instance, part: spot.side, requests: 0.0, events: 0.0 });
        }
        stratum.instances[*place].requests += counts.requests;
        stratum.instances[*place].events += counts.events;
    }

    /// Counts the rows of a window and part, when all of them are known.
    fn close(&mut self) {
        let Some(Run { window, side, halves }) = self.open.take() else { return };
        let stratum = &mut self.stratum;
        let (total, windows) = match side {
            Part::Canary => (&mut stratum.canary, &mut stratum.canary_windows),
            Part::Baseline | Part::Aside => (&mut stratum.known, &mut stratum.baseline_windows),
        };
        let [mut all, second] = halves;
        all.add(second);
        total.expected += all.requests;
        total.events += all.events;
        put(windows, window, all);
        if side != Part::Canary {
            let known = stratum.half_windows.iter_mut().zip(halves).filter(|(_, half)| half.requests > 0.0);
            known.for_each(|(windows, half)| put(windows, window, half));
        }
        if side != Part::Aside {
            self.joiner.add(window, side, all, self.pairing);
        }
    }

    /// What was added is the stratum of an operation; the next one begins.
    pub(super) fn finish(&mut self, operation: usize) -> Stratum {
        self.close();
        let stratum = std::mem::take(&mut self.stratum);
        for instance in &stratum.instances {
            // These only, not all: operations may be as many as instances.
            self.places[place(instance.instance, instance.part)] = usize::MAX;
        }
        let (pairs, promote_pairs) = std::mem::take(&mut self.joiner).finish(self.pairing);
        let compared = pairs.iter().fold(PairCounts::default(), |sum, pair| sum.plus(pair));
        Stratum { operation, pairs, promote_pairs, compared, ..stratum }
    }
}

fn place(instance: u32, part: Part) -> usize {
    3 * instance as usize + part as usize
}

impl Stratum {
    /// Counts by instance, in the order in which they were first seen.
    pub(super) fn instances(&self) -> &[InstanceCounts] {
        &self.instances
    }

    /// The cohort's own rate, kept away from zero so that every request is expected to bring something.
    fn rate(total: GroupCount) -> f64 {
        (total.events + 0.01) / total.expected.max(1.0)
    }

    /// Requests as expected events, at the cohort's own average rate for this operation.
    pub(super) fn expected(&self, part: Part, requests: f64) -> f64 {
        requests
            * Self::rate(match part {
                Part::Canary => self.canary,
                Part::Baseline | Part::Aside => self.known,
            })
    }
}

fn put(windows: &mut Vec<WindowCount>, window: i64, counts: RowCounts) {
    match windows.last_mut().filter(|last| last.window == window) {
        Some(last) => (last.expected, last.events) = (last.expected + counts.requests, last.events + counts.events),
        None => windows.push(WindowCount { window, expected: counts.requests, events: counts.events }),
    }
}

/// Makes pairs out of windows.
#[derive(Default)]
struct Joiner {
    first: i64,
    window: i64,
    open: PairCounts,
    open_promote: PairCounts,
    pairs: Vec<PairCounts>,
    promote_pairs: Vec<PairCounts>,
}

impl Joiner {
    fn add(&mut self, window: i64, part: Part, counts: RowCounts, pairing: Pairing) {
        if pairing == Pairing::Concurrent && window != self.window {
            self.close(window);
        }
        self.window = window;
        for (pair, events) in [(&mut self.open, counts.events), (&mut self.open_promote, counts.promote_events)] {
            let (requests, total) = match part {
                Part::Canary => (&mut pair.canary_requests, &mut pair.canary_events),
                Part::Baseline | Part::Aside => (&mut pair.baseline_requests, &mut pair.baseline_events),
            };
            *requests += counts.requests;
            *total += events;
        }
    }

    /// Ends the pair before window `next` if it is complete, or has waited long enough.
    fn close(&mut self, next: i64) {
        let complete = self.open.canary_requests > 0.0 && self.open.baseline_requests > 0.0;
        if complete {
            self.pairs.push(self.open);
            self.promote_pairs.push(self.open_promote);
        }
        let empty = self.open.canary_requests + self.open.baseline_requests <= 0.0;
        if complete || empty || next.saturating_sub(self.first) >= JOINED_MAX {
            self.open = PairCounts::default();
            self.open_promote = PairCounts::default();
            self.first = next;
        }
    }

    /// All of the past is one pair in `Preceding`: the baseline's rate then is a posterior with half an event more, and the
    /// pair's likelihood ratio is the Bayes factor of the canary's counts, which may be looked at as they come in.
    fn finish(mut self, pairing: Pairing) -> (Vec<PairCounts>, Vec<PairCounts>) {
        if pairing == Pairing::Preceding && self.open.baseline_requests > 0.0 {
            self.open.baseline_events += 0.5;
            self.open_promote.baseline_events += 0.5;
        }
        self.close(i64::MAX);
        (self.pairs, self.promote_pairs)
    }
}

impl Counts {
    /// The canary's events by window, over all operations.
    pub(super) fn canary_windows(&self) -> Vec<WindowCount> {
        self.windows(|stratum| (&stratum.canary_windows, Part::Canary))
    }

    /// The baseline's events by window, history included.
    pub(super) fn baseline_windows(&self) -> Vec<WindowCount> {
        self.windows(|stratum| (&stratum.baseline_windows, Part::Baseline))
    }

    /// The events by window of every other instance of the baseline, and of those in between.
    pub(super) fn half_windows(&self) -> [Vec<WindowCount>; 2] {
        [0, 1].map(|half| self.windows(|stratum| (&stratum.half_windows[half], Part::Baseline)))
    }

    fn windows<'a>(&'a self, pick: impl Fn(&'a Stratum) -> (&'a Vec<WindowCount>, Part)) -> Vec<WindowCount> {
        let weighted = self.strata.iter().flat_map(|stratum| {
            let (windows, part) = pick(stratum);
            windows.iter().map(move |count| WindowCount { expected: stratum.expected(part, count.expected), ..*count })
        });
        let mut all: Vec<WindowCount> = weighted.collect();
        all.sort_by_key(|count| count.window);
        all.into_iter().fold(Vec::new(), |mut merged: Vec<WindowCount>, count| {
            match merged.last_mut().filter(|last| last.window == count.window) {
                Some(last) => (last.expected, last.events) = (last.expected + count.expected, last.events + count.events),
                None => merged.push(count),
            }
            merged
        })
    }

    /// By instance of the canary: its events, and how many it would have at the baseline's rates.
    pub(super) fn canary_instances(&self) -> BTreeMap<u32, (f64, f64)> {
        let mut instances: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for stratum in &self.strata {
            for instance in stratum.instances().iter().filter(|instance| instance.part == Part::Canary) {
                let known = instances.entry(instance.instance).or_default();
                known.0 += instance.events;
                known.1 += stratum.expected(Part::Baseline, instance.requests);
            }
        }
        instances
    }

    /// Sums of what is compared, over all operations.
    pub(super) fn compared(&self) -> PairCounts {
        self.strata.iter().fold(PairCounts::default(), |sum, stratum| sum.plus(&stratum.compared))
    }
}
