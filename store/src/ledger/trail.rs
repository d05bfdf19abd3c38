//! The trail: what happened to rollouts, who did it and when.
//!
//! Always holds: an entry is written in the same step as what it tells of; entries are never changed or removed, and each carries the
//! hash of the one before, so that a removed or altered one shows ([`verify`]). Entries cut off at the end do not: who keeps the last hash
//! elsewhere sees that too.

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use tokio::sync::watch;

use super::{Ledger, LedgerError, failed};
use crate::time::UnixNanos;

/// The hash that the first entry is chained to.
pub const FIRST_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEntry {
    /// When.
    pub at: UnixNanos,
    /// What, such as `rollout.started`.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Of which rollout; empty if of none.
    pub rollout_id: String,
    /// Of which service; empty if of none.
    pub service: String,
    /// Where; empty if nowhere.
    pub environment: String,
    /// Everything else.
    pub document: String,
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailRow {
    /// Counts up from 1, without gaps.
    pub sequence: u64,
    /// What happened.
    pub entry: TrailEntry,
    /// SHA-256 over the hash before and everything above, in hex.
    pub hash: String,
}

/// Which entries to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrailQuery {
    /// Only of this rollout.
    pub rollout_id: Option<String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only past this sequence number; before it, when the newest come first.
    pub after: Option<u64>,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: u32,
}

/// Where a trail is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrailError {
    /// An entry is missing.
    #[error("entry {expected} is missing from the trail: the next one is {found}")]
    Missing {
        /// The sequence number that should follow.
        expected: u64,
        /// The one that does.
        found: u64,
    },
    /// An entry is not what was written, or follows another one than it did.
    #[error("entry {sequence} of the trail was altered, or the one before it was")]
    Altered {
        /// Its sequence number.
        sequence: u64,
    },
}

impl TrailRow {
    /// The hash that an entry has after another one.
    ///
    /// SHA-256 over these texts, each as a netstring (its length in bytes, `:`, itself, `,`): the hash before, sequence number, time in
    /// nanoseconds, kind, actor, rollout, service, environment and document. No text can run into the next.
    pub fn hash_after(before: &str, sequence: u64, entry: &TrailEntry) -> String {
        let mut hasher = Sha256::new();
        let (sequence, at) = (sequence.to_string(), entry.at.as_nanos().to_string());
        let TrailEntry { kind, actor, rollout_id, service, environment, document, .. } = entry;
        for text in [before, &sequence, &at, kind, actor, rollout_id, service, environment, document] {
            hasher.update(format!("{}:{text},", text.len()));
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Where a chain is checked from: nothing came before, and the first entry is chained to [`FIRST_HASH`].
pub fn beginning() -> (u64, String) {
    (0, FIRST_HASH.to_owned())
}

/// Checks that entries follow one another as they were written; gives the place and hash that the next ones are to follow.
///
/// # Errors
/// At the first entry that is missing or altered.
pub fn verify(rows: &[TrailRow], (mut sequence, mut hash): (u64, String)) -> Result<(u64, String), TrailError> {
    for row in rows {
        if row.sequence != sequence + 1 {
            return Err(TrailError::Missing { expected: sequence + 1, found: row.sequence });
        }
        if TrailRow::hash_after(&hash, row.sequence, &row.entry) != row.hash {
            return Err(TrailError::Altered { sequence: row.sequence });
        }
        (sequence, hash) = (row.sequence, row.hash.clone());
    }
    Ok((sequence, hash))
}

impl Ledger {
    /// Adds entries that tell of nothing else in the ledger.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn add_to_trail(&self, entries: &[TrailEntry]) -> Result<(), LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin an entry of the trail"))?;
        append(&mut step, entries).await?;
        step.commit().await.map_err(failed("add to the trail"))?;
        self.trail_grew();
        Ok(())
    }

    /// The entries that match.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn trail(&self, query: &TrailQuery) -> Result<Vec<TrailRow>, LedgerError> {
        let (past, order) = if query.newest_first { ("<", "DESC") } else { (">", "ASC") };
        let TrailQuery { rollout_id, service, environment, kind, after, .. } = query;
        let after = after.map(|after| i64::try_from(after).unwrap_or(i64::MAX));
        // Only what is asked for stands in the statement: with "or null" no index would be of use.
        let mut sql = QueryBuilder::<Sqlite>::new(
            "SELECT sequence, at, kind, actor, rollout_id, service, environment, document, hash FROM trail WHERE 1 = 1",
        );
        for (column, value) in [("rollout_id", rollout_id), ("service", service), ("environment", environment), ("kind", kind)] {
            if let Some(value) = value {
                sql.push(format!(" AND {column} = ")).push_bind(value);
            }
        }
        if let Some(after) = after {
            sql.push(format!(" AND sequence {past} ")).push_bind(after);
        }
        sql.push(format!(" ORDER BY sequence {order} LIMIT ")).push_bind(i64::from(query.limit));
        let rows = sql.build().fetch_all(&self.pool).await.map_err(failed("read the trail"))?;
        rows.iter().map(read).collect()
    }

    /// The sequence number of the newest entry; 0 when there is none.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn trail_end(&self) -> Result<u64, LedgerError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(sequence) FROM trail")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("find the end of the trail"))?;
        Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
    }

    /// A bell that rings when this process has added to the trail.
    pub fn trail_bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    pub(super) fn trail_grew(&self) {
        self.bell.send_replace(());
    }
}

/// Adds entries within a step that holds the ledger for writing.
pub(super) async fn append(step: &mut SqliteConnection, entries: &[TrailEntry]) -> Result<(), LedgerError> {
    for entry in entries {
        let last: Option<(i64, String)> = sqlx::query_as("SELECT sequence, hash FROM trail ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(&mut *step)
            .await
            .map_err(failed("find the end of the trail"))?;
        let (before, hash) = last.unwrap_or((0, FIRST_HASH.to_owned()));
        let sequence = before + 1;
        sqlx::query(
            "INSERT INTO trail (sequence, at, kind, actor, rollout_id, service, environment, document, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(sequence)
        .bind(entry.at.as_nanos())
        .bind(&entry.kind)
        .bind(&entry.actor)
        .bind(&entry.rollout_id)
        .bind(&entry.service)
        .bind(&entry.environment)
        .bind(&entry.document)
        .bind(TrailRow::hash_after(&hash, u64::try_from(sequence).unwrap_or(0), entry))
        .execute(&mut *step)
        .await
        .map_err(failed("add to the trail"))?;
    }
    Ok(())
}

fn read(row: &SqliteRow) -> Result<TrailRow, LedgerError> {
    let parse = || -> Result<TrailRow, sqlx::Error> {
        Ok(TrailRow {
            sequence: u64::try_from(row.try_get::<i64, _>("sequence")?).unwrap_or(0),
            entry: TrailEntry {
                at: UnixNanos::new(row.try_get("at")?),
                kind: row.try_get("kind")?,
                actor: row.try_get("actor")?,
                rollout_id: row.try_get("rollout_id")?,
                service: row.try_get("service")?,
                environment: row.try_get("environment")?,
                document: row.try_get("document")?,
            },
            hash: row.try_get("hash")?,
        })
    };
    parse().map_err(|cause| LedgerError::Broken { what: "entry of the trail", detail: cause.to_string() })
}
