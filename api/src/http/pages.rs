//! Where pages are served.

use axum::extract::{Query, State};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use haldane_analyzer::rollout::{EventFilter, Rollout, RolloutFilter, RolloutId, versions_lately};
use serde::Deserialize;

use super::Doors;
use super::extract::InPath;
use super::rollouts::{find_problem, read_problem, rollout_id};
use crate::error::Problem;
use crate::pages::frame::{POLICY, SCRIPT};
use crate::pages::home::Row;
use crate::pages::{home, report, service};

/// Events on a rollout's page.
const EVENTS_SHOWN: u32 = 200;
/// Rollouts on the start page, live and ended.
const LIVE_SHOWN: usize = 200;
const ENDED_SHOWN: usize = 20;
/// Services on the start page.
const SERVICES_SHOWN: usize = 100;

/// Headers of every page.
fn headers() -> [(HeaderName, &'static str); 5] {
    [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ]
}

/// The start page.
pub(super) async fn home(State(doors): State<Doors>) -> Result<Response, Problem> {
    let filter = RolloutFilter { limit: 500, ..RolloutFilter::default() };
    let page = doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))?;
    let (live, ended): (Vec<Rollout>, Vec<Rollout>) = page.rollouts.into_iter().partition(|rollout| rollout.ended_at.is_none());
    let live = rows(&doors, live.into_iter().take(LIVE_SHOWN)).await?;
    let ended = rows(&doors, ended.into_iter().take(ENDED_SHOWN)).await?;
    let mut services = doors.rollouts.services().await.map_err(|error| read_problem(&error))?;
    services.truncate(SERVICES_SHOWN);
    Ok((headers(), home::html(&live, &ended, &services, doors.rollouts.now())).into_response())
}

async fn rows(doors: &Doors, rollouts: impl Iterator<Item = Rollout>) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    for rollout in rollouts {
        let verdict = doors.rollouts.verdict(&rollout.id).await.map_err(|error| find_problem(&error))?;
        rows.push(Row { rollout, verdict });
    }
    Ok(rows)
}

/// How a rollout's page is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ReportParams {
    /// As a file of its own, which follows nothing.
    #[serde(default)]
    file: bool,
}

/// The page of a rollout under its short address.
pub(super) async fn rollout(
    State(doors): State<Doors>,
    InPath(id): InPath,
    Query(params): Query<ReportParams>,
) -> Result<Response, Problem> {
    report_page(&doors, &rollout_id(&id)?, params.file).await
}

/// The page of a rollout.
pub(super) async fn report_page(doors: &Doors, id: &RolloutId, as_file: bool) -> Result<Response, Problem> {
    let rollout = doors.rollouts.get(id).await.map_err(|error| find_problem(&error))?;
    let verdict = doors.rollouts.verdict(id).await.map_err(|error| find_problem(&error))?;
    let filter = EventFilter { rollout_id: Some(id.clone()), limit: EVENTS_SHOWN, ..EventFilter::default() };
    let events = doors.rollouts.events(&filter).await.map_err(|error| read_problem(&error))?;
    Ok((headers(), report::html(&rollout, &verdict, &events, as_file)).into_response())
}

/// Which service.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceParams {
    /// Where; `default` if left out.
    environment: Option<String>,
}

/// The page of a service.
pub(super) async fn service(
    State(doors): State<Doors>,
    InPath(name): InPath,
    Query(params): Query<ServiceParams>,
) -> Result<Response, Problem> {
    let environment = params.environment.unwrap_or_else(|| "default".to_owned());
    let now = doors.rollouts.now();
    let versions = versions_lately(&doors.engine, (&name, &environment), now).await.map_err(|error| read_problem(&error))?;
    let filter =
        RolloutFilter { service: Some(name.clone()), environment: Some(environment.clone()), limit: 20, ..RolloutFilter::default() };
    let page = doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))?;
    let rollouts = rows(&doors, page.rollouts.into_iter()).await?;
    let html = service::html((&name, &environment), &versions, &rollouts, now);
    Ok((headers(), html).into_response())
}

/// The script of all pages.
pub(super) async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, SCRIPT).into_response()
}
