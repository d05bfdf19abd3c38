//! The committed part of a table: one version of a Delta table, and how the next one is made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, StructType, Transaction};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::parquet::basic::{Compression, ZstdLevel};
use deltalake_core::parquet::file::properties::WriterProperties;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use deltalake_core::{DeltaTable, DeltaTableError};

use super::Access;
use crate::schema::TableName;

/// Between two tries to read whether a commit was made.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// What went wrong below us.
#[derive(Debug, thiserror::Error)]
pub enum DeltaFailure {
    /// The Delta library or the storage under it.
    #[error("Delta table operation failed")]
    Delta(#[from] DeltaTableError),
    /// The disk.
    #[error("cannot make {what} durable")]
    Disk {
        /// The file.
        what: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The folder's path cannot be written as a URL.
    #[error("the path {path} must be absolute and valid text")]
    Path {
        /// The path.
        path: String,
    },
}

/// One version of a table; none when it is missing and may not be created. Cloning copies pointers only.
#[derive(Debug, Clone, Default)]
pub(super) struct Committed {
    table: Option<Arc<DeltaTable>>,
}

impl Committed {
    pub(super) async fn open(name: TableName, dir: &Path, access: Access) -> Result<Self, DeltaFailure> {
        let exists = has_versions(&dir.join("_delta_log"));
        match (exists, access) {
            (false, Access::ReadOnly) => Ok(Self { table: None }),
            (false, Access::ReadWrite) => Ok(Self { table: Some(Arc::new(create(name, dir).await?)) }),
            (true, Access::ReadOnly | Access::ReadWrite) => {
                let table = deltalake_core::open_table(url_of(dir)?).await?;
                Ok(Self { table: Some(Arc::new(table)) })
            }
        }
    }

    /// The last sequence this collector has committed.
    pub(super) async fn transaction(&self, collector: &str) -> Result<u64, DeltaFailure> {
        let Some(table) = &self.table else { return Ok(0) };
        let log_store = table.log_store();
        let version = table.snapshot()?.transaction_version(log_store.as_ref(), collector).await?;
        Ok(version.and_then(|version| u64::try_from(version).ok()).unwrap_or(0))
    }

    /// Writes the rows and commits them as one version that carries the collector's sequence.
    pub(super) async fn append(self, rows: RecordBatch, collector: &str, through: u64) -> Result<Self, DeltaFailure> {
        let Some(table) = self.table else {
            return Err(DeltaTableError::NotInitialized.into());
        };
        let mut writer = RecordBatchWriter::for_table(&table)?.with_writer_properties(writer_properties());
        writer.write(rows).await?;
        let adds = writer.flush().await?;
        make_durable(&table, adds.iter().map(|add| add.path.clone())).await?;
        let committed = commit(&table, adds, collector, through).await;
        // Whatever was reported: only the table's own log says whether the rows are in it. To write rows again that are in it would double them.
        let next = loop {
            match Self::latest(&table).await {
                Ok(next) => break next,
                Err(error) => tracing::error!(%error, "cannot read whether a commit was made; trying again"),
            }
            tokio::time::sleep(DOUBT_PAUSE).await;
        };
        if let Err(error) = committed {
            if next.transaction(collector).await? < through {
                return Err(error.into());
            }
            tracing::warn!(%error, "a commit was made, but not all that belongs to it");
        }
        Ok(next)
    }

    /// The version that is the last one by now, made durable.
    async fn latest(table: &DeltaTable) -> Result<Self, DeltaFailure> {
        let before = table.snapshot()?.version();
        let mut next = table.clone();
        next.update_incremental(None).await?;
        let versions = before + 1..=next.snapshot()?.version();
        make_durable(&next, versions.map(|version| format!("_delta_log/{version:020}.json"))).await?;
        Ok(Self { table: Some(Arc::new(next)) })
    }

    /// The committed rows for DataFusion; `None` when there are none.
    pub(super) fn provider(&self, session: &dyn Session) -> Result<Option<Arc<dyn TableProvider>>, DeltaTableError> {
        let Some(table) = &self.table else { return Ok(None) };
        let snapshot = table.snapshot()?.snapshot().clone();
        let mut config = DeltaScanConfig::new_from_session(session).with_wrap_partition_values(false);
        config.schema_force_view_types = false;
        table.update_datafusion_session(session)?;
        Ok(Some(Arc::new(DeltaScanNext::new(snapshot, config)?)))
    }
}

/// Whether a table was created here. A kill in the middle of that leaves a folder without a version.
fn has_versions(log: &Path) -> bool {
    let is_version = |path: &Path| path.extension().is_some_and(|extension| extension == "json" || extension == "parquet");
    std::fs::read_dir(log).is_ok_and(|entries| entries.flatten().any(|entry| is_version(&entry.path())))
}

async fn create(name: TableName, dir: &Path) -> Result<DeltaTable, DeltaFailure> {
    std::fs::create_dir_all(dir).map_err(|source| DeltaFailure::Disk { what: dir.display().to_string(), source })?;
    let table = CreateBuilder::new()
        .with_location(url_of(dir)?.to_string())
        .with_table_name(name.as_str())
        .with_columns(delta_columns(&name.schema())?)
        .with_partition_columns(["date"])
        // A file is skipped by these; statistics of every column would make each commit large.
        .with_configuration_property(deltalake_core::TableProperty::DataSkippingStatsColumns, Some("time,service_name"))
        .await?;
    make_durable(&table, [format!("_delta_log/{:020}.json", 0)]).await?;
    Ok(table)
}

fn delta_columns(schema: &SchemaRef) -> Result<Vec<deltalake_core::StructField>, DeltaTableError> {
    use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
    let columns: StructType = schema.as_ref().try_into_kernel()?;
    Ok(columns.fields().cloned().collect())
}

async fn commit(table: &DeltaTable, adds: Vec<Add>, collector: &str, through: u64) -> Result<(), DeltaTableError> {
    let sequence = i64::try_from(through).map_err(|_| DeltaTableError::generic("log sequence past 2^63"))?;
    let properties = CommitProperties::default().with_application_transaction(Transaction::new(collector, sequence));
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(vec!["date".to_owned()]), predicate: None };
    CommitBuilder::from(properties)
        .with_actions(adds.into_iter().map(Action::Add).collect())
        .build(Some(table.snapshot()?), table.log_store(), operation)
        .await?;
    Ok(())
}

fn writer_properties() -> WriterProperties {
    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default())).build()
}

