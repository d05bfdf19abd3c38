//! SQL over the PostgreSQL wire, for Grafana and whoever else speaks it: views in schema `haldane`, nothing to write.
//!
//! Always holds: a statement that is not known to only read is refused before it is planned; queries run on threads of their own, so many at once, each with a
//! deadline and bounds on rows and bytes; who asks is asked for a token as soon as any opens the API, by SCRAM, so that the token itself is never sent.

mod guard;
mod login;
mod parameters;
mod service;
mod stats;
mod tables;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use datafusion_postgres::DfSessionService;
use datafusion_postgres::auth::AuthManager;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::auth::StartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::gen_salted_password;
use datafusion_postgres::pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::{ConnectionManager, ErrorHandler, PgWireServerHandlers};
use datafusion_postgres::pgwire::tokio::process_socket;
use haldane_analyzer::query::{Engine, QueryError, SCHEMA};
use haldane_analyzer::rollout::Rollouts;
use haldane_store::access::{AccessList, ScramVerifier, new_token};
use haldane_store::tls::Tls;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::notify::Notifications;
use guard::{Guard, Limits};
use login::Login;
use service::Service;
pub use stats::{QUERY_BOUNDS, QueryOutcome, SqlStats};

/// Rounds of PBKDF2: the least that RFC 7677 allows. A token is 256 bits of chance, which no number of rounds makes safer.
const ITERATIONS: usize = 4096;
/// What walks over a long expression goes deep. Pages that are not used are not taken.
const STACK_BYTES: usize = 64 << 20;
/// After a failure to accept, until the next try; and after a refused login, until the connection is given up.
const PAUSE: Duration = Duration::from_millis(50);

/// Settings of the PostgreSQL wire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqlConfig {
    /// Longest that a query may take, in seconds; a client may ask for less with `statement_timeout`.
    pub timeout_seconds: u64,
    /// More rows than this are refused.
    pub rows_max: usize,
    /// An answer with more bytes than this is refused.
    pub answer_bytes_max: usize,
    /// Memory that all queries together may hold, in bytes.
    pub memory_bytes_max: usize,
    /// So many queries run at once; others wait.
    pub queries_at_once: usize,
    /// So many connections.
    pub connections_max: usize,
    /// Threads that queries run on.
    pub threads: usize,
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self {
            timeout_seconds: 30,
            rows_max: 100_000,
            answer_bytes_max: 32 << 20,
            memory_bytes_max: 256 << 20,
            queries_at_once: 4,
            connections_max: 50,
            threads: 2,
        }
    }
}

/// What the views show.
#[derive(Debug, Clone)]
pub struct SqlSources {
    /// The telemetry.
    pub engine: Engine,
    /// Rollouts, verdicts and the trail.
    pub rollouts: Rollouts,
    /// The outbox.
    pub notifications: Notifications,
}

/// The door.
pub struct SqlDoor {
    service: Arc<Service>,
    login: Login,
    connections: Arc<ConnectionManager>,
    tls: Option<Tls>,
    connections_max: usize,
    stats: SqlStats,
    /// Connections are served by the first, queries run on the second; let go of without waiting.
    threads: Option<[tokio::runtime::Runtime; 2]>,
}

