//! Whether the process lives, whether it can answer, and what it counts.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::Doors;
use crate::error::{Problem, ProblemKind};
use crate::metrics;

/// Whether requests can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// They can.
    Ready,
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
        Readiness::NotReady { because } => Err(not_ready(because)),
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
