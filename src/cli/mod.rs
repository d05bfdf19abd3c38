//! The command line: what can be said, and what comes of it.
//!
//! Always holds: an error is one line on standard error that says what to do, and exit code 2; answers go to standard output,
//! everything else to standard error. Talks to a server over REST only, so it works from any machine.

mod audit;
mod client;
mod doctor;
mod dora;
mod exit;
mod judge;
mod notify;
mod out;
mod plan;
mod policy;
mod query;
mod report;
mod rollout;
mod serve;
mod show;
mod target;
mod token;
mod verdict;
mod watch;

use std::error::Error;

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::telemetry;

pub use client::ClientError;
pub use exit::Exit;

const EXIT_CODES: &str = "Exit codes:
  0  done; for gate and verdict: promote
  1  for gate and verdict: roll back; for demo: a wrong verdict; for judge replay: another verdict than before;
     for doctor: something is broken
  2  wrong usage, or the server could not be asked
  3  for gate and verdict: ended without a decision
  4  for gate and verdict: undecided when the time was over";

/// What happens in Haldane, and what goes wrong in the libraries below it.
const OUR_INFO: &str = "warn,haldane=info,haldane_store=info,haldane_collector=info,haldane_analyzer=info,haldane_api=info";

fn with_exit_codes(example: &str) -> String {
    format!("{example}\n\n{EXIT_CODES}")
}

/// Judges whether the version you are rolling out is hurting users, from its OpenTelemetry data.
#[derive(Debug, Parser)]
#[command(name = "haldane", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log to standard error, such as info or haldane_collector=debug,warn.
    #[arg(long, global = true, value_name = "FILTER", env = "HALDANE_LOG", hide_env_values = true)]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive telemetry, judge rollouts and answer requests, until Ctrl-C
    #[command(after_help = "Example:
  haldane serve --data /var/lib/haldane

Every setting has a variable too, such as HALDANE_DATA; a flag beats it, it beats the file, the file beats the default.")]
    Serve(serve::ServeArgs),
    /// Show it all at work: a server, a shop that sends it telemetry, good and bad releases
    #[command(after_help = "Examples:
  haldane demo
  haldane demo --once --scenario errors --seed 7")]
    Demo(serve::DemoFlags),
    /// Run SQL over the tables
    #[command(after_help = "Examples:
  haldane query \"SELECT service_name, count(*) FROM spans GROUP BY 1 ORDER BY 2 DESC\"
  haldane query --data ./data --format csv \"SELECT * FROM errors LIMIT 10\"")]
    Query(query::QueryArgs),
    /// Start, find, cancel and decide rollouts
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Show the verdict on a rollout, or wait for it
    #[command(
        override_usage = "haldane verdict [OPTIONS] <ROLLOUT>\n       haldane verdict [OPTIONS] --service <NAME> [--environment <NAME>]",
        after_help = with_exit_codes("Examples:
  haldane verdict --service payment --environment shop
  haldane verdict 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11 --wait 10m --json")
    )]
    Verdict(verdict::VerdictArgs),
    /// Start or find a rollout and wait for the decision: one step of a deploy job
    #[command(after_help = with_exit_codes("Example:
  haldane gate --service payment --environment shop \\
    --baseline service.version=1.4.0 --canary service.version=1.5.0 --wait 30m"))]
    Gate(Box<verdict::GateArgs>),
    /// Show what is known of a rollout: why, who met it, what differs, what to do
    #[command(after_help = "Examples:
  haldane report 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11 > comment.md
  haldane report 01936f5e-7d3a-7c1e-8f52-0a6a3c1d9b11 --html report.html")]
    Report(report::ReportArgs),
    /// Say what the judge would find in a rollout that has not begun, tried on what the service did lately
    #[command(after_help = "Example:
  haldane plan --service payment --environment shop --split 10% --for 30m")]
    Plan(Box<plan::PlanArgs>),
    /// Show what happened, who did it, and check that the record of it is whole
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show how often, how fast and how well services are deployed
    #[command(after_help = "Example:\n  haldane dora --environment production --days 90")]
    Dora(dora::DoraArgs),
    /// Check policy files
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Show who was told what, try again, and test receivers
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// Use the judge by itself, on recorded cases
    #[command(after_help = "Examples:
  haldane judge --cases nab.parquet petshop.parquet --looks 10
  haldane judge --cases nab.parquet --cases-index cases.csv --judge kayenta --json
  haldane judge vectors v.json

