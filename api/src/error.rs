//! Errors as the wire has them: RFC 9457 problem documents with a stable `type`.
//!
//! Always holds: every answer of 400 and above has this form, whatever went wrong and wherever. A `type` is a path on this
//! server that explains the problem, so a client can tell problems apart without reading English.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
pub use haldane_store::fault::chain;
use haldane_store::{Classified, Fault};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// When to try again, where the server cannot know better.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What went wrong with a request (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which problem it is: a path on this server that explains it, such as `/problems/unknown-rollout`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The problem in a few words, the same for every problem of this type.
    pub title: String,
    /// The status code of the answer.
    pub status: u16,
    /// What happened this time, and what to do about it.
    pub detail: String,
    /// The live rollout that stands in the way; only with `rollout-conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<String>,
}

/// The problems that exist. Their names are promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A body, a parameter or a header that can never be accepted.
    InvalidRequest,
    /// SQL that cannot be run, or may not.
    InvalidQuery,
    /// No rollout of this id.
    UnknownRollout,
    /// A service that has sent nothing yet.
    UnknownService,
    /// A different rollout of the same service and environment is live.
    RolloutConflict,
    /// The rollout has ended already.
    RolloutEnded,
    /// The rollout cannot go on to another stage.
    StageNotProven,
    /// The settings have no receiver of this name.
    UnknownReceiver,
    /// No dead notification of this id.
    UnknownNotification,
    /// No such configuration or execution of a canary analysis.
    UnknownDocument,
    /// No token, or one that is not known.
    Unauthorized,
    /// A token without the scope that is needed.
    Forbidden,
    /// A token of this name is there, or is in the settings.
    TokenExists,
    /// No token of this name.
    UnknownToken,
    /// The only token with `operate`.
    LastToken,
    /// A gate of a deploy tool that is closed.
    GateClosed,
    /// A rollout without evidence that is kept.
    NoEvidence,
    /// A service that has not served for long enough.
    ShortPast,
    /// No such path.
    UnknownPath,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body is no JSON.
    UnsupportedMediaType,
    /// Too much at once.
    Busy,
    /// Something we depend on is away, or we are starting or stopping.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// A fault of ours.
    Internal,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::InvalidRequest,
        Self::InvalidQuery,
        Self::UnknownRollout,
        Self::UnknownService,
        Self::RolloutConflict,
        Self::RolloutEnded,
        Self::StageNotProven,
        Self::UnknownReceiver,
        Self::UnknownNotification,
        Self::UnknownDocument,
        Self::Unauthorized,
        Self::Forbidden,
        Self::TokenExists,
        Self::UnknownToken,
        Self::LastToken,
        Self::GateClosed,
        Self::NoEvidence,
        Self::ShortPast,
        Self::UnknownPath,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Busy,
        Self::Unavailable,
        Self::TimedOut,
        Self::Internal,
    ];

    /// The last segment of the `type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::InvalidQuery => "invalid-query",
            Self::UnknownRollout => "unknown-rollout",
            Self::UnknownService => "unknown-service",
            Self::RolloutConflict => "rollout-conflict",
            Self::RolloutEnded => "rollout-ended",
            Self::StageNotProven => "stage-not-proven",
            Self::UnknownReceiver => "unknown-receiver",
            Self::UnknownNotification => "unknown-notification",
            Self::UnknownDocument => "unknown-document",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TokenExists => "token-exists",
            Self::UnknownToken => "unknown-token",
            Self::LastToken => "last-token",
            Self::GateClosed => "gate-closed",
            Self::NoEvidence => "no-evidence",
            Self::ShortPast => "short-past",
            Self::UnknownPath => "unknown-path",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::BodyTooLarge => "body-too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Internal => "internal",
        }
    }

    /// The problem in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request cannot be accepted",
            Self::InvalidQuery => "The query cannot be run",
            Self::UnknownRollout => "There is no such rollout",
            Self::UnknownService => "The service is not known",
            Self::RolloutConflict => "Another rollout of this service is live",
            Self::RolloutEnded => "The rollout has ended",
            Self::StageNotProven => "The rollout cannot go on to another stage",
            Self::UnknownReceiver => "There is no such receiver",
            Self::UnknownNotification => "There is no such dead notification",
            Self::UnknownDocument => "There is no such configuration or execution",
            Self::Unauthorized => "A token is needed",
            Self::Forbidden => "The token does not allow this",
            Self::TokenExists => "There is a token of this name",
            Self::UnknownToken => "There is no such token",
            Self::LastToken => "It is the last token that may operate",
            Self::GateClosed => "Not now",
            Self::NoEvidence => "No evidence is kept of this rollout",
            Self::ShortPast => "The service has too short a past",
            Self::UnknownPath => "There is nothing at this path",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body has to be JSON",
            Self::Busy => "Too many requests",
            Self::Unavailable => "Not available at the moment",
            Self::TimedOut => "The request took too long",
            Self::Internal => "Haldane made a mistake",
        }
    }

    /// What to do, for `GET /problems/{name}`.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::InvalidRequest => {
                "The detail names the field, parameter or header and what it has to look like. Sending it again unchanged will not help."
            }
            Self::InvalidQuery => "The detail is what the SQL engine says. Only reading is allowed: SELECT, SHOW, DESCRIBE and EXPLAIN.",
            Self::UnknownRollout => "See GET /v1/rollouts for those that exist.",
            Self::UnknownReceiver => "Receivers come from the settings: [[notify.receivers]]. See GET /v1/receivers for those that exist.",
            Self::UnknownNotification => "Only dead notifications are tried again by hand: see GET /v1/notifications?state=dead.",
            Self::UnknownDocument => {
                "See GET /integrations/kayenta/canaryConfig and /integrations/kayenta/canary/executions for those that exist. The newest 1,000 of each are kept."
            }
            Self::Unauthorized => {
                "Show a token as Authorization: Bearer …. Who runs the server makes one with `haldane token add` or `haldane token create`."
            }
            Self::Forbidden => "Reading needs the scope read, changing anything operate, sending telemetry ingest. Ask for another token.",
            Self::TokenExists => "Take another name, or revoke the token first. One in the settings is removed there.",
            Self::UnknownToken => "See GET /v1/tokens for those that exist.",
            Self::LastToken => "Make another token with the scope operate first, or put one into the settings.",
            Self::GateClosed => {
                "The detail has the decision and its reason. The tool asks again by itself; the report of the rollout says more."
            }
            Self::NoEvidence => {
                "Ask again after the next verdict. The evidence of a last verdict is kept for the newest 1,000 rollouts, that of others while the server runs."
            }
            Self::ShortPast => {
                "A plan is tried on what the service did lately. Ask again once it has sent telemetry for as long as the detail says."
            }
            Self::UnknownService => "Send telemetry with this service.name first, or see GET /v1/services for the services that sent some.",
            Self::RolloutConflict => {
                "A service has one live rollout per environment. Wait for the one named in rollout_id, or cancel it with DELETE /v1/rollouts/{id}."
            }
            Self::RolloutEnded => "Nothing is left to do: its verdict stays as it is. Start a new rollout with POST /v1/rollouts.",
            Self::StageNotProven => {
                "Wait for the decision promote of this stage, or send force with a reason. The last stage is promoted as a whole: see POST /v1/rollouts/{id}/promote."
            }
            Self::UnknownPath => "See /docs for the paths that exist.",
            Self::MethodNotAllowed => "The Allow header names the methods that are. See /docs.",
            Self::BodyTooLarge => "Send less. Telemetry goes to the OTLP ports, not here.",
            Self::UnsupportedMediaType => "Send the body with the header Content-Type: application/json.",
            Self::Busy => "Try again after the time in the Retry-After header.",
            Self::Unavailable => "Try again after the time in the Retry-After header. GET /readyz says why.",
            Self::TimedOut => "Ask for less, such as a shorter time or fewer rows, or try again later.",
            Self::Internal => "Trying again will hardly help. The log of the server has the details; please report them.",
        }
    }
}

