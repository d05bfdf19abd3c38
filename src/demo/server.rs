//! The server of the demo: the real one, in this process, on free ports and a data folder of its own.

use std::path::{Path, PathBuf};

use haldane_store::clock::SharedClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Doors};
use crate::config::Config;

/// Why the server could not start or ended badly.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    /// No place for the data.
    #[error("cannot make the data folder {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A place that is taken: what is there would be compared with too.
    #[error("the data folder {path} is not empty: name one that is, or none")]
    Taken {
        /// Which.
        path: PathBuf,
    },
    /// The parts could not be built.
    #[error("the server could not start")]
    Build(#[source] crate::app::BuildError),
    /// It ended with an error.
    #[error("the server ended early")]
    Run(#[source] crate::app::RunError),
    /// It panicked.
    #[error("the server was torn down")]
    Join(#[from] tokio::task::JoinError),
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    /// OTLP/gRPC, as `http://host:port`.
    pub(super) grpc: String,
    /// OTLP/HTTP.
    pub(super) http: String,
    /// REST.
    pub(super) api: String,
    stop: CancellationToken,
    running: JoinHandle<Result<(), crate::app::RunError>>,
}

impl Server {
    /// Starts a server on free ports.
    pub(super) async fn start(data: &Path, clock: SharedClock) -> Result<Self, ServerError> {
        let config = Config::on_free_ports(data);
        let doors = Doors::open(config).await.map_err(ServerError::Build)?;
        let addresses = doors.addresses();
        let app = App::build(doors, clock).await.map_err(ServerError::Build)?;
        let stop = CancellationToken::new();
        Ok(Self {
            grpc: format!("http://{}", addresses.grpc),
            http: format!("http://{}", addresses.http),
            api: format!("http://{}", addresses.api),
            running: tokio::spawn(app.run(stop.clone())),
            stop,
        })
    }

    /// Stops it and waits until all data is safe.
    pub(super) async fn stop(self) -> Result<(), ServerError> {
        self.stop.cancel();
        self.running.await?.map_err(ServerError::Run)
    }
}

/// A data folder that goes away with the demo, or one that stays.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    kept: bool,
}

impl Folder {
    /// `kept`, which has to be empty, or a new folder among the temporary files.
    pub(super) fn open(kept: Option<&Path>, mark: i64) -> Result<Self, ServerError> {
        let path = kept.map_or_else(|| std::env::temp_dir().join(format!("haldane-demo-{}-{mark}", std::process::id())), Path::to_path_buf);
        let failed = |source| ServerError::Folder { path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(failed)?;
        if std::fs::read_dir(&path).map_err(failed)?.next().is_some() {
            return Err(ServerError::Taken { path });
        }
        Ok(Self { path, kept: kept.is_some() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // Temporary files: what cannot be removed now is removed with the others.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
