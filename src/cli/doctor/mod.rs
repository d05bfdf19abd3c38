//! `haldane doctor`: what is wrong with an installation, in words, and what to do. `haldane health`: whether the server can answer, for supervisors.
//!
//! Reads only. Settings are looked at where they are on this machine, everything else is asked of the server.

mod numbers;
mod telemetry;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::client::{Client, ClientError};
use super::target::ServerArgs;
use super::{CliError, Exit, out};
use crate::config::{Config, Flags};
use numbers::Numbers;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Settings file of the server, to be checked too; haldane.toml here, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// Something is lost, or will be.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    /// What was looked at.
    about: &'static str,
    /// What was seen, and what to do about it.
    text: String,
}

impl Finding {
    fn ok(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, text: text.into() }
    }

    fn warning(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Warning, about, text: text.into() }
    }

    fn broken(about: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Broken, about, text: text.into() }
    }
}

/// Looks at everything, prints what it found, and says by the exit code whether something is broken.
pub(crate) async fn doctor(args: DoctorArgs) -> Result<Exit, CliError> {
    let DoctorArgs { config, json, server } = args;
    let client = server.client()?;
    let mut findings = settings(config);
    findings.extend(ask(&client).await);
    if json {
        out::line(&super::pretty(&findings))?;
    } else {
        for finding in &findings {
            let word = match finding.level {
                Level::Ok => "ok     ",
                Level::Warning => "warning",
                Level::Broken => "BROKEN ",
            };
            out::line(&format!("{word}  {}: {}", finding.about, out::plain(&finding.text)))?;
        }
    }
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    Ok(if worst == Level::Broken { Exit::Rollback } else { Exit::Done })
}

/// Whether the server can answer.
pub(crate) async fn health(args: HealthArgs) -> Result<Exit, CliError> {
    let said = args.server.client()?.text(&["readyz"], &[]).await?;
    out::line(said.trim_end())?;
    Ok(Exit::Done)
}

/// The settings on this machine.
fn settings(file: Option<PathBuf>) -> Vec<Finding> {
    let about = "settings";
    if file.is_none() && !std::path::Path::new("haldane.toml").is_file() {
        return Vec::new();
    }
    match Config::load(file.as_deref(), &Flags::default()) {
        Ok(config) if config.tokens.is_empty() && config.api_tls.is_none() => {
            vec![Finding::ok(about, "they are in order; they name no tokens, so whoever reaches the ports may send, read and operate")]
        }
        Ok(config) => vec![Finding::ok(about, format!("they are in order; {} tokens", config.tokens.len()))],
        Err(wrong) => wrong.mistakes.into_iter().map(|mistake| Finding::broken(about, mistake)).collect(),
    }
}

/// What the server says, as far as it says anything.
async fn ask(client: &Client) -> Vec<Finding> {
    if let Err(error) = client.text(&["healthz"], &[]).await {
        return vec![Finding::broken("server", told(&error))];
    }
    let mut findings = vec![match client.text(&["readyz"], &[]).await {
        Ok(_) => Finding::ok("server", "it answers"),
        Err(error) => Finding::broken("server", told(&error)),
    }];
    match client.text(&["metrics"], &[]).await {
        Ok(text) => findings.extend(numbers::look(&Numbers::parse(&text))),
        Err(error) => {
            findings.push(Finding::broken("server", format!("its metrics cannot be read: {}", told(&error))));
            return findings;
        }
    }
    findings.extend(telemetry::look(client).await);
    findings
}

fn told(error: &ClientError) -> String {
    haldane_api::error::chain(error)
}
