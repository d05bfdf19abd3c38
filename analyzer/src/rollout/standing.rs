//! What to tell of a rollout that has no last verdict of its own: not judged yet, or ended by a person.

use haldane_store::UnixNanos;

use super::model::{Rollout, RolloutState};
use crate::policy::{Policy, PolicyDocument};
use crate::verdict::{BaselineSource, CohortVerdict, Promotion, Risk, Verdict, VerdictDecision, VerdictStatus};

/// How soon to ask again when nothing is known yet.
const POLL_AFTER_SECONDS: u64 = 5;

/// The newest verdict, made final when the rollout was ended without one.
pub(super) fn verdict(rollout: &Rollout, latest: Option<Verdict>) -> Verdict {
    // What was said of an earlier stage is not said of this one.
    let of_earlier = latest.as_ref().filter(|latest| !latest.is_final && !rollout.is_of_this_stage(latest)).map(|latest| latest.sequence);
    let latest = match (latest, of_earlier) {
        (_, Some(sequence)) => Verdict { sequence: sequence + 1, ..nothing_yet(rollout) },
        (latest, None) => latest.unwrap_or_else(|| nothing_yet(rollout)),
    };
    match rollout.state {
        RolloutState::Cancelled if !latest.is_final => cancelled(rollout, latest),
        RolloutState::Promoted if !latest.is_final => decided(rollout, latest, VerdictDecision::Promote, VerdictStatus::Succeeded, 100),
        RolloutState::RolledBack if !latest.is_final => decided(rollout, latest, VerdictDecision::Rollback, VerdictStatus::Failed, 0),
        RolloutState::Pending
        | RolloutState::Running
        | RolloutState::Promoted
        | RolloutState::RolledBack
        | RolloutState::Inconclusive
        | RolloutState::Cancelled
        | RolloutState::Expired => latest,
    }
}

/// By a person: the judge's own numbers stay as they were.
fn decided(rollout: &Rollout, latest: Verdict, decision: VerdictDecision, status: VerdictStatus, score: u8) -> Verdict {
    let reason = rollout.state_reason.clone();
    Verdict {
        sequence: latest.sequence + 1,
        decision,
        is_final: true,
        status,
        score,
        progress: reason.clone(),
        inconclusive_because: None,
        reasons: std::iter::once(reason.clone()).chain(latest.reasons).collect(),
        reason,
        decided_at: rollout.ended_at.map_or(latest.decided_at, UnixNanos::to_rfc3339),
        poll_after_seconds: 0,
        ..latest
    }
}

fn cancelled(rollout: &Rollout, latest: Verdict) -> Verdict {
    let reason = format!("cancelled: {}", rollout.state_reason);
    Verdict {
        sequence: latest.sequence + 1,
        decision: VerdictDecision::Inconclusive,
        is_final: true,
        status: VerdictStatus::Inconclusive,
        progress: reason.clone(),
        inconclusive_because: Some("cancelled".to_owned()),
        reasons: vec![reason.clone()],
        reason,
        decided_at: rollout.ended_at.map_or(latest.decided_at, UnixNanos::to_rfc3339),
        poll_after_seconds: 0,
        ..latest
    }
}

fn nothing_yet(rollout: &Rollout) -> Verdict {
    let policy = Policy::default().with(&rollout.policy_now()).unwrap_or_default();
    let cohort = |selector: &crate::cohort::Selector| CohortVerdict { selector: selector.matchers().clone(), requests: 0, instances: 0 };
    let what = if rollout.stages.is_empty() { "rollout" } else { "stage" };
    let reason = format!("no telemetry of this {what} has been judged yet");
    Verdict {
        rollout_id: rollout.id.as_str().to_owned(),
        sequence: 0,
        service: rollout.service.to_string(),
        environment: rollout.environment.to_string(),
        strategy: rollout.strategy.as_str().to_owned(),
        decision: VerdictDecision::Continue,
        is_final: false,
        status: VerdictStatus::Running,
        progress: reason.clone(),
        score: 50,
        reasons: vec![reason.clone()],
        reason,
        inconclusive_because: None,
        baseline: cohort(&rollout.baseline),
        canary: cohort(&rollout.canary),
        baseline_source: BaselineSource::Concurrent,
        risk: Risk { e_value: 1.0, anytime_p: 1.0, alpha: policy.alpha() },
        promotion: Promotion { e_value: 1.0, beta: policy.beta() },
        checks: Vec::new(),
        changes: Vec::new(),
        calibration: None,
        groups: Vec::new(),
        culprits: Vec::new(),
        stage: rollout.stage_now(),
        approval: rollout.approval_now(),
        started_at: rollout.judged_from().to_rfc3339(),
        data_until: rollout.judged_from().to_rfc3339(),
        decided_at: rollout.created_at.to_rfc3339(),
        poll_after_seconds: POLL_AFTER_SECONDS,
        seed: 0,
        policy: PolicyDocument::from(&policy),
    }
}
