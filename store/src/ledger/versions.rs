//! The versions of services that have been seen, so that a new one is noticed once.

use sqlx::Row as _;

use super::{Ledger, LedgerError, failed};
use crate::time::UnixNanos;

/// A version of a service in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// The version.
    pub version: String,
    /// When it was first seen.
    pub first_seen: UnixNanos,
}

impl Ledger {
    /// All versions seen so far.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn versions(&self) -> Result<Vec<VersionRow>, LedgerError> {
        let rows = sqlx::query("SELECT service, environment, version, first_seen FROM versions")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list versions"))?;
        let parse = |row: &sqlx::sqlite::SqliteRow| -> Result<VersionRow, sqlx::Error> {
            Ok(VersionRow {
                service: row.try_get("service")?,
                environment: row.try_get("environment")?,
                version: row.try_get("version")?,
                first_seen: UnixNanos::new(row.try_get("first_seen")?),
            })
        };
        rows.iter().map(|row| parse(row).map_err(|cause| LedgerError::Broken { what: "version", detail: cause.to_string() })).collect()
    }

    /// Notes a version. Says whether it is new.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn add_version(&self, row: &VersionRow) -> Result<bool, LedgerError> {
        let done =
            sqlx::query("INSERT INTO versions (service, environment, version, first_seen) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
                .bind(&row.service)
                .bind(&row.environment)
                .bind(&row.version)
                .bind(row.first_seen.as_nanos())
                .execute(&self.pool)
                .await
                .map_err(failed("note a version"))?;
        Ok(done.rows_affected() > 0)
    }
}
