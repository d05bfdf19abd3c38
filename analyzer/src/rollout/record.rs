//! A rollout as the ledger keeps it.

use std::collections::BTreeMap;

use haldane_store::ledger::{LedgerError, RolloutRow};
use haldane_store::{Environment, ServiceName};
use serde::{Deserialize, Serialize};

use super::model::{Origin, Rollout, RolloutId, RolloutState, StartRollout, Strategy};
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
}

pub(super) fn to_row(rollout: &Rollout, idempotency_key: Option<String>) -> Result<RolloutRow, LedgerError> {
    let document = Document {
        baseline: rollout.baseline.matchers().clone(),
        canary: rollout.canary.matchers().clone(),
        strategy: rollout.strategy.as_str().to_owned(),
        policy: rollout.policy.clone(),
        policy_name: rollout.policy_name.clone(),
        metadata: rollout.metadata.clone(),
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
    })
}

/// Whether a request asks for what a rollout already is.
pub(super) fn is_same(rollout: &Rollout, request: &StartRollout) -> bool {
    rollout.baseline == request.baseline && rollout.canary == request.canary && rollout.strategy == request.strategy
}

fn word<T>(parsed: Option<T>, text: &str) -> Result<T, LedgerError> {
    parsed.ok_or_else(|| broken(format!("unknown word {text:?}")))
}

fn broken(cause: impl ToString) -> LedgerError {
    LedgerError::Broken { what: "rollout", detail: cause.to_string() }
}
