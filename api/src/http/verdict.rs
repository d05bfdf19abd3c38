//! The verdict of a rollout: polled, long-polled, or as a report to read.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use haldane_analyzer::rollout::EvidenceError;
use haldane_analyzer::verdict::Verdict;
use serde::Deserialize;
use utoipa::IntoParams;

use super::described::Span;
use super::events::sequence;
use super::extract::{InPath, Params};
use super::rollouts::{find_problem, rollout_id};
use super::wait::parse_span;
use super::{Doors, story};
use crate::error::{Problem, ProblemKind, chain};

/// The longest that a request waits. Longer waits are cut to this: proxies give up not much later.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest that a report waits for what telemetry says beside the verdict.
const STORY_WITHIN: Duration = Duration::from_secs(15);

/// How to wait for a verdict.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerdictParams {
    /// Wait so long for another verdict, such as `30s` or `1m`; at most `60s`. Without it the answer comes at once.
    #[param(example = "30s", value_type = Option<Span>, inline)]
    wait: Option<String>,
    /// The sequence number of the verdict that you have; that of `If-None-Match` if left out, else that of the present verdict.
    after: Option<u64>,
}

/// The present verdict; with `wait`, the next one.
///
/// With `wait` the answer comes as soon as the verdict's sequence is another than `after`, or is final, or the time is over.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/verdict", tag = "verdicts", operation_id = "getVerdict",
    params(
        ("id" = String, Path, description = "The rollout"), VerdictParams,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the verdict that you have")
    ),
    responses(
        (status = 200, description = "The verdict, whatever it says", body = Verdict, headers(
            ("ETag" = String, description = "Its sequence number"),
            ("Retry-After" = u64, description = "When to ask again, in seconds; absent once it is final"),
        )),
        (status = 304, description = "Still the verdict of If-None-Match"),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no rollout of this id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn verdict(
    State(doors): State<Doors>,
    InPath(id): InPath,
    Params(params): Params<VerdictParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = rollout_id(&id)?;
    let wait = match params.wait.as_deref().map(parse_span) {
        Some(Ok(span)) => span.min(WAIT_MAX),
        Some(Err(error)) => return Err(Problem::invalid(format!("wait: {error}"))),
        None => Duration::ZERO,
    };
    let known = known_sequences(&headers);
    let mut verdict = doors.rollouts.verdict(&id).await.map_err(|error| find_problem(&error))?;
    let after = sequence("after", params.after)?.or_else(|| known.iter().copied().max()).unwrap_or(verdict.sequence);
    if !wait.is_zero() && !verdict.is_final && verdict.sequence == after {
        // A server that stops answers those who wait at once, so that they come back to the next one.
        tokio::select! {
            next = doors.rollouts.wait(&id, after, wait) => verdict = next.map_err(|error| find_problem(&error))?,
            () = doors.stop.cancelled() => {}
        }
    }
    Ok(answer(&verdict, &known))
}

/// What the present verdict rests on: counts, policy and the verdict itself, as one Parquet file.
///
/// `haldane judge replay FILE` computes the verdict again from it, without a server. The file of a verdict that is not final is kept in memory only.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/evidence", tag = "verdicts", operation_id = "getEvidence",
    params(("id" = String, Path, description = "The rollout")),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/vnd.apache.parquet"),
        (status = 404, description = "There is no rollout of this id, or no evidence is kept of it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn evidence(State(doors): State<Doors>, InPath(id): InPath) -> Result<Response, Problem> {
    let id = rollout_id(&id)?;
    let missing =
        |why: &str| Problem::new(StatusCode::NOT_FOUND, ProblemKind::NoEvidence, format!("no evidence is kept of rollout {id}: {why}"));
    let file = doors.rollouts.evidence(&id).await.map_err(|error| match &error {
        EvidenceError::Find(error) => find_problem(error),
        EvidenceError::File(error) => missing(&chain(error)),
        EvidenceError::Panicked(_) => Problem::from_error(&error, ProblemKind::Internal),
    })?;
    let file = file.ok_or_else(|| missing("it has had no verdict since the server started, or ended long ago"))?;
    let name = format!("attachment; filename=\"{id}.evidence.parquet\"");
    Ok(([(header::CONTENT_TYPE, "application/vnd.apache.parquet"), (header::CONTENT_DISPOSITION, name.as_str())], file).into_response())
}

/// What a person reads: the decision, the checks and the culprits, in Markdown; once it is decided, also who met it, what differs and what to do.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/report.md", tag = "verdicts", operation_id = "getReport",
    params(("id" = String, Path, description = "The rollout")),
    responses(
        (status = 200, description = "The report", body = String, content_type = "text/markdown"),
        (status = 404, description = "There is no rollout of this id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn report(State(doors): State<Doors>, InPath(id): InPath) -> Result<Response, Problem> {
    let id = rollout_id(&id)?;
    let rollout = doors.rollouts.get(&id).await.map_err(|error| find_problem(&error))?;
    let verdict = doors.rollouts.verdict(&id).await.map_err(|error| find_problem(&error))?;
    let story = story::told(&doors, &rollout, &verdict, STORY_WITHIN).await;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], crate::report::markdown(&verdict, story.as_ref())).into_response())
}

/// The page that a person opens: the decision, how much worse what is, where, and what happened.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/report", tag = "verdicts", operation_id = "getReportPage",
    params(("id" = String, Path, description = "The rollout")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 404, description = "There is no rollout of this id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn page(State(doors): State<Doors>, InPath(id): InPath) -> Result<Response, Problem> {
    super::pages::report_page(doors, &rollout_id(&id)?).await
}

fn answer(verdict: &Verdict, known: &[u64]) -> Response {
    let mut response =
        if known.contains(&verdict.sequence) { StatusCode::NOT_MODIFIED.into_response() } else { Json(verdict).into_response() };
    let headers = response.headers_mut();
    let etag = format!("\"{}\"", verdict.sequence);
    headers.insert(header::ETAG, HeaderValue::from_str(&etag).expect("digits between quotes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if !verdict.is_final {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(verdict.poll_after_seconds.max(1)));
    }
    response
}

/// The sequence numbers in `If-None-Match`, whose tags are such numbers in quotes, weak or not. Other tags match nothing.
fn known_sequences(headers: &HeaderMap) -> Vec<u64> {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let tags = values.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    tags.filter_map(|tag| tag.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_whatever_their_form() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"7\", \"9\", \"other\", *"));
        assert_eq!(known_sequences(&headers), [7, 9]);
        assert!(known_sequences(&HeaderMap::new()).is_empty());
    }
}
