//! The server: builds the parts, runs them, and stops them in an order that loses nothing.
//!
//! Stopping: intake ends first (what was acknowledged is flushed), then judging, then REST, which answers until the data is safe.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use haldane_analyzer::{Engine, QueryLimits, Rollouts, Scheduler};
use haldane_api::metrics::Metrics;
use haldane_api::notify::{Notifications, Notifier};
use haldane_api::sql::{SqlDoor, SqlError, SqlSources};
use haldane_api::{Api, HttpProber, NoProber, Readiness};
use haldane_collector::{Collector, CollectorConfig, Waiting};
use haldane_store::access::AccessList;
use haldane_store::clock::SharedClock;
use haldane_store::table::{Access, FolderLock, LockError, TablesConfig};
use haldane_store::tls::{Tls, TlsError};
use haldane_store::{Ledger, Tables};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::{self, Judging, Told};

/// Why the server could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The data folder is not to be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The tables cannot be opened.
    #[error("cannot open the tables")]
    Tables(#[from] haldane_store::table::OpenError),
    /// The ledger cannot be opened.
    #[error("cannot open the ledger")]
    Ledger(#[from] haldane_store::ledger::LedgerError),
    /// TLS of the API cannot be spoken.
    #[error("cannot speak TLS on the API's port")]
    Tls(#[from] TlsError),
    /// A receiver cannot be set up.
    #[error("cannot set up notifications")]
    Notifications(#[from] haldane_api::notify::NotifyError),
    /// The query engine cannot be set up.
    #[error("cannot set up the query engine")]
    Engine(#[from] haldane_analyzer::QueryError),
    /// The log cannot be opened or replayed.
    #[error("cannot open the collector")]
    Collector(#[source] Box<haldane_collector::OpenError>),
    /// A port is taken, or not ours to take.
    #[error("cannot listen on {address} for {purpose}: is another server using it?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What for, with the flag that changes it.
        purpose: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// SQL cannot be served.
    #[error("cannot serve SQL")]
    Sql(#[from] SqlError),
    /// Nothing can be probed.
    #[error("cannot make a client for probes")]
    Prober(#[from] NoProber),
    /// The lock file cannot be written.
    #[error("cannot write down the server's address in the data folder")]
    Announce(#[source] std::io::Error),
}

/// Why the server ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Receiving failed.
    #[error("the collector stopped")]
    Collector(#[from] haldane_collector::ServeError),
    /// Judging failed.
    #[error("the analyzer stopped")]
    Analyzer(#[from] haldane_analyzer::rollout::ReadError),
    /// Telling others failed.
    #[error("the notifier stopped")]
    Notifier(#[from] haldane_api::notify::NotifyError),
    /// Serving REST failed.
    #[error("the API stopped")]
    Api(#[source] std::io::Error),
    /// Serving SQL failed.
    #[error("the SQL door stopped")]
    Sql(#[source] std::io::Error),
    /// A part panicked.
    #[error("a part of the server panicked")]
    Panicked(#[from] JoinError),
    /// A part ended by itself.
    #[error("the {part} ended by itself")]
    Ended {
        /// Which.
        part: &'static str,
    },
    /// The time to shut down was not enough.
    #[error("the {part} did not finish within {} s of being told to stop; what was acknowledged is in the log", grace.as_secs())]
    Slow {
        /// Which.
        part: &'static str,
        /// The time it had.
        grace: Duration,
    },
}

/// Where the server listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// OTLP/HTTP.
    pub http: SocketAddr,
    /// REST.
    pub api: SocketAddr,
    /// SQL.
    pub sql: SocketAddr,
}

/// The ports and the data folder of a server, taken before anything else is done.
#[derive(Debug)]
pub struct Doors {
    config: Config,
    listeners: Listeners,
    addresses: Addresses,
    lock: FolderLock,
}

/// A server that is ready to run: its ports are open, its log is replayed.
#[derive(Debug)]
pub struct App {
    collector: Collector,
    scheduler: Scheduler,
    /// Answers already, to say whether the server is ready.
    api: Part,
    serving: CancellationToken,
    ready: watch::Sender<Readiness>,
    grpc: TcpListener,
    http: TcpListener,
    grace: Duration,
    ledger: Ledger,
    metrics: Metrics,
    // Held until the end of the process: nobody else may write to the data folder.
    lock: FolderLock,
}

#[derive(Debug)]
struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    api: TcpListener,
    sql: TcpListener,
}

type Part = JoinSet<Result<(), RunError>>;

impl Doors {
    /// Takes the data folder and the ports. Senders can connect from here on; they are answered once [`App::build`] has begun.
    ///
    /// # Errors
    /// When the folder or a port is taken.
    pub async fn open(config: Config) -> Result<Self, BuildError> {
        let mut lock = FolderLock::acquire(&config.data)?;
        let listeners = Listeners {
            grpc: listen(config.grpc, "OTLP over gRPC (--grpc)").await?,
            http: listen(config.http, "OTLP over HTTP (--http)").await?,
            api: listen(config.api, "the API (--api)").await?,
            sql: listen(config.sql, "SQL (--sql)").await?,
        };
        let addresses = listeners.addresses()?;
        let scheme = if config.api_tls.is_some() { "https" } else { "http" };
        lock.announce(&format!("{scheme}://{}", addresses.api)).map_err(BuildError::Announce)?;
        Ok(Self { config, listeners, addresses, lock })
    }

    /// Where the server listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }
}

impl App {
    /// Opens what the folder holds, and replays what the log holds and the tables lack. Until that is done senders and readers are asked to try
    /// again.
    ///
    /// # Errors
    /// When what the folder holds cannot be used.
    pub async fn build(doors: Doors, clock: SharedClock) -> Result<Self, BuildError> {
        let Doors { config, listeners: Listeners { grpc, http, api: api_listener, sql: sql_listener }, addresses, lock } = doors;
        // Senders that speak TLS wait until the doors are open: nobody could answer them yet.
        let waiting = match &config.collector.tls {
            Some(_) => None,
            None => Some(Waiting::open(&grpc, &http).map_err(|source| BuildError::Listen {
                address: addresses.grpc,
                purpose: "OTLP",
                source,
            })?),
        };
        let tables = Tables::open(&TablesConfig { dir: config.tables_dir(), access: Access::ReadWrite }).await?;
        let ledger = Ledger::open(&config.ledger_file()).await?;
        // Queries of people and the judge's own have separate memory, so that neither starves the other.
        let people = Engine::new(&tables, QueryLimits::default())?;
        let all_rows = QueryLimits { rows_max: usize::MAX, ..QueryLimits::default() };
        let (judge, questions) = (Engine::new(&tables, all_rows.clone())?, Engine::new(&tables, all_rows)?);
        let rollouts =
            Rollouts::new(ledger.clone(), judge.clone(), clock.clone()).with_policies(config.policies()).with_questions_on(questions);
        let mut scheduler = Scheduler::new(config.analyzer.clone(), rollouts.clone(), ledger.clone(), judge, clock.clone());
        // A client needs the system's certificates, which a small image may lack.
        if !config.analyzer.probe_hosts.is_empty() {
            scheduler = scheduler.with_prober(Arc::new(HttpProber::try_new()?));
        }
        let people = people.with_calibrations(scheduler.calibrations())?;

        let ready = watch::Sender::new(Readiness::Starting { because: "the log is being read back".to_owned() });
        let (serving, mut api) = (CancellationToken::new(), Part::new());
        let meter = Arc::new(OnceLock::new());
        let access = AccessList::new(config.tokens.clone());
        access.set_kept(ledger.tokens().await?.into_iter().map(|row| row.token).collect(), ledger.scopes_ever_given().await?);
        let tls = config.api_tls.as_ref().map(Tls::open).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let public_url = config.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", addresses.api));
        let notifications = Notifications::try_new(&config.notify, ledger.clone(), clock.clone(), &public_url)?;
        let notifier = Notifier::new(&config.notify, notifications.clone(), rollouts.clone());
        let judging = Judging { calibrations: scheduler.calibrations(), figures: scheduler.figures() };
        let sources = SqlSources { engine: people.clone(), rollouts: rollouts.clone(), notifications: notifications.clone() };
        let sql = SqlDoor::open(&config.sql_limits, sources, access.clone(), tls.clone()).await?;
        let told = Told { meter: meter.clone(), tables: tables.clone(), judging, notifications: notifications.clone(), sql: sql.stats() };
        let metrics = metrics::metrics(told, config.data.clone());
        let token = serving.clone();
        api.spawn(async move { Ok(notifier.run(token).await?) });
        let part = Api {
            rollouts,
            engine: people,
            ready: ready.subscribe(),
            metrics: metrics.clone(),
            notifications,
            public_url,
            ledger: ledger.clone(),
            access: access.clone(),
            tls,
        };
        let token = serving.clone();
        api.spawn(async move { part.serve(api_listener, token).await.map_err(RunError::Api) });
        let token = serving.clone();
        api.spawn(async move { sql.serve(sql_listener, token).await.map_err(RunError::Sql) });
        let collector = Collector::open(CollectorConfig { access, ..config.collector_settings() }, tables, clock)
            .await
            .map_err(|cause| BuildError::Collector(Box::new(cause)))?;
        let _ = meter.set(collector.meter()); // set once, here
        if let Some(waiting) = waiting {
            waiting.close().await;
        }
        let grace = Duration::from_secs(config.shutdown_seconds);
        Ok(Self { collector, scheduler, api, serving, ready, grpc, http, grace, ledger, metrics, lock })
    }

    /// What `/metrics` tells.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs until `stop` is cancelled or a part fails, then makes everything safe.
    ///
    /// # Errors
    /// When a part failed, or could not finish in time.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        let (intake, judging, serving) = (CancellationToken::new(), CancellationToken::new(), self.serving);
        let (mut collector, mut analyzer, mut api) = (Part::new(), Part::new(), self.api);
        {
            let (token, part, grpc, http) = (intake.clone(), self.collector, self.grpc, self.http);
            collector.spawn(async move { Ok(part.serve(grpc, http, token).await?) });
            let (token, part) = (judging.clone(), self.scheduler);
            analyzer.spawn(async move { Ok(part.run(token).await?) });
        }
        self.ready.send_replace(Readiness::Ready);
        let early = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = collector.join_next() => Err(why(ended, "collector")),
            ended = analyzer.join_next() => Err(why(ended, "analyzer")),
            ended = api.join_next() => Err(why(ended, "API")),
        };
        self.ready.send_replace(Readiness::NotReady { because: "stopping".to_owned() });
        intake.cancel();
        let flushed = finish(&mut collector, "collector", self.grace).await;
        judging.cancel();
        let judged = finish(&mut analyzer, "analyzer", self.grace).await;
        serving.cancel();
        let closed = finish(&mut api, "API", self.grace).await;
        self.ledger.close().await;
        drop(self.lock);
        early.and(flushed).and(judged).and(closed)
    }
}

impl Listeners {
    fn addresses(&self) -> Result<Addresses, BuildError> {
        let unknown = |source| BuildError::Listen { address: SocketAddr::from(([0, 0, 0, 0], 0)), purpose: "a port of its own", source };
        Ok(Addresses {
            grpc: self.grpc.local_addr().map_err(unknown)?,
            http: self.http.local_addr().map_err(unknown)?,
            api: self.api.local_addr().map_err(unknown)?,
            sql: self.sql.local_addr().map_err(unknown)?,
        })
    }
}

async fn listen(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, BuildError> {
    TcpListener::bind(address).await.map_err(|source| BuildError::Listen { address, purpose, source })
}

/// Why a part ended that should not have.
fn why(ended: Option<Result<Result<(), RunError>, JoinError>>, part: &'static str) -> RunError {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => RunError::Panicked(error),
        Some(Ok(Ok(()))) | None => RunError::Ended { part },
    }
}

/// Waits for a part that was told to stop.
async fn finish(part: &mut Part, name: &'static str, grace: Duration) -> Result<(), RunError> {
    let all = async {
        while let Some(ended) = part.join_next().await {
            ended??;
        }
        Ok(())
    };
    tokio::time::timeout(grace, all).await.unwrap_or(Err(RunError::Slow { part: name, grace }))
}
