//! Rollouts in the ledger.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};

use super::trail::{TrailEntry, append};
use super::verdicts::forget_old;
use super::{Ledger, LedgerError, failed};
use crate::time::UnixNanos;

/// One rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRow {
    /// Ordered by the time it was made.
    pub id: String,
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// Who started it.
    pub origin: String,
    /// Where it stands.
    pub state: String,
    /// Why, where that needs saying.
    pub state_reason: String,
    /// When it was asked for.
    pub created_at: UnixNanos,
    /// Windows from here on are compared.
    pub started_at: UnixNanos,
    /// When it ended; a rollout without is live.
    pub ended_at: Option<UnixNanos>,
    /// The caller's key, unique.
    pub idempotency_key: Option<String>,
    /// Everything else.
    pub document: String,
}

/// How a rollout ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Its last state.
    pub state: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: UnixNanos,
}

/// A rollout that gives way to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Which one.
    pub id: String,
    /// How it ends.
    pub ending: Ending,
    /// What the trail tells of it.
    pub entry: Option<TrailEntry>,
}

/// What an insertion did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// It is in.
    New,
    /// Another live rollout of the service and environment, or one with the same idempotency key, is there already.
    Exists(Box<RolloutRow>),
}

/// Which rollouts to list.
#[derive(Debug, Clone, Default)]
pub struct RolloutQuery {
    /// Only of this service.
    pub service: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only in this state.
    pub state: Option<String>,
    /// Only older than this id.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
}

const SELECT: &str =
    "SELECT id, service, environment, origin, state, state_reason, created_at, started_at, ended_at, idempotency_key, document
     FROM rollouts";

impl Ledger {
    /// Adds a live rollout, ending another one first when it is to be replaced, in one step with what the trail tells of it.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn insert_rollout(
        &self,
        row: &RolloutRow,
        replaces: Option<&Replaced>,
        entry: Option<&TrailEntry>,
    ) -> Result<Inserted, LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin a rollout"))?;
        let ended = match replaces {
            Some(Replaced { id, ending, .. }) => end(&mut step, id, ending).await?,
            None => false,
        };
        if let Some(existing) = find_existing(&mut step, row).await? {
            step.rollback().await.map_err(failed("leave a rollout as it was"))?;
            return Ok(Inserted::Exists(Box::new(existing)));
        }
        sqlx::query(
            "INSERT INTO rollouts (id, service, environment, origin, state, state_reason, created_at, started_at, ended_at, idempotency_key, document)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(&row.id)
        .bind(&row.service)
        .bind(&row.environment)
        .bind(&row.origin)
        .bind(&row.state)
        .bind(&row.state_reason)
        .bind(row.created_at.as_nanos())
        .bind(row.started_at.as_nanos())
        .bind(row.ended_at.map(UnixNanos::as_nanos))
        .bind(&row.idempotency_key)
        .bind(&row.document)
        .execute(&mut *step)
        .await
        .map_err(failed("add a rollout"))?;
        // One that has ended by itself meanwhile is told of already.
        let replaced = replaces.filter(|_| ended).and_then(|replaced| replaced.entry.clone());
        let told: Vec<TrailEntry> = replaced.into_iter().chain(entry.cloned()).collect();
        append(&mut step, &told).await?;
        step.commit().await.map_err(failed("add a rollout"))?;
        self.trail_grew();
        Ok(Inserted::New)
    }

    /// The rollout of this id.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn rollout(&self, id: &str) -> Result<Option<RolloutRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = $1"));
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.pool).await.map_err(failed("find a rollout"))?;
        row.map(|row| read(&row)).transpose()
    }

    /// The rollout with this idempotency key.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn rollout_by_key(&self, key: &str) -> Result<Option<RolloutRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE idempotency_key = $1"));
        let row = sqlx::query(sql).bind(key).fetch_optional(&self.pool).await.map_err(failed("find a rollout"))?;
        row.map(|row| read(&row)).transpose()
    }

    /// The rollouts that have not ended, the oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn live_rollouts(&self) -> Result<Vec<RolloutRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE ended_at IS NULL ORDER BY id"));
        let rows = sqlx::query(sql).fetch_all(&self.pool).await.map_err(failed("list live rollouts"))?;
        rows.iter().map(read).collect()
    }

    /// Rollouts that match, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn list_rollouts(&self, query: &RolloutQuery) -> Result<Vec<RolloutRow>, LedgerError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE ($1 IS NULL OR service = $1) AND ($2 IS NULL OR environment = $2) AND ($3 IS NULL OR state = $3)
             AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5"
        ));
        let rows = sqlx::query(sql)
            .bind(&query.service)
            .bind(&query.environment)
            .bind(&query.state)
            .bind(&query.before)
            .bind(i64::from(query.limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list rollouts"))?;
        rows.iter().map(read).collect()
    }

    /// Moves a live rollout to another state that is not its last. Says whether it was live.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn set_rollout_state(&self, id: &str, state: &str) -> Result<bool, LedgerError> {
        let done = sqlx::query("UPDATE rollouts SET state = $2 WHERE id = $1 AND ended_at IS NULL")
            .bind(id)
            .bind(state)
            .execute(&self.pool)
            .await
            .map_err(failed("change a rollout's state"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Replaces the document of a live rollout, in one step with what the trail tells of it. Says whether it was live and still had the one before.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn change_rollout(&self, id: &str, (before, after): (&str, &str), entry: &TrailEntry) -> Result<bool, LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin to change a rollout"))?;
        let done = sqlx::query("UPDATE rollouts SET document = $3 WHERE id = $1 AND document = $2 AND ended_at IS NULL")
            .bind(id)
            .bind(before)
            .bind(after)
            .execute(&mut *step)
            .await
            .map_err(failed("change a rollout"))?;
        let changed = done.rows_affected() > 0;
        if changed {
            append(&mut step, std::slice::from_ref(entry)).await?;
        }
        step.commit().await.map_err(failed("change a rollout"))?;
        self.trail_grew();
        Ok(changed)
    }

    /// Ends a live rollout, in one step with what the trail tells of it. Says whether it was live.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn end_rollout(&self, id: &str, ending: &Ending, entries: &[TrailEntry]) -> Result<bool, LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin to end a rollout"))?;
        let ended = end(&mut step, id, ending).await?;
        if ended {
            append(&mut step, entries).await?;
        }
        step.commit().await.map_err(failed("end a rollout"))?;
        self.trail_grew();
        Ok(ended)
    }
}

