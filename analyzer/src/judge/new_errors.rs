//! The check `new_errors`: are there distinct errors that the baseline does not have (F17)?

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::policy::{CheckKind, Policy};
use crate::stats::attribution::e_bh;
use crate::stats::eprocess::{Noise, Side as Alternative, ln_evidence};
use crate::stats::likelihood::{PairCounts, RatioLikelihood, ln_weighted_mean};

use super::evidence::{ErrorCount, Evidence, Pairing};
use super::judgement::{Comparison, Culprit, CulpritKind, Finding, NamedError, Side};
use super::served::Served;
use super::settle::finding;
use super::table::{Part, Table};
use super::wording;

/// An error that shows in more than this part of the baseline's windows is an old one: `error_rate` speaks of it.
const OLD_FROM: f64 = 0.1;

/// An error that neither cohort had before may have struck both at the moment of the rollout by chance. History may count for at
/// most this factor beyond what the concurrent baseline shows: right if that happens in fewer than one rollout in fifty.
const HISTORY_FACTOR: f64 = 50.0;

/// One distinct error.
pub(super) struct DistinctError<'a> {
    first: &'a ErrorCount,
    /// Windows of the canary in which it shows: so a burst in one window is one episode.
    pub(super) canary: f64,
    /// Windows of the baseline at the same time.
    during: f64,
    /// Windows of the baseline outside of the comparison.
    before: f64,
    /// How often the canary had it, burst or not.
    pub(super) canary_count: u64,
    /// How often the baseline had it.
    pub(super) baseline_count: u64,
    canary_operations: BTreeMap<&'a str, u64>,
    traces: Vec<Arc<str>>,
    /// `ln` of the evidence that the canary has it more often.
    pub(super) ln_e: f64,
}

impl DistinctError<'_> {
    pub(super) fn fingerprint(&self) -> &Arc<str> {
        &self.first.fingerprint
    }

    pub(super) fn named(&self) -> NamedError {
        NamedError { error_type: self.first.error_type.clone(), message: self.first.message.clone() }
    }

    /// How often the canary had it in this operation.
    pub(super) fn count_in(&self, operation: &str) -> u64 {
        self.canary_operations.get(operation).copied().unwrap_or(0)
    }

    /// Traces of the canary in which it shows.
    pub(super) fn traces(&self) -> &[Arc<str>] {
        &self.traces
    }
}

/// Requests and windows of the cohorts, which is how often an error could have shown.
#[derive(Debug, Default)]
struct Exposure {
    canary: f64,
    during: f64,
    before: f64,
    baseline_windows: f64,
}

/// At most this many example traces are kept.
const TRACES_MAX: usize = 5;

/// Compares all distinct errors. The second value is sorted by fingerprint.
pub(super) fn compare_new_errors<'a>(table: &Table<'_>, policy: &Policy, evidence: &'a Evidence) -> (Comparison, Vec<DistinctError<'a>>) {
    let exposure = exposure(table);
    let mut errors = distinct(table, evidence);
    for error in &mut errors {
        error.ln_e = ln_e_of(error, &exposure, table.pairing);
    }
    // The family is every distinct error that either cohort has: where errors are many, each needs more.
    let parts: Vec<(f64, f64)> = errors.iter().map(|error| (1.0, error.ln_e)).collect();
    let ln_e = ln_weighted_mean(&parts);
    let kind = CheckKind::NewErrors;
    let has_data = exposure.canary > 0.0 && exposure.during + exposure.before > 0.0;
    let settled = finding(policy, ln_e + policy.weight(kind).ln(), if ln_e < 1.0 { f64::INFINITY } else { 0.0 });
    let worst = errors.iter().filter(|error| error.ln_e > 0.0).max_by(|a, b| a.ln_e.total_cmp(&b.ln_e));
    let sum = |count: fn(&DistinctError<'_>) -> u64| {
        errors.iter().filter(|error| error.ln_e > 0.0).fold(0, |sum: u64, error| sum.saturating_add(count(error)))
    };
    let comparison = Comparison {
        finding: if has_data { settled } else { Finding::NoData },
        baseline: side(sum(|error| error.baseline_count), exposure.during + exposure.before),
        canary: side(sum(|error| error.canary_count), exposure.canary),
        relative: policy.error_rollback.relative,
        ln_e,
        ln_promote: if has_data && ln_e < 1.0 { -policy.beta().ln() } else { 0.0 },
        reason: wording::new_errors(worst, exposure.canary, exposure.during + exposure.before),
        ..Comparison::of_check(policy, kind)
    };
    (comparison, errors)
}

fn side(events: u64, requests: f64) -> Side {
    Side { value: (requests > 0.0).then(|| events as f64 / requests), events: events as f64, requests }
}

