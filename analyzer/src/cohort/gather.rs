//! Reads the evidence on a rollout from the tables.
//!
//! From `red` and `errors` where they carry what the selectors ask for; else from `spans`: slower, same answer.

use std::time::Duration;

use haldane_store::schema::BUCKET_SECONDS;
use haldane_store::{Classified, Environment, Fault, ServiceName, UnixNanos};

use super::cells::CellRows;
use super::columns;
use super::onward::{Earlier, Gathered, Open};
use super::predicate::{Source, source_of, where_clause};
use super::selector::Selector;
use super::sql;
use crate::judge::{Evidence, Role};
use crate::query::{Engine, QueryError, instant};

/// What evidence is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Question<'a> {
    pub(crate) service: &'a ServiceName,
    pub(crate) environment: &'a Environment,
    pub(crate) baseline: &'a Selector,
    pub(crate) canary: &'a Selector,
    pub(crate) started_at: UnixNanos,
    /// Whole windows that end by then are read.
    pub(crate) until: UnixNanos,
    /// How much of the baseline before `started_at` is read.
    pub(crate) history: Duration,
    pub(crate) seed: u64,
}

impl Question<'_> {
    /// From here on the baseline is read.
    pub(super) fn from(&self) -> UnixNanos {
        self.started_at.minus(self.history)
    }
}

/// Why evidence could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The tables cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A table has other columns than this version writes.
    #[error("the table {table} has an unexpected column {column}")]
    Column {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: &'static str,
    },
}

impl Classified for GatherError {
    fn fault(&self) -> Fault {
        match self {
            Self::Query(error) => error.fault(),
            Self::Column { .. } => Fault::Bug,
        }
    }
}

/// Reads all cells and errors of both cohorts. The pairing is concurrent; the caller may choose the other one. Of a service that is too large for windows
/// of 10 s, windows of a minute or more are made, and its rarest operations are put together.
pub(crate) async fn gather(engine: &Engine, question: &Question<'_>) -> Result<Evidence, GatherError> {
    Ok(gather_on(engine, question, None).await?.evidence)
}

/// As [`gather`], going on from an earlier reading.
pub(crate) async fn gather_on(engine: &Engine, question: &Question<'_>, earlier: Option<Earlier<'_>>) -> Result<Gathered, GatherError> {
    let mut open = Open::new(question, earlier);
    loop {
        if let Some(gathered) = open.close(read(engine, &open).await?) {
            return Ok(gathered);
        }
        open = Open::whole(question);
    }
}

async fn read(engine: &Engine, open: &Open<'_>) -> Result<CellRows, GatherError> {
    let question = open.question;
    let mut rows = open.rows();
    for (role, selector) in [(Role::Baseline, question.baseline), (Role::Canary, question.canary)] {
        let range = format!("time >= {} AND time < {}", instant(open.since(role)), instant(question.until));
        let chosen = where_clause(question.service, question.environment, selector);
        let sql = match source_of(selector) {
            Source::Rollups => sql::red_sql(&chosen.rollups, &range),
            Source::Spans => sql::spans_sql(&chosen.spans, &range),
        };
        engine.each(&sql, |batch| rows.add_cells(role, batch)).await?;
        if source_of(selector) == Source::Rollups {
            let sql = sql::errors_sql(&chosen.rollups, &range);
            engine.each(&sql, |batch| rows.add_errors(role, batch)).await?;
            let sql = sql::calls_sql(&chosen.rollups, &range);
            engine.each(&sql, |batch| rows.add_calls(role, batch)).await?;
        }
    }
    Ok(rows)
}

/// How many rows [`gather`] would read for the baseline.
pub(crate) async fn count_rows(engine: &Engine, question: &Question<'_>) -> Result<u64, GatherError> {
    let since = question.from();
    let range = format!("time >= {} AND time < {}", instant(since), instant(question.until));
    let chosen = where_clause(question.service, question.environment, question.baseline);
    let (table, chosen) = match source_of(question.baseline) {
        Source::Rollups => ("red", chosen.rollups),
        Source::Spans => ("spans", chosen.spans),
    };
    let kind = match source_of(question.baseline) {
        Source::Rollups => "span_kind",
        Source::Spans => "kind",
    };
    let sql = format!("SELECT count(*) AS rows FROM {table} WHERE {chosen} AND {range} AND {kind} IN {}", sql::REQUEST_KINDS);
    columns::first_count(&engine.sql(&sql).await?.batches)
}

/// When a cohort was first seen since an instant.
pub(crate) async fn first_seen(
    engine: &Engine,
    service: &ServiceName,
    environment: &Environment,
    selector: &Selector,
    since: UnixNanos,
) -> Result<Option<UnixNanos>, GatherError> {
    let chosen = where_clause(service, environment, selector);
    let (table, chosen) = match source_of(selector) {
        Source::Rollups => ("red", chosen.rollups),
        Source::Spans => ("spans", chosen.spans),
    };
    let sql = format!("SELECT min(time) AS time FROM {table} WHERE {chosen} AND time >= {}", instant(since));
    let seen = columns::first_time(&engine.sql(&sql).await?.batches)?;
    Ok(seen.map(|at| at.bucket(Duration::from_secs(BUCKET_SECONDS))))
}
