//! Flagger's webhooks: each kind is a gate that is open (200) or closed (403 with the reason).
//!
//! `rollback` is the other way round: 200 rolls back. Flagger takes 204 and redirects for a no, and repeats what is 429 or 5xx until it forgets the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use haldane_analyzer::cohort::Selector;
use haldane_analyzer::rollout::{Rollout, StartRollout, Strategy};
use haldane_analyzer::verdict::{Verdict, VerdictDecision};
use haldane_store::ledger::DocumentRow;
use haldane_store::{Environment, ServiceName, UnixNanos};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Asked, CHECKSUM, Memory, PLACE, Standing, standing};
use crate::error::{Problem, ProblemKind};
use crate::http::Doors;
use crate::http::extract::{Caller, InPath, JsonBody};

/// The name in a rollout's metadata.
const TOOL: &str = "flagger";
/// A canary that failed or succeeded may be tried again: then the first gate begins anew.
const REMEMBERED_AT_START: Duration = Duration::from_secs(600);
/// Flagger goes on raising the weight for long after a verdict.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Under this kind the ledger keeps when Flagger's attempts ended, by the canary's place.
const ATTEMPT: &str = "flagger_attempt";
const ATTEMPTS_KEPT: u32 = 10_000;
/// A rollout that does not say since when begins where its canary was first seen in this time.
const FIRST_SEEN: Duration = Duration::from_secs(3600);

/// What Flagger sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "podinfo", "namespace": "test", "phase": "Progressing", "checksum": "85d557f47b",
    "metadata": {"service": "podinfo", "environment": "prod", "baseline": "service.version=6.0.0", "canary": "service.version=6.0.1"}
}))]
pub struct FlaggerBody {
    /// The canary's name.
    pub name: String,
    /// The canary's namespace.
    pub namespace: String,
    /// Where Flagger stands, such as `Progressing`.
    #[serde(default)]
    pub phase: String,
    /// Of the version under test.
    #[serde(default)]
    pub checksum: String,
    /// `service` (the name if left out), `environment` (the namespace), `baseline` and `canary` (selectors such as `service.version=6.0.1`; by
    /// `k8s.deployment.name` if left out, with and without `-primary`).
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// An open gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GateBody {
    /// Why it is open.
    pub reason: String,
    /// The rollout; absent before there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<String>,
}

/// A gate of Flagger, by the name of its webhook kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    ConfirmRollout,
    PreRollout,
    Rollout,
    ConfirmTrafficIncrease,
    ConfirmPromotion,
    Rollback,
    PostRollout,
    Event,
}

impl Gate {
    const ALL: [(&'static str, Self); 8] = [
        ("confirm-rollout", Self::ConfirmRollout),
        ("pre-rollout", Self::PreRollout),
        ("rollout", Self::Rollout),
        ("confirm-traffic-increase", Self::ConfirmTrafficIncrease),
        ("confirm-promotion", Self::ConfirmPromotion),
        ("rollback", Self::Rollback),
        ("post-rollout", Self::PostRollout),
        ("event", Self::Event),
    ];

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, gate)| gate)
    }
}

