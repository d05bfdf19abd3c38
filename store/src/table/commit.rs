//! The file of a commit: put where none was, so that it happens once.
//!
//! Always holds: the file is whole and durable before it has its name, so a name that can be read stands for a commit that can be read, after a power
//! cut too. Half-written files have names that nobody reads; they are removed when the table is opened to write.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The folder of the commits, below the table's.
pub(super) const LOG: &str = "_delta_log";
/// The file that names the last checkpoint.
const LAST_CHECKPOINT: &str = "_last_checkpoint";
/// What a commit is called until it is one.
const DRAFT: &str = ".haldane-";

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It is the table's next version.
    Made,
    /// There is another one of that version.
    Taken,
}

/// The disk failed.
#[derive(Debug)]
pub(super) struct PutError {
    /// Whether the commit has its name already: then it is made, unless a power cut takes the name back.
    pub(super) may_be_made: bool,
    pub(super) file: PathBuf,
    pub(super) source: std::io::Error,
}

/// Where the commit of a version stands.
pub(super) fn path_of(folder: &Path, version: u64) -> PathBuf {
    folder.join(LOG).join(format!("{version:020}.json"))
}

/// Makes a commit. Blocks.
pub(super) fn put(folder: &Path, version: u64, bytes: &[u8]) -> Result<Put, PutError> {
    let file = path_of(folder, version);
    let draft = folder.join(LOG).join(format!("{DRAFT}{}", uuid::Uuid::new_v4()));
    let named = write_durably(&draft, bytes).and_then(|()| std::fs::hard_link(&draft, &file));
    let _ = std::fs::remove_file(&draft); // what stays is removed at the next start
    match named {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Put::Taken),
        Err(source) => return Err(PutError { may_be_made: false, file, source }),
    }
    sync(&folder.join(LOG)).map_err(|source| PutError { may_be_made: true, file, source })?;
    Ok(Put::Made)
}

/// Makes a commit durable that may not be: others write theirs as they like. Blocks.
pub(super) fn make_durable(folder: &Path, version: u64) -> Result<(), PutError> {
    let file = path_of(folder, version);
    sync(&file).and_then(|()| sync(&folder.join(LOG))).map_err(|source| PutError { may_be_made: true, file, source })
}

/// Makes a new table's folder durable: its name, and those in it. Blocks.
pub(super) fn make_folder_durable(folder: &Path) -> Result<(), PutError> {
    let above = [Some(folder), folder.parent()];
    let synced = above.into_iter().flatten().try_for_each(sync);
    synced.map_err(|source| PutError { may_be_made: true, file: folder.to_owned(), source })
}

/// Makes the files of a version's checkpoint durable, and what says that it is the last. Blocks.
pub(super) fn sync_checkpoint(folder: &Path, version: u64) -> std::io::Result<()> {
    let log = folder.join(LOG);
    for file in checkpoints(&log)?.into_iter().filter(|file| has_version(file, version)) {
        sync(&file)?;
    }
    match sync(&log.join(LAST_CHECKPOINT)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    sync(&log)
}

/// Gives checkpoints that are no whole Parquet files other names. Answers which. Blocks.
pub(super) fn put_torn_checkpoints_aside(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let log = folder.join(LOG);
    let mut torn = Vec::new();
    for file in checkpoints(&log)? {
        if !is_whole_parquet(&file)? {
            std::fs::rename(&file, file.with_extension("torn"))?;
            torn.push(file);
        }
    }
    // It would be looked for where it is no longer; without this the log is listed.
    if !torn.is_empty() {
        match std::fs::remove_file(log.join(LAST_CHECKPOINT)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        sync(&log)?;
    }
    Ok(torn)
}

fn checkpoints(log: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_checkpoint = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.contains(".checkpoint.") && name.ends_with(".parquet")
    };
    let paths = std::fs::read_dir(log)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(is_checkpoint).collect())
}

fn has_version(file: &Path, version: u64) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{version:020}.")))
}

/// Whether a file ends as Parquet does: what is torn has no end.
fn is_whole_parquet(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() < 12 {
        return Ok(false);
    }
    let mut end = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut end)?;
    Ok(end == *b"PAR1")
}

/// Removes what a process left that was stopped in the middle of a commit. Only one process at a time opens the tables to write.
pub(super) fn remove_drafts(folder: &Path) {
    let entries = std::fs::read_dir(folder.join(LOG)).into_iter().flatten().flatten();
    let drafts = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(DRAFT));
    drafts.for_each(|draft| drop(std::fs::remove_file(draft.path())));
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_put_once_and_whole_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(LOG)).unwrap();
        assert_eq!(put(folder.path(), 7, b"first").unwrap(), Put::Made);
        assert_eq!(put(folder.path(), 7, b"second").unwrap(), Put::Taken);
        assert_eq!(std::fs::read(path_of(folder.path(), 7)).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path().join(LOG)).unwrap().count(), 1);
        let failed = put(&folder.path().join("none"), 8, b"third").unwrap_err();
        assert!(!failed.may_be_made);
    }
}
