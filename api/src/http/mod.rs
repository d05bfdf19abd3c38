//! REST: the routes, and what holds for all of them.
//!
//! Always holds: an answer of 400 and above is a problem document; a request takes at most [`REQUEST_TIME_MAX`] and 1 MiB of body;
//! a panic in a handler costs one request. Writing telemetry is not here: it has ports of its own.

mod access;
mod analyses;
mod deployments;
mod described;
mod events;
mod exhibits;
mod extract;
mod health;
mod integrations;
mod jaeger;
mod markers;
mod notifications;
mod pages;
mod plans;
mod policies;
mod problems;
mod query;
mod rollouts;
mod services;
mod story;
mod tls;
mod tokens;
mod verdict;
mod wait;

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use haldane_analyzer::query::Engine;
use haldane_analyzer::rollout::{RolloutId, Rollouts};
use haldane_store::access::AccessList;
use haldane_store::tls::Tls;
use haldane_store::{Ledger, UnixNanos};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use analyses::AnalysisBody;
pub use deployments::{DeploymentBody, DeploymentListBody};
pub use events::{EVENTS_MAX, EventBody, EventListBody, OrderWord};
pub use health::Readiness;
pub use integrations::argo::ArgoBody;
pub use integrations::flagger::{FlaggerBody, GateBody};
use integrations::{Foreign, argo, flagger, kayenta, prometheus};
pub use markers::{MarkerBody, MarkerWord};
pub use notifications::{
    NotificationBody, NotificationListBody, NotificationState, ReceiverBody, ReceiverListBody, RetriedBody, TestedBody,
};
pub use plans::{FaultBody, FaultWord, PlanBody, PlanRequestBody, TriedBody};
pub use policies::{PolicyBody, PolicyListBody, policy_schema};
pub use query::{ColumnBody, QueryBody, ROWS_DEFAULT, ROWS_MAX, RowsBody, TRUNCATED};
pub use rollouts::{
    AdvanceBody, ApprovalBody, DecisionBody, LinksBody, OriginWord, RolloutBody, RolloutListBody, StageBody, StartRolloutBody, StateWord,
    StrategyWord,
};
pub use services::{ServiceBody, ServiceListBody, VersionBody};
pub use story::{AttributeBody, DifferencesBody, ImpactBody, NewErrorBody, NewMessageBody, StoryBody};
pub use tokens::{MadeTokenBody, NewTokenBody, ScopeWord, TokenBody, TokenListBody};
pub use verdict::WAIT_MAX;
pub use wait::{SpanError, parse_span, show_span};

use crate::error::{PROBLEM_JSON, Problem, ProblemKind};
use crate::metrics::Metrics;
use crate::notify::Notifications;
use tls::TlsListener;

/// Largest body.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest that a request may take: a long poll and some more.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(90);
/// Longest that requests under way are waited for when the server stops: a query and some more.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(35);

/// What the HTTP surface stands on.
#[derive(Debug, Clone)]
pub struct Api {
    /// The rollouts and their verdicts.
    pub rollouts: Rollouts,
    /// SQL over the tables.
    pub engine: Engine,
    /// Whether requests can be answered.
    pub ready: watch::Receiver<Readiness>,
    /// What `/metrics` tells.
    pub metrics: Metrics,
    /// Who is told, and what became of it.
    pub notifications: Notifications,
    /// Where people reach this server, for links.
    pub public_url: String,
    /// What other tools keep here.
    pub ledger: Ledger,
    /// Who may ask what.
    pub access: AccessList,
    /// Whether TLS is spoken, and how.
    pub tls: Option<Tls>,
}

/// What a handler gets.
#[derive(Clone)]
struct Doors {
    rollouts: Rollouts,
    engine: Engine,
    ready: watch::Receiver<Readiness>,
    metrics: Metrics,
    notifications: Notifications,
    public_url: String,
    ledger: Ledger,
    access: AccessList,
    stop: CancellationToken,
    /// Who may follow events.
    streams: Arc<Semaphore>,
    /// When tools asked about rollouts last.
    asked: Arc<Mutex<HashMap<RolloutId, UnixNanos>>>,
    /// Before this nobody knows who asked.
    opened_at: UnixNanos,
    /// Held while tokens are made or revoked, so that what is in force is what was written last.
    changing_tokens: Arc<tokio::sync::Mutex<()>>,
}

impl Doors {
    /// A name that nothing else has, ordered by time.
    fn new_id(&self) -> String {
        RolloutId::generate(self.rollouts.now()).to_string()
    }

    /// Where a person reads of a rollout.
    fn report_url(&self, id: &RolloutId) -> String {
        format!("{}/v1/rollouts/{id}/report", self.public_url.trim_end_matches('/'))
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Haldane",
        description = "Judges whether the version you are rolling out is hurting users, from its OpenTelemetry data.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "rollouts", description = "Starting, finding and cancelling rollouts"),
        (name = "verdicts", description = "What to do with a rollout, and why"),
        (name = "data", description = "What came in"),
        (name = "integrations", description = "What tools that deploy ask"),
        (name = "notifications", description = "Who is told, and what became of it"),
        (name = "operation", description = "Running Haldane"),
    )
)]
struct Document;

