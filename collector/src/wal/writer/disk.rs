//! The segments as the log's thread writes them.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haldane_store::UnixNanos;

use super::LogLimits;
use crate::request::Request;
use crate::wal::record::{self, Record};
use crate::wal::recovery::Recovered;
use crate::wal::segment::{self, Segment};

/// After a failure the disk is tried again this often.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Calls `fdatasync`; a test can make it fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Syncer {
    #[cfg(test)]
    pub(crate) fails: Arc<std::sync::atomic::AtomicBool>,
}

impl Syncer {
    fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the test's disk failed"));
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
    file: File,
    next: u64,
    broken: Option<Broken>,
    backlog: Arc<AtomicU64>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Broken {
    since: Instant,
    why: String,
}

impl SegmentWriter {
    pub(super) fn begin(limits: LogLimits, recovered: Recovered, syncer: Syncer, backlog: Arc<AtomicU64>) -> io::Result<Self> {
        let (file, active) = segment::create(&limits.dir, recovered.next)?;
        let ended = recovered.segments.into_iter().filter(|segment| segment.path != active.path).collect();
        let writer = Self { limits, syncer, ended, next: active.first, active, file, broken: None, backlog, buffer: Vec::new() };
        writer.count();
        Ok(writer)
    }

    /// Makes requests durable as one group; answers the sequence of the first.
    pub(super) fn write<'a>(&mut self, requests: impl Iterator<Item = (&'a Request, UnixNanos)>) -> io::Result<u64> {
        self.mend()?;
        let group = self.next;
        let mut next = group;
        self.buffer.clear();
        for (request, received) in requests {
            record::encode_into(&Record { sequence: next, group, received, request: request.clone() }, &mut self.buffer);
            next += 1;
        }
        if let Err(error) = self.append() {
            tracing::error!(segment = %self.active.path.display(), %error, "the log cannot be written; nothing is acknowledged until it can");
            self.broken = Some(Broken { since: Instant::now(), why: error.to_string() });
            return Err(error);
        }
        self.active.bytes += self.buffer.len() as u64;
        self.active.last = Some(next - 1);
        self.next = next;
        self.buffer.shrink_to(1 << 20);
        self.count();
        Ok(group)
    }

    fn append(&mut self) -> io::Result<()> {
        if self.active.last.is_some() && self.active.bytes >= self.limits.segment_bytes_max {
            self.begin_segment()?;
        }
        self.file.write_all(&self.buffer)?;
        self.syncer.sync(&self.file)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let (file, active) = segment::create(&self.limits.dir, self.next)?;
        let before = std::mem::replace(&mut self.active, active);
        if before.last.is_some() {
            self.ended.push(before);
        }
        self.file = file;
        Ok(())
    }

    /// After a failure: nobody knows what of the last group is on the disk. It was not acknowledged, so it is cut off, and a new file is begun.
    fn mend(&mut self) -> io::Result<()> {
        let Some(broken) = &mut self.broken else { return Ok(()) };
        if broken.since.elapsed() < RETRY_AFTER {
            return Err(io::Error::other(format!("the disk failed a moment ago: {}", broken.why)));
        }
        broken.since = Instant::now();
        segment::truncate(&self.active.path, self.active.bytes)?;
        self.begin_segment()?;
        tracing::info!(segment = %self.active.path.display(), "the log can be written again");
        self.broken = None;
        Ok(())
    }

    /// Removes ended segments that hold nothing behind `through`.
    pub(super) fn release(&mut self, through: u64) {
        let done = self.ended.iter().take_while(|segment| segment.last.is_none_or(|last| last <= through)).count();
        for segment in self.ended.drain(..done) {
            if let Err(error) = std::fs::remove_file(&segment.path) {
                tracing::warn!(segment = %segment.path.display(), %error, "cannot remove a segment that is no longer needed");
            }
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
