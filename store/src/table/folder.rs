//! One process at a time writes to a data folder. The lock file says who does, so that others can talk to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::fault::{Classified, Fault};

const LOCK_FILE: &str = "LOCK";

/// Why a data folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("the data folder {} is in use by another haldane ({holder}); stop it, or choose another folder with --data", dir.display())]
    Held {
        /// The folder.
        dir: PathBuf,
        /// What the holder wrote: its address, or its process id.
        holder: String,
    },
    /// The folder or the lock file cannot be written.
    #[error("cannot lock the data folder {}", dir.display())]
    Disk {
        /// The folder.
        dir: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Classified for LockError {
    fn fault(&self) -> Fault {
        match self {
            Self::Held { .. } => Fault::Conflict,
            Self::Disk { .. } => Fault::Unavailable,
        }
    }
}

/// The right to write to a data folder; given up when dropped or when the process ends.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Takes the folder, making it if it is missing.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let disk = |source| LockError::Disk { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(disk)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(LOCK_FILE)).map_err(disk)?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = Self { file };
                // Until there is an address; what stands there is of the last holder.
                lock.announce(&format!("process {}", std::process::id())).map_err(disk)?;
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => Err(Self::held(dir)),
            Err(TryLockError::Error(source)) => Err(disk(source)),
        }
    }

    /// Whether nobody has the folder now.
    ///
    /// # Errors
    /// When another process has it, or its lock file cannot be read.
    pub fn check(dir: &Path) -> Result<(), LockError> {
        let file = match File::open(dir.join(LOCK_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(LockError::Disk { dir: dir.to_owned(), source }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(Self::held(dir)),
            Err(TryLockError::Error(source)) => Err(LockError::Disk { dir: dir.to_owned(), source }),
        }
    }

    fn held(dir: &Path) -> LockError {
        LockError::Held { dir: dir.to_owned(), holder: Self::holder(dir).unwrap_or_else(|| "unknown".to_owned()) }
    }

    /// Writes down who holds the folder, such as the address others can ask.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn announce(&mut self, holder: &str) -> std::io::Result<()> {
        use std::io::Seek as _;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(holder.as_bytes())?;
        self.file.sync_all()
    }

    /// What the last holder wrote down.
    pub fn holder(dir: &Path) -> Option<String> {
        let mut text = String::new();
        File::open(dir.join(LOCK_FILE)).ok()?.take(1024).read_to_string(&mut text).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

/// A folder as it was found, whatever its name is now.
#[derive(Debug, Clone)]
pub(super) struct Home {
    dir: PathBuf,
    device: u64,
    inode: u64,
}

impl Home {
    pub(super) fn of(dir: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(dir)?;
        Ok(Self { dir: dir.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Fails when the folder is not at its place, or another one is: files that are written there would be half a table.
    pub(super) fn check(&self) -> std::io::Result<()> {
        let found = Self::of(&self.dir)?;
        if (found.device, found.inode) == (self.device, self.inode) {
            return Ok(());
        }
        Err(std::io::Error::other("another folder has taken its place; start haldane again to use that one"))
    }
}
