//! Rollouts, verdicts and what belongs to them, as tables. Each is read from the ledger when it is scanned, the newest first, as far as a limit.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use haldane_store::UnixNanos;
use serde_json::Value;

use super::SqlSources;

mod rows;

/// Most rows that are read from the ledger for one table.
const ROWS_MAX: u32 = 5_000;

/// What a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Rollouts,
    Verdicts,
    Checks,
    CheckGroups,
    Culprits,
    Changes,
    Events,
    Notifications,
    Services,
}

impl Shown {
    const ALL: [Self; 9] = [
        Self::Rollouts,
        Self::Verdicts,
        Self::Checks,
        Self::CheckGroups,
        Self::Culprits,
        Self::Changes,
        Self::Events,
        Self::Notifications,
        Self::Services,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Rollouts => "rollouts",
            Self::Verdicts => "verdicts",
            Self::Checks => "checks",
            Self::CheckGroups => "check_groups",
            Self::Culprits => "culprits",
            Self::Changes => "changes",
            Self::Events => "events",
            Self::Notifications => "notifications",
            Self::Services => "services",
        }
    }

    /// Names, and behind a colon what they hold where it is not text: `t` a time, `f` a number, `i` a whole number, `b` true or false. They are promises.
    const fn columns(self) -> &'static str {
        match self {
            Self::Rollouts => {
                "id service environment state state_reason strategy origin baseline canary baseline_version canary_version created_at:t started_at:t ended_at:t \
                 policy_name actor commit stage:i stages:i decision reason seconds_to_decision:f"
            }
            Self::Verdicts => {
                "rollout_id service environment sequence:i time:t decision final:b reason score:i risk:f risk_limit:f promotion:f promotion_limit:f data_until:t \
                 baseline_requests:i canary_requests:i baseline_instances:i canary_instances:i stage:i"
            }
            Self::Checks => {
                "rollout_id service environment sequence:i time:t name outcome required:b unit baseline_value:f canary_value:f baseline_requests:i \
                 canary_requests:i estimate:f low:f high:f level:f tolerance:f e_value:f promote_e_value:f reason"
            }
            Self::CheckGroups => "rollout_id service environment sequence:i time:t name score:f min_score:f weight:f checks",
            Self::Culprits => {
                "rollout_id service environment sequence:i time:t kind name check_name e_value:f share:f error_type message trace_id reason"
            }
            Self::Changes => "rollout_id service environment sequence:i time:t kind name span_kind baseline:f canary:f reason",
            Self::Events => "sequence:i time:t kind actor rollout_id service environment reason decision state version receiver",
            Self::Notifications => "id receiver event:i rollout_id state created_at:t due_at:t attempts:i last_error",
            Self::Services => "service environment version requests:i instances:i first_seen:t last_seen:t",
        }
    }

    fn schema(self) -> SchemaRef {
        let field = |column: &str| {
            let (name, kind) = column.split_once(':').unwrap_or((column, "s"));
            let kind = match kind {
                "t" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                "f" => DataType::Float64,
                "i" => DataType::Int64,
                "b" => DataType::Boolean,
                _ => DataType::Utf8,
            };
            Field::new(name, kind, true)
        };
        Arc::new(Schema::new(self.columns().split_whitespace().map(field).collect::<Vec<_>>()))
    }
}

/// All tables, by name.
pub(super) fn all(sources: &SqlSources) -> Vec<(&'static str, Arc<dyn TableProvider>)> {
    let table = |shown: Shown| LedgerTable { shown, schema: shown.schema(), sources: sources.clone() };
    Shown::ALL.into_iter().map(|shown| (shown.name(), Arc::new(table(shown)) as Arc<dyn TableProvider>)).collect()
}

/// What a query asks of a table, as far as the ledger can look for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    rollout_id: Option<String>,
    service: Option<String>,
    since: Option<UnixNanos>,
}

