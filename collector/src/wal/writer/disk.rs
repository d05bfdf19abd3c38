//! The segments as the log's thread writes them.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haldane_store::UnixNanos;

use super::LogLimits;
use super::blocks::BlockFile;
use crate::request::Request;
use crate::wal::record::{self, HEADER_BYTES, Salt};
use crate::wal::recovery::Recovered;
use crate::wal::segment::{self, Place, Segment};

/// After a failure the disk is tried again this often.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Calls `fdatasync`; a test can make it fail or slow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Syncer {
    #[cfg(test)]
    pub(crate) fails: Arc<std::sync::atomic::AtomicBool>,
    /// Each call takes so many milliseconds longer.
    #[cfg(test)]
    pub(crate) delay_ms: Arc<AtomicU64>,
    /// How often it was called.
    #[cfg(test)]
    pub(crate) calls: Arc<AtomicU64>,
}

impl Syncer {
    fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        {
            self.calls.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst)));
            if self.fails.load(Ordering::SeqCst) {
                return Err(io::Error::other("the test's disk failed"));
            }
        }
        file.sync_data()
    }
}

/// Writes groups of records into segments.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    limits: LogLimits,
    syncer: Syncer,
    /// Oldest first, without the active one.
    ended: Vec<Segment>,
    active: Segment,
    file: BlockFile,
    salt: Salt,
    place: Place,
    next: u64,
    broken: Option<Broken>,
    backlog: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Broken {
    since: Instant,
    why: String,
}

impl SegmentWriter {
    pub(super) fn begin(limits: LogLimits, recovered: Recovered, syncer: Syncer, backlog: Arc<AtomicU64>) -> io::Result<Self> {
        let (file, salt, active) = segment::create(&limits.dir, recovered.next, limits.block_bytes)?;
        let place = Place::of(file.file())?;
        let ended = recovered.segments.into_iter().filter(|segment| segment.path != active.path).collect();
        let writer = Self { limits, syncer, ended, next: active.first, active, file, salt, place, broken: None, backlog };
        writer.count();
        Ok(writer)
    }

    /// Makes requests durable as one group; answers the sequence of the first.
    pub(super) fn write<'a>(&mut self, requests: impl Iterator<Item = (&'a Request, UnixNanos)>) -> io::Result<u64> {
        self.mend()?;
        let group = self.next;
        match self.append(group, requests) {
            Ok((count, grown)) => {
                self.next += count;
                self.active.bytes += grown;
            }
            Err(error) => {
                tracing::error!(segment = %self.active.path.display(), %error, "the log cannot be written; nothing is acknowledged until it can");
                self.broken = Some(Broken { since: Instant::now(), why: error.to_string() });
                return Err(error);
            }
        }
        self.active.last = Some(self.next - 1);
        self.count();
        Ok(group)
    }

    /// Answers how many requests there were, and by how many bytes the segment has grown.
    fn append<'a>(&mut self, group: u64, requests: impl Iterator<Item = (&'a Request, UnixNanos)>) -> io::Result<(u64, u64)> {
        if self.active.last.is_some() && self.active.bytes >= self.limits.segment_bytes_max {
            self.begin_segment()?;
        }
        // A segment's records are told by its salt.
        let records: Vec<([u8; HEADER_BYTES], &[u8])> = (group..)
            .zip(requests)
            .map(|(sequence, (request, received))| (record::header_of(self.salt, sequence, group, received, request), &request.body[..]))
            .collect();
        let grown = self.file.append(records.iter().flat_map(|(header, body)| [&header[..], body]))?;
        self.syncer.sync(self.file.file())?;
        // A file that was removed or carried away takes writes as if nothing had happened, and no restart would find them.
        self.place.check(&self.active.path)?;
        Ok((records.len() as u64, grown))
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let (file, salt, active) = segment::create(&self.limits.dir, self.next, self.limits.block_bytes)?;
        let place = Place::of(file.file())?;
        let before = std::mem::replace(&mut self.active, active);
        if before.last.is_some() {
            self.ended.push(before);
        }
        (self.file, self.salt, self.place) = (file, salt, place);
        Ok(())
    }

    /// After a failure: nobody knows what of the last group is on the disk. It was not acknowledged, so it is cut off, and a new file is begun.
    fn mend(&mut self) -> io::Result<()> {
        let Some(broken) = &mut self.broken else { return Ok(()) };
        if broken.since.elapsed() < RETRY_AFTER {
            return Err(io::Error::other(format!("the disk failed a moment ago: {}", broken.why)));
        }
        broken.since = Instant::now();
        // Another file of that name is not ours to cut.
        self.place.check(&self.active.path)?;
        segment::truncate(&self.active.path, self.active.bytes)?;
        self.begin_segment()?;
        tracing::info!(segment = %self.active.path.display(), "the log can be written again");
        self.broken = None;
        Ok(())
    }

    /// Removes ended segments that hold nothing behind `through`. Where one cannot be removed it stays for the next time, with all behind it: a
    /// segment that is left alone before a gap could not be read again.
    pub(super) fn release(&mut self, through: u64) {
        while let Some(segment) = self.ended.first().filter(|segment| segment.last.is_none_or(|last| last <= through)) {
            if let Err(error) = std::fs::remove_file(&segment.path) {
                let gone = error.kind() == io::ErrorKind::NotFound && self.place.check(&self.active.path).is_ok();
                if !gone {
                    tracing::warn!(segment = %segment.path.display(), %error, "cannot remove a segment that is no longer needed");
                    break;
                }
            }
            self.ended.remove(0);
        }
        self.count();
    }

    pub(super) fn into_segments(self) -> Vec<Segment> {
        let mut segments = self.ended;
        segments.push(self.active);
        segments
    }

    fn count(&self) {
        let bytes = self.ended.iter().map(|segment| segment.bytes).sum::<u64>() + self.active.bytes;
        self.backlog.store(bytes, Ordering::Relaxed);
    }
}
