//! Stands before every statement: what does not only read is refused, what reads is run within limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, ParamValues};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion_postgres::QueryHook;
use datafusion_postgres::arrow_pg::datatypes::df::encode_dataframe;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{Response, Tag};
use datafusion_postgres::pgwire::api::{ClientInfo, ErrorHandler};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::StreamExt as _;
use haldane_analyzer::query::{join_refusal, unbounded_joins};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::stats::{QueryOutcome, SqlStats};

/// Under this name a session keeps what `SET statement_timeout` said.
const TIMEOUT_KEY: &str = "statement_timeout_ms";

/// Under this name a connection keeps in which form the answer that is being made is wanted.
pub(super) const FORMAT_KEY: &str = "haldane.format";

/// A form as a text: `t` for text, `b` for binary, else the codes of the columns.
pub(super) fn format_text(format: &Format) -> String {
    match format {
        Format::UnifiedText => "t".to_owned(),
        Format::UnifiedBinary => "b".to_owned(),
        Format::Individual(codes) => codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

fn format_of(text: &str) -> Format {
    match text {
        "t" => Format::UnifiedText,
        "b" => Format::UnifiedBinary,
        codes => Format::Individual(codes.split(',').filter_map(|code| code.parse().ok()).collect()),
    }
}

/// Joins of every row with every row that a query on the catalog may have: its tables have some thousand rows.
const CATALOG_JOINS_MAX: usize = 1;

/// What a query may use.
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) at_once: Arc<Semaphore>,
}

pub(super) struct Guard {
    threads: tokio::runtime::Handle,
    limits: Limits,
    stats: SqlStats,
}

/// Why a query has no answer, with the SQLSTATE that clients know it by.
struct Refusal {
    outcome: QueryOutcome,
    code: &'static str,
    reason: String,
}

impl Guard {
    pub(super) fn new(threads: tokio::runtime::Handle, limits: Limits, stats: SqlStats) -> Self {
        Self { threads, limits, stats }
    }

    /// The client's own deadline, if it is shorter.
    fn deadline(&self, client: &(impl ClientInfo + ?Sized)) -> Duration {
        let asked = client.metadata().get(TIMEOUT_KEY).and_then(|text| text.parse().ok()).map(Duration::from_millis);
        asked.filter(|time| !time.is_zero()).unwrap_or(self.limits.time).min(self.limits.time)
    }

    async fn answer(
        &self,
        session: &SessionContext,
        plan: Result<LogicalPlan, DataFusionError>,
        deadline: Duration,
        (format, options): (Format, Arc<FormatOptions>),
    ) -> PgWireResult<Response> {
        // Counted as given up unless it comes to an end: whoever cancels drops this.
        let mut counted = Counted { stats: &self.stats, began: Instant::now(), outcome: QueryOutcome::Cancelled };
        let rows = match plan {
            Ok(plan) => self.rows(session, plan, deadline).await,
            Err(error) => Err(refusal(&error)),
        };
        let (schema, mut batches) = match rows {
            Ok(rows) => rows,
            Err(refusal) => {
                counted.outcome = refusal.outcome;
                return Err(user_error(refusal.code, refusal.reason));
            }
        };
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        let encoded = match session.read_batches(batches) {
            Ok(frame) => encode_dataframe(frame, &format, Some(options)).await,
            Err(error) => Err(user_error("XX000", error.to_string())),
        };
        counted.outcome = if encoded.is_ok() { QueryOutcome::Ok } else { QueryOutcome::Failed };
        Ok(Response::Query(encoded?))
    }

    /// Runs a plan on the threads for queries; dropped, it ends there too.
    async fn rows(
        &self,
        session: &SessionContext,
        plan: LogicalPlan,
        deadline: Duration,
    ) -> Result<(arrow::datatypes::SchemaRef, Vec<RecordBatch>), Refusal> {
        let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reads_only.verify_plan(&plan).map_err(|_| read_only())?;
        let (session, rows, bytes) = (session.clone(), self.limits.rows, self.limits.bytes);
        let at_once = self.limits.at_once.clone();
        let mut task = JoinSet::new();
        task.spawn_on(async move { run(session, plan, at_once, (rows, bytes)).await }, &self.threads);
        match tokio::time::timeout(deadline, task.join_next()).await {
            Err(_) => Err(Refusal {
                outcome: QueryOutcome::Timeout,
                code: "57014",
                reason: format!(
                    "canceling statement due to statement timeout ({} s): narrow it, for example by time",
                    deadline.as_secs_f64()
                ),
            }),
            Ok(Some(Ok(done))) => done,
            Ok(Some(Err(_)) | None) => Err(Refusal {
                outcome: QueryOutcome::Failed,
                code: "XX000",
                reason: "the query ended by itself: the server's log has more".to_owned(),
            }),
        }
    }
}

