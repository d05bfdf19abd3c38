//! Columns that are kept only where they are not the sum of two others, as readers see them: whole.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{binary, case, col, is_null};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::schema::{Sum, TableName};

/// What has to be read to have the wanted columns: those, and what the sums among them are made of.
pub(super) fn stored(table: TableName, wanted: &SchemaRef) -> SchemaRef {
    let published = table.schema();
    let sums = table.sums().iter().filter(|sum| wanted.index_of(sum.column).is_ok());
    let parts = sums.flat_map(|sum| sum.of).filter(|part| wanted.index_of(part).is_err());
    let parts: Vec<_> = parts.filter_map(|part| published.field_with_name(part).ok()).map(|part| Arc::new(part.clone())).collect();
    if parts.is_empty() { wanted.clone() } else { Arc::new(Schema::new(wanted.fields().iter().cloned().chain(parts).collect::<Vec<_>>())) }
}

/// Whether a filter can pass over rows before their sums are made.
pub(super) fn can_pass_over(table: TableName, filter: &Expr) -> bool {
    let columns = filter.column_refs();
    table.sums().iter().all(|sum| columns.iter().all(|column| column.name() != sum.column))
}

/// The wanted columns of rows that have those of [`stored`].
pub(super) fn whole(table: TableName, rows: Arc<dyn ExecutionPlan>, wanted: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    if table.sums().iter().all(|sum| wanted.index_of(sum.column).is_err()) {
        return Ok(rows);
    }
    let have = rows.schema();
    let columns = wanted.fields().iter().map(|field| {
        let kept = col(field.name(), &have)?;
        let sum = table.sums().iter().find(|sum| sum.column == field.name());
        let column = sum.map_or(Ok(kept.clone()), |sum| filled(sum, kept.clone(), &have))?;
        Ok((column, field.name().clone()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, rows)?))
}

fn filled(sum: &Sum, kept: Arc<dyn PhysicalExpr>, have: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let [one, other] = sum.of;
    let made = binary(col(one, have)?, Operator::Plus, col(other, have)?, have)?;
    case(None, vec![(is_null(kept.clone())?, made)], Some(kept))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;
    use datafusion::prelude::SessionContext;

    use super::super::tests::{batch, config, with_column};
    use super::super::{Access, Effort, HotRows, Tables, UpkeepConfig};
    use super::*;
    use crate::UnixNanos;

    /// Spans with start, end as it is kept, and duration.
    fn spans(times: [(i64, Option<i64>, i64); 3]) -> RecordBatch {
        let (starts, ends, durations) = (times.map(|(start, ..)| start), times.map(|(_, end, _)| end), times.map(|(.., lasted)| lasted));
        let rows = batch(TableName::Spans, "checkout", &[1, 2, 3]);
        let rows = with_column(&rows, "start_time_unix_nano", Arc::new(Int64Array::from_iter_values(starts)));
        let rows = with_column(&rows, "end_time_unix_nano", Arc::new(Int64Array::from_iter(ends)));
        with_column(&rows, "duration_ns", Arc::new(Int64Array::from_iter_values(durations)))
    }

    async fn ends(tables: &Tables, filter: &str) -> Vec<i64> {
        let session = SessionContext::new();
        session.register_table("spans", tables.provider(TableName::Spans)).unwrap();
        let sql = format!("SELECT end_time_unix_nano FROM spans WHERE {filter} ORDER BY 1");
        let rows = session.sql(&sql).await.unwrap().collect().await.unwrap();
        rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_a_span_reads_as_a_sum_where_it_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
        let rows = spans([(100, None, 20), (200, Some(190), 0), (300, None, 0)]);
        tables.publish(HotRows { through: 1, batches: vec![(TableName::Spans, rows)] });
        for place in ["hot", "committed", "both"] {
            let twice = usize::from(place == "both") + 1;
            let each = |ends: &[i64]| ends.iter().flat_map(|end| vec![*end; twice]).collect::<Vec<_>>();
            assert_eq!(ends(&tables, "true").await, each(&[120, 190, 300]), "{place}");
            assert_eq!(ends(&tables, "end_time_unix_nano >= 190").await, each(&[190, 300]), "{place}");
            assert_eq!(ends(&tables, "end_time_unix_nano = 120 AND duration_ns = 20").await, each(&[120]), "{place}");
            assert_eq!(ends(&tables, "end_time_unix_nano IS NULL").await, [0; 0], "{place}");
            assert_eq!(ends(&tables, "true").await, ends(&tables, "duration_ns >= 0 AND start_time_unix_nano > 0").await, "{place}");
            if place == "hot" {
                tables.flush(TableName::Spans, "c").await.unwrap();
            } else {
                let rows = spans([(100, None, 20), (200, Some(190), 0), (300, None, 0)]);
                tables.publish(HotRows { through: 2, batches: vec![(TableName::Spans, rows)] });
            }
        }
    }

    /// Most files do not have the column at all.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_spans_reads_from_files_with_and_without_it_and_from_what_they_become() {
        let dir = tempfile::tempdir().unwrap();
        let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
        let kept = [[(100, None, 20), (200, None, 1), (300, None, 0)], [(400, None, 20), (500, Some(490), 0), (600, None, 3)]];
        for (through, times) in (1..).zip(kept) {
            tables.publish(HotRows { through, batches: vec![(TableName::Spans, spans(times))] });
            tables.flush(TableName::Spans, "c").await.unwrap();
        }
        let session = SessionContext::new();
        session.register_table("spans", tables.provider(TableName::Spans)).unwrap();
        for files in ["as written", "joined"] {
            assert_eq!(ends(&tables, "true").await, [120, 201, 300, 420, 490, 603], "{files}");
            assert_eq!(ends(&tables, "end_time_unix_nano BETWEEN 201 AND 490").await, [201, 300, 420, 490], "{files}");
            let sql = "SELECT max(end_time_unix_nano) FROM spans UNION ALL SELECT count(end_time_unix_nano) FROM spans
                UNION ALL (SELECT end_time_unix_nano FROM spans ORDER BY end_time_unix_nano DESC LIMIT 1) ORDER BY 1";
            let rows = session.sql(sql).await.unwrap().collect().await.unwrap();
            let numbers = rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec());
            assert_eq!(numbers.collect::<Vec<_>>(), [6, 603, 603], "{files}");
            let config = UpkeepConfig { small_files_min: 2, raw_days: 0, ..UpkeepConfig::default() };
            let joined = tables.upkeep(TableName::Spans, &config, Effort::Whole, UnixNanos::from_seconds(0)).await.unwrap().joined;
            assert_eq!(joined, if files == "joined" { 0 } else { 2 });
        }
    }
}
