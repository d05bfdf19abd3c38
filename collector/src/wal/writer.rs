//! Appends to the log: one thread takes all requests that wait, writes them, calls `fdatasync` once, and only then answers them.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use haldane_store::{Classified, Fault, UnixNanos};
use tokio::sync::oneshot;

use super::record::{BODY_BYTES_MAX, HEADER_BYTES};
use super::recovery::Recovered;
use super::segment::{self, Segment};
use crate::request::Request;

mod blocks;
mod disk;
mod group;

pub(super) use blocks::BlockFile;

use disk::SegmentWriter;
pub(crate) use disk::Syncer;

/// How large the log may get.
#[derive(Debug, Clone)]
pub(crate) struct LogLimits {
    /// Where segments live.
    pub(crate) dir: PathBuf,
    /// Each group fills whole blocks of this many bytes, a power of two.
    pub(crate) block_bytes: usize,
    /// A segment is ended at this many bytes.
    pub(crate) segment_bytes_max: u64,
    /// All segments together; then senders are asked to wait.
    pub(crate) backlog_bytes_max: u64,
}

/// Why a request is not in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// The tables lag too far behind.
    #[error("the log holds {bytes} bytes that the tables do not have yet, the limit is {max}")]
    Backlog { bytes: u64, max: u64 },
    /// The body's length cannot be written down.
    #[error("a body of {bytes} bytes is too large for the log")]
    Body { bytes: usize },
    /// The disk failed, for this request or for one before it.
    #[error("the log cannot be written")]
    Disk(#[source] Arc<io::Error>),
    /// The log has been closed.
    #[error("the log is closed, the server is stopping")]
    Closed,
}

impl Classified for AppendError {
    fn fault(&self) -> Fault {
        match self {
            Self::Backlog { .. } => Fault::Busy,
            Self::Body { .. } => Fault::Invalid,
            Self::Disk(_) | Self::Closed => Fault::Unavailable,
        }
    }
}

/// A request on its way into the log, with what goes on to the tables once it is durable.
#[derive(Debug)]
pub(crate) struct Append<T> {
    pub(crate) request: Request,
    pub(crate) received: UnixNanos,
    pub(crate) carried: T,
}

struct Waiting<T> {
    append: Append<T>,
    answer: oneshot::Sender<Result<u64, AppendError>>,
}

enum Command<T> {
    Append(Waiting<T>),
    /// All tables have everything up to here.
    Release {
        through: u64,
    },
}

/// The open log. Dropping it closes it and waits for its thread.
#[derive(Debug)]
pub(crate) struct Log<T> {
    queue: Mutex<Option<mpsc::Sender<Command<T>>>>,
    thread: Mutex<Option<JoinHandle<Vec<Segment>>>>,
    backlog: Arc<AtomicU64>,
    backlog_max: u64,
}

impl<T: Send + 'static> Log<T> {
    /// Goes on behind what was recovered, in a new segment whose first sequence is `next`.
    ///
    /// `deliver` gets each durable request in order, on the log's thread, before its sender is answered; it must not block for long.
    ///
    /// # Errors
    /// When the folder or the segment cannot be made, or no thread can be started.
    pub(crate) fn open(
        limits: LogLimits,
        recovered: Recovered,
        syncer: Syncer,
        deliver: impl FnMut(u64, UnixNanos, T) + Send + 'static,
    ) -> io::Result<Self> {
        segment::create_folder(&limits.dir)?;
        let backlog = Arc::new(AtomicU64::new(0));
        let backlog_max = limits.backlog_bytes_max;
        let disk = SegmentWriter::begin(limits, recovered, syncer, backlog.clone())?;
        let (queue, commands) = mpsc::channel();
        let run = move || group::run(disk, &commands, deliver);
        let thread = std::thread::Builder::new().name("haldane-log".to_owned()).spawn(run)?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), backlog, backlog_max })
    }

    /// Makes a request durable and answers its sequence.
    ///
    /// # Errors
    /// When it is not in the log: the sender may try again, unless the body is too large.
    pub(crate) async fn append(&self, append: Append<T>) -> Result<u64, AppendError> {
        let bytes = append.request.body.len();
        if bytes > BODY_BYTES_MAX {
            return Err(AppendError::Body { bytes });
        }
        let backlog = self.backlog_bytes();
        if backlog.saturating_add((bytes + HEADER_BYTES) as u64) > self.backlog_max {
            return Err(AppendError::Backlog { bytes: backlog, max: self.backlog_max });
        }
        let (answer, answered) = oneshot::channel();
        self.send(Command::Append(Waiting { append, answer }))?;
        answered.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Lets go of segments whose records all tables have.
    pub(crate) fn release(&self, through: u64) {
        // A closed log has nothing to let go of.
        let _ = self.send(Command::Release { through });
    }

    /// Bytes of all segments.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends the thread. Blocks. Answers the segments that are left.
    pub(crate) fn close(&self) -> Vec<Segment> {
        drop(lock(&self.queue).take());
        let thread = lock(&self.thread).take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }

    fn send(&self, command: Command<T>) -> Result<(), AppendError> {
        let queue = lock(&self.queue);
        queue.as_ref().and_then(|queue| queue.send(command).ok()).ok_or(AppendError::Closed)
    }
}

impl<T> Drop for Log<T> {
    fn drop(&mut self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join(); // its panic has been reported already
        }
    }
}

/// Removes segments for good, oldest first.
///
/// # Errors
/// When the disk says no; segments from there on are left.
pub(crate) fn remove(segments: &[Segment]) -> io::Result<()> {
    segments.iter().try_for_each(|segment| std::fs::remove_file(&segment.path))?;
    segments.first().and_then(|segment| segment.path.parent()).map_or(Ok(()), segment::sync_folder)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
