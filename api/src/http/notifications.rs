//! Who is told of what happens, and what became of it.

use axum::Json;
use axum::extract::State;
use haldane_analyzer::rollout::RolloutId;
use haldane_store::UnixNanos;
use haldane_store::ledger::NotificationRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Doors;
use super::extract::{Caller, InPath, Params};
use crate::error::{Problem, ProblemKind};
use crate::notify::NotifyError;

/// Notifications on a page, if the request does not say.
const PAGE_DEFAULT: u32 = 50;
/// Most notifications on a page.
const PAGE_MAX: u32 = 500;

/// One thing told to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotificationBody {
    /// Its name; the receiver gets the same in every attempt.
    pub id: String,
    /// To whom.
    pub receiver: String,
    /// Where it stands.
    pub state: NotificationState,
    /// The entry of the audit that it tells of.
    pub event: u64,
    /// Of which rollout.
    pub rollout_id: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last; absent if nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it is tried next; absent once it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub due_at: Option<String>,
}

/// Where a notification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotificationState {
    /// Waits for its next attempt.
    Due,
    /// The receiver has it, and is told again until it needs no more.
    Repeating,
    /// The receiver has it.
    Delivered,
    /// Given up; can be tried again by hand.
    Dead,
}

/// One page of notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotificationListBody {
    /// The newest first.
    pub notifications: Vec<NotificationBody>,
    /// Give this as `cursor` for the next page; none on the last one.
    pub next: Option<String>,
}

/// How many are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetriedBody {
    /// So many.
    pub retried: u64,
}

/// The receivers of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiverListBody {
    /// In the order of the settings.
    pub receivers: Vec<ReceiverBody>,
}

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiverBody {
    /// What it is called.
    pub name: String,
    /// `alertmanager`, `slack`, `pagerduty`, `teams` or `webhook`.
    pub kind: String,
    /// Whether it said that it wants nothing any more (410); trying one of its dead notifications again asks it anew.
    pub gone: bool,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestedBody {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// What went wrong; absent if nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl NotificationState {
    /// The word in JSON and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Repeating => "repeating",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn parse(word: &str) -> Self {
        [Self::Due, Self::Repeating, Self::Delivered].into_iter().find(|state| state.as_str() == word).unwrap_or(Self::Dead)
    }
}

impl From<&NotificationRow> for NotificationBody {
    fn from(row: &NotificationRow) -> Self {
        let state = NotificationState::parse(&row.state);
        let waits = matches!(state, NotificationState::Due | NotificationState::Repeating);
        Self {
            id: row.id.clone(),
            receiver: row.receiver.clone(),
            state,
            event: row.event,
            rollout_id: row.rollout_id.clone(),
            attempts: row.attempts,
            last_error: Some(row.last_error.clone()).filter(|text| !text.is_empty()),
            created_at: row.created_at.to_rfc3339(),
            due_at: Some(row.due_at).filter(|_| waits).map(UnixNanos::to_rfc3339),
        }
    }
}

/// Which notifications to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only in this state.
    #[param(inline)]
    state: Option<NotificationState>,
    /// At most so many; 1 to 500, 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[param(format = "uuid")]
    cursor: Option<String>,
}

/// Lists what was told to whom, the newest first. Of those delivered the newest 10,000 are kept.
#[utoipa::path(
    get, path = "/v1/notifications", tag = "notifications", operation_id = "listNotifications", params(ListParams),
    responses(
        (status = 200, description = "One page", body = NotificationListBody),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(doors): State<Doors>, Params(params): Params<ListParams>) -> Result<Json<NotificationListBody>, Problem> {
    let limit = params.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("limit: {limit} does not lie between 1 and {PAGE_MAX}")));
    }
    if params.cursor.as_deref().is_some_and(|cursor| RolloutId::parse(cursor).is_err()) {
        return Err(Problem::invalid("cursor: take the value of `next` from the page before"));
    }
    let state = params.state.map(NotificationState::as_str);
    let rows = doors.notifications.list(state, params.cursor.as_deref(), limit).await.map_err(|error| problem(&error))?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.id.clone());
    Ok(Json(NotificationListBody { notifications: rows.iter().map(NotificationBody::from).collect(), next }))
}

/// Tries all dead notifications again.
#[utoipa::path(
    post, path = "/v1/notifications/retry", tag = "notifications", operation_id = "retryNotifications",
    responses(
        (status = 200, description = "So many are due again", body = RetriedBody),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retry_all(State(doors): State<Doors>, caller: Caller) -> Result<Json<RetriedBody>, Problem> {
    let retried = doors.notifications.retry(None, &caller.named(None)).await.map_err(|error| problem(&error))?;
    Ok(Json(RetriedBody { retried }))
}

/// Tries a dead notification again.
#[utoipa::path(
    post, path = "/v1/notifications/{id}/retry", tag = "notifications", operation_id = "retryNotification",
    params(("id" = String, Path, description = "The notification")),
    responses(
        (status = 200, description = "It is due again", body = RetriedBody),
        (status = 404, description = "There is no dead notification of this id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn retry(State(doors): State<Doors>, caller: Caller, InPath(id): InPath) -> Result<Json<RetriedBody>, Problem> {
    let retried = doors.notifications.retry(Some(&id), &caller.named(None)).await.map_err(|error| problem(&error))?;
    Ok(Json(RetriedBody { retried }))
}

/// Lists the receivers of the settings, without addresses and secrets.
#[utoipa::path(
    get, path = "/v1/receivers", tag = "notifications", operation_id = "listReceivers",
    responses(
        (status = 200, description = "The receivers", body = ReceiverListBody),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn receivers(State(doors): State<Doors>) -> Json<ReceiverListBody> {
    let known = doors.notifications.receivers().into_iter();
    let body = known.map(|one| ReceiverBody { name: one.name, kind: one.kind.to_owned(), gone: one.gone });
    Json(ReceiverListBody { receivers: body.collect() })
}

/// Sends a receiver a message that says that it is a test, now and once.
#[utoipa::path(
    post, path = "/v1/receivers/{name}/test", tag = "notifications", operation_id = "testReceiver",
    params(("name" = String, Path, description = "The receiver")),
    responses(
        (status = 200, description = "It was tried; the body says what came of it", body = TestedBody),
        (status = 404, description = "The settings have no such receiver", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn test(State(doors): State<Doors>, InPath(name): InPath) -> Result<Json<TestedBody>, Problem> {
    let tested = doors.notifications.test(&name).await.map_err(|error| problem(&error))?;
    Ok(Json(TestedBody { delivered: tested.delivered, error: tested.error, seconds: tested.took.as_secs_f64() }))
}

fn problem(error: &NotifyError) -> Problem {
    match error {
        NotifyError::UnknownReceiver { .. } => Problem::from_error(error, ProblemKind::UnknownReceiver),
        NotifyError::NotDead { .. } => Problem::from_error(error, ProblemKind::UnknownNotification),
        NotifyError::Settings(_) | NotifyError::Client(_) | NotifyError::Ledger(_) | NotifyError::Find(_) | NotifyError::Read(_) => {
            Problem::from_error(error, ProblemKind::Internal)
        }
    }
}
