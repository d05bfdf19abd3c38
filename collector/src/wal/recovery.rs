//! Opens a folder of segments after a stop of any kind, and gives back what is in it, one segment at a time.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use haldane_store::{Classified, Fault};

use super::reader::{self, Break, BreakCause, Contents};
use super::record::Record;
use super::segment::{self, Segment};

/// What may be done to segments while reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Nothing is written.
    Nothing,
    /// A torn tail is cut off, so that the log can go on.
    TornTail,
    /// Damage too, after a copy of the segment was kept. Records behind the damage are in that copy only.
    Damage,
}

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The disk says no.
    #[error("cannot read or repair {}", path.display())]
    Disk {
        /// The folder or segment.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Acknowledged data cannot be read.
    #[error("the log segment {} is damaged at byte {at}: {detail}; to go on without what stands there, move it aside with wal.damaged = \"move_aside\"", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        at: usize,
        /// What is wrong.
        detail: String,
    },
    /// A segment is not there.
    #[error("the log lacks sequence {expected}: the next segment, {}, begins later", path.display())]
    Gap {
        /// The segment behind the gap.
        path: PathBuf,
        /// What is missing.
        expected: u64,
    },
}

impl Classified for RecoveryError {
    fn fault(&self) -> Fault {
        match self {
            Self::Disk { .. } | Self::Damaged { .. } | Self::Gap { .. } => Fault::Unavailable,
        }
    }
}

/// What is left of a log once it has been read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Oldest first.
    pub(crate) segments: Vec<Segment>,
    /// The sequence that comes next as far as the log knows; 1 when it is empty.
    pub(crate) next: u64,
}

/// A log being read.
#[derive(Debug)]
pub(crate) struct Recovery {
    repair: Repair,
    waiting: std::vec::IntoIter<(u64, PathBuf)>,
    read: Vec<Segment>,
    expected: Option<u64>,
}

impl Recovery {
    /// Looks for segments; a folder that does not exist has none.
    pub(crate) fn open(dir: &Path, repair: Repair) -> Result<Self, RecoveryError> {
        let waiting = segment::list(dir).map_err(|source| RecoveryError::Disk { path: dir.to_owned(), source })?;
        Ok(Self { repair, waiting: waiting.into_iter(), read: Vec::new(), expected: None })
    }

    /// The records of the next segment, `None` behind the last one. Blocks on the disk.
    pub(crate) fn next_segment(&mut self) -> Result<Option<Vec<Record>>, RecoveryError> {
        let Some((first, path)) = self.waiting.next() else { return Ok(None) };
        self.check_gap(first, &path)?;
        let bytes = std::fs::read(&path).map_err(|source| RecoveryError::Disk { path: path.clone(), source })?;
        let contents = reader::read(&Bytes::from(bytes), first);
        if let Some(broken) = contents.broken {
            self.mend((first, &path), broken, &contents)?;
        }
        let good_bytes = contents.good_bytes.max(segment::HEADER_BYTES) as u64;
        let last = contents.records.last().map(|record| record.sequence);
        self.expected = Some(last.map_or(first, |last| last + 1));
        self.read.push(Segment { path, first, last, bytes: good_bytes });
        Ok(Some(contents.records))
    }

    /// What the writer goes on with, once all segments have been read.
    pub(crate) fn finish(self) -> Recovered {
        Recovered { segments: self.read, next: self.expected.unwrap_or(1) }
    }

    fn check_gap(&self, first: u64, path: &Path) -> Result<(), RecoveryError> {
        let Some(expected) = self.expected.filter(|expected| *expected != first) else { return Ok(()) };
        let explained = self.read.last().is_some_and(|before| segment::was_moved_aside(&before.path));
        if explained && first > expected {
            return Ok(());
        }
        Err(RecoveryError::Gap { path: path.to_owned(), expected })
    }

    fn mend(&self, (first, path): (u64, &Path), broken: Break, contents: &Contents) -> Result<(), RecoveryError> {
        let disk = |source| RecoveryError::Disk { path: path.to_owned(), source };
        let unknown_version = matches!(broken.cause, BreakCause::Header(segment::HeaderError::Version { .. }));
        let torn = self.waiting.len() == 0 && !broken.durable_after && !unknown_version;
        if torn {
            tracing::warn!(segment = %path.display(), at = broken.at, "dropped the torn tail of the log; it was never acknowledged");
        } else if self.repair == Repair::Damage {
            let aside = segment::keep_aside(path).map_err(disk)?;
            tracing::error!(segment = %path.display(), at = broken.at, cause = %broken.cause, aside = %aside.display(), "moved a damaged segment aside");
        } else {
            return Err(RecoveryError::Damaged { path: path.to_owned(), at: broken.at, detail: broken.cause.to_string() });
        }
        match self.repair {
            Repair::Nothing => Ok(()),
            Repair::TornTail | Repair::Damage if contents.good_bytes == 0 => segment::begin_again(path, first).map_err(disk),
            Repair::TornTail | Repair::Damage => segment::truncate(path, contents.good_bytes as u64).map_err(disk),
        }
    }
}