impl Asked {
    fn of(filters: &[Expr]) -> Self {
        let mut asked = Self::default();
        filters.iter().for_each(|filter| asked.read(filter));
        asked
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum: what is not understood is applied above")]
    fn read(&mut self, filter: &Expr) {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else {
            if let Expr::Between(between) = filter
                && !between.negated
            {
                self.compare(&between.expr, Operator::GtEq, &between.low);
            }
            return;
        };
        match op {
            Operator::And => {
                self.read(left);
                self.read(right);
            }
            op => self.compare(left, *op, right),
        }
    }

    fn compare(&mut self, left: &Expr, op: Operator, right: &Expr) {
        let (Expr::Column(column), Expr::Literal(value, _)) = (left, right) else { return };
        match (column.name.as_str(), op, value) {
            ("rollout_id" | "id", Operator::Eq, ScalarValue::Utf8(Some(id))) => self.rollout_id = Some(id.clone()),
            ("service", Operator::Eq, ScalarValue::Utf8(Some(service))) => self.service = Some(service.clone()),
            ("time", Operator::Gt | Operator::GtEq, ScalarValue::TimestampMicrosecond(Some(micros), _)) => {
                self.since = Some(UnixNanos::new(micros.saturating_mul(1_000)));
            }
            ("time", Operator::Gt | Operator::GtEq, ScalarValue::TimestampNanosecond(Some(nanos), _)) => {
                self.since = Some(UnixNanos::new(*nanos))
            }
            _ => {}
        }
    }
}

#[derive(Debug)]
struct LedgerTable {
    shown: Shown,
    schema: SchemaRef,
    sources: SqlSources,
}

impl LedgerTable {
    async fn rows(&self, asked: &Asked) -> Result<Vec<Value>, String> {
        match self.shown {
            Shown::Rollouts => rows::rollouts(&self.sources.rollouts, asked).await,
            Shown::Verdicts => rows::of_verdicts(&self.sources.rollouts, asked, rows::verdict).await,
            Shown::Checks => rows::of_verdicts(&self.sources.rollouts, asked, rows::checks).await,
            Shown::CheckGroups => rows::of_verdicts(&self.sources.rollouts, asked, rows::check_groups).await,
            Shown::Culprits => rows::of_verdicts(&self.sources.rollouts, asked, rows::culprits).await,
            Shown::Changes => rows::of_verdicts(&self.sources.rollouts, asked, rows::changes).await,
            Shown::Events => rows::events(&self.sources.rollouts, asked).await,
            Shown::Notifications => rows::notifications(&self.sources.notifications).await,
            Shown::Services => rows::services(&self.sources.rollouts).await,
        }
    }
}

#[async_trait]
impl TableProvider for LedgerTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

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
        let rows = self.rows(&Asked::of(filters)).await.map_err(|error| DataFusionError::External(error.into()))?;
        let batch = batch_of(&self.schema, &rows)?;
        MemTable::try_new(self.schema.clone(), vec![vec![batch]])?
            .scan(session, projection, &[], limit.filter(|_| filters.is_empty()))
            .await
    }
}

fn batch_of(schema: &SchemaRef, rows: &[Value]) -> Result<RecordBatch> {
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone()).with_batch_size(rows.len().max(1)).build_decoder()?;
    decoder.serialize(rows)?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(schema.clone())))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn what_the_ledger_can_look_for_is_read_from_the_filters() {
        let time = |micros| Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())), None);
        let filter = col("rollout_id").eq(lit("r1")).and(col("time").gt_eq(time(5)));
        let asked = Asked::of(&[filter, col("service").eq(lit("cart"))]);
        assert_eq!(asked, Asked { rollout_id: Some("r1".into()), service: Some("cart".into()), since: Some(UnixNanos::new(5_000)) });
        assert_eq!(Asked::of(&[col("rollout_id").eq(lit("r1")).or(col("service").eq(lit("x")))]), Asked::default());
        assert_eq!(Asked::of(&[col("time").between(time(7), time(9))]).since, Some(UnixNanos::new(7_000)));
    }

    #[test]
    fn rows_become_columns_of_the_promised_types() {
        let schema = Shown::Verdicts.schema();
        let row = serde_json::json!({"rollout_id": "r1", "sequence": 3, "time": "2026-03-20T14:27:05.315384Z", "final": true, "risk": 1.5});
        let batch = batch_of(&schema, &[row]).unwrap();
        assert_eq!((batch.num_rows(), batch.schema()), (1, schema.clone()));
        assert_eq!(batch_of(&schema, &[]).unwrap().num_rows(), 0);
    }
}
