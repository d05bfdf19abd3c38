//! `haldane audit`: what happened, who did it, and whether the trail is whole.

use clap::{Args, Subcommand};
use haldane_api::http::{EVENTS_MAX, EventBody};
use haldane_store::ledger::trail;

use super::client::{Client, EventQuery};
use super::target::ServerArgs;
use super::{CliError, Exit, out};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what happened, the newest first
    #[command(after_help = "Example:\n  haldane audit list --service payment --limit 50")]
    List(ListArgs),
    /// Check that no entry of the trail was removed or altered
    #[command(after_help = "Example:
  haldane audit verify --expect 812:9f2c…

Entries cut off at the end leave a whole chain: keep the last line of a check elsewhere, and give it to the next one with --expect.")]
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this rollout.
    #[arg(long, value_name = "ROLLOUT")]
    rollout: Option<String>,
    /// Only of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only in this environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only of this kind, such as rollout.rolled_back.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// An entry that has to be in the trail, as an earlier check printed it.
    #[arg(long, value_name = "NUMBER:HASH", value_parser = place)]
    expect: Option<(u64, String)>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(command: AuditCommand) -> Result<Exit, CliError> {
    match command {
        AuditCommand::List(args) => list(args).await,
        AuditCommand::Verify(args) => verify(&args.server.client()?, args.expect).await,
    }
}

async fn list(args: ListArgs) -> Result<Exit, CliError> {
    let ListArgs { rollout, service, environment, kind, limit, json, server } = args;
    let query = EventQuery { rollout, service, environment, kind, limit, ..EventQuery::default() };
    let page = server.client()?.audit(&query).await?;
    if json {
        out::line(&super::pretty(&page.events))?;
    } else if page.events.is_empty() {
        out::note("haldane: nothing has happened yet that matches");
    } else {
        let lines: Vec<String> = page.events.iter().map(line).collect();
        out::line(&lines.join("\n"))?;
    }
    Ok(Exit::Done)
}

fn line(event: &EventBody) -> String {
    let details = event.known_details();
    let told = [&details.reason, &details.receiver].into_iter().find(|text| !text.is_empty()).cloned().unwrap_or_default();
    let rollout = event.rollout_id.as_deref().unwrap_or("–");
    let line = format!("{}  {}  {:<22} {:<16} {} {rollout} {told}", event.sequence, event.at, event.kind, event.actor, event.service);
    out::plain(line.trim_end())
}

/// Reads the whole trail from its beginning and computes every hash again.
async fn verify(client: &Client, expect: Option<(u64, String)>) -> Result<Exit, CliError> {
    let mut last = trail::beginning();
    let mut met = expect.is_none();
    loop {
        let cursor = Some(last.0).filter(|sequence| *sequence > 0);
        let page = client.audit(&EventQuery { oldest_first: true, cursor, limit: EVENTS_MAX, ..EventQuery::default() }).await?;
        let unreadable = |body: &EventBody| CliError::Broken(format!("the time of entry {} of the trail cannot be read", body.sequence));
        let rows = page.events.iter().map(|body| body.to_row().ok_or_else(|| unreadable(body))).collect::<Result<Vec<_>, _>>()?;
        last = trail::verify(&rows, last).map_err(|error| CliError::Broken(error.to_string()))?;
        met |= expect.as_ref().is_some_and(|(sequence, hash)| rows.iter().any(|row| row.sequence == *sequence && row.hash == *hash));
        if page.next.is_none() {
            break;
        }
    }
    if let Some((sequence, hash)) = expect.filter(|_| !met) {
        return Err(CliError::Broken(format!("the trail has no entry {sequence} with the hash {hash}: it was cut off, or written anew")));
    }
    match last {
        (0, _) => out::note("haldane: the trail is empty"),
        (sequence, hash) => {
            out::note(&format!("haldane: all {sequence} entries are as they were written; the last one is"));
            out::line(&format!("{sequence}:{hash}"))?;
        }
    }
    Ok(Exit::Done)
}

fn place(text: &str) -> Result<(u64, String), String> {
    let parts = text.split_once(':').and_then(|(sequence, hash)| Some((sequence.parse().ok()?, hash.to_owned())));
    parts.filter(|(_, hash)| hash.len() == 64).ok_or_else(|| "give what an earlier check printed: NUMBER:HASH".to_owned())
}
