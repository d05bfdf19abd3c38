//! A rollout as the ledger keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::ledger::{LedgerError, RolloutRow};
use haldane_store::{Environment, ServiceName, UnixNanos};
use serde::{Deserialize, Serialize};

use super::model::{Origin, Rollout, RolloutId, RolloutState, StartRollout, Strategy};
use super::stages::{Approval, Stage};
use crate::cohort::Selector;
use crate::policy::PolicyOverrides;

/// What the ledger's columns do not hold.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    baseline: BTreeMap<String, String>,
    canary: BTreeMap<String, String>,
    strategy: String,
    #[serde(default)]
    policy: PolicyOverrides,
    #[serde(default)]
    policy_name: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stages: Vec<StageDocument>,
    #[serde(default)]
    stage: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage_started_at_unix_nano: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StageDocument {
    traffic: f64,
    #[serde(default)]
    min_duration_seconds: Option<u64>,
    #[serde(default)]
    max_duration_seconds: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ApprovalDocument {
    by: String,
    reason: String,
    at_unix_nano: i64,
}

pub(super) fn to_row(rollout: &Rollout, idempotency_key: Option<String>) -> Result<RolloutRow, LedgerError> {
    let document = Document {
        baseline: rollout.baseline.matchers().clone(),
        canary: rollout.canary.matchers().clone(),
        strategy: rollout.strategy.as_str().to_owned(),
        policy: rollout.policy.clone(),
        policy_name: rollout.policy_name.clone(),
        metadata: rollout.metadata.clone(),
        stages: rollout.stages.iter().map(StageDocument::from).collect(),
        stage: rollout.stage,
        stage_started_at_unix_nano: rollout.stage_started_at.map(UnixNanos::as_nanos),
        approval: rollout.approval.as_ref().map(|Approval { by, reason, at }| ApprovalDocument {
            by: by.clone(),
            reason: reason.clone(),
            at_unix_nano: at.as_nanos(),
        }),
    };
    Ok(RolloutRow {
        id: rollout.id.as_str().to_owned(),
        service: rollout.service.as_str().to_owned(),
        environment: rollout.environment.as_str().to_owned(),
        origin: rollout.origin.as_str().to_owned(),
        state: rollout.state.as_str().to_owned(),
        state_reason: rollout.state_reason.clone(),
        created_at: rollout.created_at,
        started_at: rollout.started_at,
        ended_at: rollout.ended_at,
        idempotency_key,
        document: serde_json::to_string(&document).map_err(broken)?,
    })
}

pub(super) fn from_row(row: RolloutRow) -> Result<Rollout, LedgerError> {
    let document: Document = serde_json::from_str(&row.document).map_err(broken)?;
    Ok(Rollout {
        id: RolloutId::parse(&row.id).map_err(broken)?,
        service: ServiceName::parse(&row.service).map_err(broken)?,
        environment: Environment::parse(&row.environment).map_err(broken)?,
        baseline: Selector::try_new(document.baseline).map_err(broken)?,
        canary: Selector::try_new(document.canary).map_err(broken)?,
        strategy: word(Strategy::parse(&document.strategy), &document.strategy)?,
        state: word(RolloutState::parse(&row.state), &row.state)?,
        state_reason: row.state_reason,
        origin: word(Origin::parse(&row.origin), &row.origin)?,
        created_at: row.created_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        policy: document.policy,
        policy_name: document.policy_name,
        metadata: document.metadata,
        stages: document.stages.into_iter().map(Stage::from).collect(),
        stage: document.stage,
        stage_started_at: document.stage_started_at_unix_nano.map(UnixNanos::new),
        approval: document.approval.map(|ApprovalDocument { by, reason, at_unix_nano }| Approval {
            by,
            reason,
            at: UnixNanos::new(at_unix_nano),
        }),
    })
}

impl From<&Stage> for StageDocument {
    fn from(stage: &Stage) -> Self {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        let (min_duration_seconds, max_duration_seconds) = (seconds(stage.min_duration), seconds(stage.max_duration));
        Self { traffic: stage.traffic, min_duration_seconds, max_duration_seconds }
    }
}

impl From<StageDocument> for Stage {
    fn from(document: StageDocument) -> Self {
        let time = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let (min_duration, max_duration) = (time(document.min_duration_seconds), time(document.max_duration_seconds));
        Self { traffic: document.traffic, min_duration, max_duration }
    }
}

/// Whether a request asks for what a rollout already is; `asked` is what it says of its policy itself.
pub(super) fn is_same(rollout: &Rollout, request: &StartRollout, asked: &PolicyOverrides) -> bool {
    let same_change = rollout.baseline == request.baseline && rollout.canary == request.canary;
    same_change && asked.are_in_force_with(&rollout.policy) && rollout.strategy == request.strategy && rollout.stages == request.stages
}

fn word<T>(parsed: Option<T>, text: &str) -> Result<T, LedgerError> {
    parsed.ok_or_else(|| broken(format!("unknown word {text:?}")))
}

fn broken(cause: impl ToString) -> LedgerError {
    LedgerError::Broken { what: "rollout", detail: cause.to_string() }
}
