//! A/A runs: how the judge did on a service's own past.

use sqlx::Row as _;

use super::{Ledger, LedgerError, failed};
use crate::time::UnixNanos;

/// The replays of one past of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AaRunRow {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The end of the past that was replayed.
    pub until: UnixNanos,
    /// The replays.
    pub document: String,
}

impl Ledger {
    /// All runs that are kept, by service and environment, the oldest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn aa_runs(&self) -> Result<Vec<AaRunRow>, LedgerError> {
        let rows = sqlx::query("SELECT service, environment, until, document FROM aa_runs ORDER BY service, environment, until")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list A/A runs"))?;
        let parse = |row: &sqlx::sqlite::SqliteRow| -> Result<AaRunRow, sqlx::Error> {
            Ok(AaRunRow {
                service: row.try_get("service")?,
                environment: row.try_get("environment")?,
                until: UnixNanos::new(row.try_get("until")?),
                document: row.try_get("document")?,
            })
        };
        rows.iter().map(|row| parse(row).map_err(|cause| LedgerError::Broken { what: "A/A run", detail: cause.to_string() })).collect()
    }

    /// Adds a run, or replaces the one of the same end, and keeps the newest of the service only.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn add_aa_run(&self, row: &AaRunRow, kept: u32) -> Result<(), LedgerError> {
        let mut step = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed("begin an A/A run"))?;
        sqlx::query(
            "INSERT INTO aa_runs (service, environment, until, document) VALUES ($1, $2, $3, $4)
             ON CONFLICT (service, environment, until) DO UPDATE SET document = excluded.document",
        )
        .bind(&row.service)
        .bind(&row.environment)
        .bind(row.until.as_nanos())
        .bind(&row.document)
        .execute(&mut *step)
        .await
        .map_err(failed("add an A/A run"))?;
        sqlx::query(
            "DELETE FROM aa_runs WHERE service = $1 AND environment = $2 AND until NOT IN
             (SELECT until FROM aa_runs WHERE service = $1 AND environment = $2 ORDER BY until DESC LIMIT $3)",
        )
        .bind(&row.service)
        .bind(&row.environment)
        .bind(i64::from(kept))
        .execute(&mut *step)
        .await
        .map_err(failed("forget old A/A runs"))?;
        step.commit().await.map_err(failed("add an A/A run"))
    }
}
