//! The one place that knows the codes of a refusal.
//!
//! A sender of OTLP tries again on `UNAVAILABLE` and on 503, and drops the data on `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED` (without RetryInfo) and
//! all other 4xx. So overload is `UNAVAILABLE` and 503, never `RESOURCE_EXHAUSTED`.

use axum::http::StatusCode;
use haldane_store::fault::chain;
use haldane_store::{Classified, Fault};
use tonic::Code;

use super::body::BodyError;
use super::messages::BadRequest;
use super::shortened;
use crate::intake::AcceptError;
use crate::stats::Reason;

/// A refusal as both protocols can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) grpc: Code,
    pub(super) http: StatusCode,
    pub(super) message: String,
    /// Whether trying again later is useful.
    pub(super) retry: bool,
    pub(super) reason: Reason,
}

/// Codes by whose fault it is.
pub(super) fn codes(fault: Fault) -> (Code, StatusCode) {
    match fault {
        Fault::Invalid => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
        Fault::Missing => (Code::Unimplemented, StatusCode::NOT_FOUND),
        Fault::Conflict => (Code::FailedPrecondition, StatusCode::CONFLICT),
        Fault::Busy | Fault::Unavailable => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        Fault::Bug => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl Refused {
    fn by(fault: Fault, message: String) -> Self {
        let (grpc, http) = codes(fault);
        let reason = match fault {
            Fault::Invalid | Fault::Conflict => Reason::Invalid,
            Fault::Missing => Reason::Unsupported,
            Fault::Busy => Reason::Overloaded,
            Fault::Unavailable => Reason::Unavailable,
            Fault::Bug => Reason::Internal,
        };
        let retry = matches!(fault, Fault::Busy | Fault::Unavailable);
        Self { grpc, http, message: shortened(message), retry, reason }
    }

    /// A request whose form is not taken here.
    pub(super) fn form(grpc: Code, http: StatusCode, message: impl Into<String>) -> Self {
        Self { grpc, http, message: shortened(message.into()), retry: false, reason: Reason::Unsupported }
    }

    /// A request without a token that lets it in.
    pub(super) fn unauthenticated() -> Self {
        let message = "this server takes telemetry with a token only: send `authorization: Bearer TOKEN` with one that it knows";
        let reason = Reason::Unauthenticated;
        Self { reason, ..Self::form(Code::Unauthenticated, StatusCode::UNAUTHORIZED, message) }
    }

    /// A request with a token that is known, and not for this.
    pub(super) fn forbidden() -> Self {
        let message = "this token does not let its holder send telemetry: show one with the scope `ingest`";
        Self { reason: Reason::Forbidden, ..Self::form(Code::PermissionDenied, StatusCode::FORBIDDEN, message) }
    }

    /// What is wrong with the request, where its content is.
    pub(super) fn violation(&self) -> Option<BadRequest> {
        (self.reason == Reason::Invalid).then(|| BadRequest::of("body", &self.message))
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        let message = chain(&error);
        match error {
            BodyError::TooLarge { .. } => {
                Self { reason: Reason::TooLarge, ..Self::form(Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, message) }
            }
            BodyError::Slow { .. } => {
                // The line was slow, not the request wrong: senders drop what a 408 answers.
                Self { reason: Reason::Slow, ..Self::by(Fault::Busy, message) }
            }
            BodyError::Corrupt { .. } | BodyError::Cut(_) | BodyError::Frame(_) => Self::by(Fault::Invalid, message),
            BodyError::Overloaded(_) => Self::by(Fault::Busy, message),
        }
    }
}

impl From<AcceptError> for Refused {
    fn from(error: AcceptError) -> Self {
        // Why the disk fails is for our own log, not for senders.
        Self::by(error.fault(), error.to_string())
    }
}
