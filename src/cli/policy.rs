//! `haldane policy`: checks policy files, and prints their schema.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use haldane_analyzer::bundle::Bundle;
use haldane_analyzer::policy::folder::{files_of, read};
use haldane_analyzer::policy::{PolicyFile, PolicyFileError};
use haldane_analyzer::verdict::VerdictDecision;
use haldane_api::http::{RolloutBody, StateWord, parse_span, show_span};
use haldane_store::UnixNanos;
use haldane_store::clock::{Clock as _, SystemClock};

use super::client::ListQuery;
use super::target::ServerArgs;
use super::{CliError, Exit, out};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check policy files, or all of a folder; every mistake is told with its line
    #[command(after_help = "Example:\n  haldane policy check policies/")]
    Check(CheckArgs),
    /// Judge past rollouts with a policy file, and show what would have been decided otherwise
    #[command(
        after_help = "Example:\n  haldane policy test policies/payments.yaml --since 7d\n\nEach rollout that the file is for is judged again on the evidence of its last verdict, looking each minute. The file counts as \
                            it is; what requests said of their policy does not."
    )]
    Test(TestArgs),
    /// Print the JSON Schema of policy files, for editors
    #[command(after_help = "Example:\n  haldane policy schema > policy.schema.json")]
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files or folders.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The policy file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Rollouts that ended within this time.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_span)]
    since: Duration,
    /// At most so many, the newest ones.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    limit: u32,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(command: PolicyCommand) -> Result<Exit, CliError> {
    match command {
        PolicyCommand::Check(args) => check(&args.paths),
        PolicyCommand::Test(args) => test(&args).await,
        PolicyCommand::Schema => {
            out::line(&haldane_api::http::policy_schema())?;
            Ok(Exit::Done)
        }
    }
}

fn check(paths: &[PathBuf]) -> Result<Exit, CliError> {
    let mut mistakes: Vec<PolicyFileError> = Vec::new();
    let mut good = 0;
    for path in paths {
        let files = if path.is_dir() { files_of(path) } else { Ok(vec![path.clone()]) };
        let files = files.unwrap_or_else(|error| {
            mistakes.push(error);
            Vec::new()
        });
        for file in files {
            match read(&file).map_err(|error| vec![error]).and_then(|text| PolicyFile::parse(&file, &text)) {
                Ok(_) => good += 1,
                Err(wrong) => mistakes.extend(wrong),
            }
        }
    }
    for mistake in &mistakes {
        out::line(&out::plain(&mistake.to_string()))?;
    }
    match mistakes.len() {
        0 => {
            out::note(&format!("haldane: {good} of {good} are good"));
            Ok(Exit::Done)
        }
        1 => Err(CliError::Broken("there is a mistake, named above".to_owned())),
        count => Err(CliError::Broken(format!("there are {count} mistakes, named above"))),
    }
}

/// What came of judging past rollouts again.
#[derive(Default)]
struct Tested {
    same: usize,
    otherwise: usize,
    without_evidence: usize,
}

async fn test(args: &TestArgs) -> Result<Exit, CliError> {
    let told = |wrong: Vec<PolicyFileError>| CliError::Usage(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let text = read(&args.file).map_err(|error| told(vec![error]))?;
    let policy = PolicyFile::parse(&args.file, &text).map_err(told)?;
    let client = args.server.client()?;
    let since = SystemClock.now().minus(args.since);
    let query = ListQuery { service: None, environment: None, state: None, limit: args.limit };
    let mut tested = Tested::default();
    for rollout in client.list(&query).await? {
        let ended = rollout.ended_at.as_deref().and_then(|at| UnixNanos::parse_rfc3339(at).ok());
        let counts = ended.is_some_and(|at| at >= since) && policy.is_for(&rollout.service, &rollout.environment, &rollout.metadata);
        let Some(was) = decided(rollout.state).filter(|_| counts) else { continue };
        let Some(bundle) = client.evidence(&rollout.id).await?.and_then(|file| Bundle::read(file).ok()) else {
            tested.without_evidence += 1;
            continue;
        };
        let judged = bundle.rejudged(&policy.policy).map_err(|error| CliError::Usage(error.to_string()))?;
        tell(&rollout, was, judged, &mut tested)?;
    }
    let Tested { same, otherwise, without_evidence } = tested;
    let unknown = if without_evidence > 0 { format!("; of {without_evidence} no evidence is kept") } else { String::new() };
    out::note(&format!("haldane: {} rollouts judged again, {otherwise} would have been decided otherwise{unknown}", same + otherwise));
    Ok(Exit::Done)
}

fn tell(
    rollout: &RolloutBody,
    was: VerdictDecision,
    (now, after): (VerdictDecision, Duration),
    tested: &mut Tested,
) -> Result<(), CliError> {
    if was == now {
        tested.same += 1;
        return Ok(());
    }
    tested.otherwise += 1;
    let now = match now {
        VerdictDecision::Continue => format!("undecided when the evidence ends, after {}", show_span(after)),
        VerdictDecision::Promote | VerdictDecision::Rollback | VerdictDecision::Inconclusive => {
            format!("{} after {}", now.as_str(), show_span(after))
        }
    };
    let place = out::plain(&format!("{} in {}", rollout.service, rollout.environment)).to_string();
    out::line(&format!("{}  {place}: {} became {now}", rollout.id, was.as_str()))?;
    Ok(())
}

/// What the judge or a person made of a rollout; nothing of one that was cancelled or never served.
fn decided(state: StateWord) -> Option<VerdictDecision> {
    match state {
        StateWord::Promoted => Some(VerdictDecision::Promote),
        StateWord::RolledBack => Some(VerdictDecision::Rollback),
        StateWord::Inconclusive => Some(VerdictDecision::Inconclusive),
        StateWord::Pending | StateWord::Running | StateWord::Cancelled | StateWord::Expired => None,
    }
}
