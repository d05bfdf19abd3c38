//! Lines for a pipe: one when the phase, a decision or an outcome changes, or evidence grew tenfold on its way to deciding. No
//! control codes.

use std::collections::BTreeMap;

use haldane_analyzer::verdict::Verdict;

use super::report::{check_line, outcome_word};
use super::{Phase, say};
use crate::demo::expectation::word;
use crate::demo::shop::{Counted, Tally};

/// What was said last.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    minutes: Option<(bool, u64)>,
    decision: Option<&'static str>,
    checks: BTreeMap<String, (&'static str, i64, i64)>,
}

/// A traffic line every so many minutes of the demo's clock.
const MINUTES: u64 = 5;

impl Plain {
    pub(super) fn scenario(&mut self) {
        *self = Self::default();
    }

    pub(super) fn traffic(&mut self, phase: Phase, tally: &Tally) {
        let (rollout, passed) = match phase {
            Phase::History { passed, .. } => (false, passed),
            Phase::Rollout { passed, .. } => (true, passed),
        };
        let now = (rollout, passed.as_secs() / 60 / MINUTES);
        if self.minutes.replace(now) == Some(now) {
            return;
        }
        let what = if rollout { "rollout" } else { "old version alone" };
        say(&format!(
            "  {:>3} min  {what}: {} requests to payment, {} spans, {} log records, {} metric points sent",
            passed.as_secs() / 60,
            tally.get(Counted::Request),
            tally.get(Counted::SpanAcknowledged),
            tally.get(Counted::LogAcknowledged),
            tally.get(Counted::PointAcknowledged)
        ));
    }

    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        for check in &verdict.checks {
            let decides = [1.0 / verdict.risk.alpha, 1.0 / verdict.promotion.beta].map(magnitude);
            let (worse, not_worse) = (magnitude(check.e_value).min(decides[0]), magnitude(check.promote_e_value).min(decides[1]));
            let state = (outcome_word(check.outcome), worse, not_worse);
            if self.checks.insert(check.name.clone(), state) != Some(state) {
                say(&format!("           {}", check_line(check, verdict)));
            }
        }
        let decision = word(verdict.decision);
        if self.decision.replace(decision) != Some(decision) {
            let reason = if verdict.reason.is_empty() { &verdict.progress } else { &verdict.reason };
            say(&format!("           verdict: {decision}: {reason}"));
        }
    }
}

/// The whole powers of ten in an e-value that speaks for something; 0 below ten.
fn magnitude(e_value: f64) -> i64 {
    let mut powers = 0;
    let mut left = e_value;
    while left >= 10.0 && powers < 12 {
        left /= 10.0;
        powers += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_said_again_when_it_grew_tenfold() {
        assert_eq!([0.0, 0.5, 9.9, 10.0, 99.0, 100.0, 1e12, f64::INFINITY, f64::NAN].map(magnitude), [0, 0, 0, 1, 1, 2, 12, 12, 0]);
    }
}
