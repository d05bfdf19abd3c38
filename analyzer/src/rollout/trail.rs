//! What happened to rollouts, as the trail in the ledger has it: written here, read by audits, event streams, notifications and figures on deployments.

use std::collections::BTreeMap;

use haldane_store::UnixNanos;
use haldane_store::ledger::{Ending, LedgerError, TrailEntry, TrailQuery, TrailRow};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::desk::Rollouts;
use super::error::ReadError;
use super::model::{Origin, Rollout, RolloutId, RolloutState, words};
use crate::verdict::{Verdict, VerdictDecision};

/// The judge, and whatever else happens by itself.
pub const HALDANE: &str = "haldane";

/// Most entries that are read at once.
const PAGE_MAX: u32 = 1_000;

words!(
    /// What happened.
    EventKind {
        /// A rollout was started, by somebody or by itself.
        RolloutStarted = "rollout.started",
        /// The judge came to another decision.
        VerdictChanged = "verdict.changed",
        /// A stage that is not the last is proven: the tool that routes may go on.
        StageProven = "stage.proven",
        /// The rollout went on to its next stage.
        StageStarted = "stage.started",
        /// All is proven, and the promotion waits for a person.
        ApprovalAwaited = "approval.awaited",
        /// A person agreed to a promotion.
        RolloutApproved = "rollout.approved",
        /// A rollout ended well.
        RolloutPromoted = "rollout.promoted",
        /// A rollout ended badly.
        RolloutRolledBack = "rollout.rolled_back",
        /// A rollout ended undecided.
        RolloutInconclusive = "rollout.inconclusive",
        /// A rollout was ended without a decision.
        RolloutCancelled = "rollout.cancelled",
        /// A rollout ended without any telemetry of its canary.
        RolloutExpired = "rollout.expired",
        /// A pipeline said what it did.
        DeploymentRecorded = "deployment.recorded",
        /// A receiver has been told.
        NotificationDelivered = "notification.delivered",
        /// A receiver could not be told.
        NotificationFailed = "notification.failed",
        /// Somebody had notifications tried again.
        NotificationRetried = "notification.retried",
        /// A policy in the folder came, went, or changed.
        PolicyChanged = "policy.changed",
        /// A token was made.
        TokenCreated = "token.created",
        /// A token lets in no more.
        TokenRevoked = "token.revoked",
    }
);

impl EventKind {
    /// How a rollout ended; `None` while it goes on.
    pub fn of_end(state: RolloutState) -> Option<Self> {
        match state {
            RolloutState::Pending | RolloutState::Running => None,
            RolloutState::Promoted => Some(Self::RolloutPromoted),
            RolloutState::RolledBack => Some(Self::RolloutRolledBack),
            RolloutState::Inconclusive => Some(Self::RolloutInconclusive),
            RolloutState::Cancelled => Some(Self::RolloutCancelled),
            RolloutState::Expired => Some(Self::RolloutExpired),
        }
    }

    /// Whether it is the end of a rollout.
    pub fn is_end(self) -> bool {
        RolloutState::ALL.iter().any(|state| Self::of_end(*state) == Some(self))
    }
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counts up from 1, without gaps.
    pub sequence: u64,
    /// When.
    pub at: UnixNanos,
    /// What happened.
    pub kind: EventKind,
    /// Who did it: `haldane` for what happens by itself.
    pub actor: String,
    /// Of which rollout.
    pub rollout_id: Option<RolloutId>,
    /// Of which service; empty if of none.
    pub service: String,
    /// Where; empty if nowhere.
    pub environment: String,
    /// The text that was chained: [`EventDetails`] as JSON.
    pub document: String,
    /// SHA-256 over the hash before and everything above.
    pub hash: String,
}

/// What else there is to say of an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventDetails {
    /// Of a start: what picks the version that is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline: BTreeMap<String, String>,
    /// Of a start: what picks the version that is judged.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub canary: BTreeMap<String, String>,
    /// Of a start: how it is rolled out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// Of a start: who asked for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// Of a start or a deployment: what the caller wants to find again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Of a verdict: its sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<u64>,
    /// Of a stage and what happened in one: its number, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
    /// Of a verdict: the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<VerdictDecision>,
    /// Of an end: the state; of a deployment: what was done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Of a notification: the receiver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub receiver: String,
    /// Of a start and a policy: the policy's name and version, such as `payments@3f2a91c0d1e2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// Of a deployment: the version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Of a token: its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// Of a token: what it lets its holder do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Of a notification: its id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notification: String,
    /// Of a notification: how often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFilter {
    /// Only of this rollout.
    pub rollout_id: Option<RolloutId>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only past this sequence number; before it, when the newest come first.
    pub after: Option<u64>,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// At most so many; 1 to 1,000.
    pub limit: u32,
}

impl Event {
    /// What else there is to say of it.
    pub fn details(&self) -> EventDetails {
        serde_json::from_str(&self.document).unwrap_or_default()
    }
}

