//! Whether the process lives, whether it can answer, and what it counts.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Doors;
use crate::error::{Problem, ProblemKind};
use crate::metrics;

/// Whether requests can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// They can.
    Ready,
    /// Not yet: what would be read is not whole.
    Starting {
        /// What is done first.
        because: String,
    },
    /// Not at the moment.
    NotReady {
        /// Why, in a few words, such as `replaying the log`.
        because: String,
    },
}

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "getHealth",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether requests can be answered.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "getReadiness",
    responses(
        (status = 200, description = "They can", body = String, content_type = "text/plain"),
        (status = 503, description = "Not at the moment: the detail says why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(State(doors): State<Doors>) -> Result<&'static str, Problem> {
    let not_ready =
        |because: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, ProblemKind::Unavailable, format!("not ready: {because}"));
    if doors.stop.is_cancelled() {
        return Err(not_ready("stopping"));
    }
    match &*doors.ready.borrow() {
        Readiness::Ready => Ok("ready\n"),
        Readiness::Starting { because } | Readiness::NotReady { because } => Err(not_ready(because)),
    }
}

/// Lets nobody read tables that are not whole yet; whether the process lives and is ready may be asked at any time.
pub(super) async fn once_started(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let asks_for_health = ["/healthz", "/readyz"].contains(&request.uri().path());
    let starting = match &*doors.ready.borrow() {
        Readiness::Starting { because } if !asks_for_health => Some(format!("the server is starting: {because}; try again in a second")),
        Readiness::Starting { .. } | Readiness::Ready | Readiness::NotReady { .. } => None,
    };
    match starting {
        Some(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, ProblemKind::Unavailable, why).into_response(),
        None => next.run(request).await,
    }
}

/// What the process counts, in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "getMetrics",
    responses((status = 200, description = "All metrics", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(doors): State<Doors>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, metrics::TEXT)], doors.metrics.text())
}
