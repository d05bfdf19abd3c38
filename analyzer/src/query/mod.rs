//! SQL over the tables. The only place that builds a DataFusion session.
//!
//! Always holds: nothing can be written through it; a query has a deadline, a bound on rows and a bound on memory.

mod deltas;
mod quantile;
mod text;
mod wire;

pub use text::{check_text, join_refusal, unbounded_joins};
pub use wire::SCHEMA;

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SQLOptions, SessionConfig};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use haldane_store::{Classified, Fault, TableName, Tables};
use tokio::sync::Semaphore;

use crate::rehearsal::{CalibrationTable, Calibrations};

/// What a query may use.
#[derive(Debug, Clone)]
pub struct QueryLimits {
    /// Most rows an answer has; what lies beyond is cut off and said.
    pub rows_max: usize,
    /// Memory all queries of this engine may hold at once, in bytes.
    pub memory_bytes_max: usize,
    /// Longest a query may take, with its wait for others.
    pub timeout: Duration,
    /// So many run at once.
    pub at_once: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { rows_max: 10_000, memory_bytes_max: 512 << 20, timeout: Duration::from_secs(30), at_once: 4 }
    }
}

/// The answer to a query.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Whether rows were cut off at the limit.
    pub truncated: bool,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not SQL that reads the tables.
    #[error("cannot run this SQL: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: String,
    },
    /// Over the deadline.
    #[error("the query took longer than {} s: narrow it, for example by time", limit.as_secs())]
    Timeout {
        /// The deadline.
        limit: Duration,
    },
    /// Over the memory bound.
    #[error("the query needs more memory than allowed: narrow it, for example by time")]
    Memory {
        /// The cause.
        source: Box<DataFusionError>,
    },
    /// The tables cannot be read.
    #[error("cannot read the tables")]
    Failed {
        /// The cause.
        source: Box<DataFusionError>,
    },
}

impl Classified for QueryError {
    fn fault(&self) -> Fault {
        match self {
            Self::Refused { .. } | Self::Timeout { .. } | Self::Memory { .. } => Fault::Invalid,
            Self::Failed { .. } => Fault::Unavailable,
        }
    }
}

/// Runs SQL. Cheap to clone; clones share the memory bound.
#[derive(Clone)]
pub struct Engine {
    session: SessionContext,
    limits: Arc<QueryLimits>,
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over the tables.
    ///
    /// # Errors
    /// When DataFusion cannot be set up.
    pub fn new(tables: &Tables, limits: QueryLimits) -> Result<Self, QueryError> {
        let failed = |source: DataFusionError| QueryError::Failed { source: Box::new(source) };
        let runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes_max))).build_arc().map_err(failed)?;
        let config = SessionConfig::new()
            .with_information_schema(true)
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let session = SessionContext::new_with_config_rt(config, runtime);
        for table in TableName::ALL {
            session.register_table(table.as_str(), tables.provider(table)).map_err(failed)?;
        }
        session.register_udaf(quantile::duration_quantile());
        text::keep_out(&session);
        let deltas = deltas::MetricDeltas::new(tables.provider(TableName::Metrics));
        session.register_table(deltas::NAME, Arc::new(deltas)).map_err(failed)?;
        let turns = Arc::new(Semaphore::new(limits.at_once));
        Ok(Self { session, limits: Arc::new(limits), turns })
    }

    /// Adds the table `calibrations`.
    ///
    /// # Errors
    /// When DataFusion cannot take it.
    pub fn with_calibrations(self, calibrations: Calibrations) -> Result<Self, QueryError> {
        let table = Arc::new(CalibrationTable::new(calibrations));
        self.session.register_table(CalibrationTable::NAME, table).map_err(|source| QueryError::Failed { source: Box::new(source) })?;
        Ok(self)
    }

    /// Runs one statement that reads.
    ///
    /// # Errors
    /// When the text is not such a statement, or the answer cannot be had within the limits.
    #[tracing::instrument(name = "query", level = "debug", skip_all)]
    pub async fn sql(&self, text: &str) -> Result<QueryResult, QueryError> {
        let limit = self.limits.timeout;
        tokio::time::timeout(limit, self.run(text)).await.unwrap_or(Err(QueryError::Timeout { limit }))
    }

    /// Runs one statement that reads and hands over its rows as they come, so that they need not be held together.
    ///
    /// # Errors
    /// As [`Self::sql`], and what `take` returns.
    pub(crate) async fn each<E: From<QueryError>>(&self, text: &str, take: impl FnMut(&RecordBatch) -> Result<(), E>) -> Result<(), E> {
        let limit = self.limits.timeout;
        tokio::time::timeout(limit, self.stream(text, take)).await.unwrap_or(Err(QueryError::Timeout { limit }.into()))
    }

    async fn stream<E: From<QueryError>>(&self, text: &str, mut take: impl FnMut(&RecordBatch) -> Result<(), E>) -> Result<(), E> {
        let _turn = self.turns.acquire().await;
        let (_, mut stream) = self.open(text).await?;
        while let Some(batch) = stream.next().await {
            take(&batch.map_err(classify)?)?;
        }
        Ok(())
    }

    async fn open(&self, text: &str) -> Result<(SchemaRef, SendableRecordBatchStream), QueryError> {
        let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let refused = |cause: DataFusionError| QueryError::Refused { reason: first_line(&cause) };
        check_text(text).map_err(|reason| QueryError::Refused { reason })?;
        let frame = self.session.sql_with_options(text, reads_only).await.map_err(refused)?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(classify)?;
        if let Some(join) = unbounded_joins(&plan).first() {
            return Err(QueryError::Refused { reason: join_refusal(join) });
        }
        Ok((schema, execute_stream(plan, context).map_err(classify)?))
    }

    async fn run(&self, text: &str) -> Result<QueryResult, QueryError> {
        let _turn = self.turns.acquire().await;
        let (schema, mut stream) = self.open(text).await?;
        let (mut batches, mut rows, mut truncated) = (Vec::new(), 0, false);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(classify)?;
            let room = self.limits.rows_max - rows;
            truncated = batch.num_rows() > room;
            let batch = batch.slice(0, batch.num_rows().min(room));
            rows += batch.num_rows();
            batches.push(batch);
            if truncated {
                break;
            }
        }
        Ok(QueryResult { schema, batches, truncated })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum: whatever else fails is not the fault of the text")]
fn classify(cause: DataFusionError) -> QueryError {
    match cause.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryError::Memory { source: Box::new(cause) },
        // A value that cannot be cast, or divided by, is the text's fault: the tables' own columns are of their types.
        DataFusionError::Plan(_)
        | DataFusionError::SQL(..)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Execution(_)
        | DataFusionError::ArrowError(..) => QueryError::Refused { reason: first_line(&cause) },
        _ => QueryError::Failed { source: Box::new(cause) },
    }
}

fn first_line(cause: &DataFusionError) -> String {
    cause.strip_backtrace().lines().next().unwrap_or("unknown reason").to_owned()
}

/// A text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An instant as an SQL literal that compares with `time`.
pub(crate) fn instant(at: haldane_store::UnixNanos) -> String {
    format!("to_timestamp_micros({})", at.as_micros())
}
