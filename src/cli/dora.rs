//! `haldane dora`: figures on deployments.

use std::time::Duration;

use clap::Args;
use haldane_api::http::show_span;

use super::target::ServerArgs;
use super::{CliError, Exit, out};

#[derive(Debug, Args)]
pub(crate) struct DoraArgs {
    /// Only of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only in this environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Over so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: DoraArgs) -> Result<Exit, CliError> {
    let DoraArgs { service, environment, days, json, server } = args;
    let found = server.client()?.deployments(service.as_deref(), environment.as_deref(), days).await?;
    if json {
        out::line(&super::pretty(&found.deployments))?;
        return Ok(Exit::Done);
    }
    if found.deployments.is_empty() {
        out::note(&format!("haldane: no rollout was decided in the last {days} days"));
        return Ok(Exit::Done);
    }
    let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let span = |seconds: Option<f64>| {
        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map_or_else(|| "–".to_owned(), show_span)
    };
    let mut rows =
        vec![["SERVICE", "ENVIRONMENT", "A DAY", "LEAD TIME", "SUCCESS", "FAILED", "DETECTED AFTER", "RECOVERED AFTER"].map(str::to_owned)];
    rows.extend(found.deployments.iter().map(|of| {
        [
            out::plain(&of.service),
            out::plain(&of.environment),
            format!("{:.2}", of.deployment_frequency_per_day),
            span(of.lead_time_seconds),
            share(of.success_rate),
            share(of.change_failure_rate),
            span(of.time_to_detect_seconds),
            span(of.time_to_recover_seconds),
        ]
    }));
    out::line(&super::show::table(&rows).join("\n"))?;
    Ok(Exit::Done)
}
