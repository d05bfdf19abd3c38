//! The collector as a whole: opened on a folder, served on two listeners, drained when it stops.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use haldane_store::clock::SharedClock;
use haldane_store::tls::{Tls, TlsError};
use haldane_store::{Classified, Fault, TableName, Tables};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::batch::{BatchLimits, Batcher, Durable};
use crate::config::{CollectorConfig, DamagePolicy};
use crate::flush::{self, Flusher, Progress};
use crate::intake::{Carried, Intake};
use crate::otlp;
use crate::replay::{self, COLLECTOR_ID, Committed, Overflow, ReplayError, Replayed};
use crate::rollup::{CohortKeys, Operations, Rollup};
use crate::rows::Rows;
use crate::stats::{CollectorStats, Counters};
use crate::upkeep;
use crate::wal::recovery::{Recovered, Repair};
use crate::wal::writer::Syncer;
use crate::wal::{Log, LogLimits, Recovery, segment, writer};

/// Why the collector cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log's folder cannot be made, read or written.
    #[error("cannot use the log folder {}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// What the log holds cannot be brought back.
    #[error("cannot bring back what the log holds")]
    Replay(#[from] ReplayError),
    /// TLS is asked for and cannot be spoken.
    #[error("cannot speak TLS on the ports for OTLP")]
    Tls(#[from] TlsError),
}

impl Classified for OpenError {
    fn fault(&self) -> Fault {
        match self {
            Self::Folder { .. } | Self::Tls(_) => Fault::Unavailable,
            Self::Replay(error) => error.fault(),
        }
    }
}

/// Why the collector stopped in another way than it should.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener ended by itself.
    #[error("the {protocol} listener failed")]
    Listener {
        /// Which one.
        protocol: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// A part of the collector panicked.
    #[error("a part of the collector panicked")]
    Panic(#[source] tokio::task::JoinError),
    /// Rows are no longer built.
    #[error("the thread that builds rows ended")]
    Batcher,
    /// Not everything is in the tables. It is in the log, and the next start brings it back.
    #[error("stopped before all rows were in the tables; the log keeps them for the next start")]
    Undrained {
        /// The tables that lack rows.
        tables: Vec<&'static str>,
    },
}

impl Classified for ServeError {
    fn fault(&self) -> Fault {
        match self {
            Self::Listener { .. } | Self::Undrained { .. } => Fault::Unavailable,
            Self::Panic(_) | Self::Batcher => Fault::Bug,
        }
    }
}

/// Takes OTLP in. Dropping it without [`Collector::serve`] having ended loses nothing: the log has it.
#[derive(Debug)]
pub struct Collector {
    config: CollectorConfig,
    id: String,
    tables: Tables,
    tls: Option<Tls>,
    intake: Arc<Intake>,
    batcher: JoinHandle<()>,
    hurry: Arc<AtomicBool>,
    replayed: Replayed,
}

/// Reads a running collector's counters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Intake>);

impl Meter {
    /// What the collector has done so far.
    pub fn read(&self) -> CollectorStats {
        self.0.stats()
    }
}

impl Collector {
    /// Opens the log, publishes what the tables do not have of it, and starts the threads. Nothing is taken in before [`Collector::serve`].
    ///
    /// # Errors
    /// When the log cannot be read or written; it is left as it is.
    pub async fn open(config: CollectorConfig, tables: Tables, clock: SharedClock) -> Result<Self, OpenError> {
        Self::open_on(config, tables, clock, Syncer::default()).await
    }

    pub(crate) async fn open_on(config: CollectorConfig, tables: Tables, clock: SharedClock, syncer: Syncer) -> Result<Self, OpenError> {
        let tls = config.tls.as_ref().map(Tls::open).transpose()?;
        let dir = config.wal.dir.clone();
        let folder = |source| OpenError::Folder { dir: dir.clone(), source };
        let id = collector_id(&dir).map_err(folder)?;
        let counters = Arc::new(Counters::default());
        let mut batcher = new_batcher(&config, &tables, &counters);
        let repair = match config.wal.damaged {
            DamagePolicy::Refuse => Repair::TornTail,
            DamagePolicy::MoveAside => Repair::Damage,
        };
        let recovery = Recovery::open(&dir, repair).map_err(ReplayError::from)?;
        let committed = Committed::read(&tables, &id).await?;
        let overflow = Overflow::Flush { collector: &id, bytes_max: config.flush_bytes_max };
        let (replayed, recovered) = replay::replay(recovery, committed, &mut batcher, &tables, overflow).await?;
        if replayed.requests > 0 {
            tracing::info!(requests = replayed.requests, records = replayed.records, "brought back what the tables lacked from the log");
        }
        let recovered = after_commits(recovered, committed.most()).map_err(folder)?;
        let (sender, durable) = mpsc::channel();
        let log = open_log(&config, recovered, syncer, sender).map_err(folder)?;
        let hurry = batcher.hurry();
        let batcher = batcher.start(durable).map_err(folder)?;
        let intake = Intake {
            log,
            admission: Admission::new(config.in_flight_bytes(), config.admission_wait()),
            counters,
            clock,
            expanded_bytes_max: config.expanded_bytes_max(),
            closed: CancellationToken::new(),
        };
        Ok(Self { config, id, tables, tls, intake: Arc::new(intake), batcher, hurry, replayed })
    }

    /// Publishes what a log folder holds and the tables lack, without writing anything. For reading a data folder that no server has open.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn replay_only(config: &CollectorConfig, tables: &Tables) -> Result<Replayed, OpenError> {
        let dir = &config.wal.dir;
        let id = replay::read_collector_id(dir).map_err(|source| OpenError::Folder { dir: dir.clone(), source })?;
        let Some(id) = id else { return Ok(Replayed::default()) };
        let counters = Arc::new(Counters::default());
        let mut batcher = new_batcher(config, tables, &counters);
        let recovery = Recovery::open(dir, Repair::Nothing).map_err(ReplayError::from)?;
        let committed = Committed::read(tables, &id).await?;
        let (replayed, _) = replay::replay(recovery, committed, &mut batcher, tables, Overflow::Keep).await?;
        Ok(replayed)
    }

    /// What the last stop had left in the log.
    pub fn replayed(&self) -> Replayed {
        self.replayed
    }

    /// What the collector has done so far.
    pub fn stats(&self) -> CollectorStats {
        self.intake.stats()
    }

    /// Reads the counters while [`Collector::serve`] runs.
    pub fn meter(&self) -> Meter {
        Meter(self.intake.clone())
    }

    /// Serves until `stop` is cancelled, then refuses requests, writes everything to the tables and empties the log.
    ///
    /// # Errors
    /// When a part fails by itself, or not everything could be written in time. Nothing acknowledged is lost in either case.
    pub async fn serve(self, grpc: TcpListener, http: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let serving = CancellationToken::new();
        let flushing = CancellationToken::new();
        let door = otlp::Door::new(self.intake.clone(), &self.config, self.tls.clone());
        let mut listeners = JoinSet::new();
        listeners.spawn(otlp::grpc::serve(grpc, door.clone(), serving.clone()));
        listeners.spawn(otlp::http::serve(http, door, serving.clone()));
        let mut flushers = self.start_flushers(&flushing);
        if let Some(tls) = self.tls.clone() {
            flushers.spawn(tls.follow(flushing.clone()));
        }
        let early = tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = listeners.join_next() => ended.map_err(ServeError::Panic).flatten(),
            Some(ended) = flushers.join_next() => ended.map_err(ServeError::Panic),
            () = ended(&self.batcher) => Err(ServeError::Batcher),
        };
        self.intake.closed.cancel();
        serving.cancel();
        let answered = tokio::time::timeout(self.config.drain_limit(), async { while listeners.join_next().await.is_some() {} }).await;
        if answered.is_err() {
            tracing::warn!("some connections were still open and have been cut");
            listeners.shutdown().await;
        }
        flushing.cancel();
        self.hurry.store(true, Ordering::Release);
        while flushers.join_next().await.is_some() {}
        let drained = self.drain().await;
        early.and(drained)
    }

    #[cfg(test)]
    pub(crate) fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    #[cfg(test)]
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn start_flushers(&self, stop: &CancellationToken) -> JoinSet<()> {
        let progress = Arc::new(Progress::default());
        let mut flushers = JoinSet::new();
        for table in TableName::ALL {
            let flusher = Flusher {
                table,
                tables: self.tables.clone(),
                collector: self.id.clone(),
                age_max: flush::age_max(table, &self.config),
                bytes_max: self.config.flush_bytes_max,
                hot_bytes_max: self.config.hot_bytes_max,
                published_through: self.intake.counters.published_through.clone(),
                progress: progress.clone(),
            };
            let intake = self.intake.clone();
            let release = move |through| {
                intake.counters.committed(through);
                intake.log.release(through);
            };
            flushers.spawn(flusher.run(release, stop.clone()));
        }
        if self.config.upkeep.every_seconds > 0 {
            let (upkeep, clock) = (self.config.upkeep.clone(), self.intake.clock.clone());
            flushers.spawn(upkeep::run(self.tables.clone(), upkeep, self.config.hot_bytes_max, clock, stop.clone()));
        }
        flushers
    }

    /// Ends the threads in order, so that all that was acknowledged is published, then writes it, then empties the log.
    async fn drain(self) -> Result<(), ServeError> {
        let Self { config, id, tables, intake, batcher, .. } = self;
        let joined = tokio::task::spawn_blocking(move || {
            let segments = intake.log.close();
            (segments, batcher.join().is_ok())
        });
        let (segments, published) = joined.await.map_err(ServeError::Panic)?;
        let undrained = flush::flush_all(&tables, &id, Instant::now() + config.drain_limit()).await;
        if !undrained.is_empty() || !published {
            return Err(ServeError::Undrained { tables: undrained.into_iter().map(TableName::as_str).collect() });
        }
        if let Err(error) = writer::remove(&segments) {
            // Harmless: the next start finds that the tables have it all.
            tracing::warn!(%error, "cannot empty the log");
        }
        Ok(())
    }
}

