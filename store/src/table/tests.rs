use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, new_null_array};
use datafusion::prelude::SessionContext;

use super::*;

/// `rows` rows of a table, null but for date, time and service.
fn batch(table: TableName, service: &str, times: &[i64]) -> RecordBatch {
    let schema = table.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "date" => Arc::new(arrow::array::Date32Array::from_iter_values(
                times.iter().map(|t| i32::try_from(t.div_euclid(86_400_000_000)).unwrap()),
            )) as Arc<dyn Array>,
            "time" => Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")),
            "service_name" => Arc::new(StringArray::from(vec![service; times.len()])),
            _ => new_null_array(field.data_type(), times.len()),
        })
        .collect();
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new()).unwrap()
}

fn config(dir: &std::path::Path, access: Access) -> TablesConfig {
    TablesConfig { dir: dir.join("tables"), access }
}

fn publish(tables: &Tables, through: u64, service: &str, times: &[i64]) {
    let batches = TableName::ALL.map(|table| (table, batch(table, service, times))).to_vec();
    tables.publish(HotRows { through, batches });
}

async fn count(tables: &Tables, table: TableName, filter: &str) -> i64 {
    let session = SessionContext::new();
    session.register_table(table.as_str(), tables.provider(table)).unwrap();
    let sql = format!("SELECT count(*) FROM {} WHERE {filter}", table.as_str());
    let rows = session.sql(&sql).await.unwrap().collect().await.unwrap();
    rows[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_seen_once_before_and_after_its_flush_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    let day = 86_400_000_000;
    publish(&tables, 7, "checkout", &[3 * day, day + 1, day]);
    for table in TableName::ALL {
        assert_eq!(count(&tables, table, "true").await, 3, "{table:?} hot");
        assert_eq!(tables.flush(table, "c1").await.unwrap(), Flushed { rows: 3, through: 7 });
        assert_eq!(count(&tables, table, "true").await, 3, "{table:?} committed");
        assert_eq!(count(&tables, table, "service_name = 'checkout' AND time < to_timestamp(172800)").await, 2);
        assert_eq!(tables.committed_through(table, "c1").await.unwrap(), 7);
        assert_eq!(tables.committed_through(table, "c2").await.unwrap(), 0);
    }
    publish(&tables, 9, "payment", &[day]);
    let reopened = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    for table in TableName::ALL {
        assert_eq!(count(&tables, table, "true").await, 4, "{table:?} hot and committed");
        assert_eq!(count(&reopened, table, "true").await, 3);
        assert!(matches!(reopened.flush(table, "c1").await, Err(CommitError::ReadOnly)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_every_table_can_be_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    publish(&tables, 1, "checkout", &[5]);
    for table in TableName::ALL {
        tables.flush(table, "c1").await.unwrap();
        publish(&tables, 2, "checkout", &[6]);
        let session = SessionContext::new();
        session.register_table("t", tables.provider(table)).unwrap();
        let rows = session.sql("SELECT * FROM t").await.unwrap().collect().await.unwrap();
        let schema = table.schema();
        assert!(rows.iter().all(|batch| batch.schema().fields() == schema.fields()), "{table:?}");
        assert!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() >= 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_reads_as_empty_and_is_not_made_by_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    assert_eq!(count(&tables, TableName::Spans, "true").await, 0);
    assert!(!dir.path().join("tables").exists());
}

#[test]
fn a_second_process_is_told_who_holds_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = FolderLock::acquire(dir.path()).unwrap();
    first.announce("http://127.0.0.1:4380").unwrap();
    let refused = FolderLock::acquire(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("http://127.0.0.1:4380"), "{refused}");
    drop(first);
    FolderLock::acquire(dir.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_creation_was_cut_short_is_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("tables/spans/_delta_log");
    std::fs::create_dir_all(&log).unwrap();
    std::fs::write(log.join("00000000000000000000.json#1"), "{").unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    publish(&tables, 1, "checkout", &[5]);
    tables.flush(TableName::Spans, "c1").await.unwrap();
    assert_eq!(count(&tables, TableName::Spans, "true").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_commit_was_made_but_reported_as_failed_are_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    // The checkpoint that belongs to the hundredth version cannot be written: a folder has its name.
    std::fs::create_dir_all(dir.path().join("tables/spans/_delta_log/00000000000000000099.checkpoint.parquet")).unwrap();
    for number in 1..=101 {
        publish(&tables, number, "checkout", &[5]);
        tables.flush(TableName::Spans, "c1").await.unwrap();
    }
    assert_eq!(count(&tables, TableName::Spans, "true").await, 101);
    let reopened = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    assert_eq!(count(&reopened, TableName::Spans, "true").await, 101);
    assert_eq!(reopened.committed_through(TableName::Spans, "c1").await.unwrap(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_the_folder_was_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (home, away) = (dir.path().join("tables"), dir.path().join("away"));
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    publish(&tables, 1, "checkout", &[5]);
    std::fs::rename(&home, &away).unwrap();
    assert!(matches!(tables.flush(TableName::Spans, "c1").await, Err(CommitError::Away { .. })));
    assert!(!home.exists());
    std::fs::create_dir(&home).unwrap();
    assert!(matches!(tables.flush(TableName::Spans, "c1").await, Err(CommitError::Away { .. })));
    std::fs::remove_dir(&home).unwrap();
    std::fs::rename(&away, &home).unwrap();
    assert_eq!(tables.flush(TableName::Spans, "c1").await.unwrap().rows, 1);
    assert_eq!(count(&tables, TableName::Spans, "true").await, 1);
}
