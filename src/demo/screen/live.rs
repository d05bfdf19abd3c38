//! Lines for a terminal: what goes in, and for each check how its evidence grows towards a decision.

use std::collections::BTreeMap;

use haldane_analyzer::verdict::{CheckVerdict, Verdict};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Phase;
use super::report::{comparison, number, outcome_word, short_name};
use crate::demo::expectation::word;
use crate::demo::shop::{Counted, Tally};

/// Steps of a bar.
const LENGTH: u64 = 1_000;

/// The lines of the scenario that is on.
#[derive(Debug)]
pub(crate) struct Live {
    all: MultiProgress,
    traffic: ProgressBar,
    verdict: ProgressBar,
    checks: BTreeMap<String, ProgressBar>,
}

impl Default for Live {
    fn default() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self { all, traffic: ProgressBar::hidden(), verdict: ProgressBar::hidden(), checks: BTreeMap::new() }
    }
}

impl Live {
    pub(super) fn scenario(&mut self) {
        self.clear();
        self.traffic = self.all.add(ProgressBar::new(LENGTH).with_style(style("  {prefix:15} [{bar:24}] {wide_msg}", "=> ")));
        self.verdict = self.all.add(ProgressBar::new(LENGTH).with_style(style("  {prefix:15} {wide_msg}", "   ")).with_prefix("verdict"));
        self.verdict.set_message("waiting for the new version");
    }

    pub(super) fn traffic(&mut self, phase: Phase, tally: &Tally) {
        let (prefix, passed, of) = match phase {
            Phase::History { passed, of } => ("1.4.0 alone", passed, of),
            Phase::Rollout { passed, of } => ("rollout", passed, of),
        };
        self.traffic.set_prefix(prefix);
        self.traffic.set_position(LENGTH * passed.as_secs() / of.as_secs().max(1));
        self.traffic.set_message(format!(
            "minute {:>2}: {} requests, {} spans, {} logs, {} points",
            passed.as_secs() / 60,
            tally.get(Counted::Request),
            tally.get(Counted::SpanAcknowledged),
            tally.get(Counted::LogAcknowledged),
            tally.get(Counted::PointAcknowledged)
        ));
    }

    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        for check in &verdict.checks {
            let all = &self.all;
            let bar = self.checks.entry(check.name.clone()).or_insert_with(|| {
                let template = "  {prefix:15} [{bar:24}] {wide_msg}";
                all.add(ProgressBar::new(LENGTH).with_style(style(template, "#> ")).with_prefix(short_name(&check.name)))
            });
            let (needed_risk, needed_promotion) = (1.0 / verdict.risk.alpha.max(1e-9), 1.0 / verdict.promotion.beta.max(1e-9));
            let risk = share_of_the_way(check.e_value, needed_risk);
            let promotion = share_of_the_way(check.promote_e_value, needed_promotion);
            bar.set_position(steps(risk.max(promotion)));
            bar.set_message(format!("{:9} {}", outcome_word(check.outcome), evidence(check, risk, promotion)));
        }
        let reason = if verdict.reason.is_empty() { &verdict.progress } else { &verdict.reason };
        self.verdict.set_message(format!("{}: {reason}", word(verdict.decision)));
    }

    pub(super) fn clear(&mut self) {
        self.traffic.finish_and_clear();
        self.verdict.finish_and_clear();
        std::mem::take(&mut self.checks).into_values().for_each(|bar| bar.finish_and_clear());
        // Nothing is drawn any more; a terminal that went away is no reason to stop.
        let _ = self.all.clear();
    }
}

fn evidence(check: &CheckVerdict, risk: f64, promotion: f64) -> String {
    let (what, e_value) = if risk >= promotion { ("worse", check.e_value) } else { ("not worse", check.promote_e_value) };
    format!("e {} for {what}, {}", number(e_value), comparison(check))
}

#[expect(clippy::cast_possible_truncation, reason = "a share is at most 1, so this is at most LENGTH")]
fn steps(share: f64) -> u64 {
    (share * LENGTH as f64).round() as u64
}

/// How far an e-value is on a logarithmic scale from 1 to what decides.
fn share_of_the_way(e_value: f64, needed: f64) -> f64 {
    if e_value > 1.0 { (e_value.ln() / needed.max(2.0).ln()).clamp(0.0, 1.0) } else { 0.0 }
}

fn style(template: &str, progress: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_shown_on_a_logarithmic_scale() {
        assert_eq!(share_of_the_way(0.2, 100.0), 0.0);
        assert!((share_of_the_way(10.0, 100.0) - 0.5).abs() < 1e-12);
        assert_eq!(share_of_the_way(1e9, 100.0), 1.0);
        assert_eq!(share_of_the_way(f64::NAN, 100.0), 0.0);
    }
}
