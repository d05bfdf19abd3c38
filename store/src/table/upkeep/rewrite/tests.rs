//! Which row groups those of small files become.

use std::sync::Arc;

use arrow::array::{MapBuilder, MapFieldNames, RecordBatch, StringBuilder};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use tempfile::TempDir;

use crate::schema::{MAP_ENTRIES, MAP_KEYS, MAP_VALUES};
use crate::table::tests::{batch, batch_with, config, count, eager};
use crate::table::{Access, Effort, HotRows, Tables, UpkeepConfig};
use crate::{TableName, UnixNanos};

const SPANS: TableName = TableName::Spans;
const NOW: UnixNanos = UnixNanos::from_seconds(1_795_000_000);

fn times(rows: i64) -> Vec<i64> {
    (0..rows).map(|row| NOW.as_micros() - 10 * row).collect()
}

/// The tables whose spans were one file each of these, and the rows of each row group of the file that they became.
async fn joined(batches: Vec<RecordBatch>) -> (Tables, TempDir, Vec<i64>) {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    let files = batches.len();
    for (through, rows) in (1..).zip(batches) {
        tables.publish(HotRows { through, batches: vec![(SPANS, rows)] });
        tables.flush(SPANS, "c").await.unwrap();
    }
    let config = UpkeepConfig { small_files_min: 2, ..eager() };
    assert_eq!(tables.upkeep(SPANS, &config, Effort::Whole, NOW).await.unwrap().joined, files);
    let days = std::fs::read_dir(dir.path().join("tables/spans")).unwrap().map(|entry| entry.unwrap().path());
    let files = days.filter(|day| !day.ends_with("_delta_log")).flat_map(|day| std::fs::read_dir(day).unwrap());
    let newest = files.map(|file| file.unwrap().path()).max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(newest).unwrap()).unwrap();
    let rows = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    (tables, dir, rows)
}

/// Files are read a column at a time, so their row groups can be joined to ones that compress well.
#[tokio::test(flavor = "multi_thread")]
async fn row_groups_of_small_files_become_large_ones() {
    const ROWS: i64 = 25_000;
    let batches = ["b", "a", "b", "a", "b"].map(|service| batch(SPANS, service, &times(ROWS))).to_vec();
    let (tables, _dir, groups) = joined(batches).await;
    assert_eq!(groups, [3 * ROWS, 2 * ROWS]);
    assert_eq!(count(&tables, SPANS, "service_name = 'a'").await, 2 * ROWS);
}

/// A flush may have put more text into one row group than may be read at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_group_with_a_very_large_column_is_joined_in_parts() {
    const ROWS: i64 = 7_000;
    let path = "/a path".repeat(300);
    let rows = batch_with(SPANS, "url_path", &path, &times(ROWS));
    let (tables, _dir, groups) = joined(vec![rows.clone(), rows]).await;
    assert_eq!(groups, [2_048, 2_048, 2_904, 2_048, 2_048, 2_904]);
    assert_eq!(count(&tables, SPANS, &format!("url_path = '{path}'")).await, 2 * ROWS);
}

/// What takes most may be a column of which the file says what it takes, beside one of which it does not.
#[tokio::test(flavor = "multi_thread")]
async fn row_groups_are_joined_as_far_as_their_largest_column_lets_them() {
    const ROWS: usize = 1_000;
    let names = MapFieldNames { entry: MAP_ENTRIES.to_owned(), key: MAP_KEYS.to_owned(), value: MAP_VALUES.to_owned() };
    let mut attributes = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for _ in 0..ROWS {
        attributes.keys().append_value("tenant");
        attributes.values().append_value("a");
        attributes.append(true).unwrap();
    }
    let rows = batch_with(SPANS, "url_path", &"/a path".repeat(300), &times(1_000));
    let mut columns = rows.columns().to_vec();
    columns[rows.schema().index_of("attributes").unwrap()] = Arc::new(attributes.finish());
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let (tables, _dir, groups) = joined(vec![rows; 7]).await;
    assert_eq!(groups, [2_000, 2_000, 2_000, 1_000], "each thousand has 2.1 MB of paths");
    assert_eq!(count(&tables, SPANS, "true").await, 7_000);
}
