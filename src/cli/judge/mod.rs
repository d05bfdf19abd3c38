//! `haldane judge`: the judge by itself, without a server.

mod cases;
mod rates;

use std::path::PathBuf;

use clap::{Args, Subcommand};
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