The columns of a case table, and how it is judged: docs/judge.md.")]
    Judge(judge::JudgeArgs),
    /// Make, list and revoke tokens for those who send, read and operate
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Say what is wrong with an installation, and what to do
    #[command(
        after_help = "Looks at the settings that are on this machine, the server, its disk, intake, judge and receivers, and at what the telemetry of the last hour lacks. Exit code 1 says that something is broken.

Examples:
  haldane doctor
  haldane doctor --config /etc/haldane/haldane.toml --url https://haldane.example.com"
    )]
    Doctor(doctor::DoctorArgs),
    /// Say whether the server can answer, for supervisors: exit code 0 if it can, else 2
    Health(doctor::HealthArgs),
    /// Print the completions of a shell
    #[command(after_help = "Example:\n  haldane completions bash > /etc/bash_completion.d/haldane")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The server gave no answer that is of use.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was asked for makes no sense; the text says why.
    #[error("{0}")]
    Usage(String),
    /// A part of Haldane failed in this process; the text names the causes.
    #[error("{0}")]
    Part(String),
    /// What was checked does not hold; the text says where.
    #[error("{0}")]
    Broken(String),
    /// The answer could not be written.
    #[error("cannot write the answer")]
    Output(#[from] std::io::Error),
    /// The threads could not be started.
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
}

impl CliError {
    fn part(error: &dyn Error) -> Self {
        Self::Part(haldane_api::error::chain(error))
    }
}

impl Cli {
    /// What to log: what was asked for, else much for a server and little for a client.
    pub fn log_filter(&self) -> &str {
        self.log.as_deref().unwrap_or(match self.command {
            Command::Serve(_) => OUR_INFO,
            Command::Demo(_)
            | Command::Query(_)
            | Command::Rollout(_)
            | Command::Verdict(_)
            | Command::Gate(_)
            | Command::Report(_)
            | Command::Plan(_)
            | Command::Audit(_)
            | Command::Notify(_)
            | Command::Dora(_)
            | Command::Policy(_)
            | Command::Judge(_)
            | Command::Token(_)
            | Command::Doctor(_)
            | Command::Health(_)
            | Command::Completions { .. } => "warn",
        })
    }
}

/// What walks over a long SQL expression goes deep. Pages that are not used are not taken.
const STACK_BYTES: usize = 64 << 20;

/// Does what was asked for.
///
/// # Errors
/// When it cannot be done: exit code 2.
pub fn run(cli: Cli, log: EnvFilter) -> Result<Exit, CliError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build().map_err(CliError::Runtime)?;
    runtime.block_on(dispatch(cli.command, log))
}

async fn dispatch(command: Command, log: EnvFilter) -> Result<Exit, CliError> {
    // A server tells more of itself than lines, where its settings say so.
    let Command::Serve(args) = command else {
        telemetry::lines_only(log);
        return ask(command).await;
    };
    serve::serve(args, log).await
}

async fn ask(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Serve(_) => Ok(Exit::Done),
        Command::Demo(flags) => serve::demo(flags).await,
        Command::Query(args) => query::run(args).await,
        Command::Rollout(command) => rollout::run(command).await,
        Command::Verdict(args) => verdict::verdict(args).await,
        Command::Gate(args) => verdict::gate(*args).await,
        Command::Report(args) => report::run(args).await,
        Command::Plan(args) => plan::run(*args).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Notify(command) => notify::run(command).await,
        Command::Dora(args) => dora::run(args).await,
        Command::Policy(command) => policy::run(command).await,
        Command::Judge(args) => judge::run(args),
        Command::Token(command) => token::run(command).await,
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Health(args) => doctor::health(args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "haldane", &mut script);
            out::bytes(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// Tells of a failure, in one line.
pub fn report(error: &CliError) {
    let text = haldane_api::error::chain(error).replace('\n', " ");
    out::note(&format!("haldane: {}", out::plain(text.trim())));
}

fn pretty(answer: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(answer).unwrap_or_default()
}
