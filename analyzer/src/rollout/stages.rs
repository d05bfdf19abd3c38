//! Stages of a rollout, each with a verdict of its own, and a person's approval.
//!
//! Always holds: each stage is judged on what was served since it began, with its part of the false-alarm budget, so that all stages together keep to the
//! rollout's. A stage that is proven waits for the tool that routes: Haldane routes nothing. A verdict of an earlier stage is never told of a later one.

use std::time::Duration;

use haldane_store::UnixNanos;

use super::desk::Rollouts;
use super::error::AdvanceError;
use super::model::{Rollout, RolloutId};
use super::record::{from_row, to_row};
use super::trail::{self, EventDetails, EventKind};
use crate::policy::{JudgeRule, Policy, PolicyOverrides};
use crate::verdict::{ApprovalVerdict, StageVerdict, Verdict, VerdictDecision};

/// Most stages of a rollout.
pub const STAGES_MAX: usize = 20;
/// What is proven waits so long for a person or a tool, then it ends undecided.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Somebody else may change the rollout at the same time; then it is looked at again, so often.
const TRIES: usize = 5;

/// A step on the way of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The canary's share of the traffic, more than 0 and at most 1.
    pub traffic: f64,
    /// Not proven before this time in the stage; the policy's if not given.
    pub min_duration: Option<Duration>,
    /// What is undecided after this time in the stage ends the rollout; the policy's if not given.
    pub max_duration: Option<Duration>,
}

/// That a person agrees to a promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: UnixNanos,
}

/// To go on to the next stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Who.
    pub actor: String,
    /// Why, where somebody says.
    pub reason: String,
    /// Whether the stage need not be proven.
    pub force: bool,
}

impl Rollout {
    /// From when on windows are compared now.
    pub fn judged_from(&self) -> UnixNanos {
        self.stage_started_at.unwrap_or(self.started_at)
    }

    /// Whether a promotion of this stage is one of the rollout.
    pub fn is_last_stage(&self) -> bool {
        self.stage + 1 >= self.stages.len()
    }

    /// What differs from the default policy in this stage.
    pub(super) fn policy_now(&self) -> PolicyOverrides {
        let Some(stage) = self.stages.get(self.stage) else { return self.policy.clone() };
        let alpha = self.policy.alpha.unwrap_or(Policy::default().alpha());
        let mut policy = self.policy.clone();
        policy.alpha = Some(alpha / self.stages.len() as f64);
        // What the router is told in this stage.
        policy.canary_share = policy.canary_share.map(|_| stage.traffic).filter(|share| *share < 1.0);
        policy.min_duration_seconds = stage.min_duration.map(|time| time.as_secs()).or(policy.min_duration_seconds);
        policy.max_duration_seconds = stage.max_duration.map(|time| time.as_secs()).or(policy.max_duration_seconds);
        policy
    }

    /// No window after this is compared in this stage. A policy that does not hold is told of when it judges.
    pub(super) fn judged_to(&self) -> UnixNanos {
        let policy = Policy::default().with(&self.policy_now()).unwrap_or_default();
        self.judged_from().plus(policy.max_duration())
    }

    /// No window after this is compared while it waits for somebody: what is proven is watched meanwhile. Kayenta's judge speaks of a time that is over.
    pub(super) fn watched_to(&self) -> UnixNanos {
        let policy = Policy::default().with(&self.policy_now()).unwrap_or_default();
        match policy.judge {
            JudgeRule::Default => self.judged_to().plus(WAIT_MAX),
            JudgeRule::Kayenta(_) => self.judged_to(),
        }
    }

    /// The stage as verdicts tell it; none of a rollout without stages.
    pub(super) fn stage_now(&self) -> Option<StageVerdict> {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let stage = self.stages.get(self.stage)?;
        Some(StageVerdict {
            number: count(self.stage + 1),
            of: count(self.stages.len()),
            traffic: stage.traffic,
            started_at: self.judged_from().to_rfc3339(),
        })
    }

