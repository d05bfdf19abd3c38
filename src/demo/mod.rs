//! `haldane demo`: the real server, a shop that sends it real OTLP, and releases of the shop's payment service that are good or bad.
//!
//! The demo is a client like any other: it talks OTLP to the collector and REST to the API. Time is compressed by a clock that moves as
//! telemetry is delivered, so that the verdicts do not depend on how fast the machine is.

mod clock;
mod deploy;
mod expectation;
mod play;
mod scenario;
mod screen;
mod server;
mod shop;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use haldane_store::{Classified, Clock, Fault};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use scenario::{ScenarioName, UnknownScenario};

use clock::TrafficClock;
use deploy::DeployTool;
use play::{PlayError, Played, Stage};
use scenario::Scenario;
use screen::Screen;
use server::{Folder, Server, ServerError};

/// How many times as fast as usual time passes, where the machine keeps up.
const SPEED: u32 = 60;
/// The clock starts this much earlier than the scenarios need.
const SPARE: Duration = Duration::from_secs(600);

/// What the demo is asked to do.
#[derive(Debug, Clone)]
pub struct DemoArgs {
    /// End after the verdicts instead of serving on.
    pub once: bool,
    /// What to play; all scenarios if empty.
    pub scenarios: Vec<ScenarioName>,
    /// The same seed makes the same requests.
    pub seed: u64,
    /// How many times as fast as usual time passes at most.
    pub speed: Option<u32>,
    /// Where the tables go, and stay; else to a temporary folder.
    pub data: Option<PathBuf>,
}

/// How the demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoOutcome {
    /// Every scenario got the verdict that it should.
    AllRight,
    /// So many did not.
    Wrong {
        /// How many.
        scenarios: usize,
    },
    /// Ctrl-C came before the last verdict.
    Interrupted,
}

/// Why the demo could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The server did not start, or ended.
    #[error("the demo's server failed")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A scenario could not be played to its end.
    #[error("the scenario {scenario} could not be played")]
    Play {
        /// Which.
        scenario: ScenarioName,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Classified for DemoError {
    fn fault(&self) -> Fault {
        match self {
            Self::Server(_) | Self::Play { .. } => Fault::Unavailable,
        }
    }
}

/// Runs the demo. Needs a Tokio runtime of several threads.
///
/// # Errors
/// When the server or a scenario cannot run. A wrong verdict is no error but an outcome.
pub async fn run(args: DemoArgs) -> Result<DemoOutcome, DemoError> {
    let names = if args.scenarios.is_empty() { ScenarioName::ALL.to_vec() } else { args.scenarios.clone() };
    let scenarios: Vec<Scenario> = names.into_iter().map(Scenario::of).collect();
    let speed = args.speed.unwrap_or(SPEED).max(1);
    let stop = stop_on_signal();
    let longest = scenarios.iter().map(Scenario::longest).sum::<Duration>() + SPARE;
    let clock = Arc::new(TrafficClock::new(longest, speed));
    let folder = Folder::open(args.data.as_deref(), clock.now().as_nanos()).map_err(server_error)?;
    let server = Server::start(&folder.path, clock.clone()).await.map_err(server_error)?;
    let tool = DeployTool::new(&server.api).map_err(|source| DemoError::Server(Box::new(source)))?;
    let stage = Stage { grpc: server.grpc.clone(), tool, clock: clock.clone(), speed, seed: args.seed, stop: stop.clone() };
    let mut screen = Screen::open();
    screen.lines(&introduction(&server, &args, speed));
    let played = play_all(&stage, scenarios, &mut screen).await;
    clock.release();
    let outcome = played.map(|played| {
        screen.summary(&played);
        if stop.is_cancelled() {
            return DemoOutcome::Interrupted;
        }
        match played.iter().filter(|one| !one.faults.is_empty()).count() {
            0 => DemoOutcome::AllRight,
            scenarios => DemoOutcome::Wrong { scenarios },
        }
    });
    if outcome.is_ok() && !args.once && !stop.is_cancelled() {
        screen.lines(&what_next(&server));
        stop.cancelled().await;
    }
    let stopped = server.stop().await.map_err(server_error);
    let outcome = outcome?;
    stopped?;
    Ok(outcome)
}

async fn play_all(stage: &Stage, scenarios: Vec<Scenario>, screen: &mut Screen) -> Result<Vec<Played>, DemoError> {
    let mut played = Vec::new();
    for scenario in scenarios {
        let name = scenario.name;
        let failed = |source: PlayError| DemoError::Play { scenario: name, source: Box::new(source) };
        match play::play(stage, scenario, screen).await.map_err(failed)? {
            Some(one) => {
                screen.ended(&one);
                played.push(one);
            }
            None => break,
        }
    }
    Ok(played)
}

/// A token that Ctrl-C or a request to terminate cancels.
fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = wait_for(SignalKind::interrupt()) => {}
            () = wait_for(SignalKind::terminate()) => {}
        }
        cancelled.cancel();
    });
    stop
}

async fn wait_for(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        // Without a handler the signal ends the process as it always does.
        Err(_) => std::future::pending().await,
    }
}

fn introduction(server: &Server, args: &DemoArgs, speed: u32) -> Vec<String> {
    vec![
        format!("haldane demo: a shop of four services sends OTLP to {} (gRPC) and asks {} for verdicts", server.grpc, server.api),
        format!("time runs up to {speed} times as fast as usual; seed {}", args.seed),
    ]
}

fn what_next(server: &Server) -> Vec<String> {
    let (grpc, http, api) = (&server.grpc, &server.http, &server.api);
    vec![
        String::new(),
        "Still serving, until Ctrl-C:".to_owned(),
        format!("  OTLP    {grpc} (gRPC), {http} (HTTP)"),
        format!("  API     {api}/v1/rollouts, described at {api}/docs"),
        "Try:".to_owned(),
        format!("  haldane query --url {api} \"SELECT service_name, service_version, count(*) FROM spans GROUP BY 1, 2 ORDER BY 1, 2\""),
        format!("  haldane query --url {api} \"SELECT error_type, message, sum(count) FROM errors GROUP BY 1, 2 ORDER BY 3 DESC\""),
        format!("  curl {api}/v1/rollouts"),
        format!("  OTEL_EXPORTER_OTLP_ENDPOINT={http} OTEL_SERVICE_NAME=mine, with any service that has an OpenTelemetry SDK"),
    ]
}

fn server_error(source: ServerError) -> DemoError {
    DemoError::Server(Box::new(source))
}
