//! `haldane notify`: who was told what, trying again, and tests.

use clap::{Args, Subcommand};

use super::target::ServerArgs;
use super::{CliError, Exit, out};

#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// List what was told to whom, the newest first
    #[command(after_help = "Example:\n  haldane notify list --state dead")]
    List(ListArgs),
    /// Try dead notifications again
    #[command(
        override_usage = "haldane notify retry [OPTIONS] <NOTIFICATION>\n       haldane notify retry [OPTIONS] --all",
        after_help = "Example:\n  haldane notify retry --all"
    )]
    Retry(RetryArgs),
    /// Send a receiver of the settings a message that says that it is a test
    #[command(after_help = "Example:\n  haldane notify test oncall")]
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only in this state.
    #[arg(long, value_name = "STATE", value_parser = ["due", "repeating", "delivered", "dead"])]
    state: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The notification.
    #[arg(value_name = "NOTIFICATION", required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// All that are dead.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The receiver, as the settings call it.
    #[arg(value_name = "RECEIVER")]
    receiver: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(command: NotifyCommand) -> Result<Exit, CliError> {
    match command {
        NotifyCommand::List(args) => list(args).await,
        NotifyCommand::Retry(args) => {
            let retried = args.server.client()?.retry_notifications(args.id.as_deref()).await?.retried;
            out::line(&format!("{retried} to be tried again"))?;
            Ok(Exit::Done)
        }
        NotifyCommand::Test(args) => {
            let tested = args.server.client()?.test_receiver(&args.receiver).await?;
            match tested.error {
                None => {
                    out::line(&format!("{} took it after {:.2} s", args.receiver, tested.seconds))?;
                    Ok(Exit::Done)
                }
                Some(error) => Err(CliError::Broken(format!("{} did not take it: {error}", args.receiver))),
            }
        }
    }
}

async fn list(args: ListArgs) -> Result<Exit, CliError> {
    let page = args.server.client()?.notifications(args.state.as_deref(), args.limit).await?;
    if args.json {
        out::line(&super::pretty(&page.notifications))?;
    } else if page.notifications.is_empty() {
        out::note("haldane: there are none");
    } else {
        let lines = page.notifications.iter().map(|one| {
            let state = one.state.as_str();
            let error = one.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
            let line = format!(
                "{}  {}  {:<9} {} rollout {}, tries: {}{error}",
                one.id, one.created_at, state, one.receiver, one.rollout_id, one.attempts
            );
            out::plain(&line)
        });
        out::line(&lines.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Exit::Done)
}
