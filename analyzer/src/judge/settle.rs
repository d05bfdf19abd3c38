//! From evidence to a finding, and to what the traffic could show.

use std::time::Duration;

use crate::policy::{CheckKind, Policy};

use super::judgement::{Detectable, Finding};
use super::rates::RateAnswer;
use super::table::Table;

/// What came of a comparison of rates.
pub(super) struct Settled {
    pub(super) finding: Finding,
    pub(super) detectable: Option<Detectable>,
}

/// Settles a comparison that has the given part of its check's weight.
pub(super) fn settle(policy: &Policy, kind: CheckKind, part: f64, table: &Table<'_>, answer: &RateAnswer) -> Settled {
    if answer.compared.canary_requests <= 0.0 || answer.compared.baseline_requests <= 0.0 {
        return Settled { finding: Finding::NoData, detectable: None };
    }
    let weight = policy.weight(kind) * part;
    let finding = finding(policy, answer.ln_e + weight.ln(), answer.ln_promote);
    let detectable = (weight > 0.0).then(|| {
        let needed = -(policy.alpha() * weight).ln();
        let elapsed = table.clock.duration(table.clock.end.saturating_sub(table.clock.start));
        Detectable { ratio: answer.traffic.detectable_ratio(needed), eta: eta(policy, answer, needed, elapsed) }
    });
    Settled { finding, detectable }
}

/// A comparison has regressed when its part of the budget alone is enough for a rollback.
pub(super) fn finding(policy: &Policy, ln_weighted: f64, ln_promote: f64) -> Finding {
    if ln_weighted >= -policy.alpha().ln() {
        Finding::Regressed
    } else if ln_promote >= -policy.beta().ln() {
        Finding::NotWorse
    } else {
        Finding::Undecided
    }
}

/// When a rollback is expected, if the canary looks worse than the margin; otherwise when a promotion is.
fn eta(policy: &Policy, answer: &RateAnswer, needed: f64, elapsed: Duration) -> Option<Duration> {
    let ratio = answer.ratio?;
    let looks_worse = ratio.estimate.ln() > answer.traffic.null;
    let growth = if looks_worse {
        answer.traffic.growth_needed(ratio.estimate.ln().min(answer.traffic.null + 4.0), needed)?
    } else {
        // Evidence for a promotion grows in proportion to the traffic, after what the mixture costs.
        let needed = -policy.beta().ln();
        if answer.ln_promote >= needed { 1.0 } else { (needed + 2.0) / (answer.ln_promote + 2.0).max(0.05) }
    };
    let left = elapsed.as_secs_f64() * (growth - 1.0).max(0.0);
    (left.is_finite() && left < 86_400.0).then(|| Duration::from_secs_f64(left))
}
