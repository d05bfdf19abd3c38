//! Where pages are served. What goes wrong is a page, too, that says what to do.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::ready;
use futures::stream;
use futures::{FutureExt as _, StreamExt as _};
use haldane_analyzer::rollout::{Rollout, RolloutFilter, RolloutId, RolloutPage, RolloutState, minutes_lately, versions_lately};
use serde::Deserialize;

use super::Doors;
use super::exhibits;
use super::extract::InPath;
use super::integrations::foreign;
use super::rollouts::{find_problem, read_problem, rollout_id};
use crate::error::Problem;
use crate::pages::frame::{CLOSING, POLICY, SCRIPT, problem, trouble};
use crate::pages::home::{Live, Rest, Row};
use crate::pages::report::Subject;
use crate::pages::service::{DRAWN, Service};
use crate::pages::{home, service};

/// Rollouts on the start page, live and ended.
const LIVE_SHOWN: usize = 200;
const ENDED_SHOWN: usize = 20;
/// Among so many of the newest rollouts those that ended are looked for.
const ENDED_SOUGHT: u32 = 200;
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

/// A page, or what went wrong as one.
fn told(page: Result<String, Problem>) -> Response {
    match page {
        Ok(html) => (headers(), html).into_response(),
        Err(wrong) => {
            let status = StatusCode::from_u16(wrong.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            foreign((status, headers(), problem(&wrong)).into_response())
        }
    }
}

/// A page whose beginning is known, and then what has to be read first. What goes wrong there stands in its place.
fn in_parts(opening: String, rest: impl Future<Output = Result<String, Problem>> + Send + 'static) -> Response {
    let rest = rest.map(|rest| rest.unwrap_or_else(|wrong| trouble(&wrong) + CLOSING));
    let parts = stream::once(ready(opening)).chain(stream::once(rest)).map(Ok::<String, Infallible>);
    (headers(), Body::from_stream(parts)).into_response()
}

/// The start page.
pub(super) async fn home(State(doors): State<Doors>) -> Response {
    match live(&doors).await {
        Ok(live) => in_parts(home::opening(&live, doors.rollouts.now()), home_rest(doors, live.rows.is_empty())),
        Err(wrong) => told(Err(wrong)),
    }
}

async fn live(doors: &Doors) -> Result<Live, Problem> {
    let mut live: Vec<Rollout> = Vec::new();
    let mut more = false;
    for state in [RolloutState::Running, RolloutState::Pending] {
        let page = list(doors, Some(state), u32::try_from(LIVE_SHOWN).unwrap_or(u32::MAX)).await?;
        more |= page.next.is_some();
        live.extend(page.rollouts);
    }
    live.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.as_str().cmp(a.id.as_str())));
    more |= live.len() > LIVE_SHOWN;
    Ok(Live { rows: rows(doors, live.into_iter().take(LIVE_SHOWN)).await?, more })
}

async fn home_rest(doors: Doors, nothing_live: bool) -> Result<String, Problem> {
    let newest = list(&doors, None, ENDED_SOUGHT).await?.rollouts;
    let mut ended: Vec<Rollout> = newest.into_iter().filter(|rollout| rollout.ended_at.is_some()).collect();
    ended.sort_by_key(|rollout| std::cmp::Reverse(rollout.ended_at));
    let ended = rows(&doors, ended.into_iter().take(ENDED_SHOWN)).await?;
    let services = doors.rollouts.services().await.map_err(|error| read_problem(&error))?;
    let shown = &services[..services.len().min(SERVICES_SHOWN)];
    let (services_left_out, now) = (services.len() - shown.len(), doors.rollouts.now());
    Ok(home::rest(&Rest { nothing_live, ended: &ended, services: shown, services_left_out, now }))
}

async fn list(doors: &Doors, state: Option<RolloutState>, limit: u32) -> Result<RolloutPage, Problem> {
    let filter = RolloutFilter { state, limit, ..RolloutFilter::default() };
    doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))
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
    /// With this trace of the canary.
    trace: Option<String>,
}

/// The page of a rollout under its short address.
pub(super) async fn rollout(State(doors): State<Doors>, InPath(id): InPath, Query(params): Query<ReportParams>) -> Response {
    let found = async { exhibits::subject(&doors, &rollout_id(&id)?, params.file).await };
    match found.await {
        Ok(subject) => report(doors, subject, params.trace),
        Err(wrong) => told(Err(wrong)),
    }
}

/// The page of a rollout; what goes wrong is a problem document.
pub(super) async fn report_page(doors: Doors, id: &RolloutId) -> Result<Response, Problem> {
    let subject = exhibits::subject(&doors, id, false).await?;
    Ok(report(doors, subject, None))
}

/// What the verdict says at once, then what has to be read first.
fn report(doors: Doors, subject: Subject, trace: Option<String>) -> Response {
    in_parts(subject.opening(), async move {
        let details = exhibits::details(&doors, &subject, trace.as_deref()).await;
        Ok(subject.rest(&details))
    })
}

/// Which service.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceParams {
    /// Where; `default` if left out.
    environment: Option<String>,
}

/// The page of a service.
pub(super) async fn service(State(doors): State<Doors>, InPath(name): InPath, Query(params): Query<ServiceParams>) -> Response {
    let environment = params.environment.unwrap_or_else(|| "default".to_owned());
    in_parts(service::opening(&name, &environment), async move { service_rest(&doors, &name, &environment).await })
}

async fn service_rest(doors: &Doors, name: &str, environment: &str) -> Result<String, Problem> {
    let now = doors.rollouts.now();
    let versions = versions_lately(&doors.engine, (name, environment), now).await.map_err(|error| read_problem(&error))?;
    let drawn: Vec<String> = versions.iter().take(DRAWN).map(|version| version.version.clone()).collect();
    let minutes = minutes_lately(&doors.engine, (name, environment), &drawn, now).await.map_err(|error| read_problem(&error))?;
    let filter =
        RolloutFilter { service: Some(name.to_owned()), environment: Some(environment.to_owned()), limit: 20, ..RolloutFilter::default() };
    let page = doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))?;
    let rollouts = rows(doors, page.rollouts.into_iter()).await?;
    Ok(service::rest(&Service { versions: &versions, minutes: &minutes, rollouts: &rollouts, now }))
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