/// Counts a query when it is over, however that comes.
struct Counted<'a> {
    stats: &'a SqlStats,
    began: Instant,
    outcome: QueryOutcome,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.stats.count(self.outcome, self.began.elapsed());
    }
}

async fn run(
    session: SessionContext,
    plan: LogicalPlan,
    at_once: Arc<Semaphore>,
    (rows_max, bytes_max): (usize, usize),
) -> Result<(arrow::datatypes::SchemaRef, Vec<RecordBatch>), Refusal> {
    let _turn = at_once.acquire().await;
    let of_catalog = only_catalog(&plan);
    let frame = session.execute_logical_plan(plan).await.map_err(|error| refusal(&error))?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let context = frame.task_ctx();
    let physical = frame.create_physical_plan().await.map_err(|error| refusal(&error))?;
    let joins = unbounded_joins(&physical);
    if let Some(join) = joins.first().filter(|_| joins.len() > if of_catalog { CATALOG_JOINS_MAX } else { 0 }) {
        return Err(Refusal { outcome: QueryOutcome::Refused, code: "0A000", reason: join_refusal(join) });
    }
    let mut stream = execute_stream(physical, Arc::new(context)).map_err(|error| refusal(&error))?;
    let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| refusal(&error))?;
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        if rows > rows_max || bytes > bytes_max {
            let reason = format!("the answer has more than {rows_max} rows or {bytes_max} bytes: narrow it, aggregate, or add a LIMIT");
            return Err(Refusal { outcome: QueryOutcome::Refused, code: "54000", reason });
        }
        batches.push(batch);
    }
    Ok((schema, batches))
}

/// What is known to only read.
#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum: what is not known is refused")]
fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Query(_)
        | Statement::ShowVariable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Discard { .. }
        | Statement::Deallocate { .. }
        | Statement::Close { .. }
        | Statement::UNLISTEN { .. }
        | Statement::Reset(_)
        | Statement::Rollback { .. } => true,
        Statement::Explain { analyze, statement, options, .. } => !*analyze && options.is_none() && only_reads(statement),
        Statement::Set(set) => !set.to_string().to_lowercase().contains("datafusion"),
        _ => false,
    }
}

fn is_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(_) | Statement::Explain { .. } | Statement::ShowTables { .. } | Statement::ShowColumns { .. })
}

/// All sessions share one context, so that a setting is taken for this connection alone or not at all: the library keeps `statement_timeout`,
/// whatever else clients set at their start changes nothing here.
fn set_for_nobody_else(statement: &Statement) -> Option<PgWireResult<Response>> {
    let Statement::Set(set) = statement else { return tidied_up(statement).map(|tag| Ok(Response::Execution(Tag::new(tag)))) };
    let text = set.to_string().to_lowercase();
    if text.contains("statement_timeout") {
        return None;
    }
    let zone = ["timezone", "time zone"].iter().any(|name| text.contains(name));
    if zone && !["utc", "gmt", "default", "local", "etc/"].iter().any(|name| text.contains(name)) {
        return Some(Err(user_error("0A000", "times are in UTC here: convert them with AT TIME ZONE".to_owned())));
    }
    Some(Ok(Response::Execution(Tag::new("SET"))))
}

/// What clients ask for before they let somebody else have a connection: nothing here outlives a statement.
#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum: all others are something else")]
fn tidied_up(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Discard { .. } => Some("DISCARD ALL"),
        Statement::Deallocate { .. } => Some("DEALLOCATE"),
        Statement::Close { .. } => Some("CLOSE CURSOR"),
        Statement::UNLISTEN { .. } => Some("UNLISTEN"),
        Statement::Reset(_) => Some("RESET"),
        _ => None,
    }
}

