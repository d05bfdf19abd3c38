//! Verdicts in the ledger: one row for each that differs from the one before.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::rollouts::{Ending, end};
use super::trail::{TrailEntry, append};
use super::{Ledger, LedgerError, failed};
use crate::time::UnixNanos;

/// One verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictRow {
    /// Of which rollout.
    pub rollout_id: String,
    /// Counts up from 1 within the rollout.
    pub sequence: u64,
    /// When it was written.
    pub decided_at: UnixNanos,
    /// The decision, to search by.
    pub decision: String,
    /// Whether it is the last one.
    pub is_final: bool,
    /// The whole verdict.
    pub document: String,
}

/// How a rollout ends with its last verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// The state it ends in.
    pub ending: Ending,
    /// What the verdict rests on, to be kept; `None` if it is too large.
    pub evidence: Option<Vec<u8>>,
}

/// The evidence of so many rollouts is kept, the newest ones.
const EVIDENCE_KEPT: i64 = 1_000;
/// All verdicts of so many rollouts that have ended are kept, the newest ones; of others the last.
const ENDED_KEPT: i64 = 1_000;
/// So many that are beyond are looked at each time one ends.
const ENDED_AT_ONCE: i64 = 20;
/// Of verdicts that are older than this and say the same decision,
const EACH_FOR: Duration = Duration::from_secs(600);
/// one in this time is kept.
const ONE_EACH: Duration = Duration::from_secs(60);

impl Ledger {
    /// The verdicts of a rollout, or of all, written since an instant, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn verdict_documents(
        &self,
        (rollout_id, service): (Option<&str>, Option<&str>),
        since: Option<UnixNanos>,
        limit: u32,
    ) -> Result<Vec<String>, LedgerError> {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT document FROM verdicts WHERE 1 = 1");
        if let Some(id) = rollout_id {
            sql.push(" AND rollout_id = ").push_bind(id);
        }
        if let Some(service) = service {
            sql.push(" AND rollout_id IN (SELECT id FROM rollouts WHERE service = ").push_bind(service).push(")");
        }
        if let Some(since) = since {
            sql.push(" AND decided_at >= ").push_bind(since.as_nanos());
        }
        sql.push(" ORDER BY decided_at DESC LIMIT ").push_bind(i64::from(limit));
        sql.build_query_scalar::<String>().fetch_all(&self.pool).await.map_err(failed("list verdicts"))
    }

    /// Adds a verdict and, when it is the last one, keeps its evidence and ends the rollout in the same step, with what the trail tells of it.
    ///
    /// Says whether it was written: a rollout that has ended meanwhile, or gone on to another stage than the one that was judged, gets none.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn append_verdict(
        &self,
        (row, stage): (&VerdictRow, usize),
        last: Option<&Last>,
        entries: &[TrailEntry],
    ) -> Result<bool, LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin a verdict"))?;
        let live: Option<String> = sqlx::query_scalar("SELECT document FROM rollouts WHERE id = $1 AND ended_at IS NULL")
            .bind(&row.rollout_id)
            .fetch_optional(&mut *step)
            .await
            .map_err(failed("find the verdict's rollout"))?;
        if live.is_none_or(|document| stage_of(&document) != stage) {
            step.rollback().await.map_err(failed("leave a verdict out"))?;
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO verdicts (rollout_id, sequence, decided_at, decision, is_final, document) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&row.rollout_id)
        .bind(i64::try_from(row.sequence).unwrap_or(i64::MAX))
        .bind(row.decided_at.as_nanos())
        .bind(&row.decision)
        .bind(i64::from(row.is_final))
        .bind(&row.document)
        .execute(&mut *step)
        .await
        .map_err(failed("add a verdict"))?;
        thin_out(&mut step, row).await.map_err(failed("thin verdicts out"))?;
        if let Some(Last { ending, evidence }) = last {
            if let Some(bundle) = evidence {
                keep(&mut step, &row.rollout_id, row.decided_at, bundle).await.map_err(failed("keep the evidence of a verdict"))?;
            }
            end(&mut step, &row.rollout_id, ending).await?;
        }
        append(&mut step, entries).await?;
        step.commit().await.map_err(failed("add a verdict"))?;
        if !entries.is_empty() {
            self.trail_grew();
        }
        Ok(true)
    }

    /// Keeps what the last verdict of a rollout rests on that somebody else has ended.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn keep_evidence(&self, rollout_id: &str, at: UnixNanos, bundle: &[u8]) -> Result<(), LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin to keep evidence"))?;
        keep(&mut step, rollout_id, at, bundle).await.map_err(failed("keep evidence"))?;
        step.commit().await.map_err(failed("keep evidence"))
    }

    /// What the last verdict of a rollout rests on, if it was kept.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn evidence(&self, rollout_id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        sqlx::query_scalar("SELECT bundle FROM evidence WHERE rollout_id = $1")
            .bind(rollout_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find the evidence of a verdict"))
    }

    /// The newest verdict of a rollout.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn latest_verdict(&self, rollout_id: &str) -> Result<Option<VerdictRow>, LedgerError> {
        let row = sqlx::query(
            "SELECT rollout_id, sequence, decided_at, decision, is_final, document FROM verdicts
             WHERE rollout_id = $1 ORDER BY sequence DESC LIMIT 1",
        )
        .bind(rollout_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find a verdict"))?;
        row.map(|row| read(&row)).transpose()
    }
}

