//! Hot and committed rows as one DataFusion table.

use std::sync::{Arc, PoisonError, RwLock};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use super::View;
use crate::schema::TableName;

/// One table, read as it is at the moment of planning.
#[derive(Debug)]
pub(super) struct WholeTable {
    schema: SchemaRef,
    view: Arc<RwLock<View>>,
}

impl WholeTable {
    pub(super) fn new(table: TableName, view: Arc<RwLock<View>>) -> Self {
        Self { schema: table.schema(), view }
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
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let hot = MemorySourceConfig::try_new_exec(&[view.hot.rows()], self.schema.clone(), projection.cloned())?;
        let provider = view.committed.provider(session).map_err(|cause| DataFusionError::External(Box::new(cause)))?;
        let Some(provider) = provider else { return Ok(hot) };
        let limit = if filters.is_empty() { limit } else { None };
        let committed = provider.scan(session, Some(&columns_of(&provider.schema(), &wanted)?), filters, limit).await?;
        let committed = with_schema(committed, &wanted)?;
        if view.hot.is_empty() {
            return Ok(committed);
        }
        UnionExec::try_new(vec![committed, hot])
    }
}

/// Where the wanted columns stand in the committed table.
fn columns_of(committed: &Schema, wanted: &Schema) -> Result<Vec<usize>> {
    wanted.fields().iter().map(|field| Ok(committed.index_of(field.name())?)).collect()
}

/// Casts columns whose type reads differently from Parquet than we publish it.
fn with_schema(plan: Arc<dyn ExecutionPlan>, wanted: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    if plan.schema().fields() == wanted.fields() {
        return Ok(plan);
    }
    let have = plan.schema();
    let columns = wanted.fields().iter().map(|field| {
        let at = have.index_of(field.name())?;
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
        let same = have.field(at).data_type() == field.data_type();
        let column = if same { column } else { Arc::new(CastExpr::new(column, field.data_type().clone(), None)) };
        Ok((column, field.name().clone()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
