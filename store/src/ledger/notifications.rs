//! The outbox: what is to be told to whom, and what came of it.
//!
//! Always holds: an entry of the trail becomes one notification for each receiver, in the same step in which the reader of the trail
//! moves past it; so none is forgotten, and none made twice.

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::trail::{TrailEntry, append};
use super::{Ledger, LedgerError, failed};
use crate::time::UnixNanos;

/// Something to tell to one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRow {
    /// Its name; stays the same through all attempts.
    pub id: String,
    /// To whom.
    pub receiver: String,
    /// The entry of the trail that it tells of.
    pub event: u64,
    /// Of which rollout.
    pub rollout_id: String,
    /// `due`, `repeating`, `delivered` or `dead`.
    pub state: String,
    /// When it was made, or revived: attempts are given up some time after.
    pub created_at: UnixNanos,
    /// When to try next.
    pub due_at: UnixNanos,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong last.
    pub last_error: String,
    /// Until when it is told again and again, once it was told.
    pub repeat_until: Option<UnixNanos>,
    /// What is told.
    pub document: String,
}

/// Waits for its next attempt.
pub const DUE: &str = "due";
/// The receiver has it, and is told again until it needs no more.
pub const REPEATING: &str = "repeating";
/// The receiver has it.
pub const DELIVERED: &str = "delivered";
/// Given up; can be tried again by hand.
pub const DEAD: &str = "dead";

/// Delivered ones are kept, and dead ones, so many of the newest of each.
const SETTLED_KEPT: i64 = 10_000;

const COLUMNS: &str = "id, receiver, event, rollout_id, state, created_at, due_at, attempts, last_error, repeat_until, document";

impl Ledger {
    /// How far a reader of the trail has come.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn cursor(&self, name: &str) -> Result<Option<u64>, LedgerError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT sequence FROM cursors WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a cursor"))?;
        Ok(found.and_then(|sequence| u64::try_from(sequence).ok()))
    }

    /// Moves a reader of the trail on, and puts what it has made of the entries into the outbox.
    ///
    /// # Errors
    /// When the ledger cannot be written; then nothing has changed.
    pub async fn move_cursor(&self, name: &str, sequence: u64, made: &[NotificationRow]) -> Result<(), LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin notifications"))?;
        for row in made {
            insert(&mut step, row).await.map_err(failed("add a notification"))?;
        }
        sqlx::query("INSERT INTO cursors (name, sequence) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence")
            .bind(name)
            .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
            .execute(&mut *step)
            .await
            .map_err(failed("move a cursor"))?;
        step.commit().await.map_err(failed("add notifications"))
    }

    /// The notifications of a receiver that are due by now, the longest due first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn due_notifications(&self, receiver: &str, now: UnixNanos, limit: u32) -> Result<Vec<NotificationRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM notifications WHERE receiver = $1 AND state IN ('{DUE}', '{REPEATING}') AND due_at <= $2
             ORDER BY due_at, id LIMIT $3"
        ));
        let rows = sqlx::query(sql).bind(receiver).bind(now.as_nanos()).bind(i64::from(limit)).fetch_all(&self.pool).await;
        rows.map_err(failed("list due notifications"))?.iter().map(read).collect()
    }

    /// When the next notification of a receiver is due.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn next_due(&self, receiver: &str) -> Result<Option<UnixNanos>, LedgerError> {
        let sql =
            sqlx::AssertSqlSafe(format!("SELECT MIN(due_at) FROM notifications WHERE receiver = $1 AND state IN ('{DUE}', '{REPEATING}')"));
        let next: Option<i64> =
            sqlx::query_scalar(sql).bind(receiver).fetch_one(&self.pool).await.map_err(failed("find the next notification"))?;
        Ok(next.map(UnixNanos::new))
    }

    /// The receivers that notifications wait for.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn awaited_receivers(&self) -> Result<Vec<String>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT DISTINCT receiver FROM notifications WHERE state IN ('{DUE}', '{REPEATING}') ORDER BY receiver"
        ));
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.map_err(failed("list the receivers that notifications wait for"))
    }

    /// The notification of this id.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn notification(&self, id: &str) -> Result<Option<NotificationRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM notifications WHERE id = $1"));
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.pool).await.map_err(failed("find a notification"))?;
        row.map(|row| read(&row)).transpose()
    }

    /// Notifications in a state, or of any, the newest first, older than one of that id.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn notifications(&self, state: Option<&str>, before: Option<&str>, limit: u32) -> Result<Vec<NotificationRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM notifications WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"
        ));
        let rows = sqlx::query(sql).bind(state).bind(before).bind(i64::from(limit)).fetch_all(&self.pool).await;
        rows.map_err(failed("list notifications"))?.iter().map(read).collect()
    }

    /// How many messages there are, by receiver and state.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn notification_counts(&self) -> Result<Vec<(String, String, u64)>, LedgerError> {
        let sql = "SELECT receiver, state, count(*) FROM notifications GROUP BY receiver, state ORDER BY receiver, state";
        let rows = sqlx::query_as::<_, (String, String, i64)>(sql).fetch_all(&self.pool).await.map_err(failed("count notifications"))?;
        Ok(rows.into_iter().map(|(receiver, state, count)| (receiver, state, u64::try_from(count).unwrap_or(0))).collect())
    }

    /// Takes a notification for an attempt: until then nobody else tries it, nor this process again if it cannot write down what came of it.
    /// Says whether it was still waiting.
    ///
    /// # Errors
    /// When the ledger cannot be written; then it must not be sent.
    pub async fn claim_notification(&self, id: &str, until: UnixNanos) -> Result<bool, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE notifications SET due_at = $2 WHERE id = $1 AND state IN ('{DUE}', '{REPEATING}')"));
        let done = sqlx::query(sql).bind(id).bind(until.as_nanos()).execute(&self.pool).await.map_err(failed("claim a notification"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes down what came of an attempt, with an entry of the trail where it is the last one. The newest of those delivered are kept.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn settle_notification(&self, row: &NotificationRow, entries: &[TrailEntry]) -> Result<(), LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin to settle a notification"))?;
        sqlx::query("UPDATE notifications SET state = $2, due_at = $3, attempts = $4, last_error = $5, repeat_until = $6 WHERE id = $1")
            .bind(&row.id)
            .bind(&row.state)
            .bind(row.due_at.as_nanos())
            .bind(i64::from(row.attempts))
            .bind(&row.last_error)
            .bind(row.repeat_until.map(UnixNanos::as_nanos))
            .execute(&mut *step)
            .await
            .map_err(failed("settle a notification"))?;
        if row.state == DELIVERED || row.state == DEAD {
            let sql = "DELETE FROM notifications WHERE state = $1 AND id NOT IN (SELECT id FROM notifications WHERE state = $1 ORDER BY id DESC LIMIT $2)";
            sqlx::query(sql).bind(&row.state).bind(SETTLED_KEPT).execute(&mut *step).await.map_err(failed("forget old notifications"))?;
        }
        append(&mut step, entries).await?;
        step.commit().await.map_err(failed("settle a notification"))?;
        if !entries.is_empty() {
            self.trail_grew();
        }
        Ok(())
    }

    /// Makes a dead notification due again; all dead ones without an id. Gives how many.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn revive_notifications(&self, id: Option<&str>, now: UnixNanos, entries: &[TrailEntry]) -> Result<u64, LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin to revive notifications"))?;
        let sql = sqlx::AssertSqlSafe(format!(
            "UPDATE notifications SET state = '{DUE}', created_at = $2, due_at = $2, attempts = 0, repeat_until = NULL WHERE state = '{DEAD}' AND ($1 IS NULL OR id = $1)"
        ));
        let done = sqlx::query(sql).bind(id).bind(now.as_nanos()).execute(&mut *step).await.map_err(failed("revive notifications"))?;
        if done.rows_affected() > 0 {
            append(&mut step, entries).await?;
        }
        step.commit().await.map_err(failed("revive notifications"))?;
        self.trail_grew();
        Ok(done.rows_affected())
    }
}

