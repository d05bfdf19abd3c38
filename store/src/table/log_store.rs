//! How the Delta library reaches a table's log: as it does by itself, but with few files open at once.
//!
//! The library reads all commits since the last checkpoint together, a thousand of them if need be, and takes about a megabyte for each. Under load a
//! table has hundreds, and that would be most of the memory of the process.

use std::num::NonZero;
use std::sync::Arc;

use bytes::Bytes;
use delta_kernel::Engine;
use delta_kernel_default_engine::DefaultEngineBuilder;
use delta_kernel_default_engine::executor::tokio::{TokioBackgroundExecutor, TokioMultiThreadExecutor};
use deltalake_core::kernel::Version;
use deltalake_core::kernel::transaction::TransactionError;
use deltalake_core::logstore::object_store::ObjectStore;
use deltalake_core::logstore::{CommitOrBytes, LogStore, LogStoreConfig, LogStoreRef, StorageConfig, logstore_for};
use deltalake_core::{DeltaResult, DeltaTableError};
use tokio::runtime::{Handle, RuntimeFlavor};
use url::Url;
use uuid::Uuid;

/// Files that are read at once.
const FILES_AT_ONCE: NonZero<usize> = NonZero::new(8).expect("eight is not zero");

/// The log of the table at a place.
pub(super) fn open(location: &Url) -> Result<LogStoreRef, DeltaTableError> {
    Ok(Arc::new(Sparing(logstore_for(location, StorageConfig::default())?)))
}

/// Everything but [`LogStore::engine`] is passed on.
struct Sparing(LogStoreRef);

#[async_trait::async_trait]
impl LogStore for Sparing {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn read_commit_entry(&self, version: Version) -> DeltaResult<Option<Bytes>> {
        self.0.read_commit_entry(version).await
    }

    async fn write_commit_entry(&self, version: Version, commit: CommitOrBytes, operation: Uuid) -> Result<(), TransactionError> {
        self.0.write_commit_entry(version, commit, operation).await
    }

    async fn abort_commit_entry(&self, version: Version, commit: CommitOrBytes, operation: Uuid) -> Result<(), TransactionError> {
        self.0.abort_commit_entry(version, commit, operation).await
    }

    async fn get_latest_version(&self, from: Version) -> DeltaResult<Version> {
        self.0.get_latest_version(from).await
    }

    fn object_store(&self, operation: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.0.object_store(operation)
    }

    fn root_object_store(&self, operation: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.0.root_object_store(operation)
    }

    fn engine(&self, operation: Option<Uuid>) -> Arc<dyn Engine> {
        let builder = DefaultEngineBuilder::new(self.root_object_store(operation)).with_buffer_size(FILES_AT_ONCE);
        let handle = Handle::current();
        if handle.runtime_flavor() == RuntimeFlavor::MultiThread {
            return Arc::new(builder.with_task_executor(Arc::new(TokioMultiThreadExecutor::new(handle))).build());
        }
        // On a runtime of one thread the library would wait for itself.
        Arc::new(builder.with_task_executor(Arc::new(TokioBackgroundExecutor::new())).build())
    }

    fn config(&self) -> &LogStoreConfig {
        self.0.config()
    }
}