impl std::fmt::Debug for SqlDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlDoor").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Why the door cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The views cannot be made.
    #[error("cannot make the views for SQL")]
    Views(#[from] QueryError),
    /// The system catalog that clients read cannot be made.
    #[error("cannot make the catalog for SQL clients: {0}")]
    Catalog(String),
    /// No threads, or no chance.
    #[error("cannot set SQL up")]
    System(#[from] io::Error),
}

impl SqlDoor {
    /// A door over these.
    ///
    /// # Errors
    /// When the views or threads cannot be made.
    pub async fn open(config: &SqlConfig, sources: SqlSources, access: AccessList, tls: Option<Tls>) -> Result<Self, SqlError> {
        let threads = |name: &str, count: usize| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(count.max(1)).thread_name(name).thread_stack_size(STACK_BYTES).enable_all().build()
        };
        let (serving, threads) = (threads("haldane-sql-io", 1)?, threads("haldane-sql", config.threads)?);
        let session = sources.engine.wire_session(tables::all(&sources), config.memory_bytes_max).await?;
        setup_pg_catalog(&session, SCHEMA, Arc::new(AuthManager::default())).map_err(|error| SqlError::Catalog(error.to_string()))?;
        let stats = SqlStats::default();
        let limits = Limits {
            time: Duration::from_secs(config.timeout_seconds),
            rows: config.rows_max,
            bytes: config.answer_bytes_max,
            at_once: Arc::new(Semaphore::new(config.queries_at_once.max(1))),
        };
        let guard = Guard::new(threads.handle().clone(), limits, stats.clone());
        let hooks: Vec<Arc<dyn datafusion_postgres::QueryHook>> =
            vec![Arc::new(guard), Arc::new(SetShowHook), Arc::new(TransactionStatementHook)];
        let connections = Arc::new(ConnectionManager::new());
        let login = Login::new(access, connections.clone(), &new_token()?, tls.is_some());
        let service = Arc::new(Service::new(Arc::new(DfSessionService::new_with_hooks(Arc::new(session), hooks)), login.clone()));
        Ok(Self {
            service,
            login,
            connections,
            tls,
            connections_max: config.connections_max.max(1),
            stats,
            threads: Some([serving, threads]),
        })
    }

    /// What has been asked.
    pub fn stats(&self) -> SqlStats {
        self.stats.clone()
    }

    fn handlers(&self, failed: CancellationToken) -> Handlers {
        Handlers { service: self.service.clone(), login: self.login.clone(), connections: self.connections.clone(), failed }
    }

    /// Answers until told to stop; queries under way are given up then.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let Some([serving, _]) = &self.threads else { return Ok(()) };
        let room = Arc::new(Semaphore::new(self.connections_max));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, peer)) = accepted else {
                // Out of descriptors, for example: others may end.
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let Ok(permit) = room.clone().try_acquire_owned() else {
                tracing::warn!(%peer, max = self.connections_max, "a connection for SQL is turned away: all are taken");
                continue;
            };
            let (failed, acceptor) = (CancellationToken::new(), self.tls.as_ref().map(Tls::acceptor));
            let handlers = Arc::new(self.handlers(failed.clone()));
            let Ok(socket) = socket.into_std() else { continue };
            let serve = async move {
                let Ok(socket) = TcpStream::from_std(socket) else { return };
                let refused = async {
                    failed.cancelled().await;
                    // Time to read why; nothing that comes after a login that failed is looked at.
                    tokio::time::sleep(PAUSE).await;
                };
                tokio::select! {
                    () = refused => {}
                    ended = process_socket(socket, acceptor, handlers) => {
                        if let Err(error) = ended {
                            tracing::debug!(%peer, %error, "a connection for SQL ended");
                        }
                    }
                }
                drop(permit);
            };
            connections.spawn_on(serve, serving.handle());
        }
    }
}

impl Drop for SqlDoor {
    fn drop(&mut self) {
        // A runtime must not be waited for on a thread of another one.
        self.threads.take().into_iter().flatten().for_each(tokio::runtime::Runtime::shutdown_background);
    }
}

/// What a client of the wire proves to know a token by.
///
/// # Errors
/// When the system has no chance to give.
pub fn scram_verifier(token: &str) -> io::Result<ScramVerifier> {
    let salt = new_token()?.into_bytes()[..16].to_vec();
    let salted = gen_salted_password(token, &salt, ITERATIONS);
    Ok(ScramVerifier { salt, salted })
}

/// What a name that nobody has is answered, always the same: who tries names learns nothing.
fn decoy(secret: &str, name: &str) -> ScramVerifier {
    let salt = gen_salted_password(name, secret.as_bytes(), 1);
    let engine = base64::engine::general_purpose::STANDARD;
    ScramVerifier { salt: salt[..16].to_vec(), salted: gen_salted_password(&engine.encode(&salt), secret.as_bytes(), 1) }
}

/// Of one connection.
struct Handlers {
    service: Arc<Service>,
    login: Login,
    connections: Arc<ConnectionManager>,
    failed: CancellationToken,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.service.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.service.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(self.login.for_connection(self.failed.clone()))
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(guard::Errors)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(self.connections.clone()))
    }
}
