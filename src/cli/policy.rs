//! `haldane policy`: checks policy files, and prints their schema.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use haldane_analyzer::policy::folder::{files_of, read};
use haldane_analyzer::policy::{PolicyFile, PolicyFileError};

use super::{CliError, Exit, out};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check policy files, or all of a folder; every mistake is told with its line
    #[command(after_help = "Example:\n  haldane policy check policies/")]
    Check(CheckArgs),
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

pub(crate) fn run(command: PolicyCommand) -> Result<Exit, CliError> {
    match command {
        PolicyCommand::Check(args) => check(&args.paths),
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
