//! Kayenta's judge over a rollout, for teams that compare with it or come from it: the standalone canary analysis of growing windows.
//!
//! Each minute of a cohort is a sample of the rate of errors and of three quantiles of latency. After every interval the metrics from the beginning on are
//! classified and scored as Kayenta does; a score at or below `marginal` ends the rollout, and at its end one of `pass` promotes it. It states no
//! error rates: there is no e-value. Where Kayenta would fail a canary for want of data, this stays undecided.

use std::time::Duration;

use crate::kayenta::{Direction, Judged, Label, MetricConfig, Score, ScoreConfig, classify, score};
use crate::policy::{CheckKind, KayentaRule, Policy};

use super::evidence::Evidence;
use super::judgement::{Comparison, Decision, Doubt, Finding, Judgement, NonEmpty, Proof, Regression, Side};
use super::minutes::{MinuteSamples, Minutes};
use super::wording;
use super::{Table, decide};

/// Judges by the scores after each whole interval.
pub(super) fn judge(policy: &Policy, rule: KayentaRule, evidence: &Evidence, table: &Table<'_>) -> Judgement {
    let lifetime = policy.max_duration();
    let elapsed = evidence.until.since(evidence.started_at).min(lifetime);
    // A rollout may begin in the middle of a window: its last whole one ends a little before its time is over.
    let is_over = elapsed + evidence.window > lifetime;
    let minutes = Minutes::new(evidence);
    let mut look: Option<Look> = None;
    let mut after = Duration::ZERO;
    while after < lifetime {
        after = (after + rule.interval).min(lifetime);
        if after > elapsed && !(after == lifetime && is_over) {
            break;
        }
        let now = Look::new(rule, &minutes, after);
        let fails = now.score.score <= rule.marginal && now.has_data();
        look = Some(now);
        if fails {
            break;
        }
    }
    let left = if is_over { Duration::ZERO } else { lifetime.saturating_sub(elapsed) };
    let cohorts = decide::cohorts(table);
    let decision = match &look {
        Some(look) if look.has_data() && look.score.score <= rule.marginal => fail(look),
        Some(look) if look.has_data() && look.after >= lifetime && look.score.score >= rule.pass => pass(look),
        Some(look) if look.has_data() && look.after >= lifetime => fail(look),
        look => undecided(look.as_ref(), decide::missing(&cohorts), left),
    };
    let comparisons = look.as_ref().map(|look| look.comparisons(policy)).unwrap_or_default();
    let (baseline, canary) = cohorts;
    Judgement {
        decision,
        ln_risk: 0.0,
        ln_promotion: 0.0,
        score: Some(look.as_ref().map_or(50.0, |look| look.score.score)),
        comparisons,
        groups: Vec::new(),
        culprits: Vec::new(),
        changes: Vec::new(),
        baseline,
        canary,
    }
}

/// One metric as Kayenta classified it.
struct Metric {
    samples: MinuteSamples,
    label: Label,
}

/// What was seen after some intervals.
struct Look {
    after: Duration,
    metrics: Vec<Metric>,
    score: Score,
}

impl Look {
    fn new(rule: KayentaRule, minutes: &Minutes, after: Duration) -> Self {
        let config = MetricConfig { direction: Direction::Increase, ..MetricConfig::default() };
        let classified = minutes.samples(after).into_iter().map(|samples| {
            let label = classify(&samples.canary, &samples.baseline, &config).classification;
            Metric { samples, label }
        });
        let metrics: Vec<Metric> = classified.collect();
        let judged: Vec<Judged> = metrics.iter().map(Metric::judged).collect();
        let config = ScoreConfig { pass: rule.pass, marginal: rule.marginal, ..ScoreConfig::default() };
        Self { after, score: score(&judged, &config), metrics }
    }

    /// Kayenta scores zero where at least half of the metrics have none.
    fn has_data(&self) -> bool {
        let without = self.metrics.iter().filter(|metric| matches!(metric.label, Label::Nodata | Label::NodataFailMetric | Label::Error));
        2 * without.count() < self.metrics.len()
    }

    fn comparisons(&self, policy: &Policy) -> Vec<Comparison> {
        self.metrics.iter().map(|metric| metric.comparison(policy)).collect()
    }

    /// "Kayenta's score is 50 of 100 after 10 min: latency_p95 and latency_p99 are High".
    fn sentence(&self) -> String {
        let failed = self.metrics.iter().filter(|metric| metric.label != Label::Pass);
        wording::kayenta(self.score.score, self.after, &failed.map(|metric| (metric.samples.name, metric.label)).collect::<Vec<_>>())
    }
}

impl Metric {
    fn judged(&self) -> Judged {
        let group = if self.samples.name == "error_rate" { "errors" } else { "latency" };
        Judged {
            name: self.samples.name.to_owned(),
            classification: self.label,
            groups: vec![group.to_owned()],
            critical: false,
            muted: false,
        }
    }

    fn comparison(&self, policy: &Policy) -> Comparison {
        let is_rate = self.samples.name == "error_rate";
        let kind = if is_rate { CheckKind::ErrorRate } else { CheckKind::Latency };
        // A verdict has seconds, a sample milliseconds.
        let unit = if is_rate { 1.0 } else { 1e-3 };
        let mean = |samples: &[f64]| {
            let known: Vec<f64> = samples.iter().copied().filter(|sample| sample.is_finite()).collect();
            (!known.is_empty()).then(|| unit * known.iter().sum::<f64>() / known.len() as f64)
        };
        let side = |samples: &[f64]| Side { value: mean(samples), events: 0.0, requests: 0.0 };
        let (baseline, canary) = (side(&self.samples.baseline), side(&self.samples.canary));
        Comparison {
            finding: match self.label {
                Label::Pass => Finding::NotWorse,
                Label::High | Label::Low => Finding::Regressed,
                Label::Nodata | Label::NodataFailMetric => Finding::NoData,
                Label::Error => Finding::Undecided,
            },
            required: policy.check(kind).is_some_and(|check| check.required),
            reason: wording::classified(self.samples.name, self.label, (self.samples.baseline.len(), self.samples.canary.len())),
            baseline,
            canary,
            ..Comparison::new(kind, self.samples.name.to_owned())
        }
    }
}

fn fail(look: &Look) -> Decision {
    let worst = look.metrics.iter().find(|metric| metric.label != Label::Pass).or(look.metrics.first());
    let comparison = worst.map_or_else(String::new, |metric| metric.samples.name.to_owned());
    Decision::Rollback { worst: Regression { comparison, ln_e: 0.0, reason: look.sentence() }, others: Vec::new() }
}

fn pass(look: &Look) -> Decision {
    let proofs = NonEmpty { first: Proof { comparison: "score".to_owned(), ln_e: 0.0, reason: look.sentence() }, rest: Vec::new() };
    Decision::Promote { proofs }
}

fn undecided(look: Option<&Look>, missing: Option<Doubt>, left: Duration) -> Decision {
    let scheduled = Doubt::Scheduled { seen: look.map(Look::sentence), left };
    let doubts = match missing {
        Some(missing) => NonEmpty { first: missing, rest: vec![scheduled] },
        None => NonEmpty { first: scheduled, rest: Vec::new() },
    };
    if left.is_zero() { Decision::Inconclusive { because: doubts } } else { Decision::Continue { doubts, eta: Some(left) } }
}
