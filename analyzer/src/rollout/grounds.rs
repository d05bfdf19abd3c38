//! What a verdict rests on, while its rollout is live and after.

use std::sync::Arc;

use bytes::Bytes;
use haldane_store::fault::chain;
use haldane_store::{Classified, Fault, UnixNanos};

use super::desk::Rollouts;
use super::error::FindError;
use super::model::RolloutId;
use crate::bundle::{Bundle, BundleError};

/// What a verdict rests on, as it is kept.
#[derive(Debug, Clone)]
pub enum Grounds {
    /// In memory.
    Memory(Arc<Bundle>),
    /// As a file.
    File(Bytes),
}

impl Grounds {
    /// As a file. Takes a while where there is much.
    ///
    /// # Errors
    /// When it would be too large.
    pub fn file(&self) -> Result<Bytes, BundleError> {
        match self {
            Self::Memory(bundle) => bundle.write().map(Bytes::from),
            Self::File(file) => Ok(file.clone()),
        }
    }

    /// As what is in the file. Takes a while where there is much.
    ///
    /// # Errors
    /// When the file is none.
    pub fn bundle(&self) -> Result<Arc<Bundle>, BundleError> {
        match self {
            Self::Memory(bundle) => Ok(bundle.clone()),
            Self::File(file) => Bundle::read(file.clone()).map(Arc::new),
        }
    }
}

/// Why the file of what a verdict rests on cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The rollout is not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It would be too large.
    #[error("the evidence cannot be written")]
    File(#[from] BundleError),
    /// Writing it panicked.
    #[error("writing the evidence panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Classified for EvidenceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Find(error) => error.fault(),
            Self::File(_) => Fault::Missing,
            Self::Panicked(_) => Fault::Bug,
        }
    }
}

impl Rollouts {
    /// What the newest verdict rests on. `None` before the first one of this run of the program, and where it was too large or too old to be kept.
    ///
    /// # Errors
    /// When there is no such rollout, or the ledger cannot be read.
    pub async fn grounds(&self, id: &RolloutId) -> Result<Option<Grounds>, FindError> {
        if let Some(judged) = self.cached(&self.get(id).await?) {
            return Ok(judged.grounds);
        }
        Ok(self.ledger.evidence(id.as_str()).await?.map(|file| Grounds::File(file.into())))
    }

    /// The same as a [`Bundle`]'s file.
    ///
    /// # Errors
    /// As [`Self::grounds`], and when the file would be too large.
    pub async fn evidence(&self, id: &RolloutId) -> Result<Option<Bytes>, EvidenceError> {
        let Some(grounds) = self.grounds(id).await? else { return Ok(None) };
        // Its rows take much memory until they are written.
        let _turn = self.telling.acquire().await;
        Ok(Some(tokio::task::spawn_blocking(move || grounds.file()).await??))
    }

    /// Keeps what a rollout's last verdict rested on when somebody ended it.
    pub(super) async fn keep_evidence(&self, id: &RolloutId, at: UnixNanos, grounds: Grounds) {
        match tokio::task::spawn_blocking(move || grounds.file()).await {
            Ok(Ok(file)) => {
                if let Err(error) = self.ledger.keep_evidence(id.as_str(), at, &file).await {
                    tracing::error!(rollout = %id, error = chain(&error), "the evidence of a rollout that was ended cannot be kept");
                }
            }
            Ok(Err(error)) => tracing::warn!(rollout = %id, error = chain(&error), "the evidence of a rollout that was ended is not kept"),
            Err(error) => tracing::error!(rollout = %id, %error, "the evidence of a rollout that was ended cannot be written"),
        }
    }
}
