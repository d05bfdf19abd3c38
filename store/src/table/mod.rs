//! The tables: rows become visible when they are published (hot) and permanent when they are flushed (Parquet, in a Delta commit).
//!
//! Always holds: a reader sees each published row exactly once. A flush writes the hot rows of one table in one commit that names
//! the log sequence they reach (`txn`), and hands over from hot to committed under one lock. Until a flush has succeeded the
//! rows stay hot, so a failed commit loses nothing.
//! Left out on purpose: what a row means, and when to flush; the caller decides both.

mod commit;
mod delta;
mod file;
mod folder;
mod hot;
mod log_store;
mod order;
mod provider;
mod sums;
mod upkeep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use tokio::sync::Mutex;

use crate::fault::{Classified, Fault};
use crate::schema::TableName;

pub use delta::DeltaFailure;
pub use file::FileError;
pub use folder::{FolderLock, LockError};
pub use hot::HotSize;
pub use upkeep::{Effort, Kept, UpkeepConfig, UpkeepError};

use delta::{Appended, Committed};
use folder::Home;
use hot::HotBatches;

/// Whether a process may write to the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Creates tables that are missing and commits to them.
    ReadWrite,
    /// Touches nothing; a table that is missing reads as empty.
    ReadOnly,
}

/// Where the tables live.
#[derive(Debug, Clone)]
pub struct TablesConfig {
    /// The folder that holds one folder a table.
    pub dir: PathBuf,
    /// What this process may do there.
    pub access: Access,
}

/// Rows of several tables that become visible in one step.
#[derive(Debug)]
pub struct HotRows {
    /// The last log sequence whose rows are in this and all earlier publications.
    pub through: u64,
    /// Rows by table, with the columns of [`TableName::schema`]; text may be in dictionaries with keys of 32 bits.
    pub batches: Vec<(TableName, RecordBatch)>,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// Rows written; none is no failure.
    pub rows: usize,
    /// Every row up to this log sequence is permanent now.
    pub through: u64,
}

/// Why the tables cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or resolved.
    #[error("cannot use the table folder {}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A table cannot be created or read.
    #[error("cannot open the table {}", table.as_str())]
    Table {
        /// Which one.
        table: TableName,
        /// The cause.
        source: DeltaFailure,
    },
}

impl Classified for OpenError {
    fn fault(&self) -> Fault {
        match self {
            Self::Folder { .. } | Self::Table { .. } => Fault::Unavailable,
        }
    }
}

/// Why the state of a table cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the state of the table {}", table.as_str())]
pub struct ReadError {
    /// Which one.
    pub table: TableName,
    /// The cause.
    pub source: DeltaFailure,
}

impl Classified for ReadError {
    fn fault(&self) -> Fault {
        Fault::Unavailable
    }
}

/// Why a flush failed. The rows are still hot; flush again later.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The process opened the tables to read only.
    #[error("the tables were opened read-only")]
    ReadOnly,
    /// Parquet or the commit could not be written.
    #[error("cannot commit {rows} rows to {}", table.as_str())]
    Commit {
        /// Which table.
        table: TableName,
        /// How many rows wait.
        rows: usize,
        /// The cause.
        source: DeltaFailure,
    },
    /// The folder of the tables is not where it was.
    #[error("cannot commit to {}: the folder of the tables is away", table.as_str())]
    Away {
        /// Which table.
        table: TableName,
        /// The cause.
        source: std::io::Error,
    },
}

impl Classified for CommitError {
    fn fault(&self) -> Fault {
        match self {
            Self::ReadOnly => Fault::Bug,
            Self::Commit { .. } | Self::Away { .. } => Fault::Unavailable,
        }
    }
}

/// What readers see of one table: swapped as a whole when a flush hands over.
#[derive(Debug, Clone, Default)]
struct View {
    committed: Committed,
    hot: HotBatches,
}

#[derive(Debug)]
struct Slot {
    view: Arc<RwLock<View>>,
    /// Held through a flush, so that one table has one flush at a time.
    flushing: Mutex<()>,
    /// Held through a round of upkeep.
    upkeep: Mutex<upkeep::Memory>,
}

/// The five tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tables {
    slots: Arc<BTreeMap<TableName, Slot>>,
    access: Access,
    /// Where they are; none for a reader.
    home: Option<Arc<Home>>,
}

