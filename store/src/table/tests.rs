use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::Schema;
use datafusion::prelude::SessionContext;

use super::*;

/// `rows` rows of a table, null but for date, time and service.
pub(super) fn batch(table: TableName, service: &str, times: &[i64]) -> RecordBatch {
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

pub(super) fn config(dir: &std::path::Path, access: Access) -> TablesConfig {
    TablesConfig { dir: dir.join("tables"), access }
}

pub(super) fn publish(tables: &Tables, through: u64, service: &str, times: &[i64]) {
    let batches = TableName::ALL.map(|table| (table, batch(table, service, times))).to_vec();
    tables.publish(HotRows { through, batches });
}

pub(super) async fn count(tables: &Tables, table: TableName, filter: &str) -> i64 {
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

pub(super) fn eager() -> UpkeepConfig {
    UpkeepConfig { small_files_min: 3, checkpoint_commits: 4, grace_seconds: 0, raw_days: 14, ..UpkeepConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_joined_and_no_reader_sees_a_row_missing_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let now = crate::time::UnixNanos::from_seconds(1_795_000_000);
    let micros = now.as_micros();
    let writing = async {
        for through in 1..=30_u64 {
            publish(&tables, through, if through % 2 == 0 { "a" } else { "b" }, &[micros + i64::try_from(through).unwrap()]);
            tables.flush(TableName::Spans, "c").await.unwrap();
            if through % 5 == 0 {
                tables.upkeep(TableName::Spans, &eager(), Effort::Whole, now).await.unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let reading = async {
        let mut before = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let (all, distinct) = (count(&tables, TableName::Spans, "true").await, distinct_times(&tables).await);
            assert!(all >= before, "{all} rows after {before}");
            assert!(distinct >= all, "{all} rows, {distinct} different ones a moment later");
            before = all;
        }
    };
    tokio::join!(writing, reading);
    let mut kept = tables.upkeep(TableName::Spans, &eager(), Effort::Whole, now).await.unwrap();
    while kept.joined > 0 {
        kept = tables.upkeep(TableName::Spans, &eager(), Effort::Whole, now).await.unwrap();
    }
    assert!(kept.files < 5, "{} files are left", kept.files);
    assert_eq!((count(&tables, TableName::Spans, "true").await, distinct_times(&tables).await), (30, 30));
    // Opened anew, from a checkpoint: the same, and the collector's sequence is known.
    drop(tables);
    let again = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    assert_eq!((count(&again, TableName::Spans, "true").await, distinct_times(&again).await), (30, 30));
    assert_eq!(again.committed_through(TableName::Spans, "c").await.unwrap(), 30);
    assert!(dir.path().join("tables/spans/_delta_log/_last_checkpoint").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_table_does_not_grow_for_ever_and_what_it_told_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    let later = crate::time::UnixNanos::from_seconds(4_000_000_000);
    let keeps_rows = UpkeepConfig { raw_days: 0, ..eager() };
    for through in 1..=40_u64 {
        publish(&tables, through, "a", &[i64::try_from(through).unwrap()]);
        tables.flush(TableName::Spans, "c").await.unwrap();
        if through % 4 == 0 {
            tables.upkeep(TableName::Spans, &keeps_rows, Effort::Whole, later).await.unwrap();
        }
    }
    let files = std::fs::read_dir(dir.path().join("tables/spans/_delta_log")).unwrap().count();
    assert!(files < 30, "{files} files in the log");
    assert_eq!(count(&tables, TableName::Spans, "true").await, 40);
    drop(tables);
    let again = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    assert_eq!((count(&again, TableName::Spans, "true").await, again.committed_through(TableName::Spans, "c").await.unwrap()), (40, 40));
    publish(&again, 41, "a", &[41]);
    again.flush(TableName::Spans, "c").await.unwrap();
    assert_eq!(count(&again, TableName::Spans, "true").await, 41);
}

async fn distinct_times(tables: &Tables) -> i64 {
    let session = SessionContext::new();
    session.register_table("spans", tables.provider(TableName::Spans)).unwrap();
    let rows = session.sql("SELECT count(distinct time) FROM spans").await.unwrap().collect().await.unwrap();
    rows[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn days_past_their_time_are_removed_and_later_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    let day = 86_400_000_000;
    let now = crate::time::UnixNanos::from_seconds(100 * 86_400);
    for (through, at) in [(1, 80), (2, 85), (3, 86), (4, 99)] {
        publish(&tables, through, "a", &[at * day]);
        tables.flush(TableName::Spans, "c").await.unwrap();
    }
    let kept = tables.upkeep(TableName::Spans, &eager(), Effort::Whole, now).await.unwrap();
    assert_eq!((kept.files, kept.expired), (4, 2));
    assert_eq!(count(&tables, TableName::Spans, "true").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_an_older_version_gets_the_columns_that_came_later() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tables/spans");
    std::fs::create_dir_all(&folder).unwrap();
    let url = url::Url::from_directory_path(&folder).unwrap();
    let old: Vec<_> =
        ["date", "time", "service_name"].map(|name| TableName::Spans.schema().field_with_name(name).unwrap().clone()).to_vec();
    let schema = Arc::new(arrow::datatypes::Schema::new(old));
    let columns: deltalake_core::kernel::StructType = {
        use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
        schema.as_ref().try_into_kernel().unwrap()
    };
    let table = deltalake_core::operations::create::CreateBuilder::new()
        .with_location(url.to_string())
        .with_columns(columns.fields().cloned().collect::<Vec<_>>())
        .with_partition_columns(["date"])
        .await
        .unwrap();
    let row = batch(TableName::Spans, "old", &[5]).project(&[0, 1, 2]).unwrap();
    use deltalake_core::writer::DeltaWriter as _;
    let mut writer = deltalake_core::writer::RecordBatchWriter::for_table(&table).unwrap();
    writer.write(row).await.unwrap();
    let mut table = table;
    writer.flush_and_commit(&mut table).await.unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let tables = Tables::open(&config(dir.path(), access)).await.unwrap();
        assert_eq!(count(&tables, TableName::Spans, "service_name = 'old' AND trace_id IS NULL").await, 1, "{access:?}");
        if access == Access::ReadWrite {
            publish(&tables, 1, "new", &[6]);
            tables.flush(TableName::Spans, "c").await.unwrap();
            assert_eq!(count(&tables, TableName::Spans, "http_route IS NULL").await, 2);
        }
    }
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
    let unaware = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    for tables in [&tables, &unaware] {
        publish(tables, 1, "checkout", &[5]);
    }
    tables.flush(TableName::Spans, "c1").await.unwrap();
    // Its next version is there already, and is its own: as after a commit whose answer was lost.
    publish(&unaware, 2, "checkout", &[6]);
    // Nor does upkeep go past it, so that the flush still finds it.
    let later = crate::time::UnixNanos::from_seconds(100 * 86_400);
    let kept = unaware.upkeep(TableName::Spans, &eager(), Effort::Whole, later).await.unwrap();
    assert_eq!((kept.files, kept.expired), (1, 0));
    assert_eq!(unaware.flush(TableName::Spans, "c1").await.unwrap(), Flushed { rows: 1, through: 1 });
    assert_eq!(count(&unaware, TableName::Spans, "true").await, 2);
    assert_eq!(unaware.flush(TableName::Spans, "c1").await.unwrap(), Flushed { rows: 1, through: 2 });
    let reopened = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    assert_eq!(count(&reopened, TableName::Spans, "true").await, 2);
    assert_eq!(reopened.committed_through(TableName::Spans, "c1").await.unwrap(), 2);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_table_moves_on_still_reads_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    let reader = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    publish(&writer, 1, "checkout", &[5]);
    writer.flush(TableName::Spans, "c1").await.unwrap();
    assert_eq!(reader.committed_through(TableName::Spans, "c1").await.unwrap(), 0);
    let counted = tokio::time::timeout(std::time::Duration::from_secs(60), count(&reader, TableName::Spans, "true"));
    assert_eq!(counted.await.expect("it must not look for ever"), 0);
}

/// Files with rows on the disk, in the table or not.
fn parquet_files(folder: &std::path::Path) -> usize {
    let days = std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("date="));
    days.map(|day| std::fs::read_dir(day.path()).unwrap().count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_be_made_leaves_no_files_and_its_rows_are_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tables/spans");
    let (log, away) = (folder.join("_delta_log"), folder.join("_away"));
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    publish(&tables, 1, "checkout", &[5]);
    std::fs::rename(&log, &away).unwrap();
    assert!(matches!(tables.flush(TableName::Spans, "c1").await, Err(CommitError::Commit { rows: 1, .. })));
    assert_eq!(parquet_files(&folder), 0);
    std::fs::rename(&away, &log).unwrap();
    assert_eq!(tables.flush(TableName::Spans, "c1").await.unwrap().rows, 1);
    assert_eq!((parquet_files(&folder), count(&tables, TableName::Spans, "true").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_stay_while_it_is_open_whether_their_commit_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tables/spans");
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    publish(&tables, 1, "checkout", &[5]);
    // A commit of that version that no Delta library wrote: it may be ours, or not; nothing is deleted while that is open.
    let unreadable = folder.join("_delta_log/00000000000000000001.json");
    std::fs::write(&unreadable, "{").unwrap();
    assert!(tables.flush(TableName::Spans, "c1").await.is_err());
    assert_eq!(parquet_files(&folder), 1);
    std::fs::remove_file(&unreadable).unwrap();
    assert_eq!(tables.flush(TableName::Spans, "c1").await.unwrap().rows, 1);
    assert_eq!(count(&tables, TableName::Spans, "true").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_process_left_of_a_commit_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    drop(Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap());
    let draft = dir.path().join("tables/spans/_delta_log/.haldane-1");
    std::fs::write(&draft, "{").unwrap();
    let reader = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    assert_eq!((count(&reader, TableName::Spans, "true").await, draft.exists()), (0, true));
    drop(Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap());
    assert!(!draft.exists());
}

/// As [`batch`], with a value in one more column of text.
pub(super) fn batch_with(table: TableName, column: &str, value: &str, times: &[i64]) -> RecordBatch {
    with_column(&batch(table, "checkout", times), column, Arc::new(StringArray::from(vec![value; times.len()])))
}

/// The same rows with another column, of another type perhaps.
pub(super) fn with_column(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let at = rows.schema().index_of(name).unwrap();
    let mut fields = rows.schema().fields().to_vec();
    fields[at] = Arc::new(fields[at].as_ref().clone().with_data_type(column.data_type().clone()));
    let mut columns = rows.columns().to_vec();
    columns[at] = column;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_without_values_takes_no_room_in_a_file_and_reads_as_null() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    let now = crate::time::UnixNanos::from_seconds(1_795_000_000);
    let micros = now.as_micros();
    let rows = [
        batch(TableName::Spans, "checkout", &[micros]),
        batch_with(TableName::Spans, "http_route", "/cart", &[micros + 1]),
        batch_with(TableName::Spans, "db_system_name", "redis", &[micros + 2]),
    ];
    for (through, rows) in (1..).zip(rows) {
        tables.publish(HotRows { through, batches: vec![(TableName::Spans, rows)] });
        tables.flush(TableName::Spans, "c").await.unwrap();
    }
    let read = async || {
        let filters = ["http_route = '/cart'", "http_route IS NULL", "db_system_name = 'redis' AND http_route IS NULL", "true"];
        let mut counts = Vec::new();
        for filter in filters {
            counts.push(count(&tables, TableName::Spans, filter).await);
        }
        counts
    };
    assert_eq!(read().await, [1, 2, 1, 3]);
    assert_eq!(tables.upkeep(TableName::Spans, &eager(), Effort::Whole, now).await.unwrap().joined, 3);
    assert_eq!(read().await, [1, 2, 1, 3]);
    let day =
        std::fs::read_dir(dir.path().join("tables/spans")).unwrap().flatten().find(|entry| entry.file_name() != "_delta_log").unwrap();
    for file in std::fs::read_dir(day.path()).unwrap().flatten() {
        let file = std::fs::File::open(file.path()).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert!(reader.schema().fields().len() < 30, "{} columns", reader.schema().fields().len());
    }
}
