//! `haldane judge`: the judge by itself, without a server.

mod cases;
mod rates;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use haldane_analyzer::bundle::Bundle;
use haldane_analyzer::vectors::{self, Vectors};

use super::{CliError, Exit, out, pretty};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct JudgeArgs {
    #[command(subcommand)]
    command: Option<JudgeCommand>,
    #[command(flatten)]
    cases: cases::CasesArgs,
}

#[derive(Debug, Subcommand)]
enum JudgeCommand {
    /// Compute named statistical functions on inputs from a file, to check them against reference tables
    #[command(after_help = "Example:
  echo '{\"vectors\": [{\"function\": \"fisher\", \"input\": {\"table\": [[3, 1], [1, 3]]}}]}' > v.json
  haldane judge vectors v.json

The format and the functions: docs/judge.md.")]
    Vectors(VectorsArgs),
    /// Compute a verdict again from its evidence, and tell whether it comes out the same
    #[command(after_help = "Example:
  curl -o r.parquet http://127.0.0.1:4380/v1/rollouts/ID/evidence
  haldane judge replay r.parquet

Prints the verdict as JSON. Exit code 0 when it is the one that was published, byte for byte; 1 when it is not.")]
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The file of `GET /v1/rollouts/{id}/evidence`.
    #[arg(value_name = "FILE.parquet")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct VectorsArgs {
    /// A JSON file with the functions and their inputs.
    #[arg(value_name = "FILE.json")]
    file: PathBuf,
}

/// Does what was asked for; no server is needed.
pub(crate) fn run(args: JudgeArgs) -> Result<Exit, CliError> {
    match args.command {
        Some(JudgeCommand::Vectors(VectorsArgs { file })) => compute(&file),
        Some(JudgeCommand::Replay(ReplayArgs { file })) => replay(&file),
        None => cases::run(&args.cases),
    }
}

fn compute(file: &std::path::Path) -> Result<Exit, CliError> {
    let told = |cause: &dyn std::fmt::Display| CliError::Usage(format!("cannot read vectors from {}: {cause}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| told(&error))?;
    let vectors: Vectors = serde_json::from_str(&text).map_err(|error| told(&error))?;
    out::line(&pretty(&vectors::compute(&vectors)))?;
    Ok(Exit::Done)
}

fn replay(file: &std::path::Path) -> Result<Exit, CliError> {
    let told = |cause: &dyn std::fmt::Display| CliError::Usage(format!("cannot read the evidence of {}: {cause}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| told(&error))?;
    let bundle = Bundle::read(bytes.into()).map_err(|error| told(&error))?;
    let verdict = bundle.replay().map_err(|error| told(&error))?;
    out::line(&verdict)?;
    if verdict == bundle.verdict {
        return Ok(Exit::Done);
    }
    out::note(&format!(
        "the verdict that was published is another: it was computed by haldane {}, this is {}",
        bundle.written_by,
        env!("CARGO_PKG_VERSION")
    ));
    Ok(Exit::Rollback)
}