/// Waits until a thread has ended, which it should not.
async fn ended(thread: &JoinHandle<()>) {
    while !thread.is_finished() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn new_batcher(config: &CollectorConfig, tables: &Tables, counters: &Counters) -> Batcher {
    let keys = CohortKeys::new(&config.cohort_attributes, &config.record_cohort_attributes);
    let operations = Operations::new(config.operations_max, counters.operations_over_limit.clone());
    let limits = BatchLimits { age: config.batch_age(), rows: config.batch_rows_max, hot_bytes: config.hot_bytes_max };
    Batcher::new(
        Rows::new(Rollup::new(keys, operations, counters.served.clone())),
        limits,
        tables.clone(),
        counters.published_through.clone(),
    )
}

fn open_log(
    config: &CollectorConfig,
    recovered: Recovered,
    syncer: Syncer,
    batcher: mpsc::Sender<Durable>,
) -> std::io::Result<Log<Carried>> {
    let limits = LogLimits {
        dir: config.wal.dir.clone(),
        block_bytes: segment::BLOCK_BYTES,
        segment_bytes_max: config.wal.segment_bytes_max,
        backlog_bytes_max: config.wal.backlog_bytes_max,
    };
    Log::open(limits, recovered, syncer, move |sequence, received, Carried { checked, admitted }| {
        // The batcher goes only after the log; if it panicked, the log still has the request.
        let _ = batcher.send(Durable { sequence, received, checked, admitted: Some(admitted) });
    })
}

/// A sequence that a table has may not be used again, even when the end of the log was lost.
fn after_commits(mut recovered: Recovered, committed: u64) -> std::io::Result<Recovered> {
    if committed >= recovered.next {
        if let Some(last) = recovered.segments.last() {
            segment::keep_aside(&last.path)?; // explains the gap behind it
        }
        recovered.next = committed + 1;
    }
    Ok(recovered)
}

/// The name under which this log's rows are committed: made once, with the folder.
fn collector_id(dir: &Path) -> std::io::Result<String> {
    segment::create_folder(dir)?;
    if let Some(id) = replay::read_collector_id(dir)? {
        return Ok(id);
    }
    let id = uuid::Uuid::now_v7().to_string();
    let unnamed = dir.join(format!("{COLLECTOR_ID}.new"));
    std::fs::write(&unnamed, &id)?;
    std::fs::File::open(&unnamed)?.sync_all()?;
    std::fs::rename(&unnamed, dir.join(COLLECTOR_ID))?;
    segment::sync_folder(dir)?;
    Ok(id)
}
