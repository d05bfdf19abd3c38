//! The committed part of a table: one version of a Delta table, and how the next one is made.
//!
//! Always holds: a commit that may or may not have happened (the disk failed behind it) is found by its transaction when the next one is tried, and
//! adopted; nothing else goes past it. Making a version does not need what the versions before it hold: that is read when a reader asks, and kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake_core::kernel::transaction::{CommitData, TransactionError};
use deltalake_core::kernel::{Action, Add, StructField, StructType, Transaction};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableError};
use tokio::sync::Mutex;

use super::Access;
use super::commit::{self, Put, PutError};
use super::file::{self, FileError};
use super::log_store;
use crate::schema::TableName;

/// What went wrong below us.
#[derive(Debug, thiserror::Error)]
pub enum DeltaFailure {
    /// The Delta library or the storage under it.
    #[error("Delta table operation failed")]
    Delta(#[from] DeltaTableError),
    /// A commit could not be written.
    #[error("cannot write a commit")]
    Commit(#[from] TransactionError),
    /// The rows could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The disk.
    #[error("cannot write {what}")]
    Disk {
        /// The file or folder.
        what: String,
        /// Whether it may be a commit that is made all the same.
        may_be_made: bool,
        /// The cause.
        source: std::io::Error,
    },
    /// The folder's path cannot be written as a URL.
    #[error("the path {path} must be absolute and valid text")]
    Path {
        /// The path.
        path: String,
    },
    /// Somebody else changed what the table is.
    #[error("version {version} of the table, by another process, changes its schema or protocol: restart to take it over")]
    Changed {
        /// Which one.
        version: u64,
    },
    /// The newest version cannot be read; nothing was committed.
    #[error("cannot read the table's newest version")]
    Newest(#[source] Box<Self>),
    /// The thread that writes went away.
    #[error("the rows could not be written for lack of a thread")]
    Lost(#[from] tokio::task::JoinError),
}

impl DeltaFailure {
    /// Whether what failed may be part of the table all the same.
    pub(super) fn may_be_made(&self) -> bool {
        match self {
            Self::Disk { may_be_made, .. } => *may_be_made,
            // The thread may have gone on, or what stands behind could not be read.
            Self::Delta(_) | Self::Lost(_) => true,
            Self::Commit(_) | Self::File(_) | Self::Path { .. } | Self::Changed { .. } | Self::Newest(_) => false,
        }
    }

    fn on_disk(path: &Path, source: std::io::Error) -> Self {
        Self::Disk { what: path.display().to_string(), may_be_made: false, source }
    }
}

impl From<PutError> for DeltaFailure {
    fn from(error: PutError) -> Self {
        Self::Disk { what: error.file.display().to_string(), may_be_made: error.may_be_made, source: error.source }
    }
}

/// One version of a table; none when it is missing and may not be created. Cloning copies pointers only.
#[derive(Debug, Clone, Default)]
pub(super) struct Committed {
    table: Option<Arc<Opened>>,
    version: u64,
}

/// What all versions of a table share.
#[derive(Debug)]
struct Opened {
    name: TableName,
    folder: PathBuf,
    log_store: LogStoreRef,
    /// As a reader last needed it.
    loaded: Mutex<DeltaTable>,
}

/// What a commit brought: the next version, and the log sequence it reaches.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) committed: Committed,
    pub(super) through: u64,
}

/// The table has moved on since this version was looked up: look again.
#[derive(Debug)]
pub(super) struct Overtaken;

impl Committed {
    pub(super) async fn open(name: TableName, dir: &Path, access: Access) -> Result<Self, DeltaFailure> {
        let log = dir.join(commit::LOG);
        let exists = has_versions(&log).map_err(|source| DeltaFailure::on_disk(&log, source))?;
        let table = match (exists, access) {
            (false, Access::ReadOnly) => return Ok(Self::default()),
            (false, Access::ReadWrite) => create(name, dir).await?,
            (true, Access::ReadOnly) => existing(dir).await?,
            (true, Access::ReadWrite) => with_all_columns(name, existing_or_mended(name, dir).await?).await?,
        };
        let version = table.version().unwrap_or(0);
        let folder = std::path::absolute(dir).map_err(|source| DeltaFailure::on_disk(dir, source))?;
        if access == Access::ReadWrite {
            commit::remove_drafts(&folder);
        }
        let opened = Opened { name, folder, log_store: table.log_store(), loaded: Mutex::new(table) };
        Ok(Self { table: Some(Arc::new(opened)), version })
    }

    /// The last sequence this collector has committed.
    pub(super) async fn transaction(&self, collector: &str) -> Result<u64, DeltaFailure> {
        let Some(opened) = &self.table else { return Ok(0) };
        let mut loaded = opened.loaded.lock().await;
        self.load(&mut loaded).await?;
        let version = loaded.snapshot()?.transaction_version(opened.log_store.as_ref(), collector).await?;
        Ok(version.and_then(|version| u64::try_from(version).ok()).unwrap_or(0))
    }

    /// Writes the rows and commits them as one version that carries the collector's sequence.
    pub(super) async fn append(self, batches: Vec<RecordBatch>, collector: &str, through: u64) -> Result<Appended, DeltaFailure> {
        let Some(opened) = self.table else {
            return Err(DeltaTableError::NotInitialized.into());
        };
        let (name, folder) = (opened.name, opened.folder.clone());
        let written = tokio::task::spawn_blocking(move || file::write(name, &folder, &batches)).await??;
        // From here on only what is known not to be in the table may be deleted.
        let (files, drafts) = written.keep();
        let delete = || drafts.iter().for_each(|path| drop(std::fs::remove_file(path)));
        match opened.commit(self.version, files, collector, through).await {
            Ok(Landed { version, through, with_ours }) => {
                if !with_ours {
                    delete();
                }
                Ok(Appended { committed: Self { table: Some(opened), version }, through })
            }
            Err(failure) => {
                if !failure.may_be_made() {
                    delete(); // each try on a full disk would leave its files
                }
                Err(failure)
            }
        }
    }

    /// Which version it is.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Makes a checkpoint durable that the library has written.
    pub(super) async fn make_checkpoint_durable(&self, version: u64) -> Result<(), DeltaFailure> {
        let Some(folder) = self.folder().map(Path::to_owned) else { return Ok(()) };
        let synced =
            tokio::task::spawn_blocking(move || commit::sync_checkpoint(&folder, version).map_err(|source| (folder, source))).await?;
        synced.map_err(|(folder, source)| DeltaFailure::on_disk(&folder, source))
    }

    /// Where the table's files are; none when there is no table.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.table.as_ref().map(|opened| opened.folder.as_path())
    }

    /// The table at its newest version, with its files.
    pub(super) async fn latest(&self) -> Result<DeltaTable, DeltaFailure> {
        let opened = self.table.as_ref().ok_or(DeltaTableError::NotInitialized)?;
        let mut latest = {
            let mut loaded = opened.loaded.lock().await;
            self.load(&mut loaded).await?;
            loaded.clone()
        };
        latest.update_incremental(None).await?;
        Ok(latest)
    }

    /// Commits actions right behind the version that they were made for; `None` when somebody else was faster.
    pub(super) async fn commit_behind(
        &self,
        latest: &DeltaTable,
        actions: Vec<Action>,
        operation: DeltaOperation,
    ) -> Result<Option<Self>, DeltaFailure> {
        let opened = self.table.as_ref().ok_or(DeltaTableError::NotInitialized)?;
        let bytes = CommitData::new(actions, operation, HashMap::new(), Vec::new()).get_bytes()?;
        let version = latest.version().unwrap_or(0) + 1;
        match opened.put(version, bytes).await? {
            Put::Made => Ok(Some(Self { table: self.table.clone(), version })),
            Put::Taken => Ok(None),
        }
    }

    /// Reads what has been committed up to this version, and not what others have put behind it: readers of this version share it.
    async fn load(&self, loaded: &mut DeltaTable) -> Result<(), DeltaTableError> {
        if loaded.version().is_none_or(|version| version < self.version) {
            loaded.update_incremental(Some(self.version)).await?;
        }
        Ok(())
    }

    /// The committed rows for DataFusion; `None` when there are none.
    pub(super) async fn provider(
        &self,
        session: &dyn Session,
    ) -> Result<Option<Result<Arc<dyn TableProvider>, Overtaken>>, DeltaTableError> {
        let Some(opened) = &self.table else { return Ok(None) };
        let snapshot = {
            let mut loaded = opened.loaded.lock().await;
            self.load(&mut loaded).await?;
            if loaded.version() != Some(self.version) {
                return Ok(Some(Err(Overtaken)));
            }
            loaded.update_datafusion_session(session)?;
            loaded.snapshot()?.snapshot().clone()
        };
        let mut config = DeltaScanConfig::new_from_session(session).with_wrap_partition_values(false);
        config.schema_force_view_types = false;
        Ok(Some(Ok(Arc::new(DeltaScanNext::new(snapshot, config)?))))
    }
}

/// Where a commit stands.
#[derive(Debug)]
struct Landed {
    version: u64,
    /// The sequence that the table reaches with it.
    through: u64,
    /// Whether it has the files that were to be committed, and not those of an earlier try that turns out to have got through.
    with_ours: bool,
}

impl Opened {
    /// Puts the commit behind `version`, or behind what others have put there meanwhile.
    async fn commit(&self, mut version: u64, files: Vec<Add>, collector: &str, through: u64) -> Result<Landed, DeltaFailure> {
        let sequence = i64::try_from(through).map_err(|_| DeltaTableError::generic("log sequence past 2^63"))?;
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(vec!["date".to_owned()]), predicate: None };
        let actions = files.into_iter().map(Action::Add).collect();
        let data = CommitData::new(actions, operation, HashMap::new(), vec![Transaction::new(collector, sequence)]);
        let bytes = data.get_bytes()?;
        loop {
            // Others may have gone on, made a checkpoint and removed the commits before it: what is put into that gap nobody reads.
            if !commit::path_of(&self.folder, version).exists()
                && let Some(newest) = self.newest(version, collector).await.map_err(|failure| DeltaFailure::Newest(Box::new(failure)))?
            {
                return Ok(newest);
            }
            version += 1;
            if self.put(version, bytes.clone()).await? == Put::Made {
                return Ok(Landed { version, through, with_ours: true });
            }
            if let Some(through) = self.own_commit(version, collector).await? {
                let folder = self.folder.clone();
                tokio::task::spawn_blocking(move || commit::make_durable(&folder, version)).await??;
                return Ok(Landed { version, through, with_ours: false });
            }
        }
    }

    /// The newest version behind one, and what it has of this collector; the rows are tried again behind it.
    async fn newest(&self, behind: u64, collector: &str) -> Result<Option<Landed>, DeltaFailure> {
        let newest = existing(&self.folder).await?;
        let Some(version) = newest.version().filter(|version| *version > behind) else { return Ok(None) };
        let mut loaded = self.loaded.lock().await;
        if loaded.snapshot()?.schema() != newest.snapshot()?.schema() {
            return Err(DeltaFailure::Changed { version });
        }
        let through = newest.snapshot()?.transaction_version(self.log_store.as_ref(), collector).await?;
        *loaded = newest;
        tracing::warn!(
            table = self.name.as_str(),
            version,
            "another process has removed commits from the table's log; going on behind its newest one"
        );
        Ok(Some(Landed { version, through: through.and_then(|through| u64::try_from(through).ok()).unwrap_or(0), with_ours: false }))
    }

    async fn put(&self, version: u64, bytes: bytes::Bytes) -> Result<Put, DeltaFailure> {
        let folder = self.folder.clone();
        Ok(tokio::task::spawn_blocking(move || commit::put(&folder, version, &bytes)).await??)
    }

    /// The sequence that a commit reaches when it is this collector's own; none when it is somebody else's and only changes files.
    async fn own_commit(&self, version: u64, collector: &str) -> Result<Option<u64>, DeltaFailure> {
        let Some(bytes) = self.log_store.read_commit_entry(version).await? else { return Ok(None) };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let action: Action = serde_json::from_slice(line).map_err(|error| DeltaTableError::generic(error.to_string()))?;
            match action {
                Action::Txn(txn) if txn.app_id == collector => return Ok(Some(u64::try_from(txn.version).unwrap_or(0))),
                Action::Metadata(_) | Action::Protocol(_) => return Err(DeltaFailure::Changed { version }),
                Action::Txn(_)
                | Action::Add(_)
                | Action::Remove(_)
                | Action::Cdc(_)
                | Action::CommitInfo(_)
                | Action::DomainMetadata(_) => {}
            }
        }
        Ok(None)
    }
}

