//! Brings back after a stop what the log holds and the tables do not have yet.
//!
//! Always holds: a record's rows go to exactly those tables whose last committed sequence lies below the record's.

use std::path::Path;

use haldane_store::{Classified, Fault, TableName, Tables};

use crate::batch::{Batcher, Durable};
use crate::decode;
use crate::wal::recovery::Recovered;
use crate::wal::{Record, Recovery, RecoveryError};
use crate::wanted::Wanted;

/// After so many bytes of bodies replayed rows are published, and written if they are many: a segment may make ten times its size of them.
const LOOK_EACH_BYTES: usize = 8 << 20;

/// Why what the log holds cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] RecoveryError),
    /// A table does not say what it has.
    #[error(transparent)]
    Table(#[from] haldane_store::table::ReadError),
    /// A record that was acknowledged once is not understood any more.
    #[error("record {sequence} of the log cannot be decoded: {detail}")]
    Record {
        /// Its sequence.
        sequence: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The rows in memory grew too many, and could not be written.
    #[error("cannot write replayed rows")]
    Flush(#[from] haldane_store::table::CommitError),
    /// The thread that reads went away.
    #[error("the log could not be read for lack of a thread")]
    Lost(#[from] tokio::task::JoinError),
}

impl Classified for ReplayError {
    fn fault(&self) -> Fault {
        match self {
            Self::Log(error) => error.fault(),
            Self::Table(error) => error.fault(),
            Self::Flush(error) => error.fault(),
            Self::Record { .. } | Self::Lost(_) => Fault::Bug,
        }
    }
}

/// What a replay brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Requests of which at least one table lacked rows.
    pub requests: u64,
    /// Spans, data points and log records in them.
    pub records: u64,
}

/// What each table has for good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed([u64; TableName::ALL.len()]);

impl Committed {
    pub(crate) async fn read(tables: &Tables, collector: &str) -> Result<Self, ReplayError> {
        let mut through = [0; TableName::ALL.len()];
        for (table, through) in TableName::ALL.into_iter().zip(&mut through) {
            *through = tables.committed_through(table, collector).await?;
        }
        Ok(Self(through))
    }

    /// The last sequence that any table has.
    pub(crate) fn most(&self) -> u64 {
        self.0.into_iter().max().unwrap_or(0)
    }

    fn wanted(&self, sequence: u64) -> Wanted {
        Wanted::by(|table| TableName::ALL.into_iter().zip(self.0).any(|(one, through)| one == table && through < sequence))
    }
}

/// Where replayed rows go once there are many.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Overflow<'a> {
    /// To the tables' files.
    Flush { collector: &'a str, bytes_max: usize },
    /// Nowhere: they stay in memory.
    Keep,
}

/// Replays the whole log and publishes its rows.
pub(crate) async fn replay(
    mut recovery: Recovery,
    committed: Committed,
    batcher: &mut Batcher,
    tables: &Tables,
    overflow: Overflow<'_>,
) -> Result<(Replayed, Recovered), ReplayError> {
    let mut replayed = Replayed::default();
    loop {
        let (back, records) = tokio::task::spawn_blocking(move || {
            let records = recovery.next_segment();
            (recovery, records)
        })
        .await?;
        recovery = back;
        let Some(records) = records? else { break };
        let mut bytes = 0;
        for record in records {
            bytes += record.request.body.len();
            let full = replay_record(record, committed, batcher, &mut replayed)?;
            if full || bytes >= LOOK_EACH_BYTES {
                bytes = 0;
                batcher.publish();
                flush_large(tables, overflow).await?;
            }
        }
        batcher.publish();
        flush_large(tables, overflow).await?;
    }
    Ok((replayed, recovery.finish()))
}

/// Answers whether a batch was full with it.
fn replay_record(record: Record, committed: Committed, batcher: &mut Batcher, replayed: &mut Replayed) -> Result<bool, ReplayError> {
    let wanted = committed.wanted(record.sequence);
    if wanted.is_empty() {
        return Ok(false);
    }
    let sequence = record.sequence;
    // It was within the limit when it was acknowledged, whatever the limit is now.
    let checked = decode::decode(&record.request, u64::MAX).map_err(|cause| ReplayError::Record { sequence, detail: cause.to_string() })?;
    replayed.requests += 1;
    replayed.records += checked.kept;
    Ok(batcher.append(&Durable { sequence, received: record.received, checked, admitted: None }, wanted))
}

async fn flush_large(tables: &Tables, overflow: Overflow<'_>) -> Result<(), ReplayError> {
    let Overflow::Flush { collector, bytes_max } = overflow else { return Ok(()) };
    for table in TableName::ALL {
        if tables.hot(table).bytes >= bytes_max {
            tables.flush(table, collector).await?;
        }
    }
    Ok(())
}

/// The name under which a log's rows are committed; `None` when the folder has no log yet.
pub(crate) fn read_collector_id(dir: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(dir.join(COLLECTOR_ID)) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|id| !id.is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file that holds it.
pub(crate) const COLLECTOR_ID: &str = "collector-id";