impl Rollouts {
    /// The events that match.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, ReadError> {
        let query = TrailQuery {
            rollout_id: filter.rollout_id.as_ref().map(|id| id.as_str().to_owned()),
            service: filter.service.clone(),
            environment: filter.environment.clone(),
            kind: filter.kind.map(|kind| kind.as_str().to_owned()),
            after: filter.after,
            newest_first: filter.newest_first,
            limit: filter.limit.clamp(1, PAGE_MAX),
        };
        let rows = self.ledger.trail(&query).await?;
        Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// The sequence number of the newest event; 0 when there is none.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn events_end(&self) -> Result<u64, ReadError> {
        Ok(self.ledger.trail_end().await?)
    }

    /// A bell that rings when something has happened.
    pub fn event_bell(&self) -> watch::Receiver<()> {
        self.ledger.trail_bell()
    }
}

/// What an event happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPlace {
    /// The rollout; empty if none.
    pub rollout_id: String,
    /// The service; empty if none.
    pub service: String,
    /// Where; empty if nowhere.
    pub environment: String,
}

/// An entry for the trail.
pub fn entry_of(kind: EventKind, actor: &str, at: UnixNanos, place: EventPlace, details: &EventDetails) -> TrailEntry {
    TrailEntry {
        at,
        kind: kind.as_str().to_owned(),
        actor: actor.to_owned(),
        rollout_id: place.rollout_id,
        service: place.service,
        environment: place.environment,
        document: serde_json::to_string(details).unwrap_or_default(),
    }
}

pub(super) fn started(rollout: &Rollout, actor: &str) -> TrailEntry {
    let details = EventDetails {
        baseline: rollout.baseline.matchers().clone(),
        canary: rollout.canary.matchers().clone(),
        strategy: rollout.strategy.as_str().to_owned(),
        origin: rollout.origin.as_str().to_owned(),
        metadata: rollout.metadata.clone(),
        policy: rollout.policy_name.clone(),
        ..EventDetails::default()
    };
    let actor = match rollout.origin {
        Origin::Requested => actor,
        Origin::Detected => HALDANE,
    };
    entry(rollout, EventKind::RolloutStarted, actor, rollout.created_at, &details)
}

/// Of a verdict: that it decides otherwise than the one before, and that it ends the rollout.
pub(super) fn judged(
    rollout: &Rollout,
    before: Option<&Verdict>,
    verdict: &Verdict,
    at: UnixNanos,
    ending: Option<&Ending>,
) -> Vec<TrailEntry> {
    let details = EventDetails {
        verdict: Some(verdict.sequence),
        stage: verdict.stage.as_ref().map(|stage| stage.number),
        decision: Some(verdict.decision),
        reason: verdict.reason.clone(),
        ..EventDetails::default()
    };
    let same = before.is_some_and(|before| before.decision == verdict.decision && before.is_final == verdict.is_final);
    let changed = (!same).then(|| entry(rollout, EventKind::VerdictChanged, HALDANE, at, &details));
    let ended = ending.and_then(|ending| {
        let kind = EventKind::of_end(RolloutState::parse(&ending.state)?)?;
        let details = EventDetails { state: ending.state.clone(), ..details.clone() };
        Some(entry(rollout, kind, HALDANE, ending.at, &details))
    });
    let proven = |verdict: &Verdict| verdict.decision == VerdictDecision::Promote && !verdict.is_final;
    let awaited = |verdict: &Verdict| verdict.approval.as_ref().is_some_and(|approval| approval.awaited);
    let began = |is: &dyn Fn(&Verdict) -> bool| is(verdict) && !before.is_some_and(is);
    let proven = began(&proven).then(|| entry(rollout, EventKind::StageProven, HALDANE, at, &details));
    let awaited = began(&awaited).then(|| entry(rollout, EventKind::ApprovalAwaited, HALDANE, at, &details));
    changed.into_iter().chain(proven).chain(awaited).chain(ended).collect()
}

/// That somebody ended it.
pub(super) fn ended(rollout: &Rollout, actor: &str, ending: &Ending) -> Option<TrailEntry> {
    let kind = EventKind::of_end(RolloutState::parse(&ending.state)?)?;
    let details = EventDetails { state: ending.state.clone(), reason: ending.reason.clone(), ..EventDetails::default() };
    Some(entry(rollout, kind, actor, ending.at, &details))
}

pub(super) fn entry(rollout: &Rollout, kind: EventKind, actor: &str, at: UnixNanos, details: &EventDetails) -> TrailEntry {
    let place = EventPlace {
        rollout_id: rollout.id.as_str().to_owned(),
        service: rollout.service.as_str().to_owned(),
        environment: rollout.environment.as_str().to_owned(),
    };
    entry_of(kind, actor, at, place, details)
}

fn read(row: TrailRow) -> Result<Event, LedgerError> {
    let broken = |detail: String| LedgerError::Broken { what: "entry of the trail", detail };
    let TrailRow { sequence, entry, hash } = row;
    let kind = EventKind::parse(&entry.kind).ok_or_else(|| broken(format!("entry {sequence} has the unknown kind {:?}", entry.kind)))?;
    let named = Some(&entry.rollout_id).filter(|id| !id.is_empty());
    let rollout_id = named.map(|id| RolloutId::parse(id)).transpose().map_err(|error| broken(error.to_string()))?;
    let TrailEntry { at, actor, service, environment, document, .. } = entry;
    Ok(Event { sequence, at, kind, actor, rollout_id, service, environment, document, hash })
}