impl Api {
    /// The routes. Once `stop` is cancelled, long polls answer at once.
    pub fn router(self, stop: CancellationToken) -> Router {
        let Self { rollouts, engine, ready, metrics, notifications, public_url, ledger, access, tls: _ } = self;
        let (routes, document) = described();
        let streams = Arc::new(Semaphore::new(events::STREAMS_MAX));
        let (opened_at, asked, changing_tokens) = (rollouts.now(), Arc::default(), Arc::default());
        let doors = Doors {
            rollouts,
            engine,
            ready,
            metrics,
            notifications,
            public_url,
            ledger,
            access,
            stop,
            streams,
            asked,
            opened_at,
            changing_tokens,
        };
        routes
            .route("/", get(pages::home))
            .route("/rollouts/{id}", get(pages::rollout))
            .route("/services/{name}", get(pages::service))
            .route("/assets/live.js", get(pages::script))
            .route("/api/v1/query", get(prometheus::query).post(prometheus::query))
            .route("/integrations/flagger/api/v1/query", get(prometheus::query).post(prometheus::query))
            .nest("/integrations/kayenta", kayenta::routes())
            .nest("/jaeger", jaeger::routes())
            .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
            .fallback(unknown_path)
            .method_not_allowed_fallback(unknown_method)
            .layer(middleware::from_fn_with_state(doors.clone(), access::check))
            .layer(middleware::from_fn_with_state(doors.clone(), health::once_started))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn(within_time))
            .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(panic.as_ref())))
            .layer(middleware::map_response(as_problem))
            .layer(middleware::from_fn(traced))
            .with_state(doors)
    }

    /// Answers requests until `stop` is cancelled, then finishes those under way; who keeps silent is not waited for.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        let tls = self.tls.clone();
        let router = self.router(stop.clone());
        let serving = async {
            match tls {
                None => axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned()).await,
                Some(tls) => {
                    let follows = tls.clone().follow(stop.clone());
                    let serving =
                        axum::serve(TlsListener::new(listener, tls), router).with_graceful_shutdown(stop.clone().cancelled_owned());
                    tokio::join!(serving.into_future(), follows).0
                }
            }
        };
        let drained_too_long = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN_TIME_MAX).await;
        };
        tokio::select! {
            ended = serving => ended,
            () = drained_too_long => {
                tracing::warn!("some connections were cut: they had not ended {} s after the stop", DRAIN_TIME_MAX.as_secs());
                Ok(())
            }
        }
    }
}

/// The OpenAPI document, pretty-printed.
pub fn openapi_json() -> String {
    described().1.to_pretty_json().unwrap_or_default()
}

fn described() -> (Router<Doors>, utoipa::openapi::OpenApi) {
    let (routes, mut document) = routes().split_for_parts();
    access::describe(&mut document);
    (routes, document)
}

fn routes() -> OpenApiRouter<Doors> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(rollouts::start, rollouts::list))
        .routes(routes!(rollouts::show, rollouts::cancel))
        .routes(routes!(rollouts::promote))
        .routes(routes!(rollouts::roll_back))
        .routes(routes!(rollouts::approve))
        .routes(routes!(rollouts::advance))
        .routes(routes!(verdict::verdict))
        .routes(routes!(verdict::report))
        .routes(routes!(verdict::page))
        .routes(routes!(story::story))
        .routes(routes!(verdict::evidence))
        .routes(routes!(events::stream_rollout))
        .routes(routes!(events::stream_all))
        .routes(routes!(events::audit))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::retry_all))
        .routes(routes!(notifications::retry))
        .routes(routes!(notifications::receivers))
        .routes(routes!(notifications::test))
        .routes(routes!(argo::post, argo::get))
        .routes(routes!(flagger::gate))
        .routes(routes!(policies::list))
        .routes(routes!(deployments::metrics))
        .routes(routes!(markers::record))
        .routes(routes!(markers::cdevent))
        .routes(routes!(plans::plan))
        .routes(routes!(analyses::analyse))
        .routes(routes!(services::list))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(query::query))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(problems::explain))
}

async fn unknown_path(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, ProblemKind::UnknownPath, format!("there is nothing at {path}: see /docs for the paths that exist"))
}

async fn unknown_method(request: Request) -> Problem {
    let detail = format!("{} is not allowed here: the Allow header and /docs name what is", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, ProblemKind::MethodNotAllowed, detail)
}

/// A span for each request, where the server tells of itself.
async fn traced(request: Request, next: Next) -> Response {
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    let span = tracing::debug_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method.as_str(),
        http.route = route,
        http.response.status_code = tracing::field::Empty
    );
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

async fn within_time(request: Request, next: Next) -> Response {
    let seconds = REQUEST_TIME_MAX.as_secs();
    let late = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, ProblemKind::TimedOut, format!("not done after {seconds} s: ask for less"));
    tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await.unwrap_or_else(|_| late().into_response())
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("of an unknown kind"), "a handler panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemKind::Internal, "the server made a mistake: its log has the details")
        .into_response()
}

/// Gives errors that come from libraries the form of all others.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    let is_foreign = response.extensions().get::<Foreign>().is_some();
    if is_problem || is_foreign || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let kind = match status {
        StatusCode::NOT_FOUND => ProblemKind::UnknownPath,
        StatusCode::METHOD_NOT_ALLOWED => ProblemKind::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedMediaType,
        _ if status.is_client_error() => ProblemKind::InvalidRequest,
        _ => ProblemKind::Internal,
    };
    Problem::new(status, kind, status.canonical_reason().unwrap_or("the request failed").to_lowercase()).into_response()
}

#[cfg(test)]
mod tests;
