//! From comparisons to a decision.

use std::time::Duration;

use crate::policy::{CheckKind, Policy};
use crate::stats::likelihood::ln_sum_exp;

use super::durations::whole;
use super::evidence::{Evidence, Pairing};
use super::groups;
use super::judgement::{
    CohortTotals, Comparison, Culprit, CulpritKind, Decision, Doubt, Finding, Judgement, NamedError, NonEmpty, Proof, Regression,
};
use super::table::{Part, Table};
use super::wording;

/// At most this many culprits are named.
const CULPRITS_MAX: usize = 10;

/// Decides. The culprits are looked for only when there is harm.
pub(super) fn decide(
    policy: &Policy,
    evidence: &Evidence,
    table: &Table<'_>,
    mut comparisons: Vec<Comparison>,
    culprits: impl FnOnce() -> Vec<Culprit>,
) -> Judgement {
    let parts: Vec<f64> = comparisons.iter().filter(|one| one.weight > 0.0).map(part).collect();
    let ln_risk = if parts.is_empty() { 0.0 } else { ln_sum_exp(&parts) };
    let required = || comparisons.iter().filter(|one| one.required);
    let ln_promotion = required().map(|one| one.ln_promote).fold(f64::INFINITY, f64::min);
    let ln_promotion = if ln_promotion.is_finite() { ln_promotion } else { 0.0 };
    let (baseline, canary) = cohorts(table);
    let elapsed = evidence.until.since(evidence.started_at);
    let bar = -policy.alpha().ln();
    let worst = strongest(&comparisons, |_| true).filter(|_| ln_risk >= bar && baseline.requests > 0 && canary.requests > 0);
    let worst = worst.or_else(|| comparisons.iter().position(|one| one.broken));
    let (decision, culprits) = match worst {
        // Neither harm nor its absence can be shown by a comparison that is not one.
        Some(index) if misrouted(&comparisons).is_some() => {
            let doubts = misrouted(&comparisons).into_iter().chain([suspicious(&comparisons[index])]);
            let because = NonEmpty::try_new(doubts.collect()).expect("there are two");
            (Decision::Inconclusive { because }, Vec::new())
        }
        Some(index) => {
            let index = strongest(&comparisons, felt_by_users).unwrap_or(index);
            comparisons[index].finding = Finding::Regressed;
            let culprits = guilty(culprits(), &comparisons, index);
            (rollback(&comparisons, index, &culprits), culprits)
        }
        None => {
            let doubts = doubts(policy, table, &comparisons, (baseline, canary), (elapsed, ln_risk));
            (undecided(policy, &comparisons, doubts, elapsed), Vec::new())
        }
    };
    let groups = groups::scores(policy, &comparisons);
    Judgement { decision, ln_risk, ln_promotion, score: None, comparisons, groups, culprits, changes: Vec::new(), baseline, canary }
}

/// `ln` of what a comparison adds to the evidence for a rollback.
fn part(comparison: &Comparison) -> f64 {
    comparison.weight.ln() + comparison.ln_e
}

/// The comparison that adds most, of those that are asked for and have a part at all.
fn strongest(comparisons: &[Comparison], asked: impl Fn(&Comparison) -> bool) -> Option<usize> {
    let indices = (0..comparisons.len()).filter(|index| comparisons[*index].weight > 0.0 && asked(&comparisons[*index]));
    indices.max_by(|a, b| part(&comparisons[*a]).total_cmp(&part(&comparisons[*b])).then(b.cmp(a)))
}

/// Where requests that fail or take longer are enough by themselves, they are what is said first: logs and the rest only explain them.
fn felt_by_users(one: &Comparison) -> bool {
    one.finding == Finding::Regressed && matches!(one.kind, CheckKind::ErrorRate | CheckKind::Latency)
}

fn rollback(comparisons: &[Comparison], worst: usize, culprits: &[Culprit]) -> Decision {
    let regression = |one: &Comparison| Regression { comparison: one.name.clone(), ln_e: one.ln_e, reason: reason(one, culprits) };
    let others = comparisons.iter().enumerate().filter(|(index, one)| *index != worst && one.finding == Finding::Regressed);
    Decision::Rollback { worst: regression(&comparisons[worst]), others: others.map(|(_, one)| regression(one)).collect() }
}

