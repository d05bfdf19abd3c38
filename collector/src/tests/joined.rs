//! Files of generated records, joined.

use datafusion::prelude::SessionContext;
use haldane_store::table::{Access, Effort, HotRows, UpkeepConfig};
use haldane_store::{TableName, Tables};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::fixture::{RECEIVED, json_rows, rows_of};
use super::generate::records;
use super::oracle::Records;
use super::world;

/// All that a table says, in no order.
async fn told(tables: &Tables, table: TableName) -> Vec<String> {
    let session = SessionContext::new();
    session.register_table("t", tables.provider(table)).unwrap();
    let batches = session.sql("SELECT * FROM t").await.unwrap().collect().await.unwrap();
    let batches: Vec<_> = batches.into_iter().map(|batch| (table, batch)).collect();
    let mut rows: Vec<String> = json_rows(&batches, table).iter().map(ToString::to_string).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_files_say_what_they_said_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let tables = world::tables(dir.path(), Access::ReadWrite).await;
    let mut random = TestRunner::deterministic();
    for through in 1..=4 {
        let some: Vec<Records> = (0..60).map(|_| records().new_tree(&mut random).unwrap().current()).collect();
        tables.publish(HotRows { through, batches: rows_of(&some) });
        for table in TableName::ALL {
            tables.flush(table, "c").await.unwrap();
        }
    }
    let eager = UpkeepConfig { small_files_min: 2, raw_days: 0, rollup_days: 0, ..UpkeepConfig::default() };
    for table in TableName::ALL {
        let before = told(&tables, table).await;
        assert!(before.len() > 20, "{} rows in {table:?}", before.len());
        let kept = tables.upkeep(table, &eager, Effort::Whole, RECEIVED).await.unwrap();
        assert!(kept.joined >= 4, "{kept:?} in {table:?}");
        assert_eq!(told(&tables, table).await, before, "{table:?}");
    }
}