    /// The approval as verdicts tell it; none where nobody asks for it.
    pub(super) fn approval_now(&self) -> Option<ApprovalVerdict> {
        let needed = self.policy.approval.unwrap_or(false);
        let given = self.approval.as_ref();
        (needed || given.is_some()).then(|| ApprovalVerdict {
            needed,
            awaited: false,
            by: given.map(|given| given.by.clone()),
            reason: given.map(|given| given.reason.clone()),
            at: given.map(|given| given.at.to_rfc3339()),
        })
    }

    /// Whether a verdict is about the stage that the rollout is in.
    pub(super) fn is_of_this_stage(&self, verdict: &Verdict) -> bool {
        verdict.stage.as_ref().map(|stage| stage.number) == self.stage_now().map(|stage| stage.number)
    }
}

impl Rollouts {
    /// Notes that a person agrees to the promotion of a live rollout. The first one counts.
    ///
    /// # Errors
    /// When there is none of that id, or it has ended.
    pub async fn approve(&self, id: &RolloutId, approval: Approval) -> Result<Rollout, AdvanceError> {
        let details = EventDetails { reason: approval.reason.clone(), ..EventDetails::default() };
        let actor = approval.by.clone();
        self.change(id, EventKind::RolloutApproved, (&actor, details), |rollout, _| {
            Ok(rollout.approval.is_none().then(|| Rollout { approval: Some(approval.clone()), ..rollout.clone() }))
        })
        .await
    }

    /// Goes on to the next stage of a live rollout: what is served from now on is compared.
    ///
    /// # Errors
    /// When there is none of that id, it has ended, has no further stage, or its stage is not proven.
    pub async fn advance(&self, id: &RolloutId, advance: &Advance) -> Result<Rollout, AdvanceError> {
        let verdict = self.verdict(id).await?;
        let details = EventDetails { reason: advance.reason.clone(), ..EventDetails::default() };
        self.change(id, EventKind::StageStarted, (&advance.actor, details), |rollout, now| {
            if rollout.is_last_stage() {
                return Err(AdvanceError::LastStage { id: id.clone(), stages: rollout.stages.len() });
            }
            let proven = verdict.decision == VerdictDecision::Promote && rollout.is_of_this_stage(&verdict);
            if !proven && !advance.force {
                return Err(AdvanceError::Unproven { id: id.clone(), stage: rollout.stage + 1, reason: verdict.reason.clone() });
            }
            Ok(Some(Rollout { stage: rollout.stage + 1, stage_started_at: Some(now), ..rollout.clone() }))
        })
        .await
    }

    /// Changes a live rollout in one step with what the trail tells of it; nothing happens where `to` answers `None`.
    async fn change(
        &self,
        id: &RolloutId,
        kind: EventKind,
        (actor, details): (&str, EventDetails),
        to: impl Fn(&Rollout, UnixNanos) -> Result<Option<Rollout>, AdvanceError>,
    ) -> Result<Rollout, AdvanceError> {
        for _ in 0..TRIES {
            let row = self.ledger.rollout(id.as_str()).await?.ok_or_else(|| AdvanceError::unknown(id))?;
            let (before, key) = (row.document.clone(), row.idempotency_key.clone());
            let rollout = from_row(row)?;
            if rollout.ended_at.is_some() {
                return Err(AdvanceError::Ended { id: id.clone(), state: rollout.state.as_str() });
            }
            let now = self.clock.now();
            let Some(changed) = to(&rollout, now)? else { return Ok(rollout) };
            let details = EventDetails { stage: changed.stage_now().map(|stage| stage.number), ..details.clone() };
            let entry = trail::entry(&changed, kind, actor, now, &details);
            let document = to_row(&changed, key)?.document;
            if self.ledger.change_rollout(id.as_str(), (&before, &document), &entry).await? {
                self.ring();
                return Ok(changed);
            }
        }
        Err(AdvanceError::Busy { id: id.clone() })
    }
}