fn exposure(table: &Table<'_>) -> Exposure {
    let mut exposure = Exposure::default();
    let mut latest = None;
    for Served { spot, requests } in &table.served {
        match spot.side {
            Part::Canary => exposure.canary += requests,
            Part::Baseline => exposure.during += requests,
            // What still runs of the old version beside the new one is no past.
            Part::Aside if spot.window >= table.clock.start => continue,
            Part::Aside => exposure.before += requests,
        }
        if spot.side != Part::Canary && latest != Some(spot.window) {
            exposure.baseline_windows += 1.0;
            latest = Some(spot.window);
        }
    }
    exposure
}

fn distinct<'a>(table: &Table<'_>, evidence: &'a Evidence) -> Vec<DistinctError<'a>> {
    let mut errors: BTreeMap<&str, DistinctError<'a>> = BTreeMap::new();
    let mut seen: std::collections::BTreeSet<(&str, i64, bool)> = std::collections::BTreeSet::new();
    for count in evidence.errors.iter().filter(|count| count.count > 0) {
        let window = table.clock.number(count.at);
        let Some(part) = table.clock.part(window, count.cohort, table.pairing) else { continue };
        let error = errors.entry(&count.fingerprint).or_insert_with(|| DistinctError {
            first: count,
            canary: 0.0,
            during: 0.0,
            before: 0.0,
            canary_count: 0,
            baseline_count: 0,
            canary_operations: BTreeMap::new(),
            traces: Vec::new(),
            ln_e: 0.0,
        });
        let is_new = seen.insert((&count.fingerprint, window, part == Part::Canary));
        let episode = f64::from(u8::from(is_new));
        match part {
            Part::Canary => {
                error.canary += episode;
                error.canary_count = error.canary_count.saturating_add(count.count);
                let operation = error.canary_operations.entry(&count.operation).or_default();
                *operation = operation.saturating_add(count.count);
                let room = error.traces.len() < TRACES_MAX;
                error.traces.extend(count.trace.iter().filter(|trace| room && !error.traces.contains(trace)).cloned().collect::<Vec<_>>());
            }
            Part::Baseline => {
                error.during += episode;
                error.baseline_count = error.baseline_count.saturating_add(count.count);
            }
            Part::Aside if window >= table.clock.start => {}
            Part::Aside => {
                error.before += episode;
                error.baseline_count = error.baseline_count.saturating_add(count.count);
            }
        }
    }
    errors.into_values().collect()
}

/// F1 on episodes, with history as further exposure of the baseline, but no more than [`HISTORY_FACTOR`] beyond the test without it.
fn ln_e_of(error: &DistinctError<'_>, exposure: &Exposure, pairing: Pairing) -> f64 {
    let known = error.during + error.before;
    if known > OLD_FROM * exposure.baseline_windows.max(10.0) {
        return f64::NEG_INFINITY;
    }
    let test = |events: f64, requests: f64| {
        let pair = PairCounts {
            canary_requests: exposure.canary,
            canary_events: error.canary,
            baseline_requests: requests,
            baseline_events: events,
        };
        ln_evidence(&RatioLikelihood::new([&pair], 1.25_f64.ln()), Noise::NONE, Alternative::FarAbove)
    };
    let all = test(known, exposure.during + exposure.before);
    match pairing {
        Pairing::Preceding => all,
        Pairing::Concurrent if exposure.during <= 0.0 => 0.0,
        Pairing::Concurrent => all.min(test(error.during, exposure.during) + HISTORY_FACTOR.ln()),
    }
}

/// The errors to name.
pub(super) fn culprits(errors: &[DistinctError<'_>], alpha: f64, comparison: &Comparison) -> Vec<Culprit> {
    let ln_e: Vec<f64> = errors.iter().map(|error| error.ln_e).collect();
    let total: u64 = errors.iter().filter(|error| error.ln_e > 0.0).fold(0, |sum, error| sum.saturating_add(error.canary_count));
    e_bh(&ln_e, alpha)
        .into_iter()
        .map(|index| {
            let error = &errors[index];
            let expected = error.baseline_count as f64 * comparison.canary.requests / comparison.baseline.requests.max(1.0);
            Culprit {
                kind: CulpritKind::Error,
                name: error.fingerprint().clone(),
                comparison: comparison.name.clone(),
                ln_e: error.ln_e,
                excess: error.canary_count as f64 - expected,
                share: error.canary_count as f64 / total.max(1) as f64,
                error: Some(error.named()),
                traces: error.traces.clone(),
                reason: wording::new_errors(Some(error), comparison.canary.requests, comparison.baseline.requests),
            }
        })
        .collect()
}
