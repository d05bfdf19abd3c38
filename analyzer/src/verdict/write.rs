//! From a judgement to the document.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::UnixNanos;

use crate::judge::{
    Calibration, Change, CohortTotals, Comparison, Culprit, Decision, Doubt, Effect, EffectMeasure, Evidence, Finding, GroupScore,
    Judgement, MeasuredNoise, NoiseSource, Pairing, Side, between,
};
use crate::policy::{CheckKind, Gate, Policy, PolicyDocument};

use super::{
    ApprovalVerdict, BaselineSource, CalibrationVerdict, ChangeKind, ChangeVerdict, CheckCalibrationVerdict, CheckVerdict, CohortVerdict,
    CulpritKind, CulpritVerdict, DetectableVerdict, EffectVerdict, GroupVerdict, Measure, NoiseVerdict, Outcome, Promotion, Risk,
    SideVerdict, StageVerdict, TauSource, ToleranceVerdict, Verdict, VerdictDecision, VerdictStatus,
};

/// What a verdict is about, beyond its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictSubject {
    /// The rollout.
    pub rollout_id: String,
    /// The verdict's number.
    pub sequence: u64,
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// `canary`, `blue-green` or `rolling`.
    pub strategy: String,
    /// The resource attributes that pick the baseline.
    pub baseline_selector: BTreeMap<String, String>,
    /// The resource attributes that pick the canary.
    pub canary_selector: BTreeMap<String, String>,
    /// The stage that is judged, if there are several.
    pub stage: Option<StageVerdict>,
    /// Whether a person agrees, where one has to or does.
    pub approval: Option<ApprovalVerdict>,
    /// Whether the rollout is over: what is undecided then is inconclusive.
    pub ended: bool,
    /// Whether what is proven has waited long enough for a tool or a person.
    pub gave_up: bool,
    /// When the verdict is written.
    pub decided_at: UnixNanos,
}

/// E-values are cut off here: no decision needs more, and every reader of JSON can hold it.
const E_MAX: f64 = 1e12;

/// Seconds between polls while a decision is not expected soon.
const POLL_SECONDS: u64 = 5;

/// Writes the verdict.
pub fn write(subject: &VerdictSubject, policy: &Policy, evidence: &Evidence, judgement: &Judgement) -> Verdict {
    let decision = decision(subject, judgement);
    let is_final = match decision {
        VerdictDecision::Continue => false,
        VerdictDecision::Promote => !subject.goes_on(),
        VerdictDecision::Rollback | VerdictDecision::Inconclusive => true,
    };
    let reasons = reasons(subject, judgement);
    let reason = reasons.first().cloned().unwrap_or_default();
    Verdict {
        rollout_id: subject.rollout_id.clone(),
        sequence: subject.sequence,
        service: subject.service.clone(),
        environment: subject.environment.clone(),
        strategy: subject.strategy.clone(),
        decision,
        is_final,
        status: if is_final { status(decision) } else { VerdictStatus::Running },
        progress: progress(policy, evidence, judgement, decision),
        score: score(policy, judgement, decision),
        inconclusive_because: (decision == VerdictDecision::Inconclusive).then(|| reason.clone()),
        reason,
        reasons,
        baseline: cohort(&subject.baseline_selector, judgement.baseline),
        canary: cohort(&subject.canary_selector, judgement.canary),
        baseline_source: match evidence.pairing {
            Pairing::Concurrent => BaselineSource::Concurrent,
            Pairing::Preceding => BaselineSource::Preceding,
        },
        risk: Risk {
            e_value: e_value(judgement.ln_risk),
            anytime_p: rounded((-judgement.ln_risk).exp().clamp(1.0 / E_MAX, 1.0)),
            alpha: policy.alpha(),
        },
        promotion: Promotion { e_value: e_value(judgement.ln_promotion), beta: policy.beta() },
        checks: judgement.comparisons.iter().map(|comparison| check(comparison, policy)).collect(),
        groups: judgement.groups.iter().map(group).collect(),
        culprits: judgement.culprits.iter().map(culprit).collect(),
        changes: judgement.changes.iter().map(change).collect(),
        calibration: evidence.calibration.as_ref().map(calibration),
        stage: subject.stage.clone(),
        approval: approval(subject, judgement),
        started_at: evidence.started_at.to_rfc3339(),
        data_until: evidence.until.to_rfc3339(),
        decided_at: subject.decided_at.to_rfc3339(),
        poll_after_seconds: if is_final { 0 } else { POLL_SECONDS },
        seed: evidence.seed,
        policy: PolicyDocument::from(policy),
    }
}