/// Whether a table was created here. A kill or a power cut in the middle of that leaves a folder without a version, or with an empty one.
fn has_versions(log: &Path) -> std::io::Result<bool> {
    let entries = match std::fs::read_dir(log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let is_version = path.extension().is_some_and(|extension| extension == "json" || extension == "parquet");
        if is_version && std::fs::metadata(&path)?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Opens a table; where that fails for a checkpoint that a power cut left torn, it is put aside, and the commits before it are read instead.
async fn existing_or_mended(name: TableName, dir: &Path) -> Result<DeltaTable, DeltaFailure> {
    let failed = match existing(dir).await {
        Ok(table) => return Ok(table),
        Err(failed) => failed,
    };
    let aside = commit::put_torn_checkpoints_aside(dir).map_err(|source| DeltaFailure::on_disk(dir, source))?;
    if aside.is_empty() {
        return Err(failed);
    }
    tracing::warn!(table = name.as_str(), ?aside, "put torn checkpoints of the table's log aside");
    existing(dir).await
}

async fn existing(dir: &Path) -> Result<DeltaTable, DeltaFailure> {
    let mut table = DeltaTable::new(log_store::open(&url_of(dir)?)?);
    table.load().await?;
    Ok(table)
}

async fn create(name: TableName, dir: &Path) -> Result<DeltaTable, DeltaFailure> {
    let disk = |source| DeltaFailure::on_disk(dir, source);
    std::fs::create_dir_all(dir).map_err(disk)?;
    // What a power cut left of an earlier try.
    let first = commit::path_of(dir, 0);
    if std::fs::metadata(&first).is_ok_and(|first| first.len() == 0) {
        std::fs::remove_file(&first).map_err(disk)?;
    }
    let table = CreateBuilder::new()
        .with_log_store(log_store::open(&url_of(dir)?)?)
        .with_table_name(name.as_str())
        .with_columns(delta_columns(&name.schema())?)
        .with_partition_columns(["date"])
        // A file is skipped by these; statistics of every column would make each commit large.
        .with_configuration_property(deltalake_core::TableProperty::DataSkippingStatsColumns, Some("time,service_name"))
        // A commit every few seconds: older ones are in the checkpoints.
        .with_configuration_property(deltalake_core::TableProperty::LogRetentionDuration, Some("interval 6 hours"))
        // A checkpoint carries what was removed for so long, and each is written anew. The longest grace that can be set.
        .with_configuration_property(deltalake_core::TableProperty::DeletedFileRetentionDuration, Some("interval 1 days"))
        .await?;
    let folder = dir.to_owned();
    tokio::task::spawn_blocking(move || commit::make_durable(&folder, 0).and_then(|()| commit::make_folder_durable(&folder))).await??;
    Ok(table)
}

/// Adds the columns that this version of the program has and the table has not.
async fn with_all_columns(name: TableName, table: DeltaTable) -> Result<DeltaTable, DeltaFailure> {
    let there: Vec<String> = table.snapshot()?.schema().fields().map(|field| field.name().clone()).collect();
    let missing: Vec<StructField> = delta_columns(&name.schema())?.into_iter().filter(|column| !there.contains(column.name())).collect();
    if missing.is_empty() {
        return Ok(table);
    }
    tracing::info!(table = name.as_str(), columns = missing.len(), "adding new columns to the table");
    Ok(table.add_columns().with_fields(missing).await?)
}

fn delta_columns(schema: &SchemaRef) -> Result<Vec<StructField>, DeltaTableError> {
    use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
    let columns: StructType = schema.as_ref().try_into_kernel()?;
    Ok(columns.fields().cloned().collect())
}

fn url_of(dir: &Path) -> Result<url::Url, DeltaFailure> {
    let unusable = || DeltaFailure::Path { path: dir.display().to_string() };
    let absolute = std::path::absolute(dir).map_err(|_| unusable())?;
    url::Url::from_directory_path(absolute).map_err(|()| unusable())
}