impl Tables {
    /// Opens the tables, creating those that are missing when writing is allowed.
    ///
    /// # Errors
    /// When the folder or a table in it cannot be used.
    pub async fn open(config: &TablesConfig) -> Result<Self, OpenError> {
        let mut home = None;
        if config.access == Access::ReadWrite {
            let folder = |source| OpenError::Folder { dir: config.dir.clone(), source };
            std::fs::create_dir_all(&config.dir).map_err(folder)?;
            home = Some(Arc::new(Home::of(&config.dir).map_err(folder)?));
        }
        let mut slots = BTreeMap::new();
        for table in TableName::ALL {
            let dir = config.dir.join(table.as_str());
            let committed = Committed::open(table, &dir, config.access).await.map_err(|source| OpenError::Table { table, source })?;
            let view = View { committed, hot: HotBatches::default() };
            slots.insert(table, Slot { view: Arc::new(RwLock::new(view)), flushing: Mutex::new(()), upkeep: Mutex::default() });
        }
        Ok(Self { slots: Arc::new(slots), access: config.access, home })
    }

    /// The last log sequence of this collector that the table has for good; 0 when it has none.
    ///
    /// # Errors
    /// When the table's log cannot be read.
    pub async fn committed_through(&self, table: TableName, collector: &str) -> Result<u64, ReadError> {
        let committed = self.view(table).committed;
        committed.transaction(collector).await.map_err(|source| ReadError { table, source })
    }

    /// Makes rows visible to all readers, in all tables in one step. Costs no I/O.
    pub fn publish(&self, rows: HotRows) {
        // All are held before the first changes: a flush must find the rows and the sequence they reach together.
        let mut views: BTreeMap<TableName, _> = self.slots.iter().map(|(table, slot)| (*table, slot.write())).collect();
        for (table, batch) in rows.batches {
            if let Some(view) = views.get_mut(&table).filter(|_| batch.num_rows() > 0) {
                view.hot.push(rows.through, batch);
            }
        }
        views.values_mut().for_each(|view| view.hot.advance(rows.through));
    }

    /// Writes all hot rows of a table in one commit. Rows published meanwhile stay hot for the next flush.
    ///
    /// # Errors
    /// When the rows cannot be written or committed; they stay visible and hot.
    pub async fn flush(&self, table: TableName, collector: &str) -> Result<Flushed, CommitError> {
        if self.access == Access::ReadOnly {
            return Err(CommitError::ReadOnly);
        }
        let slot = self.slot(table);
        let _one_at_a_time = slot.flushing.lock().await;
        let View { committed, hot } = slot.read();
        let through = hot.through();
        if hot.is_empty() {
            return Ok(Flushed { rows: 0, through });
        }
        self.home.as_ref().map_or(Ok(()), |home| home.check()).map_err(|source| CommitError::Away { table, source })?;
        let rows = hot.size().rows;
        let appended = committed.append(hot.rows(), collector, through).await;
        let Appended { committed, through } = appended.map_err(|source| CommitError::Commit { table, rows, source })?;
        let mut view = slot.write();
        view.committed = committed;
        view.hot.drop_through(through);
        Ok(Flushed { rows: hot.rows_through(through), through })
    }

    /// How much of a table is hot.
    pub fn hot(&self, table: TableName) -> HotSize {
        self.slot(table).read().hot.size()
    }

    /// Memory that the hot rows of all tables take, in bytes.
    pub fn hot_bytes(&self) -> usize {
        self.slots.values().map(|slot| slot.hot_bytes()).sum()
    }

    /// Hot and committed rows as one table for DataFusion. Each scan sees the table as it is when it is planned.
    pub fn provider(&self, table: TableName) -> Arc<dyn TableProvider> {
        Arc::new(provider::WholeTable::new(table, self.slot(table).view.clone()))
    }

    fn view(&self, table: TableName) -> View {
        self.slot(table).read()
    }

    fn slot(&self, table: TableName) -> &Slot {
        self.slots.get(&table).expect("open makes a slot for every table")
    }
}

impl Slot {
    fn hot_bytes(&self) -> usize {
        self.view.read().unwrap_or_else(PoisonError::into_inner).hot.size().bytes
    }

    fn read(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