pub(super) async fn end(step: &mut Transaction<'_, Sqlite>, id: &str, ending: &Ending) -> Result<bool, LedgerError> {
    let done = sqlx::query("UPDATE rollouts SET state = $2, state_reason = $3, ended_at = $4 WHERE id = $1 AND ended_at IS NULL")
        .bind(id)
        .bind(&ending.state)
        .bind(&ending.reason)
        .bind(ending.at.as_nanos())
        .execute(&mut **step)
        .await
        .map_err(failed("end a rollout"))?;
    forget_old(step).await.map_err(failed("forget old verdicts"))?;
    Ok(done.rows_affected() > 0)
}

async fn find_existing(step: &mut Transaction<'_, Sqlite>, row: &RolloutRow) -> Result<Option<RolloutRow>, LedgerError> {
    let sql = sqlx::AssertSqlSafe(format!(
        "{SELECT} WHERE (service = $1 AND environment = $2 AND ended_at IS NULL) OR idempotency_key = $3 LIMIT 1"
    ));
    let found = sqlx::query(sql)
        .bind(&row.service)
        .bind(&row.environment)
        .bind(&row.idempotency_key)
        .fetch_optional(&mut **step)
        .await
        .map_err(failed("look for a live rollout"))?;
    found.map(|row| read(&row)).transpose()
}

fn read(row: &SqliteRow) -> Result<RolloutRow, LedgerError> {
    let parse = || -> Result<RolloutRow, sqlx::Error> {
        Ok(RolloutRow {
            id: row.try_get("id")?,
            service: row.try_get("service")?,
            environment: row.try_get("environment")?,
            origin: row.try_get("origin")?,
            state: row.try_get("state")?,
            state_reason: row.try_get("state_reason")?,
            created_at: UnixNanos::new(row.try_get("created_at")?),
            started_at: UnixNanos::new(row.try_get("started_at")?),
            ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(UnixNanos::new),
            idempotency_key: row.try_get("idempotency_key")?,
            document: row.try_get("document")?,
        })
    };
    parse().map_err(|cause| LedgerError::Broken { what: "rollout", detail: cause.to_string() })
}