/// The sentence of the operation that has most of the excess says more than that of the service; then in how many instances, and by which error.
fn reason(comparison: &Comparison, culprits: &[Culprit]) -> String {
    let main = |culprit: &&Culprit| culprit.comparison == comparison.name && culprit.kind == CulpritKind::Operation && culprit.share >= 0.5;
    let main = culprits.iter().find(main);
    let what = main.map_or(&comparison.reason, |culprit| &culprit.reason);
    let error = main.and_then(|culprit| culprit.error.as_ref());
    format!("{what}{}{}", wording::affected(comparison.affected), wording::by(error))
}

/// The culprits of comparisons that regressed, those of the worst one first.
fn guilty(culprits: Vec<Culprit>, comparisons: &[Comparison], worst: usize) -> Vec<Culprit> {
    let regressed = |name: &str| comparisons.iter().any(|one| one.name == name && one.finding == Finding::Regressed);
    // An operation that fails by a guilty error is where the harm is, before its own rate has shown it.
    let blamed: Vec<NamedError> = culprits
        .iter()
        .filter(|culprit| culprit.kind == CulpritKind::Error && regressed(&culprit.comparison))
        .filter_map(|culprit| culprit.error.clone())
        .collect();
    let fails_by_one = |culprit: &Culprit| culprit.error.as_ref().is_some_and(|error| blamed.contains(error));
    let mut kept: Vec<Culprit> = Vec::new();
    let (first, others): (Vec<_>, Vec<_>) = culprits.into_iter().partition(|culprit| culprit.comparison == comparisons[worst].name);
    for culprit in first.into_iter().chain(others) {
        // An operation or instance that is slower shows at several quantiles: once is enough.
        let known = kept.iter().any(|one| one.kind == culprit.kind && one.name == culprit.name);
        if !known && (regressed(&culprit.comparison) || fails_by_one(&culprit)) && kept.len() < CULPRITS_MAX {
            kept.push(culprit);
        }
    }
    kept
}

fn undecided(policy: &Policy, comparisons: &[Comparison], doubts: Vec<Doubt>, elapsed: Duration) -> Decision {
    let required = || comparisons.iter().filter(|one| one.required);
    let over = elapsed >= policy.max_duration();
    match NonEmpty::try_new(doubts) {
        Some(because) if over => Decision::Inconclusive { because },
        Some(doubts) => Decision::Continue { eta: eta(policy, comparisons, elapsed), doubts },
        None => {
            let proofs = required().map(|one| Proof { comparison: one.name.clone(), ln_e: one.ln_promote, reason: one.reason.clone() });
            match NonEmpty::try_new(proofs.collect()) {
                Some(proofs) => Decision::Promote { proofs },
                // A policy requires a check; without one there is nothing that could be promoted.
                None => Decision::Continue { doubts: NonEmpty { first: Doubt::NoData { cohort: "canary" }, rest: Vec::new() }, eta: None },
            }
        }
    }
}

/// When the last required comparison is expected to be settled; not before the minimum time.
fn eta(policy: &Policy, comparisons: &[Comparison], elapsed: Duration) -> Option<Duration> {
    let open = comparisons.iter().filter(|one| one.required && one.finding != Finding::NotWorse);
    let etas: Option<Vec<Duration>> = open.map(|one| one.detectable.and_then(|detectable| detectable.eta)).collect();
    let left = policy.min_duration().saturating_sub(elapsed);
    etas.map(|etas| etas.into_iter().fold(left, Duration::max))
}

