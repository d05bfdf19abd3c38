//! Where pages are served. What goes wrong is a page, too, that says what to do.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::future::ready;
use futures::stream;
use haldane_analyzer::rollout::{Rollout, RolloutFilter, RolloutId, RolloutState, minutes_lately, versions_lately};
use serde::Deserialize;

use super::Doors;
use super::exhibits;
use super::extract::InPath;
use super::integrations::foreign;
use super::rollouts::{find_problem, read_problem, rollout_id};
use crate::error::Problem;
use crate::pages::frame::{POLICY, SCRIPT, problem};
use crate::pages::home::{Home, Row};
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

/// The start page.
pub(super) async fn home(State(doors): State<Doors>) -> Response {
    told(home_page(&doors).await)
}

async fn home_page(doors: &Doors) -> Result<String, Problem> {
    let list = async |state: Option<RolloutState>, limit: u32| {
        let filter = RolloutFilter { state, limit, ..RolloutFilter::default() };
        doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))
    };
    let mut live: Vec<Rollout> = Vec::new();
    let mut more_live = false;
    for state in [RolloutState::Running, RolloutState::Pending] {
        let page = list(Some(state), u32::try_from(LIVE_SHOWN).unwrap_or(u32::MAX)).await?;
        more_live |= page.next.is_some();
        live.extend(page.rollouts);
    }
    live.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.as_str().cmp(a.id.as_str())));
    more_live |= live.len() > LIVE_SHOWN;
    let newest = list(None, ENDED_SOUGHT).await?.rollouts;
    let mut ended: Vec<Rollout> = newest.into_iter().filter(|rollout| rollout.ended_at.is_some()).collect();
    ended.sort_by_key(|rollout| std::cmp::Reverse(rollout.ended_at));
    let live = rows(doors, live.into_iter().take(LIVE_SHOWN)).await?;
    let ended = rows(doors, ended.into_iter().take(ENDED_SHOWN)).await?;
    let services = doors.rollouts.services().await.map_err(|error| read_problem(&error))?;
    let shown = &services[..services.len().min(SERVICES_SHOWN)];
    let (services_left_out, now) = (services.len() - shown.len(), doors.rollouts.now());
    Ok(home::html(&Home { live: &live, more_live, ended: &ended, services: shown, services_left_out, now }))
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
        Ok(subject) => in_parts(doors, subject, params.trace),
        Err(wrong) => told(Err(wrong)),
    }
}

/// The page of a rollout; what goes wrong is a problem document.
pub(super) async fn report_page(doors: Doors, id: &RolloutId) -> Result<Response, Problem> {
    let subject = exhibits::subject(&doors, id, false).await?;
    Ok(in_parts(doors, subject, None))
}

/// What the verdict says at once, then what has to be read first.
fn in_parts(doors: Doors, subject: Subject, trace: Option<String>) -> Response {
    let opening = subject.opening();
    let rest = async move {
        let details = exhibits::details(&doors, &subject, trace.as_deref()).await;
        subject.rest(&details)
    };
    let parts = stream::once(ready(opening)).chain(stream::once(rest)).map(Ok::<String, Infallible>);
    (headers(), Body::from_stream(parts)).into_response()
}

/// Which service.
#[derive(Debug, Deserialize)]
pub(super) struct ServiceParams {
    /// Where; `default` if left out.
    environment: Option<String>,
}

/// The page of a service.
pub(super) async fn service(State(doors): State<Doors>, InPath(name): InPath, Query(params): Query<ServiceParams>) -> Response {
    told(service_page(&doors, &name, params.environment.as_deref().unwrap_or("default")).await)
}

async fn service_page(doors: &Doors, name: &str, environment: &str) -> Result<String, Problem> {
    let now = doors.rollouts.now();
    let versions = versions_lately(&doors.engine, (name, environment), now).await.map_err(|error| read_problem(&error))?;
    let drawn: Vec<String> = versions.iter().take(DRAWN).map(|version| version.version.clone()).collect();
    let minutes = minutes_lately(&doors.engine, (name, environment), &drawn, now).await.map_err(|error| read_problem(&error))?;
    let filter =
        RolloutFilter { service: Some(name.to_owned()), environment: Some(environment.to_owned()), limit: 20, ..RolloutFilter::default() };
    let page = doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))?;
    let rollouts = rows(doors, page.rollouts.into_iter()).await?;
    Ok(service::html(&Service { name, environment, versions: &versions, minutes: &minutes, rollouts: &rollouts, now }))
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
