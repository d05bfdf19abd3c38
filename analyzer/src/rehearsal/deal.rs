//! Two cohorts out of one: instances are dealt out, requests thinned to the share wanted, and a fault is put into the canary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haldane_store::ExponentialHistogram;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Binomial, Distribution as _};

use super::past::Past;
use crate::judge::{Cell, Cells, ErrorCount, Evidence, Role};

/// What is put into the canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Injected {
    Nothing,
    /// So many times the rate of errors, where a rate below [`RATE_MIN`] counts as that.
    Errors(f64),
    /// All requests take so many times as long.
    Latency(f64),
}

/// Of a rate of zero there is no multiple.
pub(super) const RATE_MIN: f64 = 0.001;

/// How the cohorts are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Deal {
    /// The canary's share of the traffic; as the instances fall, if none.
    pub(super) share: Option<f64>,
    pub(super) injected: Injected,
    pub(super) seed: u64,
}

/// The canary's instances are taken out of the baseline and out of its past, for those of a new version have none. Calls and plain numbers are left out:
/// the default policy does not decide by them.
pub(super) fn deal(past: &Past, deal: Deal) -> Evidence {
    let mut dice = StdRng::seed_from_u64(deal.seed);
    let whole = &past.evidence;
    let chosen = choose(whole, deal.share.unwrap_or(0.5), &mut dice);
    let keep = deal.share.map_or([1.0; 2], |share| kept(whole, &chosen, share));
    let rates = rates(whole);
    let mut cells = Cells::default();
    for known in whole.cells.iter() {
        let is_canary = chosen.contains(known.instance);
        if known.at < whole.started_at {
            if !is_canary || chosen.is_all {
                cells.push_ref(known);
            }
            continue;
        }
        let cell = known.to_cell();
        if chosen.is_all {
            let share = deal.share.unwrap_or(0.5);
            let canary = thinned(&cell, share, &mut dice);
            cells.push(&without(&cell, &canary));
            cells.push(&spoilt(canary, deal.injected, &rates, &mut dice));
        } else if is_canary {
            cells.push(&spoilt(thinned(&cell, keep[1], &mut dice), deal.injected, &rates, &mut dice));
        } else {
            cells.push(&thinned(&cell, keep[0], &mut dice));
        }
    }
    let errors = whole.errors.iter().filter_map(|error| {
        let (is_canary, is_past) = (chosen.contains(&error.instance), error.at < whole.started_at);
        match (is_past, chosen.is_all, is_canary) {
            (true, true, _) | (true, false, false) => Some(error.clone()),
            // What the version is known to fail by is known, whichever instance told it; but it is no log of those that are left.
            (true, false, true) => Some(ErrorCount { source: "status".into(), ..error.clone() }),
            (false, true, _) => {
                let cohort = if dice.random_bool(deal.share.unwrap_or(0.5)) { Role::Canary } else { Role::Baseline };
                Some(ErrorCount { cohort, ..error.clone() })
            }
            (false, false, is_canary) => {
                let cohort = if is_canary { Role::Canary } else { Role::Baseline };
                let count = binomial(error.count, keep[usize::from(is_canary)], &mut dice);
                (count > 0).then(|| ErrorCount { cohort, count, ..error.clone() })
            }
        }
    });
    let errors = errors.collect();
    Evidence { cells, errors, ..Evidence::new(deal.seed, whole.pairing, whole.window, whole.started_at, whole.until) }
}

/// The canary's instances. Of a single instance both cohorts are made by request.
struct Chosen {
    names: BTreeSet<Arc<str>>,
    is_all: bool,
}

impl Chosen {
    fn contains(&self, instance: &Arc<str>) -> bool {
        self.names.contains(instance)
    }
}

fn choose(whole: &Evidence, share: f64, dice: &mut StdRng) -> Chosen {
    let serving = whole.cells.iter().filter(|cell| cell.at >= whole.started_at).map(|cell| cell.instance.clone());
    let mut names: Vec<Arc<str>> = serving.collect::<BTreeSet<_>>().into_iter().collect();
    if names.len() < 2 {
        return Chosen { names: names.into_iter().collect(), is_all: true };
    }
    names.shuffle(dice);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let wanted = (share * names.len() as f64).round() as usize;
    names.truncate(wanted.clamp(1, names.len() - 1));
    Chosen { names: names.into_iter().collect(), is_all: false }
}

