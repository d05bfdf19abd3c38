//! From evidence to a judgement. Pure: no clock, no chance but the seed in the evidence, no input or output.
//!
//! Each check turns the evidence into a comparison with two numbers: the evidence that the canary is worse than the rollback
//! margin, and the evidence that it is not worse than the promotion margin. Both may be looked at as often as one likes. The weighted
//! mean of the first over all checks decides on a rollback, so that all checks together keep to one false-alarm budget; a promotion needs
//! the second from every required check, and that nothing else stands in the way.
//!
//! Always holds: the same evidence and policy give the same judgement; without requests from both cohorts nothing is promoted; a
//! change of the mix of operations alone is no difference, for operations are compared with themselves.

mod buckets;
mod calibration;
mod cells;
mod evidence;
mod judgement;
mod minutes;
mod trace_id;

mod cores;
mod counts;
mod durations;
mod served;
mod table;

mod lone;
mod noise;
mod rates;
mod settle;
mod storms;

mod tally;

mod calls;
mod error_rate;
mod gates;
mod groups;
mod kayenta;
mod latency;
mod log_errors;
mod metric;
mod new_errors;
mod sample_ratio;
mod throughput;

mod culprits;
mod decide;
mod wording;

pub use buckets::Buckets;
pub use calibration::{Calibration, ComparisonCalibration};
pub use cells::{CellRef, Cells};
pub(crate) use evidence::Names;
pub use evidence::{CallCount, Cell, ErrorCount, Evidence, Pairing, Role, Sample};
pub(crate) use groups::between;
pub use judgement::{
    Affected, Change, ChangeKind, CohortTotals, Comparison, Culprit, CulpritKind, Decision, Detectable, Doubt, Effect, EffectMeasure,
    Finding, GroupScore, Judgement, MeasuredNoise, NamedError, NoiseSource, NonEmpty, Proof, Regression, Side,
};
pub(crate) use metric::MINUTE;
pub use minutes::{MinuteSamples, Minutes};
pub use trace_id::TraceId;

use crate::policy::{CheckKind, JudgeRule, Policy};

use cores::at_once;
use table::Table;
use tally::Exposure;

/// Judges. Costs a few passes over the cells.
pub fn judge(policy: &Policy, evidence: &Evidence) -> Judgement {
    let table = Table::new(evidence);
    match policy.judge {
        JudgeRule::Default => by_evidence(policy, evidence, &table),
        JudgeRule::Kayenta(rule) => kayenta::judge(policy, rule, evidence, &table),
    }
}

fn by_evidence(policy: &Policy, evidence: &Evidence, table: &Table<'_>) -> Judgement {
    // The distinct errors are read in any case: they explain a rate of errors too.
    let (new_errors, distinct) = new_errors::compare_new_errors(table, policy, evidence);
    let (latency, errors) = at_once(
        table.is_large(),
        || policy.check(CheckKind::Latency).map(|_| latency::compare_latency(table, policy)),
        || policy.check(CheckKind::ErrorRate).map(|_| error_rate::compare_errors(table, policy)),
    );
    let exposure = Exposure::new(table);
    let log_errors = policy.check(CheckKind::LogErrors).map(|_| log_errors::compare_log_errors(table, &exposure, policy, evidence));
    let calls = policy.check(CheckKind::Calls).map(|_| calls::compare_calls(table, &exposure, policy, evidence));
    let mut comparisons = Vec::new();
    for check in policy.checks() {
        match check.kind {
            CheckKind::ErrorRate => comparisons.extend(errors.iter().map(|(comparison, _)| comparison.clone())),
            CheckKind::Latency => {
                comparisons.extend(latency.iter().flat_map(|(_, quantiles)| quantiles).map(|quantile| quantile.comparison.clone()));
            }
            CheckKind::Throughput => comparisons.push(throughput::compare_throughput(table, policy)),
            CheckKind::NewErrors => comparisons.push(new_errors.clone()),
            CheckKind::LogErrors => comparisons.extend(log_errors.iter().map(|known| known.comparison.clone())),
            // Listed by themselves.
            CheckKind::Metric | CheckKind::Slo | CheckKind::Resource | CheckKind::Probe | CheckKind::MinTraffic => {}
            CheckKind::SampleRatio => comparisons.extend(sample_ratio::compare_share(table, policy)),
            CheckKind::Calls => comparisons.extend(calls.iter().map(|(comparison, _)| comparison.clone())),
        }
    }
    comparisons.extend(policy.metrics().iter().map(|check| metric::compare_metric(policy, check, evidence)));
    let gates: Vec<_> = policy.gates().iter().map(|gate| gates::compare_gate(gate, policy, evidence, table, &comparisons)).collect();
    comparisons.extend(gates);
    if let Some(calibration) = &evidence.calibration {
        calibration::apply(calibration, policy, &mut comparisons);
    }
    let culprits = || {
        let mut culprits = Vec::new();
        if let Some((comparison, answer)) = &errors {
            culprits.extend(culprits::of_errors(table, policy, answer, &distinct, comparison));
        }
        if let Some((durations, quantiles)) = &latency {
            culprits.extend(quantiles.iter().flat_map(|quantile| culprits::of_latency(table, policy, quantile, durations)));
        }
        culprits.extend(new_errors::culprits(&distinct, policy.alpha(), &new_errors));
        if let Some(known) = &log_errors {
            culprits.extend(culprits::of_log_errors(policy, known, &distinct));
        }
        culprits
    };
    let judgement = decide::decide(policy, evidence, table, comparisons, culprits);
    let changes = calls.as_ref().map(|(_, changes)| changes.clone()).unwrap_or_default();
    Judgement { changes, ..judgement }
}

#[cfg(test)]
pub(crate) mod tests;
