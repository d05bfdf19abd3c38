//! `haldane verdict` and `haldane gate`: what to do with a rollout, as text and as an exit code.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use haldane_analyzer::verdict::Verdict;
use haldane_api::http::{parse_span, show_span};
use tokio::time::Instant;

use super::client::{Client, ListQuery};
use super::target::{ChangeArgs, ServerArgs};
use super::watch::{persist, watch};
use super::{CliError, Exit, out, show};

#[derive(Debug, Args)]
pub(crate) struct VerdictArgs {
    /// The rollout.
    #[arg(value_name = "ROLLOUT", required_unless_present = "service", conflicts_with = "service")]
    id: Option<String>,
    /// Instead of a rollout: the newest one of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// … in this environment.
    #[arg(long, value_name = "NAME", requires = "service")]
    environment: Option<String>,
    /// Wait so long for a decision, such as 30s or 10m.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_span)]
    wait: Duration,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Wait so long for a decision.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_span)]
    wait: Duration,
    /// Print the last verdict as JSON; what happens meanwhile goes to standard error.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints a verdict; with `--wait`, the decision.
pub(crate) async fn verdict(args: VerdictArgs) -> Result<Exit, CliError> {
    let client = args.server.client()?;
    let until = Instant::now() + args.wait;
    let id = match args.id {
        Some(id) => id,
        None => persist(until, || newest(&client, args.service.as_deref(), args.environment.as_deref())).await??,
    };
    let waits = !args.wait.is_zero();
    let verdict = watch(&client, &id, until, |verdict| {
        if waits {
            out::note(&show::verdict_line(verdict));
        }
        Ok(())
    })
    .await?;
    end(&verdict, args.json)
}

/// Starts or finds the rollout and waits for the decision.
pub(crate) async fn gate(args: GateArgs) -> Result<Exit, CliError> {
    let client = args.server.client()?;
    let until = Instant::now() + args.wait;
    let (body, key) = (args.change.body()?, args.change.idempotency_key.as_deref());
    let (rollout, created) = persist(until, || client.start(&body, key)).await?;
    let say = |line: &str| -> std::io::Result<()> {
        if args.json {
            out::note(line);
            Ok(())
        } else {
            out::line(line)
        }
    };
    let (started, wait) = (if created { "started" } else { "found" }, show_span(args.wait));
    say(&format!("{started} rollout {} of {} in {}; waiting up to {wait}", rollout.id, rollout.service, rollout.environment))?;
    let verdict = watch(&client, &rollout.id, until, |verdict| say(&show::verdict_line(verdict))).await?;
    let exit = end(&verdict, args.json)?;
    if exit == Exit::Undecided {
        let id = &rollout.id;
        out::note(&format!("haldane: undecided after {wait}; the rollout goes on: `haldane verdict {id} --wait 30m` waits further"));
    }
    Ok(exit)
}

fn end(verdict: &Verdict, json: bool) -> Result<Exit, CliError> {
    out::line(&if json { super::pretty(verdict) } else { show::verdict_lines(verdict).join("\n") })?;
    Ok(Exit::of(verdict))
}

/// The newest rollout of a service, if it is clear of which environment.
async fn newest(
    client: &Client,
    service: Option<&str>,
    environment: Option<&str>,
) -> Result<Result<String, CliError>, super::client::ClientError> {
    let service = service.unwrap_or_default();
    let query = ListQuery { service: Some(service.to_owned()), environment: environment.map(str::to_owned), state: None, limit: 100 };
    let rollouts = client.list(&query).await?;
    let environments: BTreeSet<&str> = rollouts.iter().map(|rollout| rollout.environment.as_str()).collect();
    if environments.len() > 1 {
        let names = environments.into_iter().collect::<Vec<_>>().join(", ");
        return Ok(Err(CliError::Usage(format!("{service} has rollouts in several environments ({names}): name one with --environment"))));
    }
    Ok(rollouts
        .first()
        .map(|rollout| rollout.id.clone())
        .ok_or_else(|| CliError::Usage(format!("there is no rollout of {service}: `haldane rollout list` shows those that exist"))))
}
