//! `haldane query`: SQL on a running server, or on a data folder without one.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use haldane_analyzer::query::{Engine, QueryLimits};
use haldane_api::Rows;
use haldane_api::http::QueryBody;
use haldane_collector::Collector;
use haldane_store::Tables;
use haldane_store::table::{Access, FolderLock, TablesConfig};

use super::target::ServerArgs;
use super::{CliError, Exit, out};
use crate::config::Config;

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// One statement that reads; the tables are spans, logs, metrics, red and errors.
    sql: String,
    /// Read this data folder, without a server: its tables, and what its log holds beyond them.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How to print the rows.
    #[arg(long, value_enum, default_value_t = FormatFlag::Table)]
    format: FormatFlag,
    /// At most so many rows; up to 10000.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatFlag {
    /// For people.
    Table,
    /// {"columns": […], "rows": [[…]], "truncated": false}
    Json,
    /// With a header.
    Csv,
}

pub(crate) async fn run(args: QueryArgs) -> Result<Exit, CliError> {
    let (answer, truncated) = match &args.data {
        Some(folder) => from_folder(folder, &args).await?,
        None => {
            let accept = match args.format {
                FormatFlag::Table => "text/plain",
                FormatFlag::Json => "application/json",
                FormatFlag::Csv => "text/csv",
            };
            let body = QueryBody { sql: args.sql.clone(), limit: Some(args.limit) };
            args.server.client()?.query(&body, accept).await?
        }
    };
    out::bytes(&answer)?;
    if truncated && args.format != FormatFlag::Table {
        out::note(&format!("haldane: there are more than these {} rows: raise --limit or narrow the query", args.limit));
    }
    Ok(Exit::Done)
}

async fn from_folder(folder: &Path, args: &QueryArgs) -> Result<(Vec<u8>, bool), CliError> {
    let dir = tables_in(folder)?;
    // Beside a running server, rows would be missing that it commits while the tables are opened one after the other.
    FolderLock::check(folder).map_err(|error| CliError::part(&error))?;
    let tables = Tables::open(&TablesConfig { dir, access: Access::ReadOnly }).await.map_err(|error| CliError::part(&error))?;
    let settings = Config { data: folder.to_owned(), ..Config::default() }.collector_settings();
    Collector::replay_only(&settings, &tables).await.map_err(|error| CliError::part(&error))?;
    let engine = Engine::new(&tables, QueryLimits::default()).map_err(|error| CliError::part(&error))?;
    let result = engine.sql(&args.sql).await.map_err(|error| CliError::part(&error))?;
    let rows = Rows::new(result.schema, result.batches, result.truncated, args.limit);
    let answer = match args.format {
        FormatFlag::Table => rows.table().map(String::into_bytes),
        FormatFlag::Json => rows.json(),
        FormatFlag::Csv => rows.csv().map(String::into_bytes),
    };
    Ok((answer.map_err(|error| CliError::part(&error))?, rows.truncated()))
}

/// The folder of tables in a data folder.
fn tables_in(folder: &Path) -> Result<PathBuf, CliError> {
    let tables = folder.join("tables");
    if tables.is_dir() {
        return Ok(tables);
    }
    Err(CliError::Usage(format!(
        "{} is no data folder: it has no tables; name the one that `haldane serve --data` was given",
        folder.display()
    )))
}