/// Everything that stands in the way of a promotion, the most basic first.
fn doubts(
    policy: &Policy,
    table: &Table<'_>,
    comparisons: &[Comparison],
    (baseline, canary): (CohortTotals, CohortTotals),
    (elapsed, ln_risk): (Duration, f64),
) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    for (cohort, totals) in [("baseline", baseline), ("canary", canary)] {
        let (requests, needed) = (totals.requests, policy.min_requests());
        if requests == 0 {
            doubts.push(Doubt::NoData { cohort });
        } else if requests < needed {
            doubts.push(Doubt::FewRequests { cohort, requests, needed });
        }
    }
    if table.broken > 0 {
        doubts.push(Doubt::BrokenData { cells: table.broken });
    }
    if !doubts.is_empty() {
        return doubts;
    }
    doubts.extend(misrouted(comparisons));
    doubts.extend(silence(table, elapsed));
    doubts.extend(uncovered(comparisons, canary));
    // Halfway to a rollback, taken together or in one comparison alone, is no time to promote.
    let halfway = -0.5 * policy.alpha().ln();
    if let Some(suspect) = strongest(comparisons, |_| true).map(|index| &comparisons[index])
        && ln_risk.max(suspect.ln_e) >= halfway
    {
        doubts.push(suspicious(suspect));
    }
    for one in comparisons {
        let bar = -policy.beta().ln();
        if one.kind == CheckKind::Throughput && one.finding == Finding::Undecided {
            doubts.push(Doubt::Throughput { reason: one.reason.clone() });
        } else if is_gate(one) && one.finding != Finding::NotWorse {
            doubts.push(Doubt::Gate { reason: one.reason.clone() });
        } else if one.required && one.kind != CheckKind::Throughput && (one.ln_promote.is_nan() || one.ln_promote < bar) {
            let reason = format!("{}{}", one.reason, wording::outlook(one.detectable));
            doubts.push(Doubt::Unproven { comparison: one.name.clone(), reason });
        }
    }
    doubts.extend(groups::doubts(policy, comparisons));
    if elapsed < policy.min_duration() {
        doubts.push(Doubt::TooEarly { left: policy.min_duration().saturating_sub(elapsed) });
    }
    doubts
}

/// A limit that holds whatever the baseline does.
fn is_gate(one: &Comparison) -> bool {
    matches!(one.kind, CheckKind::Slo | CheckKind::Resource | CheckKind::Probe | CheckKind::MinTraffic)
}

fn suspicious(comparison: &Comparison) -> Doubt {
    Doubt::Suspicious { comparison: comparison.name.clone(), reason: comparison.reason.clone() }
}

/// The canary's share of the traffic is surely not the configured one.
fn misrouted(comparisons: &[Comparison]) -> Option<Doubt> {
    let wrong = comparisons.iter().find(|one| one.kind == CheckKind::SampleRatio && one.finding == Finding::Undecided);
    wrong.map(|one| Doubt::Misrouted { reason: one.reason.clone() })
}

/// A cohort whose requests stopped is not promoted on what it did before.
fn silence(table: &Table<'_>, elapsed: Duration) -> Option<Doubt> {
    let parts: &[Part] = match table.pairing {
        Pairing::Concurrent => &[Part::Canary, Part::Baseline],
        Pairing::Preceding => &[Part::Canary],
    };
    let last = |part: Part| {
        table.served.iter().rev().find(|served| served.spot.side == part && served.requests > 0.0).map(|served| served.spot.window)
    };
    let latest = parts.iter().filter_map(|part| last(*part)).min()?;
    let since = table.clock.duration(table.clock.end.saturating_sub(latest).saturating_sub(1));
    (since > Duration::from_secs(120).max(elapsed / 2)).then_some(Doubt::Silent { since })
}

/// What is compared has to be most of what the canary serves.
fn uncovered(comparisons: &[Comparison], canary: CohortTotals) -> Option<Doubt> {
    let compared = comparisons.iter().filter(|one| one.required && matches!(one.kind, CheckKind::ErrorRate | CheckKind::Latency));
    let least = compared.map(|one| one.canary.requests).fold(f64::INFINITY, f64::min);
    let covered = least / canary.requests.max(1) as f64;
    (covered < 0.5).then_some(Doubt::Uncovered { covered })
}

/// What was seen of baseline and canary.
pub(super) fn cohorts(table: &Table<'_>) -> (CohortTotals, CohortTotals) {
    (totals(table, Part::Baseline), totals(table, Part::Canary))
}

/// The cohort that served nothing.
pub(super) fn missing((baseline, canary): &(CohortTotals, CohortTotals)) -> Option<Doubt> {
    let none = [("baseline", baseline), ("canary", canary)].into_iter().find(|(_, totals)| totals.requests == 0);
    none.map(|(cohort, _)| Doubt::NoData { cohort })
}

fn totals(table: &Table<'_>, part: Part) -> CohortTotals {
    let mut served = vec![false; table.instances.len()];
    let mut requests = 0.0;
    for one in table.served.iter().filter(|one| one.spot.side == part && one.requests > 0.0) {
        served[one.spot.instance as usize] = true;
        requests += one.requests;
    }
    CohortTotals { requests: whole(requests), instances: served.into_iter().filter(|served| *served).count() as u64 }
}
