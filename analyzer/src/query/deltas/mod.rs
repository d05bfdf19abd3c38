//! `metric_deltas`: the rows of `metrics` with what each point added in place of totals.
//!
//! Always holds: points that report what was added come as they are; of totals, each row has what came since the point before it in its series.
//! Gauges are left out, as nothing is added to them. Computed when it is read, so that points that come late are in their place.

mod columns;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::scalar::ScalarValue;
use futures::StreamExt as _;

use columns::{READ, WRITTEN, Walk};

/// The view's name in SQL.
pub(super) const NAME: &str = "metric_deltas";
/// Whether the total began anew since the point before.
const RESET: &str = "reset";
/// The point before one that is asked for is looked for this far back; who reports less often than that loses the first row.
const LOOK_BACK: Duration = Duration::from_secs(600);

/// `metrics` as what was added.
#[derive(Debug)]
pub(super) struct MetricDeltas {
    schema: SchemaRef,
    metrics: Arc<dyn TableProvider>,
}

impl MetricDeltas {
    pub(super) fn new(metrics: Arc<dyn TableProvider>) -> Self {
        let reset = Arc::new(Field::new(RESET, DataType::Boolean, true));
        let fields: Vec<_> = metrics.schema().fields().iter().cloned().chain([reset]).collect();
        Self { schema: Arc::new(Schema::new(fields)), metrics }
    }
}

#[async_trait::async_trait]
impl TableProvider for MetricDeltas {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// What is read is narrowed by them; the rows that come out are filtered again above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let read_from = filters.iter().filter_map(earliest).max().map(|from| from.saturating_sub(micros(LOOK_BACK)));
        let mut narrowed = vec![col("series_id").is_not_null(), col("metric_type").not_eq(lit("gauge"))];
        narrowed.extend(filters.iter().filter(|filter| is_of_series(filter)).cloned());
        if let Some(from) = read_from {
            let time = ScalarValue::TimestampMicrosecond(Some(from), Some("UTC".into()));
            narrowed.push(col("time").gt_eq(lit(time)));
        }
        let columns: BTreeSet<usize> = {
            let read = READ.iter().chain(WRITTEN).copied().chain(wanted.fields().iter().map(|field| field.name().as_str()));
            read.filter(|name| *name != RESET).map(|name| self.schema.index_of(name)).collect::<Result<_, _>>()?
        };
        let columns: Vec<usize> = columns.into_iter().collect();
        let source = provider_as_source(self.metrics.clone());
        let rows = LogicalPlanBuilder::scan_with_filters("metrics", source, Some(columns), narrowed.clone())?;
        let rows = narrowed.into_iter().try_fold(rows, LogicalPlanBuilder::filter)?;
        let order = ["series_id", "time_unix_nano"].map(|column| col(column).sort(true, true));
        let input = session.create_physical_plan(&rows.sort(order)?.build()?).await?;
        let known_from = read_from.map(|micros| micros.saturating_mul(1_000));
        let deltas = Deltas { schema: wanted.clone(), input, known_from };
        Ok(Arc::new(StreamingTableExec::try_new(wanted, vec![Arc::new(deltas)], None, None, false, None)?))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Whether a filter asks for the same of all points of a series, so that it takes whole series or leaves them.
fn is_of_series(filter: &Expr) -> bool {
    const OF_POINT: [&str; 9] = ["date", "time", "quantiles", "description", "metric_metadata", "exemplars", "flags", "min", "max"];
    let columns = filter.column_refs();
    let of_point = |name: &str| OF_POINT.contains(&name) || WRITTEN.contains(&name) || name == RESET || name == "time_unix_nano";
    !columns.is_empty() && !columns.iter().any(|column| of_point(column.name()))
}

/// The earliest time that a filter lets pass, in microseconds.
fn earliest(filter: &Expr) -> Option<i64> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    let (column, bound) = match (&**left, op, &**right) {
        (Expr::Column(column), Operator::Gt | Operator::GtEq | Operator::Eq, Expr::Literal(bound, _))
        | (Expr::Literal(bound, _), Operator::Lt | Operator::LtEq | Operator::Eq, Expr::Column(column)) => (column, bound),
        _ => return None,
    };
    match bound.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))) {
        Ok(ScalarValue::TimestampMicrosecond(micros, _)) if column.name() == "time" => micros,
        _ => None,
    }
}

/// Reads rows in the order of their series, and turns them into what they add.
#[derive(Debug)]
struct Deltas {
    schema: SchemaRef,
    input: Arc<dyn ExecutionPlan>,
    known_from: Option<i64>,
}

impl PartitionStream for Deltas {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        let rows = match self.input.execute(0, context) {
            Ok(rows) => rows,
            Err(error) => return Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Err(error)]))),
        };
        let mut walk = Walk::new(schema.clone(), self.known_from);
        let deltas = rows.map(move |rows| walk.deltas(&rows?).map_err(DataFusionError::from));
        Box::pin(RecordBatchStreamAdapter::new(schema, deltas))
    }
}