/// The part of the requests of baseline and canary to keep, so that the canary has its share.
fn kept(whole: &Evidence, chosen: &Chosen, share: f64) -> [f64; 2] {
    let mut requests = [0.0_f64; 2];
    for cell in whole.cells.iter().filter(|cell| cell.at >= whole.started_at) {
        requests[usize::from(chosen.contains(cell.instance))] += cell.requests as f64;
    }
    let [baseline, canary] = requests;
    if baseline <= 0.0 || canary <= 0.0 {
        return [1.0; 2];
    }
    let too_many = canary * (1.0 - share) / (baseline * share);
    if too_many > 1.0 { [1.0, 1.0 / too_many] } else { [too_many, 1.0] }
}

/// By operation: its rate of errors in all of the past.
fn rates(whole: &Evidence) -> BTreeMap<Arc<str>, f64> {
    let mut counts: BTreeMap<Arc<str>, (f64, f64)> = BTreeMap::new();
    for cell in whole.cells.iter() {
        let (requests, errors) = counts.entry(cell.operation.clone()).or_default();
        (*requests, *errors) = (*requests + cell.requests as f64, *errors + cell.errors as f64);
    }
    counts.into_iter().map(|(operation, (requests, errors))| (operation, errors / requests.max(1.0))).collect()
}

fn thinned(cell: &Cell, keep: f64, dice: &mut StdRng) -> Cell {
    if keep >= 1.0 {
        return cell.clone();
    }
    let timed = cell.durations.count();
    let counts = cell.durations.counts().iter().map(|count| binomial(*count, keep, dice)).collect();
    let zeros = binomial(cell.durations.zero_count(), keep, dice);
    let durations = ExponentialHistogram::from_parts(cell.durations.scale(), zeros, cell.durations.offset(), counts);
    let requests = durations.count() + binomial(cell.requests.saturating_sub(timed), keep, dice);
    let errors = binomial(cell.errors, requests as f64 / cell.requests.max(1) as f64, dice).min(requests);
    Cell { requests, errors, durations, ..cell.clone() }
}

/// What is left of a cell.
fn without(cell: &Cell, canary: &Cell) -> Cell {
    let durations = cell.durations.since(&canary.durations).unwrap_or_else(|| ExponentialHistogram::new(cell.durations.scale()));
    let requests = cell.requests.saturating_sub(canary.requests);
    Cell { requests, errors: cell.errors.saturating_sub(canary.errors).min(requests), durations, ..cell.clone() }
}

/// The canary's cell, with the fault in it.
fn spoilt(cell: Cell, injected: Injected, rates: &BTreeMap<Arc<str>, f64>, dice: &mut StdRng) -> Cell {
    let cell = Cell { cohort: Role::Canary, ..cell };
    match injected {
        Injected::Nothing => cell,
        Injected::Errors(factor) => {
            let rate = rates.get(&cell.operation).copied().unwrap_or(0.0);
            let added = (rate.max(RATE_MIN) * factor - rate).max(0.0) / (1.0 - rate).max(1e-9);
            let errors = cell.errors + binomial(cell.requests.saturating_sub(cell.errors), added, dice);
            Cell { errors, ..cell }
        }
        Injected::Latency(factor) => {
            let durations = &cell.durations;
            #[expect(clippy::cast_possible_truncation, reason = "the factors are ours, and small")]
            let buckets = (factor.log2() * f64::from(durations.scale()).exp2()).round() as i32;
            let offset = durations.offset().saturating_add(buckets);
            let durations =
                ExponentialHistogram::from_parts(durations.scale(), durations.zero_count(), offset, durations.counts().to_vec());
            Cell { durations, ..cell }
        }
    }
}

fn binomial(n: u64, p: f64, dice: &mut StdRng) -> u64 {
    match p {
        p if p >= 1.0 => n,
        p if n == 0 || p.is_nan() || p <= 0.0 => 0,
        p => Binomial::new(n, p).map_or(0, |chance| chance.sample(dice)),
    }
}
