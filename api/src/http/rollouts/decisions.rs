//! What people and tools decide about a rollout: promotion, rollback, approval, the next stage.

use axum::Json;
use axum::extract::State;
use haldane_analyzer::rollout::{Advance, AdvanceError, Approval, PersonalDecision};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::RolloutBody;
use super::{REASON_BYTES_MAX, cancel_problem, find_problem, rollout_id};
use crate::error::{Problem, ProblemKind};
use crate::http::Doors;
use crate::http::described;
use crate::http::extract::{Caller, InPath, JsonBody};

/// Longest name of who decided, in bytes.
pub(in crate::http) const ACTOR_BYTES_MAX: usize = 100;

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the errors are those of a partner, see INC-812", "actor": "ann"}))]
pub struct DecisionBody {
    /// Why, in 1 to 1,000 bytes; kept with the rollout and told to who waits for its verdict.
    #[schema(value_type = described::Reason)]
    pub reason: String,
    /// Who decided, in 1 to 100 bytes; `somebody` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::Actor>)]
    pub actor: Option<String>,
}

/// Promotes a rollout by a person's decision, whatever the judge says: its verdict becomes a final `promote` with the reason.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/promote", tag = "rollouts", operation_id = "promoteRollout",
    params(("id" = String, Path, description = "The rollout")), request_body = DecisionBody,
    responses(
        (status = 200, description = "Promoted", body = RolloutBody),
        (status = 400, description = "The reason or the actor is missing or too long", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn promote(
    State(doors): State<Doors>,
    caller: Caller,
    InPath(id): InPath,
    JsonBody(body): JsonBody<DecisionBody>,
) -> Result<Json<RolloutBody>, Problem> {
    decide(&doors, &caller, &id, body, true).await
}

/// Rolls a rollout back by a person's decision, whatever the judge says: its verdict becomes a final `rollback` with the reason.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/rollback", tag = "rollouts", operation_id = "rollBackRollout",
    params(("id" = String, Path, description = "The rollout")), request_body = DecisionBody,
    responses(
        (status = 200, description = "Rolled back", body = RolloutBody),
        (status = 400, description = "The reason or the actor is missing or too long", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn roll_back(
    State(doors): State<Doors>,
    caller: Caller,
    InPath(id): InPath,
    JsonBody(body): JsonBody<DecisionBody>,
) -> Result<Json<RolloutBody>, Problem> {
    decide(&doors, &caller, &id, body, false).await
}

/// Approves a promotion: once everything is proven, the rollout is promoted without waiting for anybody. The first approval counts.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/approve", tag = "rollouts", operation_id = "approveRollout",
    params(("id" = String, Path, description = "The rollout")), request_body = DecisionBody,
    responses(
        (status = 200, description = "Approved", body = RolloutBody),
        (status = 400, description = "The reason or the actor is missing or too long", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn approve(
    State(doors): State<Doors>,
    caller: Caller,
    InPath(id): InPath,
    JsonBody(body): JsonBody<DecisionBody>,
) -> Result<Json<RolloutBody>, Problem> {
    let actor = checked(&caller, Some(&body.reason), body.actor.as_deref())?;
    let approval = Approval { by: actor, reason: body.reason, at: doors.rollouts.now() };
    let approved = doors.rollouts.approve(&rollout_id(&id)?, approval).await;
    Ok(Json(RolloutBody::from(&approved.map_err(|error| advance_problem(&error))?)))
}

/// To go on to the next step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"actor": "deploy-bot"}))]
pub struct AdvanceBody {
    /// Why, in 1 to 1,000 bytes; needed with `force`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::Reason>)]
    pub reason: Option<String>,
    /// Who went on, in 1 to 100 bytes; `somebody` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<described::Actor>)]
    pub actor: Option<String>,
    /// Whether the step need not be proven; `false` if left out.
    #[serde(default)]
    pub force: bool,
}

/// Goes on to the next step of a rollout: tell this when the traffic has been moved. What is served from now on is compared.
#[utoipa::path(
    post, path = "/v1/rollouts/{id}/advance", tag = "rollouts", operation_id = "advanceRollout",
    params(("id" = String, Path, description = "The rollout")), request_body = AdvanceBody,
    responses(
        (status = 200, description = "In its next step", body = RolloutBody),
        (status = 400, description = "The reason or the actor is missing or too long", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended, has no further step, or the step is not proven", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn advance(
    State(doors): State<Doors>,
    caller: Caller,
    InPath(id): InPath,
    JsonBody(body): JsonBody<AdvanceBody>,
) -> Result<Json<RolloutBody>, Problem> {
    let actor = checked(&caller, body.reason.as_deref(), body.actor.as_deref())?;
    let id = rollout_id(&id)?;
    if body.force && body.reason.is_none() {
        doors.rollouts.get(&id).await.map_err(|error| find_problem(&error))?;
        return Err(Problem::invalid("reason: say why the step need not be proven"));
    }
    let advance = Advance { actor, reason: body.reason.unwrap_or_default(), force: body.force };
    let advanced = doors.rollouts.advance(&id, &advance).await;
    Ok(Json(RolloutBody::from(&advanced.map_err(|error| advance_problem(&error))?)))
}

async fn decide(doors: &Doors, caller: &Caller, id: &str, body: DecisionBody, promote: bool) -> Result<Json<RolloutBody>, Problem> {
    let actor = checked(caller, Some(&body.reason), body.actor.as_deref())?;
    let decided = PersonalDecision { promote, actor, reason: body.reason };
    let rollout = doors.rollouts.decide(&rollout_id(id)?, &decided).await;
    Ok(Json(RolloutBody::from(&rollout.map_err(|error| cancel_problem(&error))?)))
}

/// Who it is, if reason and name can be kept.
fn checked(caller: &Caller, reason: Option<&str>, actor: Option<&str>) -> Result<String, Problem> {
    let fits = |text: &str, max: usize| !text.trim().is_empty() && text.len() <= max && !text.contains(char::is_control);
    if reason.is_some_and(|reason| !fits(reason, REASON_BYTES_MAX)) {
        return Err(Problem::invalid(format!("reason: needs 1 to {REASON_BYTES_MAX} bytes on one line")));
    }
    if actor.is_some_and(|actor| !fits(actor, ACTOR_BYTES_MAX)) {
        return Err(Problem::invalid(format!("actor: needs 1 to {ACTOR_BYTES_MAX} bytes on one line")));
    }
    Ok(caller.named(actor))
}

fn advance_problem(error: &AdvanceError) -> Problem {
    match error {
        AdvanceError::Ended { .. } => Problem::from_error(error, ProblemKind::RolloutEnded),
        AdvanceError::LastStage { .. } | AdvanceError::Unproven { .. } => Problem::from_error(error, ProblemKind::StageNotProven),
        AdvanceError::Find(found) => find_problem(found),
        AdvanceError::Busy { .. } | AdvanceError::Ledger(_) => Problem::from_error(error, ProblemKind::Internal),
    }
}
