//! Starting, finding and cancelling rollouts.

mod decisions;
mod wire;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haldane_analyzer::rollout::{CancelError, FindError, ReadError, RolloutFilter, RolloutId, StartError};
use serde::Deserialize;
use utoipa::IntoParams;

pub use decisions::{AdvanceBody, DecisionBody};
pub use wire::{ApprovalBody, LinksBody, OriginWord, RolloutBody, RolloutListBody, StageBody, StartRolloutBody, StateWord, StrategyWord};

pub(super) use decisions::*;
pub(super) use wire::{METADATA_KEY_MAX, METADATA_MAX, METADATA_VALUE_MAX, check_metadata};

use super::Doors;
use super::extract::{Caller, InPath, JsonBody, Params};
use crate::error::{Problem, ProblemKind};

/// Rollouts on a page, if the request does not say.
const PAGE_DEFAULT: u32 = 50;
/// Most rollouts on a page.
const PAGE_MAX: u32 = 500;
/// Longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Longest reason of a cancellation, in bytes.
pub(super) const REASON_BYTES_MAX: usize = 1000;

/// Starts a rollout, or finds the one that the same request started before.
#[utoipa::path(
    post, path = "/v1/rollouts", tag = "rollouts", operation_id = "startRollout",
    params((
        "Idempotency-Key" = Option<String>, Header, description = "The same key finds the same rollout, even one that has ended; with another change it is refused (409)",
        nullable = false, pattern = "^[!-~]([ -~]{0,253}[!-~])?$"
    )),
    request_body = StartRolloutBody,
    responses(
        (status = 201, description = "Started", body = RolloutBody, headers(("Location" = String, description = "The rollout"))),
        (status = 200, description = "The same request had started it before", body = RolloutBody, headers(("Location" = String, description = "The rollout"))),
        (status = 400, description = "A field is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The service has sent nothing yet", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another rollout of this service and environment is live: rollout_id names it", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn start(
    State(doors): State<Doors>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody<StartRolloutBody>,
) -> Result<Response, Problem> {
    let request = body.parse(idempotency_key(&headers)?, &caller)?;
    let started = doors.rollouts.start(request).await.map_err(|error| start_problem(&error))?;
    let body = RolloutBody::from(&started.rollout);
    let status = if started.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = HeaderValue::from_str(&body.links.own).unwrap_or(HeaderValue::from_static("/v1/rollouts"));
    Ok((status, [(header::LOCATION, location)], Json(body)).into_response())
}

/// Which rollouts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only of this service.
    service: Option<String>,
    /// Only in this environment.
    environment: Option<String>,
    /// Only in this state.
    #[param(inline)]
    state: Option<StateWord>,
    /// At most so many; 1 to 500, 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[param(format = "uuid")]
    cursor: Option<String>,
}

/// Lists rollouts, the newest first.
#[utoipa::path(
    get, path = "/v1/rollouts", tag = "rollouts", operation_id = "listRollouts", params(ListParams),
    responses(
        (status = 200, description = "One page", body = RolloutListBody),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(doors): State<Doors>, Params(params): Params<ListParams>) -> Result<Json<RolloutListBody>, Problem> {
    let limit = params.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("limit: {limit} does not lie between 1 and {PAGE_MAX}")));
    }
    let unknown_cursor = |_| Problem::invalid("cursor: take the value of `next` from the page before");
    let filter = RolloutFilter {
        service: params.service,
        environment: params.environment,
        state: params.state.map(Into::into),
        limit,
        after: params.cursor.as_deref().map(RolloutId::parse).transpose().map_err(unknown_cursor)?,
    };
    let page = doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))?;
    Ok(Json(RolloutListBody::from(&page)))
}

/// Shows a rollout.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}", tag = "rollouts", operation_id = "getRollout",
    params(("id" = String, Path, description = "The rollout")),
    responses(
        (status = 200, description = "The rollout", body = RolloutBody),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(doors): State<Doors>, InPath(id): InPath) -> Result<Json<RolloutBody>, Problem> {
    let rollout = doors.rollouts.get(&rollout_id(&id)?).await.map_err(|error| find_problem(&error))?;
    Ok(Json(RolloutBody::from(&rollout)))
}

/// Why a rollout is cancelled.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CancelParams {
    /// Kept with the rollout and shown with its state; at most 1,000 bytes.
    #[param(max_length = 1000)]
    reason: Option<String>,
}

/// Cancels a rollout: it is judged no further.
#[utoipa::path(
    delete, path = "/v1/rollouts/{id}", tag = "rollouts", operation_id = "cancelRollout",
    params(("id" = String, Path, description = "The rollout"), CancelParams),
    responses(
        (status = 200, description = "Cancelled", body = RolloutBody),
        (status = 400, description = "The reason is too long", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none of this id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    State(doors): State<Doors>,
    caller: Caller,
    InPath(id): InPath,
    Params(params): Params<CancelParams>,
) -> Result<Json<RolloutBody>, Problem> {
    let reason = params.reason.unwrap_or_else(|| "cancelled by request".to_owned());
    if reason.len() > REASON_BYTES_MAX {
        return Err(Problem::invalid(format!("reason: at most {REASON_BYTES_MAX} bytes")));
    }
    let cancelled = doors.rollouts.cancel(&rollout_id(&id)?, &caller.named(None), &reason).await;
    Ok(Json(RolloutBody::from(&cancelled.map_err(|error| cancel_problem(&error))?)))
}

/// An id that cannot be one is as unknown as one that nobody has.
pub(super) fn rollout_id(text: &str) -> Result<RolloutId, Problem> {
    let unknown = |_| {
        let start: String = text.chars().take(80).collect();
        Problem::new(StatusCode::NOT_FOUND, ProblemKind::UnknownRollout, format!("there is no rollout {start:?}: see GET /v1/rollouts"))
    };
    RolloutId::parse(text).map_err(unknown)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::invalid(format!("Idempotency-Key: 1 to {KEY_BYTES_MAX} visible ASCII characters"))),
    }
}

pub(super) fn start_problem(error: &StartError) -> Problem {
    match error {
        StartError::Conflict { running, .. } => Problem::from_error(error, ProblemKind::RolloutConflict).with_rollout(running.as_str()),
        StartError::KeyUsed { used, .. } => Problem::from_error(error, ProblemKind::RolloutConflict).with_rollout(used.as_str()),
        StartError::UnknownService { .. } => Problem::from_error(error, ProblemKind::UnknownService),
        StartError::Stages
        | StartError::Future { .. }
        | StartError::SameCohorts { .. }
        | StartError::Policy(_)
        | StartError::MetricSql(_)
        | StartError::Gather(_)
        | StartError::Ledger(_) => Problem::from_error(error, ProblemKind::InvalidRequest),
    }
}

pub(super) fn find_problem(error: &FindError) -> Problem {
    match error {
        FindError::Unknown { .. } | FindError::Ledger(_) => Problem::from_error(error, ProblemKind::UnknownRollout),
    }
}

fn cancel_problem(error: &CancelError) -> Problem {
    match error {
        CancelError::Ended { .. } => Problem::from_error(error, ProblemKind::RolloutEnded),
        CancelError::Find(found) => find_problem(found),
        CancelError::Ledger(_) => Problem::from_error(error, ProblemKind::Internal),
    }
}

pub(super) fn read_problem(error: &ReadError) -> Problem {
    Problem::from_error(error, ProblemKind::InvalidRequest)
}