impl VerdictSubject {
    /// Whether another stage follows.
    fn goes_on(&self) -> bool {
        self.stage.as_ref().is_some_and(|stage| stage.number < stage.of)
    }

    /// What a promotion waits for, in words.
    fn awaits(&self) -> Option<&'static str> {
        if self.goes_on() {
            return Some("nobody went on to the next stage");
        }
        self.approval.as_ref().filter(|approval| approval.is_missing()).map(|_| "nobody approved the promotion")
    }
}

fn decision(subject: &VerdictSubject, judgement: &Judgement) -> VerdictDecision {
    match &judgement.decision {
        Decision::Promote { .. } if subject.awaits().is_some() && subject.gave_up => VerdictDecision::Inconclusive,
        Decision::Promote { .. } if subject.awaits().is_some() && !subject.goes_on() => VerdictDecision::Continue,
        Decision::Promote { .. } => VerdictDecision::Promote,
        Decision::Rollback { .. } => VerdictDecision::Rollback,
        Decision::Continue { .. } if subject.ended => VerdictDecision::Inconclusive,
        Decision::Continue { .. } => VerdictDecision::Continue,
        Decision::Inconclusive { .. } => VerdictDecision::Inconclusive,
    }
}

/// Of what is proven and not the last stage's nobody is asked yet.
fn approval(subject: &VerdictSubject, judgement: &Judgement) -> Option<ApprovalVerdict> {
    let proven = matches!(judgement.decision, Decision::Promote { .. }) && !subject.goes_on() && !subject.gave_up;
    subject.approval.clone().map(|approval| ApprovalVerdict { awaited: proven && approval.is_missing(), ..approval })
}

fn status(decision: VerdictDecision) -> VerdictStatus {
    match decision {
        VerdictDecision::Promote => VerdictStatus::Succeeded,
        VerdictDecision::Rollback => VerdictStatus::Failed,
        VerdictDecision::Continue => VerdictStatus::Running,
        VerdictDecision::Inconclusive => VerdictStatus::Inconclusive,
    }
}

fn reasons(subject: &VerdictSubject, judgement: &Judgement) -> Vec<String> {
    match &judgement.decision {
        Decision::Promote { proofs } if judgement.score.is_some() => proofs.iter().map(|proof| proof.reason.clone()).collect(),
        Decision::Promote { proofs } => {
            let mut reasons = vec![match subject.awaits() {
                Some(what) if subject.gave_up => format!("{what} for a day: {}", promoted(judgement)),
                Some(_) if !subject.goes_on() => format!("waits for a person's approval: {}", promoted(judgement)),
                Some(_) | None => promoted(judgement),
            }];
            reasons.extend(proofs.iter().map(|proof| proof.reason.clone()));
            reasons
        }
        Decision::Rollback { worst, others } => std::iter::once(worst).chain(others).map(|one| one.reason.clone()).collect(),
        Decision::Continue { doubts, .. } if subject.ended => doubts.iter().map(doubt).collect(),
        Decision::Continue { doubts, .. } => doubts.iter().map(doubt).collect(),
        Decision::Inconclusive { because } => because.iter().map(doubt).collect(),
    }
}

fn promoted(judgement: &Judgement) -> String {
    let checks: Vec<&str> = judgement.comparisons.iter().filter(|one| one.required).map(|one| one.name.as_str()).collect();
    format!(
        "not worse than the baseline in {} after {} requests against {}",
        checks.join(", "),
        judgement.canary.requests,
        judgement.baseline.requests
    )
}

/// One sentence.
fn doubt(doubt: &Doubt) -> String {
    match doubt {
        Doubt::NoData { cohort } => format!("no requests of the {cohort} yet"),
        Doubt::BrokenData { cells } => format!("{cells} counts contradict themselves and were left out"),
        Doubt::FewRequests { cohort, requests, needed } => format!("{requests} requests of the {cohort}, {needed} are needed"),
        Doubt::Misrouted { reason } => format!("the comparison is not valid: {reason}"),
        Doubt::Scheduled { seen: Some(seen), left } => format!("{seen}; decided at the end, in {} s", left.as_secs()),
        Doubt::Scheduled { seen: None, left } => format!("Kayenta's judge has not looked yet; decided at the end, in {} s", left.as_secs()),
        Doubt::TooEarly { left } => format!("{} s of the minimum duration are left", left.as_secs()),
        Doubt::Silent { since } => format!("no requests for {} s", since.as_secs()),
        Doubt::Uncovered { covered } => {
            format!("only {:.0} % of the canary's requests have something to be compared with", covered * 100.0)
        }
        Doubt::Suspicious { comparison, reason } => format!("{comparison} looks worse, but not surely so: {reason}"),
        Doubt::Unproven { comparison, reason } => format!("{comparison} is undecided: {reason}"),
        Doubt::Group { name, score: Some(score), needed } => {
            format!("the checks of {name} have a score of {score:.0} of 100, a promotion asks for {needed:.0}")
        }
        Doubt::Group { name, score: None, needed } => {
            format!("nothing is known of the checks of {name}, a promotion asks for a score of {needed:.0}")
        }
        Doubt::Throughput { reason } | Doubt::Gate { reason } => reason.clone(),
    }
}

