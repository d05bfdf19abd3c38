//! The log of a table when it is cleaned up, and after a power cut.

use std::path::{Path, PathBuf};

use crate::table::commit;
use crate::table::tests::{config, count, eager, publish};
use crate::table::{Access, Effort, Tables, UpkeepConfig};
use crate::{Clock as _, SystemClock, TableName, UnixNanos};

const SPANS: TableName = TableName::Spans;

/// So late that everything is old.
fn later() -> UnixNanos {
    SystemClock.now().plus(std::time::Duration::from_secs(3_600))
}

fn log_of(dir: &Path) -> PathBuf {
    dir.join("tables/spans").join(commit::LOG)
}

fn commits(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(log_of(dir)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut commits: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    commits.sort();
    commits
}

/// Flushes so many spans, one by one.
async fn flush(tables: &Tables, collector: &str, sequences: std::ops::RangeInclusive<u64>) {
    for through in sequences {
        publish(tables, through, collector, &[SystemClock.now().as_micros()]);
        tables.flush(SPANS, collector).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_files_commits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    flush(&tables, "c", 1..=3).await;
    assert_eq!(tables.upkeep(SPANS, &eager(), Effort::Whole, SystemClock.now()).await.unwrap().joined, 3);
    let before = commits(dir.path());
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(tables.upkeep(SPANS, &eager(), Effort::Light, later()).await.unwrap().deleted, 3);
    // What the table's log still knows is not deleted twice.
    assert_eq!(tables.upkeep(SPANS, &eager(), Effort::Light, later()).await.unwrap().deleted, 0);
    assert_eq!(commits(dir.path()), before);
    assert_eq!(count(&tables, SPANS, "true").await, 3);
}

/// Another process goes on, makes a checkpoint and cleans the log up while this one has nothing to write.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_never_lands_in_a_gap_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    flush(&tables, "c", 1..=1).await;
    let other = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    flush(&other, "other", 1..=4).await;
    assert!(!other.upkeep(SPANS, &eager(), Effort::Light, SystemClock.now()).await.unwrap().checkpointed);
    flush(&other, "other", 5..=9).await;
    assert!(other.upkeep(SPANS, &eager(), Effort::Light, later()).await.unwrap().checkpointed);
    assert!(!commits(dir.path()).iter().any(|name| name.ends_with("02.json")), "{:?}", commits(dir.path()));
    publish(&tables, 2, "c", &[SystemClock.now().as_micros()]);
    assert_eq!(tables.flush(SPANS, "c").await.unwrap().rows, 0, "the first try finds the gap");
    assert_eq!(count(&tables, SPANS, "true").await, 11);
    assert_eq!(tables.flush(SPANS, "c").await.unwrap().rows, 1);
    let read = Tables::open(&config(dir.path(), Access::ReadOnly)).await.unwrap();
    assert_eq!((count(&read, SPANS, "true").await, read.committed_through(SPANS, "c").await.unwrap()), (11, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_a_power_cut_left_torn_is_put_aside() {
    for whole in [0, 1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
        let patient = UpkeepConfig { grace_seconds: 80_000, ..eager() };
        flush(&tables, "c", 1..=4).await;
        assert!(!tables.upkeep(SPANS, &patient, Effort::Light, SystemClock.now()).await.unwrap().checkpointed);
        flush(&tables, "c", 5..=8).await;
        assert!(tables.upkeep(SPANS, &patient, Effort::Light, SystemClock.now()).await.unwrap().checkpointed);
        flush(&tables, "c", 9..=10).await;
        let is_checkpoint = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
        let checkpoint = std::fs::read_dir(log_of(dir.path())).unwrap().map(|entry| entry.unwrap().path()).find(is_checkpoint).unwrap();
        let bytes = std::fs::read(&checkpoint).unwrap();
        std::fs::write(&checkpoint, &bytes[..bytes.len() * whole / 2]).unwrap();
        let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
        assert_eq!((count(&tables, SPANS, "true").await, checkpoint.exists()), (10, whole == 2), "{whole} halves");
        flush(&tables, "c", 11..=11).await;
        assert_eq!(count(&tables, SPANS, "true").await, 11);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_creation_a_power_cut_left_empty_is_created_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(log_of(dir.path())).unwrap();
    std::fs::write(log_of(dir.path()).join("00000000000000000000.json"), "").unwrap();
    let tables = Tables::open(&config(dir.path(), Access::ReadWrite)).await.unwrap();
    flush(&tables, "c", 1..=1).await;
    assert_eq!(count(&tables, SPANS, "true").await, 1);
}
