//! Decides when a table's hot rows are written, and lets go of the log once all tables have what it holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haldane_store::fault::chain;
use haldane_store::{TableName, Tables};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::config::CollectorConfig;

/// How often a table is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A table with less than this part of the room is left alone when it gets narrow.
const CROWD: usize = 16;
/// After a failure a table is tried again after this long, then twice that, and so on,
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// up to this.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// What each table has for good.
#[derive(Debug, Default)]
pub(crate) struct Progress([AtomicU64; TableName::ALL.len()]);

impl Progress {
    fn advance(&self, table: TableName, through: u64) {
        for (one, reached) in TableName::ALL.iter().zip(&self.0) {
            if *one == table {
                reached.fetch_max(through, Ordering::AcqRel);
            }
        }
    }

    /// What all tables have.
    fn through(&self) -> u64 {
        self.0.iter().map(|reached| reached.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

/// Flushes one table as long as the collector runs.
pub(crate) struct Flusher {
    pub(crate) table: TableName,
    pub(crate) tables: Tables,
    pub(crate) collector: String,
    pub(crate) age_max: Duration,
    pub(crate) bytes_max: usize,
    /// Of all tables; from half of it on each table that has more than [`CROWD`] says is written as soon as it is looked at.
    pub(crate) hot_bytes_max: usize,
    pub(crate) published_through: Arc<AtomicU64>,
    pub(crate) progress: Arc<Progress>,
}

/// How old a table's rows may get before they are written.
pub(crate) fn age_max(table: TableName, config: &CollectorConfig) -> Duration {
    match table {
        TableName::Red | TableName::Errors => Duration::from_millis(config.rollup_flush_age_ms),
        TableName::Spans | TableName::Logs | TableName::Metrics => Duration::from_millis(config.raw_flush_age_ms),
    }
}

impl Flusher {
    /// Runs until told to stop. `release` is told what all tables have.
    pub(crate) async fn run(self, release: impl Fn(u64), stop: CancellationToken) {
        // What is hot before anything has come in was in the log, and waited long enough there.
        let mut overdue = self.tables.hot(self.table).rows > 0;
        let mut hot_since: Option<Instant> = None;
        let mut pause = Duration::ZERO;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY.max(pause))).await.is_some() {
            // Read before the table is looked at: what was published by then and is not hot is committed.
            let published = self.published_through.load(Ordering::Acquire);
            let hot = self.tables.hot(self.table);
            if hot.rows == 0 {
                hot_since = None;
                self.reached(published, &release);
                continue;
            }
            let since = *hot_since.get_or_insert_with(Instant::now);
            let crowded = self.tables.hot_bytes() >= self.hot_bytes_max / 2 && hot.bytes >= self.hot_bytes_max / CROWD;
            if !overdue && since.elapsed() < self.age_max && hot.bytes < self.bytes_max && !crowded {
                continue;
            }
            let span = tracing::debug_span!("flush", table = self.table.as_str(), rows = hot.rows);
            match self.tables.flush(self.table, &self.collector).instrument(span).await {
                Ok(flushed) => {
                    tracing::debug!(table = self.table.as_str(), rows = flushed.rows, through = flushed.through, "flushed");
                    (hot_since, pause, overdue) = (None, Duration::ZERO, false);
                    self.reached(flushed.through, &release);
                }
                Err(error) => {
                    pause = (pause * 2).clamp(RETRY_FIRST, RETRY_MOST);
                    let table = self.table.as_str();
                    tracing::error!(table, error = chain(&error), retry_in = ?pause, "cannot flush; rows stay in memory and in the log");
                }
            }
        }
    }

    fn reached(&self, through: u64, release: &impl Fn(u64)) {
        let before = self.progress.through();
        self.progress.advance(self.table, through);
        let after = self.progress.through();
        if after > before {
            release(after);
        }
    }
}

/// Flushes all tables, trying again until the deadline. Answers the tables that still have hot rows.
pub(crate) async fn flush_all(tables: &Tables, collector: &str, deadline: tokio::time::Instant) -> Vec<TableName> {
    let mut left = TableName::ALL.to_vec();
    let mut pause = RETRY_FIRST;
    loop {
        let mut failed = Vec::new();
        for table in left {
            match tables.flush(table, collector).await {
                // What an earlier try had made, or what another process has done to the log, is taken over first.
                Ok(_) if tables.hot(table).rows > 0 => failed.push(table),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(table = table.as_str(), error = chain(&error), "cannot flush while stopping");
                    failed.push(table);
                }
            }
        }
        if failed.is_empty() || tokio::time::Instant::now() + pause > deadline {
            return failed;
        }
        left = failed;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MOST);
    }
}