fn progress(policy: &Policy, evidence: &Evidence, judgement: &Judgement, decision: VerdictDecision) -> String {
    if let Some(score) = judgement.score {
        return format!("Kayenta's score is {score} of 100 after {} s", evidence.until.since(evidence.started_at).as_secs());
    }
    let settled = judgement.comparisons.iter().filter(|one| matches!(one.finding, Finding::NotWorse | Finding::Regressed)).count();
    let eta = match &judgement.decision {
        Decision::Continue { eta: Some(eta), .. } if decision == VerdictDecision::Continue => {
            format!(", a decision in about {} s", eta.as_secs().max(1))
        }
        Decision::Promote { .. } | Decision::Rollback { .. } | Decision::Continue { .. } | Decision::Inconclusive { .. } => String::new(),
    };
    format!(
        "{settled} of {} comparisons settled after {} s; risk {:.1} of {:.0}, promotion {:.1} of {:.0}{eta}",
        judgement.comparisons.len(),
        evidence.until.since(evidence.started_at).as_secs(),
        e_value(judgement.ln_risk).min(9999.0),
        1.0 / policy.alpha(),
        e_value(judgement.ln_promotion).min(9999.0),
        1.0 / policy.beta(),
    )
}

fn score(policy: &Policy, judgement: &Judgement, decision: VerdictDecision) -> u8 {
    if let Some(score) = judgement.score {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lies between 0 and 100")]
        let score = score.round().clamp(0.0, 100.0) as u8;
        return score;
    }
    match decision {
        VerdictDecision::Promote => 100,
        VerdictDecision::Rollback => 0,
        VerdictDecision::Inconclusive => 50,
        VerdictDecision::Continue => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lies between 1 and 99")]
            let score = between(policy, judgement.ln_promotion, judgement.ln_risk).round() as u8;
            score
        }
    }
}

fn cohort(selector: &BTreeMap<String, String>, totals: CohortTotals) -> CohortVerdict {
    CohortVerdict { selector: selector.clone(), requests: totals.requests, instances: totals.instances }
}

fn check(comparison: &Comparison, policy: &Policy) -> CheckVerdict {
    let number = || policy.metrics().iter().find(|check| check.name == comparison.name).map(|check| check.unit.clone());
    let limited = || policy.gates().iter().find(|gate| gate.name == comparison.name).map(Gate::unit);
    let unit = match comparison.kind {
        CheckKind::Latency => "s".to_owned(),
        CheckKind::Metric => number().unwrap_or_default(),
        CheckKind::ErrorRate
        | CheckKind::Throughput
        | CheckKind::NewErrors
        | CheckKind::LogErrors
        | CheckKind::Calls
        | CheckKind::Probe
        | CheckKind::SampleRatio => "1".to_owned(),
        CheckKind::Slo | CheckKind::Resource | CheckKind::MinTraffic => limited().unwrap_or_default(),
    };
    CheckVerdict {
        name: comparison.name.clone(),
        outcome: match comparison.finding {
            Finding::Regressed => Outcome::Regressed,
            Finding::NotWorse => Outcome::NotWorse,
            Finding::Undecided => Outcome::Undecided,
            Finding::NoData => Outcome::NoData,
        },
        required: comparison.required,
        unit,
        baseline: side(&comparison.baseline),
        canary: side(&comparison.canary),
        effect: comparison.effect.map(effect),
        tolerance: ToleranceVerdict { relative: comparison.relative, absolute: comparison.absolute },
        e_value: e_value(comparison.ln_e),
        promote_e_value: e_value(comparison.ln_promote),
        noise: comparison.noise.map(noise),
        detectable: comparison.detectable.map(|detectable| DetectableVerdict {
            ratio: detectable.ratio.map(rounded),
            eta_seconds: detectable.eta.map(|eta: Duration| rounded(eta.as_secs_f64())),
        }),
        reason: comparison.reason.clone(),
    }
}