/// The status code for each kind of fault: the one place that knows.
pub const fn status_of(fault: Fault) -> StatusCode {
    match fault {
        Fault::Invalid => StatusCode::BAD_REQUEST,
        Fault::Missing => StatusCode::NOT_FOUND,
        Fault::Conflict => StatusCode::CONFLICT,
        Fault::Busy => StatusCode::TOO_MANY_REQUESTS,
        Fault::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// A problem of the HTTP layer itself.
    pub fn new(status: StatusCode, kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{}", kind.name()),
            title: kind.title().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            rollout_id: None,
        }
    }

    /// A request that can never be accepted.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ProblemKind::InvalidRequest, detail)
    }

    /// An error of a part below. Its text goes to the caller where the caller can do something about it; else it is logged
    /// here with all its causes, and the caller learns only that it is not at fault.
    pub fn from_error(error: &(impl Classified + 'static), kind: ProblemKind) -> Self {
        let fault = error.fault();
        let status = status_of(fault);
        match fault {
            Fault::Invalid | Fault::Missing | Fault::Conflict => Self::new(status, kind, chain(error)),
            Fault::Busy => Self::new(status, ProblemKind::Busy, chain(error)),
            Fault::Unavailable => {
                tracing::warn!(error = chain(error), "a request failed for now");
                Self::new(status, ProblemKind::Unavailable, "the data cannot be read at the moment: try again in a few seconds")
            }
            Fault::Bug => {
                tracing::error!(error = chain(error), "a request failed");
                Self::new(status, ProblemKind::Internal, "the server made a mistake: its log has the details")
            }
        }
    }

    /// Names the rollout that stands in the way.
    pub fn with_rollout(mut self, id: impl Into<String>) -> Self {
        self.rollout_id = Some(id.into());
        self
    }

    fn is_temporary(&self) -> bool {
        matches!(self.status, 429 | 503)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.is_temporary() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the folder is away")]
    struct Away(#[source] std::io::Error);

    impl Classified for Away {
        fn fault(&self) -> Fault {
            Fault::Unavailable
        }
    }

    #[test]
    fn a_fault_of_ours_is_not_told_to_the_caller_in_detail() {
        let problem = Problem::from_error(&Away(std::io::Error::other("secret path")), ProblemKind::UnknownRollout);
        assert_eq!((problem.status, problem.kind.as_str()), (503, "/problems/unavailable"));
        assert!(!problem.detail.contains("secret"));
        assert!(problem.into_response().headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn every_problem_has_a_name_of_its_own() {
        let mut names: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ProblemKind::ALL.len());
    }

    #[test]
    fn a_chain_names_each_cause_once() {
        assert_eq!(chain(&Away(std::io::Error::other("no such disk"))), "the folder is away: no such disk");
    }
}
