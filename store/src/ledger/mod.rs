//! The ledger: what must be remembered and is not telemetry. SQLite in a file.
//!
//! Rollouts change only by ending; verdicts, versions and the trail are only added to. What a document says is the caller's business;
//! the columns beside it are what is searched by.

mod aa_runs;
mod documents;
pub mod notifications;
mod rollouts;
mod tokens;
pub mod trail;
mod verdicts;
mod versions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::watch;

use crate::fault::{Classified, Fault};

pub use aa_runs::AaRunRow;
pub use documents::DocumentRow;
pub use notifications::NotificationRow;
pub use rollouts::{Ending, Inserted, Replaced, RolloutQuery, RolloutRow};
pub use tokens::TokenRow;
pub use trail::{TrailEntry, TrailQuery, TrailRow};
pub use verdicts::{Last, VerdictRow};
pub use versions::VersionRow;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// How long a statement waits for another that writes.
const BUSY: Duration = Duration::from_secs(10);

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened or brought up to date.
    #[error("cannot open the ledger {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement failed.
    #[error("cannot {what} in the ledger")]
    Statement {
        /// What was being done.
        what: &'static str,
        /// The cause.
        source: sqlx::Error,
    },
    /// A row does not read as what was written.
    #[error("the ledger holds a broken {what}: {detail}")]
    Broken {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

impl Classified for LedgerError {
    fn fault(&self) -> Fault {
        match self {
            Self::Open { .. } | Self::Statement { .. } => Fault::Unavailable,
            Self::Broken { .. } => Fault::Bug,
        }
    }
}

/// The ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    pool: SqlitePool,
    /// Rings when the trail has grown.
    bell: watch::Sender<()>,
}

impl Ledger {
    /// Opens the file, making it and bringing it up to date as needed.
    ///
    /// # Errors
    /// When the file cannot be opened, or was written by a newer version.
    pub async fn open(file: &Path) -> Result<Self, LedgerError> {
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| LedgerError::Open { file: file.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.map_err(|cause| fail(cause.into()))?;
        MIGRATIONS.run(&pool).await.map_err(|cause| fail(cause.into()))?;
        Ok(Self { pool, bell: watch::Sender::new(()) })
    }

    /// Waits for what is under way and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether a statement can be run.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(failed("answer"))?;
        Ok(())
    }
}

/// Names what was being done when a statement failed.
fn failed(what: &'static str) -> impl FnOnce(sqlx::Error) -> LedgerError {
    move |source| LedgerError::Statement { what, source }
}

#[cfg(test)]
mod tests;
