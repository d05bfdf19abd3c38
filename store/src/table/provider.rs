//! Hot and committed rows as one DataFusion table.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion::scalar::ScalarValue;

use super::View;
use super::hot::HotBatches;
use super::sums;
use crate::schema::TableName;

/// Between two looks at a table that moves on,
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// and how often it is looked at before giving up.
const LOOKS: usize = 5_000;
/// Hot rows are handed over so many at a time.
const ROWS_AT_ONCE: usize = 8_192;

/// One table, read as it is at the moment of planning.
#[derive(Debug)]
pub(super) struct WholeTable {
    name: TableName,
    schema: SchemaRef,
    view: Arc<RwLock<View>>,
}

impl WholeTable {
    pub(super) fn new(table: TableName, view: Arc<RwLock<View>>) -> Self {
        Self { name: table, schema: table.schema(), view }
    }
}

#[async_trait::async_trait]
impl TableProvider for WholeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters prune files and row groups; the rows that pass are filtered again above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let stored = self.scan_stored(session, &sums::stored(self.name, &wanted), filters, limit).await?;
        sums::whole(self.name, stored, &wanted)
    }
}

impl WholeTable {
    /// The rows with columns as they are kept.
    async fn scan_stored(
        &self,
        session: &dyn Session,
        wanted: &SchemaRef,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (hot, provider) = self.look(session).await?;
        let hot_plan = hot_plan(&hot, &self.schema, wanted)?;
        let Some(provider) = provider else { return Ok(hot_plan) };
        let limit = if filters.is_empty() { limit } else { None };
        let there = provider.schema();
        // A filter on a column that the table lacks cannot pass over anything; it is applied above like all others.
        let is_known = |filter: &Expr| filter.column_refs().iter().all(|column| there.index_of(column.name()).is_ok());
        let filters: Vec<Expr> =
            filters.iter().filter(|filter| is_known(filter) && sums::can_pass_over(self.name, filter)).cloned().collect();
        let committed = provider.scan(session, Some(&columns_of(&there, wanted)), &filters, limit).await?;
        let committed = with_schema(committed, wanted)?;
        if hot.is_empty() {
            return Ok(committed);
        }
        UnionExec::try_new(vec![committed, hot_plan])
    }

    /// The hot rows and the version that goes with them.
    async fn look(&self, session: &dyn Session) -> Result<(HotBatches, Option<Arc<dyn TableProvider>>)> {
        for _ in 0..LOOKS {
            let View { committed, hot } = self.view.read().unwrap_or_else(PoisonError::into_inner).clone();
            let provider = committed.provider(session).await.map_err(|cause| DataFusionError::External(Box::new(cause)))?;
            // Overtaken means that another reader has loaded what came after: by now the view has it too.
            if let Ok(provider) = provider.transpose() {
                return Ok((hot, provider));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(DataFusionError::Execution("the table changes faster than it can be read; try again".to_owned()))
    }
}

/// The hot rows in the types that the table publishes. Text is taken out of its dictionaries when the rows are read, some at a time: all at once it
/// would take many times the memory of the rows.
fn hot_plan(hot: &HotBatches, published: &SchemaRef, wanted: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    let places = wanted.fields().iter().map(|field| published.index_of(field.name())).collect::<Result<Vec<_>, ArrowError>>()?;
    let mut by_types: Vec<(SchemaRef, Vec<RecordBatch>)> = Vec::new();
    for rows in hot.rows() {
        let rows = rows.project(&places)?;
        let known = by_types.iter().position(|(schema, _)| *schema == rows.schema());
        let known = known.unwrap_or_else(|| {
            by_types.push((rows.schema(), Vec::new()));
            by_types.len() - 1
        });
        let starts = (0..rows.num_rows()).step_by(ROWS_AT_ONCE);
        by_types[known].1.extend(starts.map(|start| rows.slice(start, ROWS_AT_ONCE.min(rows.num_rows() - start))));
    }
    let plan = |(schema, batches)| with_schema(MemorySourceConfig::try_new_exec(&[batches], schema, None)?, wanted);
    let mut plans = by_types.into_iter().map(plan).collect::<Result<Vec<_>>>()?;
    match plans.len() {
        0 => Ok(MemorySourceConfig::try_new_exec(&[Vec::new()], wanted.clone(), None)?),
        1 => Ok(plans.remove(0)),
        _ => UnionExec::try_new(plans),
    }
}

/// Where the wanted columns stand in the committed table; it may lack those that came with a later version.
fn columns_of(committed: &Schema, wanted: &Schema) -> Vec<usize> {
    wanted.fields().iter().filter_map(|field| committed.index_of(field.name()).ok()).collect()
}

/// Casts columns whose type reads differently from Parquet than we publish it; columns that the table lacks are null.
fn with_schema(plan: Arc<dyn ExecutionPlan>, wanted: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.schema().fields() == wanted.fields() {
        return Ok(plan);
    }
    let have = plan.schema();
    let columns = wanted.fields().iter().map(|field| {
        let column: Arc<dyn PhysicalExpr> = match have.index_of(field.name()) {
            Err(_) => Arc::new(Literal::new(ScalarValue::try_from(field.data_type())?)),
            Ok(at) => {
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
                let same = have.field(at).data_type() == field.data_type();
                if same { column } else { Arc::new(CastExpr::new(column, field.data_type().clone(), None)) }
            }
        };
        Ok((column, field.name().clone()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