fn url_of(dir: &Path) -> Result<url::Url, DeltaFailure> {
    let unusable = || DeltaFailure::Path { path: dir.display().to_string() };
    let absolute = std::path::absolute(dir).map_err(|_| unusable())?;
    url::Url::from_directory_path(absolute).map_err(|()| unusable())
}

/// The object store does not sync what it writes to a local disk, and the log's segment is removed on our word: so we do.
async fn make_durable(table: &DeltaTable, paths: impl IntoIterator<Item = String>) -> Result<(), DeltaFailure> {
    let Ok(root) = table.table_url().to_file_path() else { return Ok(()) };
    let files: Vec<_> = paths.into_iter().map(|path| root.join(path)).collect();
    let synced = tokio::task::spawn_blocking(move || files.iter().try_for_each(|file| sync(file)));
    synced
        .await
        .unwrap_or_else(|cause| Err(("a file".to_owned(), std::io::Error::other(cause))))
        .map_err(|(what, source)| DeltaFailure::Disk { what, source })
}

fn sync(file: &Path) -> Result<(), (String, std::io::Error)> {
    let fail = |source| (file.display().to_string(), source);
    std::fs::File::open(file).and_then(|opened| opened.sync_all()).map_err(fail)?;
    let folder = file.parent().unwrap_or(file);
    std::fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(fail)
}
