//! `haldane serve` and `haldane demo`: the commands that run a server in this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use haldane_store::SystemClock;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{CliError, Exit, out};
use crate::app::{App, Doors};
use crate::config::{Config, Flags};
use crate::demo::{self, DemoArgs, DemoOutcome, ScenarioName};
use crate::telemetry;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Settings file [default: haldane.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept: log, tables, ledger [default: haldane-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where OTLP over gRPC is received [default: 127.0.0.1:4317].
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<SocketAddr>,
    /// Where OTLP over HTTP is received [default: 127.0.0.1:4318].
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Where REST is served, with its description at /docs [default: 127.0.0.1:4380].
    #[arg(long, value_name = "ADDRESS")]
    api: Option<SocketAddr>,
    /// Where SQL is served over the PostgreSQL wire, for Grafana and psql [default: 127.0.0.1:5433].
    #[arg(long, value_name = "ADDRESS")]
    sql: Option<SocketAddr>,
    /// Allow addresses that other machines can reach, although nothing asks who calls.
    #[arg(long)]
    allow_remote: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoFlags {
    /// End after the verdicts; exit code 0 only if every scenario got the verdict that it should, else 1.
    #[arg(long)]
    once: bool,
    /// Play only this one; may be given several times.
    #[arg(long = "scenario", value_name = "NAME", value_enum)]
    scenarios: Vec<ScenarioName>,
    /// The same seed makes the same requests.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// How many times as fast as usual time passes at most.
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(1..))]
    speed: Option<u32>,
    /// Keep the data in this folder, to look at it later [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Serves until Ctrl-C or a request to terminate, then makes everything safe.
pub(crate) async fn serve(args: ServeArgs, log: EnvFilter) -> Result<Exit, CliError> {
    let ServeArgs { config, data, grpc, http, api, sql, allow_remote } = args;
    let flags = Flags { data, grpc, http, api, sql, allow_remote: allow_remote.then_some(true) };
    let config = Config::load(config.as_deref(), &flags)
        .map_err(|error| CliError::Usage(format!("wrong in the settings: {}", error.mistakes.join("; "))))?;
    let stop = stop_on_signal()?;
    let (data, own, scheme) = (config.data.clone(), config.telemetry.clone(), if config.api_tls.is_some() { "https" } else { "http" });
    let doors = Doors::open(config).await.map_err(|error| CliError::part(&error))?;
    let addresses = doors.addresses();
    let exporting = telemetry::start(log, &own, addresses.grpc).map_err(|error| CliError::part(&error))?;
    out::note(&format!("haldane: OTLP over gRPC at http://{}, over HTTP at http://{}", addresses.grpc, addresses.http));
    out::note(&format!("haldane: REST at {scheme}://{}, described at {scheme}://{0}/docs; data in {}", addresses.api, data.display()));
    out::note(&format!("haldane: SQL over the PostgreSQL wire at {}", addresses.sql));
    let app = tokio::select! {
        built = App::build(doors, Arc::new(SystemClock)) => built.map_err(|error| CliError::part(&error))?,
        // Nothing was acknowledged yet.
        () = stop.cancelled() => return Ok(Exit::Done),
    };
    exporting.tell(app.metrics());
    let ended = app.run(stop).await.map_err(|error| CliError::part(&error));
    exporting.end().await;
    ended.map(|()| Exit::Done)
}

/// Plays the demo.
pub(crate) async fn demo(flags: DemoFlags) -> Result<Exit, CliError> {
    let DemoFlags { once, scenarios, seed, speed, data } = flags;
    let outcome = demo::run(DemoArgs { once, scenarios, seed, speed, data }).await.map_err(|error| CliError::part(&error))?;
    match outcome {
        DemoOutcome::AllRight => Ok(Exit::Done),
        DemoOutcome::Wrong { .. } => Ok(Exit::Rollback),
        DemoOutcome::Interrupted => Err(CliError::Usage("interrupted before the last verdict".to_owned())),
    }
}

/// A token that Ctrl-C or a request to terminate cancels. A second Ctrl-C ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
    let cancelled = stop.clone();
    // Lives as long as the process: it owns nothing but the signals.
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        out::note("haldane: stopping; what was acknowledged is made safe first (Ctrl-C again ends at once)");
        cancelled.cancel();
        let _ = interrupt.recv().await;
        std::process::exit(i32::from(Exit::Failed.code()));
    });
    Ok(stop)
}
