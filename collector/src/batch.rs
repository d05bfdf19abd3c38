//! Turns acknowledged requests into rows, in sequence order, and publishes them in batches. One thread does it, so that a large request never holds up
//! an acknowledgement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use haldane_store::table::HotRows;
use haldane_store::{Tables, UnixNanos};

use crate::admission::Admitted;
use crate::decode::{Checked, Irregular};
use crate::rows::Rows;
use crate::wanted::Wanted;

/// A batch is sealed once its rows take at most about this many bytes,
pub(crate) const BATCH_BYTES_MAX: u64 = 28 << 20;
/// when each takes so many beside its own text: its places in dictionaries, its numbers.
const ROW_BYTES: u64 = 160;
/// It is sealed too when what records share, and each row has for itself, takes this many beside them. One request may take as many as it may expand to.
const REPEATED_BYTES_MAX: usize = 28 << 20;

/// A durable request on its way to the tables.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) sequence: u64,
    pub(crate) received: UnixNanos,
    pub(crate) checked: Checked,
    /// Its share of the budget of bytes in flight, given back once its rows are built.
    #[expect(dead_code, reason = "held until it is dropped")]
    pub(crate) admitted: Option<Admitted>,
}

/// While there is no room for more rows, it is looked for this often.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(5);

/// When a batch is sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub(crate) age: Duration,
    pub(crate) rows: usize,
    /// Memory of all rows that are visible and not written yet.
    pub(crate) hot_bytes: usize,
}

/// Collects rows and publishes them.
#[derive(Debug)]
pub(crate) struct Batcher {
    rows: Rows,
    limits: BatchLimits,
    tables: Tables,
    published_through: Arc<AtomicU64>,
    /// Set when nothing is flushed any more beside this thread, so that waiting for room would be in vain.
    hurry: Arc<AtomicBool>,
    through: u64,
    bytes: u64,
    opened: Option<Instant>,
}

impl Batcher {
    pub(crate) fn new(rows: Rows, limits: BatchLimits, tables: Tables, published_through: Arc<AtomicU64>) -> Self {
        Self { rows, limits, tables, published_through, hurry: Arc::default(), through: 0, bytes: 0, opened: None }
    }

    /// Tells the thread not to wait for room any more.
    pub(crate) fn hurry(&self) -> Arc<AtomicBool> {
        self.hurry.clone()
    }

    /// Adds a request's rows to those tables that want them; publishes when the batch is full, and says whether it was.
    pub(crate) fn append(&mut self, durable: &Durable, wanted: Wanted) -> bool {
        if let Err(Irregular) = self.rows.append(&durable.checked, durable.received, wanted) {
            tracing::error!(sequence = durable.sequence, "a request that had been checked could not be read to its end: this is a bug");
        }
        self.through = durable.sequence;
        self.bytes += durable.checked.body.len() as u64 + durable.checked.kept * ROW_BYTES;
        self.opened.get_or_insert_with(Instant::now);
        let full =
            self.rows.count() >= self.limits.rows || self.bytes >= BATCH_BYTES_MAX || self.rows.repeated_bytes() >= REPEATED_BYTES_MAX;
        if full {
            self.publish();
        }
        full
    }

    /// Makes what has been collected visible.
    pub(crate) fn publish(&mut self) {
        if self.opened.take().is_none() {
            return;
        }
        self.bytes = 0;
        let batches = self.rows.finish();
        self.tables.publish(HotRows { through: self.through, batches });
        self.published_through.store(self.through, Ordering::Release);
    }

    /// Starts the thread. It ends, with everything published, when all senders are gone; the batcher comes back.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(self, requests: Receiver<Durable>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("haldane-batch".to_owned()).spawn(move || self.run(&requests))
    }

    /// Requests that wait here hold their share of the bytes in flight, and so senders come to wait too.
    fn wait_for_room(&mut self) {
        if self.opened.is_some() {
            return;
        }
        while self.tables.hot_bytes() >= self.limits.hot_bytes && !self.hurry.load(Ordering::Acquire) {
            std::thread::sleep(LOOK_FOR_ROOM);
        }
    }

    fn run(mut self, requests: &Receiver<Durable>) {
        loop {
            let received = match self.opened {
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(opened) => requests.recv_timeout(self.limits.age.saturating_sub(opened.elapsed())),
            };
            match received {
                Ok(durable) => {
                    self.wait_for_room();
                    self.append(&durable, Wanted::ALL);
                    if self.opened.is_some_and(|opened| opened.elapsed() >= self.limits.age) {
                        self.publish();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.publish(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.publish();
    }
}
