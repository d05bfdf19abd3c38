//! The segments as the log's thread writes them.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haldane_store::UnixNanos;

use super::LogLimits;
use crate::request::Request;
use crate::wal::record::{self, HEADER_BYTES};
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
    file: File,
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
        let (file, active) = segment::create(&limits.dir, recovered.next)?;
        let place = Place::of(&file)?;
        let ended = recovered.segments.into_iter().filter(|segment| segment.path != active.path).collect();
        let writer = Self { limits, syncer, ended, next: active.first, active, file, place, broken: None, backlog };
        writer.count();
        Ok(writer)
    }

    /// Makes requests durable as one group; answers the sequence of the first.
    pub(super) fn write<'a>(&mut self, requests: impl Iterator<Item = (&'a Request, UnixNanos)>) -> io::Result<u64> {
        self.mend()?;
        let group = self.next;
        let records: Vec<([u8; HEADER_BYTES], &[u8])> = (group..)
            .zip(requests)
            .map(|(sequence, (request, received))| (record::header_of(sequence, group, received, request), &request.body[..]))
            .collect();
        if let Err(error) = self.append(&records) {
            tracing::error!(segment = %self.active.path.display(), %error, "the log cannot be written; nothing is acknowledged until it can");
            self.broken = Some(Broken { since: Instant::now(), why: error.to_string() });
            return Err(error);
        }
        self.active.bytes += records.iter().map(|(header, body)| (header.len() + body.len()) as u64).sum::<u64>();
        self.next += records.len() as u64;
        self.active.last = Some(self.next - 1);
        self.count();
        Ok(group)
    }

    fn append(&mut self, records: &[([u8; HEADER_BYTES], &[u8])]) -> io::Result<()> {
        if self.active.last.is_some() && self.active.bytes >= self.limits.segment_bytes_max {
            self.begin_segment()?;
        }
        let mut slices: Vec<IoSlice<'_>> = records.iter().flat_map(|(header, body)| [IoSlice::new(header), IoSlice::new(body)]).collect();
        write_all(&mut self.file, &mut slices)?;
        self.syncer.sync(&self.file)?;
        // A file that was removed or carried away takes writes as if nothing had happened, and no restart would find them.
        self.place.check(&self.active.path)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let (file, active) = segment::create(&self.limits.dir, self.next)?;
        let place = Place::of(&file)?;
        let before = std::mem::replace(&mut self.active, active);
        if before.last.is_some() {
            self.ended.push(before);
        }
        (self.file, self.place) = (file, place);
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

/// Writes all slices, without copying them together first.
fn write_all(file: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Skips empty ones, so that a write of nothing tells of a full disk.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, of one slice or two, and is interrupted in between.
    struct Reluctant {
        taken: Vec<u8>,
        calls: usize,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let bytes: Vec<u8> = slices.iter().take(2).flat_map(|slice| slice.iter().copied()).take(self.calls % 7 + 1).collect();
            self.taken.extend_from_slice(&bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_slices_are_written_in_order_however_little_the_disk_takes_at_once() {
        let parts: [&[u8]; 7] = [b"", b"head", b"a longer body than that", b"", b"h", b"tail", b""];
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut file = Reluctant { taken: Vec::new(), calls: 0 };
        write_all(&mut file, &mut slices).unwrap();
        assert_eq!(file.taken, parts.concat());
        assert!(write_all(&mut &mut [0_u8; 3][..], &mut [IoSlice::new(b"four")]).is_err());
    }
}