async fn insert(step: &mut SqliteConnection, row: &NotificationRow) -> Result<(), sqlx::Error> {
    let sql = sqlx::AssertSqlSafe(format!(
        "INSERT INTO notifications ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (receiver, event) DO NOTHING"
    ));
    sqlx::query(sql)
        .bind(&row.id)
        .bind(&row.receiver)
        .bind(i64::try_from(row.event).unwrap_or(i64::MAX))
        .bind(&row.rollout_id)
        .bind(&row.state)
        .bind(row.created_at.as_nanos())
        .bind(row.due_at.as_nanos())
        .bind(i64::from(row.attempts))
        .bind(&row.last_error)
        .bind(row.repeat_until.map(UnixNanos::as_nanos))
        .bind(&row.document)
        .execute(&mut *step)
        .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<NotificationRow, LedgerError> {
    let parse = || -> Result<NotificationRow, sqlx::Error> {
        Ok(NotificationRow {
            id: row.try_get("id")?,
            receiver: row.try_get("receiver")?,
            event: u64::try_from(row.try_get::<i64, _>("event")?).unwrap_or(0),
            rollout_id: row.try_get("rollout_id")?,
            state: row.try_get("state")?,
            created_at: UnixNanos::new(row.try_get("created_at")?),
            due_at: UnixNanos::new(row.try_get("due_at")?),
            attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(0),
            last_error: row.try_get("last_error")?,
            repeat_until: row.try_get::<Option<i64>, _>("repeat_until")?.map(UnixNanos::new),
            document: row.try_get("document")?,
        })
    };
    parse().map_err(|cause| broken(&cause))
}

fn broken(cause: &sqlx::Error) -> LedgerError {
    LedgerError::Broken { what: "notification", detail: cause.to_string() }
}