/// Deletes what nobody looks at any more: a verdict changes with every window, and most say the same.
async fn thin_out(step: &mut SqliteConnection, newest: &VerdictRow) -> Result<(), sqlx::Error> {
    let until = newest.decided_at.minus(EACH_FOR);
    sqlx::query(
        "DELETE FROM verdicts WHERE rollout_id = $1 AND is_final = 0 AND decided_at >= $2 AND decided_at < $3 AND EXISTS (
             SELECT 1 FROM verdicts AS later WHERE later.rollout_id = $1 AND later.decision = verdicts.decision
             AND later.sequence > verdicts.sequence AND later.sequence <= verdicts.sequence + 100
             AND later.decided_at / $4 = verdicts.decided_at / $4)",
    )
    .bind(&newest.rollout_id)
    .bind(until.minus(EACH_FOR).as_nanos())
    .bind(until.as_nanos())
    .bind(i64::try_from(ONE_EACH.as_nanos()).unwrap_or(i64::MAX))
    .execute(step)
    .await?;
    Ok(())
}

/// Keeps the last verdict only of rollouts that ended long ago.
pub(super) async fn forget_old(step: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM verdicts WHERE is_final = 0
         AND rollout_id IN (SELECT id FROM rollouts WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT $1 OFFSET $2)
         AND sequence < (SELECT max(sequence) FROM verdicts AS newest WHERE newest.rollout_id = verdicts.rollout_id)",
    )
    .bind(ENDED_AT_ONCE)
    .bind(ENDED_KEPT)
    .execute(step)
    .await?;
    Ok(())
}

async fn keep(step: &mut SqliteConnection, rollout_id: &str, at: UnixNanos, bundle: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO evidence (rollout_id, kept_at, bundle) VALUES ($1, $2, $3)")
        .bind(rollout_id)
        .bind(at.as_nanos())
        .bind(bundle)
        .execute(&mut *step)
        .await?;
    sqlx::query("DELETE FROM evidence WHERE rollout_id NOT IN (SELECT rollout_id FROM evidence ORDER BY kept_at DESC LIMIT $1)")
        .bind(EVIDENCE_KEPT)
        .execute(&mut *step)
        .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<VerdictRow, LedgerError> {
    let parse = || -> Result<VerdictRow, sqlx::Error> {
        Ok(VerdictRow {
            rollout_id: row.try_get("rollout_id")?,
            sequence: u64::try_from(row.try_get::<i64, _>("sequence")?).unwrap_or(0),
            decided_at: UnixNanos::new(row.try_get("decided_at")?),
            decision: row.try_get("decision")?,
            is_final: row.try_get::<i64, _>("is_final")? != 0,
            document: row.try_get("document")?,
        })
    };
    parse().map_err(|cause| LedgerError::Broken { what: "verdict", detail: cause.to_string() })
}

/// The stage that a rollout's document says it is in; the first where it says nothing.
fn stage_of(document: &str) -> usize {
    let said = serde_json::from_str::<serde_json::Value>(document).ok().and_then(|document| document.get("stage")?.as_u64());
    said.and_then(|stage| usize::try_from(stage).ok()).unwrap_or(0)
}
