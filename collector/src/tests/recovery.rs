//! The whole collector on a real folder: opened, fed, dropped and opened again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haldane_store::table::Access;
use haldane_store::{Classified, Fault, SystemClock, TableName, Tables};

use super::fixture::{attribute, log, logs_of, metrics, metrics_of, numbered_span, text, traces_of};
use super::world::{Served, config, expect, number, open, send, tables};
use crate::collector::Collector;
use crate::config::CollectorConfig;
use crate::tests::oracle::Records;
use crate::wal::writer::Syncer;

fn spans(numbers: std::ops::Range<u64>) -> Records {
    Records::Traces(traces_of(numbers.map(numbered_span).collect()))
}

/// Spans 0 to `spans` are in every table that they belong to, once.
async fn assert_whole(tables: &Tables, spans: i64) {
    for sql in [
        "SELECT count(*) FROM spans",
        "SELECT count(distinct span_id) FROM spans",
        "SELECT coalesce(sum(requests), 0) FROM red",
        "SELECT coalesce(sum(count), 0) FROM errors WHERE source = 'exception' AND error_type = 'StripeSecretMissing'",
    ] {
        assert_eq!(number(tables, sql).await, spans, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_after_each_sudden_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut sent = 0;
    // In each round other tables have been flushed when the end comes.
    let rounds: [&[TableName]; 5] = [&[], &[TableName::Spans], &[TableName::Red, TableName::Errors], &TableName::ALL, &[TableName::Errors]];
    for flushed in rounds {
        let (collector, tables) = open(dir.path()).await;
        assert_whole(&tables, i64::try_from(sent).unwrap()).await;
        for _ in 0..3 {
            send(collector.intake(), spans(sent..sent + 7)).await.unwrap();
            sent += 7;
        }
        expect(&tables, "SELECT count(*) FROM spans", i64::try_from(sent).unwrap()).await;
        for table in flushed {
            tables.flush(*table, collector.id()).await.unwrap();
        }
        // And some more that may or may not be rows yet.
        send(collector.intake(), spans(sent..sent + 1)).await.unwrap();
        sent += 1;
        drop(collector);
    }
    let (_collector, tables) = open(dir.path()).await;
    assert_whole(&tables, i64::try_from(sent).unwrap()).await;
}

/// A resource of a few kilobytes makes megabytes of rows out of a small body; a batch is full of them long before it is old.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_full_of_what_records_share_too() {
    let dir = tempfile::tempdir().unwrap();
    let tables = tables(dir.path(), Access::ReadWrite).await;
    let config = CollectorConfig { batch_age_ms: 600_000, request_bytes_max: 2 << 20, ..config(dir.path()) };
    let collector = Collector::open(config, tables.clone(), Arc::new(SystemClock)).await.unwrap();
    for nth in 0..9 {
        let mut request = traces_of((0..1_000).map(|number| numbered_span(nth * 1_000 + number)).collect());
        request.resource_spans[0].resource.as_mut().unwrap().attributes.push(attribute("big", text(&"x".repeat(3_400))));
        send(collector.intake(), Records::Traces(request)).await.unwrap();
    }
    expect(&tables, "SELECT count(*) FROM spans", 9_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_writes_everything_and_empties_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    send(&served.intake, spans(0..5)).await.unwrap();
    send(&served.intake, Records::Logs(logs_of(vec![log(); 3]))).await.unwrap();
    send(&served.intake, Records::Metrics(metrics_of(metrics()))).await.unwrap();
    let intake = served.intake.clone();
    served.stop().await;
    assert_eq!(send(&intake, spans(9..10)).await.unwrap_err().fault(), Fault::Unavailable);
    let read = tables(dir.path(), Access::ReadOnly).await;
    assert_whole(&read, 5).await;
    assert_eq!(number(&read, "SELECT count(*) FROM logs").await, 3);
    assert_eq!(number(&read, "SELECT count(*) FROM metrics").await, 5);
    let left: Vec<_> = std::fs::read_dir(dir.path().join("wal")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["collector-id"]);
    // The next start goes on behind the sequences that the tables have.
    let (collector, tables) = open(dir.path()).await;
    send(collector.intake(), spans(5..6)).await.unwrap();
    expect(&tables, "SELECT count(*) FROM spans", 6).await;
    drop(collector);
    let (_collector, tables) = open(dir.path()).await;
    assert_whole(&tables, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_read_without_a_server_and_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, written) = open(dir.path()).await;
    send(collector.intake(), spans(0..4)).await.unwrap();
    expect(&written, "SELECT count(*) FROM spans", 4).await;
    written.flush(TableName::Spans, collector.id()).await.unwrap();
    drop(collector);
    let before = listing(dir.path());
    let read = tables(dir.path(), Access::ReadOnly).await;
    let replayed = Collector::replay_only(&config(dir.path()), &read).await.unwrap();
    assert_eq!((replayed.requests, replayed.records), (1, 4));
    assert_whole(&read, 4).await;
    assert_eq!(listing(dir.path()), before);
    let nothing = tempfile::tempdir().unwrap();
    let empty = tables(nothing.path(), Access::ReadOnly).await;
    assert_eq!(Collector::replay_only(&config(nothing.path()), &empty).await.unwrap().requests, 0);
    assert!(listing(nothing.path()).is_empty());
}

fn listing(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(listing(&entry.path()));
        } else {
            found.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_collector_flushes_by_itself_and_lets_go_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for number in 0..8 {
        send(&served.intake, spans(number..number + 1)).await.unwrap();
    }
    let full = served.meter.read().log_backlog_bytes;
    let deadline = std::time::Instant::now() + super::world::PATIENCE;
    while served.meter.read().log_backlog_bytes >= full {
        assert!(std::time::Instant::now() < deadline, "no segment was removed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stats = served.meter.read();
    assert_eq!((stats.traces.requests, stats.traces.accepted, stats.published_through), (8, 8, 8));
    assert_eq!(stats.bytes_in_flight, 0);
    assert_whole(&served.tables, 8).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_are_there_once_however_sending_and_flushing_fall_together() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, tables) = open(dir.path()).await;
    let intake = collector.intake();
    let sending = async {
        for first in (0..400).step_by(8) {
            let sent = (first..first + 8).map(|number| send(intake, spans(number..number + 1)));
            futures::future::try_join_all(sent).await.unwrap();
        }
    };
    let flushing = async {
        loop {
            tables.flush(TableName::Spans, collector.id()).await.unwrap();
            tables.flush(TableName::Red, collector.id()).await.unwrap();
        }
    };
    tokio::select! {
        () = sending => {}
        () = flushing => {}
    }
    expect(&tables, "SELECT count(distinct span_id) FROM spans", 400).await;
    assert_whole(&tables, 400).await;
    drop(collector);
    let (_collector, tables) = open(dir.path()).await;
    assert_whole(&tables, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_refuses_for_now_and_nothing_unacknowledged_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let written = tables(dir.path(), Access::ReadWrite).await;
    let syncer = Syncer::default();
    let collector = Collector::open_on(config(dir.path()), written.clone(), Arc::new(SystemClock), syncer.clone()).await.unwrap();
    send(collector.intake(), spans(0..2)).await.unwrap();
    syncer.fails.store(true, Ordering::SeqCst);
    assert_eq!(send(collector.intake(), spans(2..3)).await.unwrap_err().fault(), Fault::Unavailable);
    syncer.fails.store(false, Ordering::SeqCst);
    let deadline = std::time::Instant::now() + super::world::PATIENCE;
    while send(collector.intake(), spans(3..4)).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the log did not recover");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(collector);
    let (_collector, tables) = open(dir.path()).await;
    assert_whole(&tables, 3).await;
}