/// A webhook of Flagger: `confirm-rollout`, `pre-rollout`, `rollout`, `confirm-traffic-increase`, `confirm-promotion`, `rollback`, `post-rollout` or `event`.
#[utoipa::path(
    post, path = "/integrations/flagger/{gate}", tag = "integrations", operation_id = "flaggerGate",
    params(("gate" = String, Path, description = "The kind of webhook")), request_body = FlaggerBody,
    responses(
        (status = 200, description = "Go on; of rollback: roll back", body = GateBody),
        (status = 400, description = "A field is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "No, and why; of rollback: there is no reason to", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Flagger has no such webhook", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn gate(
    State(doors): State<Doors>,
    caller: Caller,
    InPath(gate): InPath,
    JsonBody(body): JsonBody<FlaggerBody>,
) -> Result<Json<GateBody>, Problem> {
    let Some(gate) = Gate::parse(&gate) else {
        let known = Gate::ALL.map(|(name, _)| name).join(", ");
        return Err(Problem::new(StatusCode::NOT_FOUND, ProblemKind::UnknownPath, format!("Flagger's webhooks are {known}")));
    };
    // Before there is anything to judge, and where nothing hangs on the answer.
    if matches!(gate, Gate::ConfirmRollout | Gate::Event) {
        return answer(true, "nothing stands against it".to_owned(), None);
    }
    let (mut request, closed_at) = (read(&body, &caller)?, closed_at(&doors, &body).await?);
    // What the version did in the attempt before is not held against it.
    request.started_at = closed_at.filter(|at| doors.rollouts.now().since(*at) < FIRST_SEEN);
    let memory = Memory { long: if gate == Gate::PreRollout { REMEMBERED_AT_START } else { REMEMBERED }, closed_at };
    let asked = if gate == Gate::PostRollout { Asked::Find } else { Asked::FindOrStart };
    let standing = standing(&doors, request, TOOL, (memory, asked)).await?;
    if gate == Gate::PostRollout {
        close(&doors, &body, &standing).await?;
    }
    let (rollout, verdict) = match standing {
        Standing::Known { rollout, verdict } => (rollout, verdict),
        Standing::NotYet { reason } => return answer(before(gate), reason, None),
    };
    answer(is_open(gate, &verdict), said(&rollout, &verdict), Some(rollout.id.to_string()))
}

/// When Flagger's last attempt at this canary ended.
async fn closed_at(doors: &Doors, body: &FlaggerBody) -> Result<Option<UnixNanos>, Problem> {
    let kept = doors.ledger.document(ATTEMPT, &place(body)).await.map_err(|error| Problem::from_error(&error, ProblemKind::Internal))?;
    Ok(kept.map(|row| row.updated_at))
}

/// Flagger ends its attempt: what is still judged ends too, and the next attempt begins anew, at the same version as well.
async fn close(doors: &Doors, body: &FlaggerBody, standing: &Standing) -> Result<(), Problem> {
    if let Standing::Known { rollout, .. } = standing
        && !rollout.state.is_final()
    {
        let reason = format!("Flagger ended with {}", if body.phase.is_empty() { "no phase" } else { &body.phase });
        // It may have ended by itself meanwhile.
        let _ = doors.rollouts.cancel(&rollout.id, TOOL, &reason).await;
    }
    let row = DocumentRow::new(ATTEMPT, &place(body), "", doors.rollouts.now());
    doors.ledger.put_document(&row, ATTEMPTS_KEPT).await.map_err(|error| Problem::from_error(&error, ProblemKind::Internal))
}

/// Where Flagger has a canary from.
fn place(body: &FlaggerBody) -> String {
    format!("{}/{}", body.namespace, body.name)
}

/// Whether a gate is open before anything can be judged.
fn before(gate: Gate) -> bool {
    match gate {
        Gate::ConfirmRollout | Gate::PreRollout | Gate::Rollout | Gate::ConfirmTrafficIncrease | Gate::PostRollout | Gate::Event => true,
        Gate::ConfirmPromotion | Gate::Rollback => false,
    }
}

fn is_open(gate: Gate, verdict: &Verdict) -> bool {
    match gate {
        Gate::ConfirmRollout | Gate::PreRollout | Gate::PostRollout | Gate::Event => true,
        Gate::Rollout => verdict.decision != VerdictDecision::Rollback,
        Gate::ConfirmTrafficIncrease => matches!(verdict.decision, VerdictDecision::Promote | VerdictDecision::Continue),
        Gate::ConfirmPromotion => verdict.decision == VerdictDecision::Promote && verdict.is_final,
        Gate::Rollback => verdict.decision == VerdictDecision::Rollback,
    }
}

fn said(rollout: &Rollout, verdict: &Verdict) -> String {
    format!("{}: {} (rollout {})", verdict.decision.as_str(), verdict.reason, rollout.id)
}

fn answer(open: bool, reason: String, rollout_id: Option<String>) -> Result<Json<GateBody>, Problem> {
    match open {
        true => Ok(Json(GateBody { reason, rollout_id })),
        false => Err(Problem::new(StatusCode::FORBIDDEN, ProblemKind::GateClosed, reason)),
    }
}

fn read(body: &FlaggerBody, caller: &Caller) -> Result<StartRollout, Problem> {
    let wrong = |field: &str, error: &dyn std::fmt::Display| Problem::invalid(format!("metadata.{field}: {error}"));
    let said = |key: &str| body.metadata.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let picked = |key: &str, deployment: String| match said(key) {
        Some(text) => Selector::parse(text).map_err(|error| wrong(key, &error)),
        None => Selector::try_new([("k8s.deployment.name".to_owned(), deployment)].into()).map_err(|error| wrong(key, &error)),
    };
    let mut metadata = BTreeMap::from([(PLACE.to_owned(), place(body))]);
    if !body.checksum.is_empty() {
        metadata.insert(CHECKSUM.to_owned(), body.checksum.clone());
    }
    if let Some((key, _)) = metadata.iter().find(|(_, value)| value.len() > 1_000) {
        return Err(Problem::invalid(format!("{key}: it is over 1,000 bytes")));
    }
    Ok(StartRollout {
        stages: Vec::new(),
        service: ServiceName::parse(said("service").unwrap_or(&body.name)).map_err(|error| wrong("service", &error))?,
        environment: Environment::parse(said("environment").unwrap_or(&body.namespace)).map_err(|error| wrong("environment", &error))?,
        baseline: picked("baseline", format!("{}-primary", body.name))?,
        canary: picked("canary", body.name.clone())?,
        strategy: Strategy::Canary,
        started_at: None,
        policy: haldane_analyzer::policy::PolicyOverrides::default(),
        actor: caller.named(Some(TOOL)),
        metadata,
        idempotency_key: None,
    })
}