/// Clients read the catalog with joins of all kinds; it is small.
fn only_catalog(plan: &LogicalPlan) -> bool {
    let (mut only, mut any) = (true, false);
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            any = true;
            only &= matches!(scan.table_name.schema(), Some("pg_catalog" | "information_schema"));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    only && any
}

fn read_only() -> Refusal {
    let reason = "cannot execute this in a read-only transaction: only SELECT, EXPLAIN and SHOW are allowed here".to_owned();
    Refusal { outcome: QueryOutcome::Refused, code: "25006", reason }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum: whatever else fails is not the fault of the text")]
fn refusal(error: &DataFusionError) -> Refusal {
    let reason = error.strip_backtrace().lines().next().unwrap_or("unknown reason").to_owned();
    let (outcome, code) = match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => (QueryOutcome::Refused, "53200"),
        DataFusionError::SQL(..) => (QueryOutcome::Refused, "42601"),
        DataFusionError::Plan(_) if reason.contains("not found") => (QueryOutcome::Refused, "42P01"),
        DataFusionError::SchemaError(..) => (QueryOutcome::Refused, "42703"),
        DataFusionError::Plan(_) | DataFusionError::NotImplemented(_) => (QueryOutcome::Refused, "42000"),
        DataFusionError::ArrowError(arrow, _) if matches!(**arrow, ArrowError::DivideByZero) => (QueryOutcome::Refused, "22012"),
        DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => (QueryOutcome::Refused, "22000"),
        _ => (QueryOutcome::Failed, "XX000"),
    };
    Refusal { outcome, code, reason }
}

/// An error of the library under the SQLSTATE that clients know it by.
pub(super) fn told(error: PgWireError) -> PgWireError {
    let PgWireError::ApiError(cause) = error else { return error };
    if let Some(known) = cause.downcast_ref::<DataFusionError>() {
        let Refusal { code, reason, .. } = refusal(known);
        return user_error(code, reason);
    }
    if cause.is::<ParserError>() {
        return user_error("42601", cause.to_string());
    }
    PgWireError::ApiError(cause)
}

pub(super) fn user_error(code: &str, reason: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), reason)))
}

#[async_trait]
impl QueryHook for Guard {
    async fn handle_simple_query(
        &self,
        statement: &Statement,
        session: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        if !only_reads(statement) {
            self.stats.count(QueryOutcome::Refused, Duration::ZERO);
            let Refusal { code, reason, .. } = read_only();
            return Some(Err(user_error(code, reason)));
        }
        if let Some(set) = set_for_nobody_else(statement) {
            return Some(set);
        }
        if !is_query(statement) {
            return None;
        }
        let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
        let deadline = self.deadline(&*client);
        let plan = session.state().create_logical_plan(&statement.to_string()).await;
        Some(self.answer(session, plan, deadline, (Format::UnifiedText, options)).await)
    }

    async fn handle_extended_parse_query(
        &self,
        statement: &Statement,
        _: &SessionContext,
        _: &(dyn ClientInfo + Send + Sync),
    ) -> Option<PgWireResult<LogicalPlan>> {
        if only_reads(statement) {
            return None;
        }
        self.stats.count(QueryOutcome::Refused, Duration::ZERO);
        let Refusal { code, reason, .. } = read_only();
        Some(Err(user_error(code, reason)))
    }

    async fn handle_extended_query(
        &self,
        statement: &Statement,
        plan: &LogicalPlan,
        parameters: &ParamValues,
        session: &SessionContext,
        client: &mut dyn HookClient,
    ) -> Option<PgWireResult<Response>> {
        if let Some(set) = set_for_nobody_else(statement) {
            return Some(set);
        }
        if !is_query(statement) {
            return None;
        }
        let options = Arc::new(FormatOptions::from_client_metadata(client.metadata()));
        let format = client.metadata().get(FORMAT_KEY).map_or(Format::UnifiedText, |text| format_of(text));
        let deadline = self.deadline(&*client);
        Some(self.answer(session, plan.clone().replace_params_with_values(parameters), deadline, (format, options)).await)
    }
}

/// Says in the log, for who looks closely, what a client was told.
pub(super) struct Errors;

impl ErrorHandler for Errors {
    fn on_error<C>(&self, _: &C, error: &mut PgWireError)
    where
        C: ClientInfo,
    {
        tracing::debug!(%error, "a client of SQL was told of an error");
    }
}
