//! Which row groups those of small files become.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{DictionaryArray, MapBuilder, MapFieldNames, RecordBatch, StringBuilder};
use arrow::datatypes::Int32Type;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use tempfile::TempDir;

use super::{Input, PART_ROWS_MIN, common_schema};
use crate::schema::{MAP_ENTRIES, MAP_KEYS, MAP_VALUES};
use crate::table::tests::{batch, batch_with, config, count, eager, with_column};
use crate::table::{Access, Effort, HotRows, Tables, UpkeepConfig};
use crate::{TableName, UnixNanos};

const SPANS: TableName = TableName::Spans;
const NOW: UnixNanos = UnixNanos::from_seconds(1_795_000_000);

fn times(rows: i64) -> Vec<i64> {
    (0..rows).map(|row| NOW.as_micros() - 10 * row).collect()
}

/// Tables whose spans are one file each of these.
async fn written(batches: Vec<RecordBatch>) -> (Tables, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    for (through, rows) in (1..).zip(batches) {
        tables.publish(HotRows { through, batches: vec![(SPANS, rows)] });
        tables.flush(SPANS, "c").await.unwrap();
    }
    (tables, dir)
}

/// Joins all files, and answers the rows of each row group of the one that they became.
async fn join(tables: &Tables, dir: &Path) -> Vec<i64> {
    let config = UpkeepConfig { small_files_min: 2, ..eager() };
    assert!(tables.upkeep(SPANS, &config, Effort::Whole, NOW).await.unwrap().joined >= 2);
    let reader = SerializedFileReader::new(std::fs::File::open(newest_file(dir)).unwrap()).unwrap();
    reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
}

fn newest_file(dir: &Path) -> PathBuf {
    let days = std::fs::read_dir(dir.join("tables/spans")).unwrap().map(|entry| entry.unwrap().path());
    let files = days.filter(|day| !day.ends_with("_delta_log")).flat_map(|day| std::fs::read_dir(day).unwrap());
    files.map(|file| file.unwrap().path()).max_by_key(|path| path.metadata().unwrap().modified().unwrap()).unwrap()
}

/// Files are read a column at a time, so their row groups can be joined to ones that compress well.
#[tokio::test(flavor = "multi_thread")]
async fn row_groups_of_small_files_become_large_ones() {
    const ROWS: i64 = 25_000;
    let batches = ["b", "a", "b", "a", "b"].map(|service| batch(SPANS, service, &times(ROWS))).to_vec();
    let (tables, dir) = written(batches).await;
    let groups = join(&tables, dir.path()).await;
    assert_eq!(groups, [3 * ROWS, 2 * ROWS]);
    assert_eq!(count(&tables, SPANS, "service_name = 'a'").await, 2 * ROWS);
}

/// A flush may have put more text into one row group than may be read at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_group_with_a_very_large_column_is_joined_in_parts() {
    const ROWS: i64 = 7_000;
    let path = "/a path".repeat(300);
    let rows = batch_with(SPANS, "url_path", &path, &times(ROWS));
    let (tables, dir) = written(vec![rows.clone(), rows]).await;
    let groups = join(&tables, dir.path()).await;
    assert_eq!(groups, [2_048, 2_048, 2_904, 2_048, 2_048, 2_904]);
    assert_eq!(count(&tables, SPANS, &format!("url_path = '{path}'")).await, 2 * ROWS);
}

/// Where a dictionary grew too large the library writes the rest of a column out, each row's text by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_left_its_dictionary_is_read_some_rows_at_a_time() {
    const ROWS: usize = 6_000;
    let long = "x".repeat(4_000);
    let rows = batch(SPANS, "checkout", &times(6_000));
    // Distinct ones come first in time, and so in the file; some rows have none.
    let message = |row: usize| match row {
        _ if row.is_multiple_of(7) => None,
        0..1_500 => Some(format!("{row} {long}")),
        _ => Some(long.clone()),
    };
    let messages: Vec<Option<String>> = (0..ROWS).rev().map(message).collect();
    let messages: DictionaryArray<Int32Type> = messages.iter().map(Option::as_deref).collect();
    let rows = with_column(&rows, "status_message", Arc::new(messages));
    let (tables, dir) = written(vec![rows.clone(), rows]).await;
    let file = newest_file(dir.path());
    let schema = common_schema(SPANS, std::slice::from_ref(&file)).unwrap().unwrap();
    let input = Input::new(&file, &schema).unwrap();
    let at_once = |column: &str| input.rows_at_once(input.metadata.schema().index_of(column).unwrap(), 0, ROWS);
    assert_eq!((at_once("status_message"), at_once("time")), (PART_ROWS_MIN, ROWS));
    let groups = join(&tables, dir.path()).await;
    assert_eq!(groups.iter().sum::<i64>(), 12_000, "{groups:?}");
    assert_eq!(count(&tables, SPANS, &format!("status_message = '{long}'")).await, 2 * 3_857);
    assert_eq!(count(&tables, SPANS, "status_message LIKE '1499 x%'").await, 2);
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
    let rows = with_column(&rows, "attributes", Arc::new(attributes.finish()));
    let (tables, dir) = written(vec![rows; 7]).await;
    let groups = join(&tables, dir.path()).await;
    assert_eq!(groups, [2_000, 2_000, 2_000, 1_000], "each thousand has 2.1 MB of paths");
    assert_eq!(count(&tables, SPANS, "true").await, 7_000);
}