fn group(group: &GroupScore) -> GroupVerdict {
    GroupVerdict {
        name: group.name.clone(),
        score: group.score.map(rounded),
        min_score: group.needed,
        weight: rounded(group.weight),
        checks: group.comparisons.clone(),
    }
}

fn side(side: &Side) -> SideVerdict {
    SideVerdict { value: side.value.map(rounded), events: whole(side.events), requests: whole(side.requests) }
}

fn effect(effect: Effect) -> EffectVerdict {
    EffectVerdict {
        measure: match effect.measure {
            EffectMeasure::Rate => Measure::RateRatio,
            EffectMeasure::Quantile => Measure::QuantileRatio,
            EffectMeasure::Share => Measure::ShareRatio,
            EffectMeasure::Mean => Measure::MeanRatio,
        },
        estimate: effect.estimate.is_finite().then(|| rounded(effect.estimate)),
        low: rounded(effect.low),
        high: effect.high.is_finite().then(|| rounded(effect.high)),
        level: effect.level,
    }
}

fn noise(noise: MeasuredNoise) -> NoiseVerdict {
    let tau_source = match noise.source {
        NoiseSource::Prior => TauSource::Prior,
        NoiseSource::Instances => TauSource::Instances,
        NoiseSource::History => TauSource::History,
    };
    NoiseVerdict { phi: rounded(noise.phi), tau: rounded(noise.tau), tau_source }
}

fn change(change: &Change) -> ChangeVerdict {
    ChangeVerdict {
        kind: match change.kind {
            crate::judge::ChangeKind::NewCall => ChangeKind::NewCall,
            crate::judge::ChangeKind::MissingCall => ChangeKind::MissingCall,
            crate::judge::ChangeKind::MoreCalls => ChangeKind::MoreCalls,
            crate::judge::ChangeKind::FewerCalls => ChangeKind::FewerCalls,
            crate::judge::ChangeKind::FailingCalls => ChangeKind::FailingCalls,
        },
        name: change.name.to_string(),
        span_kind: change.span_kind.to_string(),
        baseline: rounded(change.baseline),
        canary: rounded(change.canary),
        e_value: e_value(change.ln_e),
        reason: change.reason.clone(),
    }
}

fn calibration(known: &Calibration) -> CalibrationVerdict {
    let share = |count: u64| rounded(count as f64 / known.replays.max(1) as f64);
    let checks = known.comparisons.iter().map(|one| CheckCalibrationVerdict {
        name: one.name.clone(),
        false_rollback_rate: share(one.alarms),
        stated_rate: rounded(one.stated),
        phi: rounded(one.phi),
        tau: rounded(one.tau),
        discount: rounded(one.discount.exp()),
    });
    CalibrationVerdict {
        from: known.from.to_rfc3339(),
        until: known.until.to_rfc3339(),
        replays: known.replays,
        rollbacks: known.rollbacks,
        false_rollback_rate: share(known.rollbacks),
        checks: checks.collect(),
    }
}

fn culprit(culprit: &Culprit) -> CulpritVerdict {
    CulpritVerdict {
        kind: match culprit.kind {
            crate::judge::CulpritKind::Operation => CulpritKind::Operation,
            crate::judge::CulpritKind::Instance => CulpritKind::Instance,
            crate::judge::CulpritKind::Error => CulpritKind::Error,
        },
        name: culprit.name.to_string(),
        check: culprit.comparison.clone(),
        e_value: e_value(culprit.ln_e),
        excess: rounded(culprit.excess),
        share: rounded(culprit.share),
        error_type: culprit.error.as_ref().map(|error| error.error_type.to_string()),
        message: culprit.error.as_ref().map(|error| error.message.to_string()),
        trace_ids: culprit.traces.iter().map(ToString::to_string).collect(),
        reason: culprit.reason.clone(),
    }
}

fn e_value(ln_e: f64) -> f64 {
    rounded(ln_e.exp().min(E_MAX))
}

/// Six significant digits; what is not a number becomes zero, and what is infinite stays within what JSON can hold.
fn rounded(value: f64) -> f64 {
    if value.is_nan() {
        return 0.0;
    }
    format!("{:.5e}", value.clamp(-1e300, 1e300)).parse().unwrap_or(0.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, and the cast stops at the ends of the type")]
fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}
