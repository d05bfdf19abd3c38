//! `haldane report`: what is known of a rollout, for a terminal, a pull request, a tool, or as a page in one file.

use std::path::PathBuf;

use clap::Args;

use super::target::ServerArgs;
use super::{CliError, Exit, out};

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct ReportArgs {
    /// The rollout.
    #[arg(value_name = "ROLLOUT")]
    id: String,
    /// Write the page into this file, which needs nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// Print the whole record as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: ReportArgs) -> Result<Exit, CliError> {
    let client = args.server.client()?;
    match (&args.html, args.json) {
        (Some(file), _) => {
            let page = client.text(&["rollouts", &args.id], &[("file", "true")]).await?;
            std::fs::write(file, page).map_err(|error| CliError::Usage(format!("cannot write {}: {error}", file.display())))?;
            out::note(&format!("haldane: written to {}", file.display()));
        }
        (None, true) => {
            let record = client.text(&["v1", "rollouts", &args.id, "report.json"], &[]).await?;
            out::line(record.trim_end())?;
        }
        (None, false) => out::bytes(client.text(&["v1", "rollouts", &args.id, "report.md"], &[]).await?.as_bytes())?,
    }
    Ok(Exit::Done)
}
