//! `haldane rollout`: starting, finding, cancelling and deciding rollouts.

use clap::{Args, Subcommand};
use haldane_api::http::{AdvanceBody, DecisionBody, RolloutBody};

use super::client::ListQuery;
use super::target::{ChangeArgs, ServerArgs};
use super::{CliError, Exit, out, show};

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Start a rollout, or find the one that the same request started before
    #[command(
        after_help = "Example:\n  haldane rollout start --service payment --environment shop \\\n    --baseline service.version=1.4.0 --canary service.version=1.5.0 --meta commit=3f2a91c"
    )]
    Start(Box<StartArgs>),
    /// List rollouts, the newest first
    #[command(after_help = "Example:\n  haldane rollout list --service payment --state running")]
    List(ListArgs),
    /// Show a rollout
    #[command(after_help = "Example:\n  haldane rollout show 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11")]
    Show(ShowArgs),
    /// Cancel a rollout: it is judged no further
    #[command(after_help = "Example:\n  haldane rollout cancel 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11 --reason \"wrong build\"")]
    Cancel(CancelArgs),
    /// Promote a rollout, whatever the judge says
    #[command(
        after_help = "Example:\n  haldane rollout promote 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11 --reason \"the errors are a partner's, see INC-812\""
    )]
    Promote(DecideArgs),
    /// Roll a rollout back, whatever the judge says
    #[command(
        after_help = "Example:\n  haldane rollout rollback 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11 --reason \"customers report wrong totals\""
    )]
    Rollback(DecideArgs),
    /// Approve a promotion: it happens once everything is proven
    #[command(after_help = "Example:\n  haldane rollout approve 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11 --reason \"release notes are out\"")]
    Approve(DecideArgs),
    /// Go on to the next stage, once its traffic has been moved
    #[command(after_help = "Example:\n  haldane rollout advance 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11")]
    Advance(AdvanceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only in this environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only in this state.
    #[arg(long, value_name = "STATE", value_parser = ["pending", "running", "promoted", "rolled_back", "inconclusive", "cancelled", "expired"])]
    state: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The rollout.
    #[arg(value_name = "ROLLOUT")]
    id: String,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The rollout.
    #[arg(value_name = "ROLLOUT")]
    id: String,
    /// Why; kept with the rollout.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DecideArgs {
    /// The rollout.
    #[arg(value_name = "ROLLOUT")]
    id: String,
    /// Why; kept with the rollout.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides.
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    actor: Option<String>,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AdvanceArgs {
    /// The rollout.
    #[arg(value_name = "ROLLOUT")]
    id: String,
    /// Why; kept with the rollout.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Go on although the stage is not proven.
    #[arg(long, requires = "reason")]
    force: bool,
    /// Who goes on.
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    actor: Option<String>,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct FormArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: RolloutCommand) -> Result<Exit, CliError> {
    match command {
        RolloutCommand::Start(args) => {
            let (rollout, created) = args.server.client()?.start(&args.change.body()?, args.change.idempotency_key.as_deref()).await?;
            if !created && !args.form.json {
                out::note("haldane: the same request had started this rollout before");
            }
            print(&rollout, &args.form)
        }
        RolloutCommand::List(args) => list(args).await,
        RolloutCommand::Show(args) => print(&args.server.client()?.rollout(&args.id).await?, &args.form),
        RolloutCommand::Cancel(args) => print(&args.server.client()?.cancel(&args.id, args.reason.as_deref()).await?, &args.form),
        RolloutCommand::Promote(args) => decide(args, "promote").await,
        RolloutCommand::Rollback(args) => decide(args, "rollback").await,
        RolloutCommand::Approve(args) => decide(args, "approve").await,
        RolloutCommand::Advance(args) => {
            let body = AdvanceBody { reason: args.reason, actor: args.actor.filter(|actor| !actor.is_empty()), force: args.force };
            print(&args.server.client()?.advance(&args.id, &body).await?, &args.form)
        }
    }
}

async fn decide(args: DecideArgs, decision: &str) -> Result<Exit, CliError> {
    let body = DecisionBody { reason: args.reason, actor: args.actor.filter(|actor| !actor.is_empty()) };
    print(&args.server.client()?.decide(&args.id, decision, &body).await?, &args.form)
}

async fn list(args: ListArgs) -> Result<Exit, CliError> {
    let query = ListQuery { service: args.service, environment: args.environment, state: args.state, limit: args.limit };
    let rollouts = args.server.client()?.list(&query).await?;
    if args.form.json {
        out::line(&super::pretty(&rollouts))?;
    } else if rollouts.is_empty() {
        out::note("haldane: there are none; `haldane rollout start --help` shows how to start one");
    } else {
        out::line(&show::rollout_table(&rollouts).join("\n"))?;
    }
    Ok(Exit::Done)
}

fn print(rollout: &RolloutBody, form: &FormArgs) -> Result<Exit, CliError> {
    out::line(&if form.json { super::pretty(rollout) } else { show::rollout_lines(rollout).join("\n") })?;
    Ok(Exit::Done)
}
