//! The check `calls`: does the canary call other things than the baseline, or as often?
//!
//! A fault may show in no rate and no duration: a function that returns early, a cache that is not asked, an answer that is asked for three times. It
//! shows in what is called. A version may well do so on purpose, so this decides nothing unless a policy gives it a weight.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::policy::{CheckKind, Policy};
use crate::stats::attribution::e_bh;
use crate::stats::eprocess::{Side as Alternative, ln_evidence};
use crate::stats::likelihood::{PairCounts, RatioLikelihood, ln_weighted_mean};

use super::counts::Counts;
use super::evidence::Evidence;
use super::judgement::{Change, ChangeKind, Comparison, Finding, Side};
use super::noise::NoiseMeasure;
use super::settle::finding;
use super::storms::LeftOut;
use super::table::Table;
use super::tally::{Exposure, Sighting, Stream, mix_factor};
use super::wording;

/// Instances differ by this much, on the log scale, where it cannot be measured.
const SIGMA_PRIOR: f64 = 0.1;
/// Calls for as many requests may be so many times as many, or as few, beyond what a changed mix of operations explains.
const FACTOR: f64 = 1.5;
/// … and fail so many times as often.
const FAILING_FACTOR: f64 = 2.0;
/// So many different calls are looked at, the most frequent ones.
const NAMES_MAX: usize = 200;

/// What is called: span kind and name.
type Called<'a> = (&'a Arc<str>, &'a Arc<str>);

#[derive(Default)]
struct Streams {
    calls: Stream,
    failed: Stream,
}

/// What one kind of call was tested for.
struct Tested<'a> {
    called: Called<'a>,
    kind: ChangeKind,
    compared: PairCounts,
    ln_e: f64,
}

/// Compares. The changes are those that may be named, the surest first.
pub(super) fn compare_calls(table: &Table<'_>, exposure: &Exposure, policy: &Policy, evidence: &Evidence) -> (Comparison, Vec<Change>) {
    // Which operation makes a call is not known.
    let mix = [false, true].map(|downwards| mix_factor(table, downwards));
    let tested: Vec<Tested<'_>> =
        streams(table, exposure, evidence).iter().flat_map(|(called, streams)| test(table, exposure, mix, *called, streams)).collect();
    let ln_each: Vec<f64> = tested.iter().map(|one| one.ln_e).collect();
    let changes: Vec<Change> = e_bh(&ln_each, policy.alpha()).into_iter().map(|index| change(&tested[index])).collect();
    let parts: Vec<(f64, f64)> = ln_each.iter().map(|ln_e| (1.0, *ln_e)).collect();
    let ln_e = if parts.is_empty() { 0.0 } else { ln_weighted_mean(&parts) };
    let kind = CheckKind::Calls;
    let settled = finding(policy, ln_e + policy.weight(kind).ln(), if changes.is_empty() { f64::INFINITY } else { 0.0 });
    let sums = totals(&tested);
    let side = |events: f64, requests: f64| Side { value: (requests > 0.0).then(|| events / requests), events, requests };
    let has_data = sums.canary_requests > 0.0 && sums.baseline_requests > 0.0;
    let comparison = Comparison {
        finding: if has_data { settled } else { Finding::NoData },
        baseline: side(sums.baseline_events, sums.baseline_requests),
        canary: side(sums.canary_events, sums.canary_requests),
        relative: FACTOR - 1.0,
        ln_e,
        ln_promote: if has_data && changes.is_empty() { -policy.beta().ln() } else { 0.0 },
        reason: wording::calls(&changes, has_data),
        ..Comparison::of_check(policy, kind)
    };
    (comparison, changes)
}

fn streams<'a>(table: &Table<'_>, exposure: &Exposure, evidence: &'a Evidence) -> Vec<(Called<'a>, Streams)> {
    let mut known: BTreeMap<Called<'a>, Streams> = BTreeMap::new();
    for call in &evidence.calls {
        let streams = known.entry((&call.kind, &call.name)).or_default();
        let sighting = |count| Sighting { at: call.at, cohort: call.cohort, instance: &call.instance, count };
        exposure.add(table, &mut streams.calls, &sighting(call.count));
        if call.errors > 0 {
            exposure.add(table, &mut streams.failed, &sighting(call.errors));
        }
    }
    let mut sorted: Vec<(Called<'a>, Streams)> = known.into_iter().filter(|(_, streams)| streams.calls.total() > 0.0).collect();
    sorted.sort_by(|a, b| b.1.calls.total().total_cmp(&a.1.calls.total()).then(a.0.cmp(&b.0)));
    sorted.truncate(NAMES_MAX);
    sorted
}

/// More of them, fewer of them, and more that fail.
fn test<'a>(table: &Table<'_>, exposure: &Exposure, mix: [f64; 2], called: Called<'a>, streams: &Streams) -> Vec<Tested<'a>> {
    let evidence = |stream: &Stream, null: f64, side: Alternative| {
        let counts = Counts { strata: vec![exposure.stratum(table, 0, stream, LeftOut::default())] };
        let noise = NoiseMeasure::new(table, &counts, SIGMA_PRIOR).overall(table, &counts).rollback;
        let [stratum] = &counts.strata[..] else { return (PairCounts::default(), false, 0.0) };
        let is_known = stratum.known.events > 0.0;
        (stratum.compared, is_known, ln_evidence(&RatioLikelihood::new(&stratum.pairs, null), noise, side))
    };
    let (compared, is_known, more) = evidence(&streams.calls, (FACTOR * mix[0]).ln(), Alternative::Above);
    let (_, _, fewer) = evidence(&streams.calls, -(FACTOR * mix[1]).ln(), Alternative::Below);
    let mut tested = vec![
        Tested { called, kind: if is_known { ChangeKind::MoreCalls } else { ChangeKind::NewCall }, compared, ln_e: more },
        Tested {
            called,
            kind: if compared.canary_events > 0.0 { ChangeKind::FewerCalls } else { ChangeKind::MissingCall },
            compared,
            ln_e: fewer,
        },
    ];
    if streams.failed.total() > 0.0 {
        let (compared, _, failing) = evidence(&streams.failed, (FAILING_FACTOR * mix[0]).ln(), Alternative::Above);
        tested.push(Tested { called, kind: ChangeKind::FailingCalls, compared, ln_e: failing });
    }
    tested
}

fn change(tested: &Tested<'_>) -> Change {
    let rate = |events: f64, requests: f64| events / requests.max(1.0);
    let pair = &tested.compared;
    let (span_kind, name) = tested.called;
    let (baseline, canary) = (rate(pair.baseline_events, pair.baseline_requests), rate(pair.canary_events, pair.canary_requests));
    Change {
        kind: tested.kind,
        name: name.clone(),
        span_kind: span_kind.clone(),
        baseline,
        canary,
        ln_e: tested.ln_e,
        reason: wording::change(tested.kind, (span_kind, name), (baseline, canary)),
    }
}

/// All calls; every kind of call has the same requests.
fn totals(tested: &[Tested<'_>]) -> PairCounts {
    let calls = tested.iter().filter(|one| matches!(one.kind, ChangeKind::MoreCalls | ChangeKind::NewCall));
    calls.fold(PairCounts::default(), |sum, one| PairCounts {
        canary_requests: sum.canary_requests.max(one.compared.canary_requests),
        baseline_requests: sum.baseline_requests.max(one.compared.baseline_requests),
        canary_events: sum.canary_events + one.compared.canary_events,
        baseline_events: sum.baseline_events + one.compared.baseline_events,
    })
}
