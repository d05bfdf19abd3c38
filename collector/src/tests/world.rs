//! A real collector in a temporary folder, and SQL on its tables.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::Int64Array;
use datafusion::prelude::SessionContext;
use haldane_store::table::{Access, TablesConfig};
use haldane_store::{SystemClock, TableName, Tables};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fixture::protobuf;
use crate::admission::tests::source;
use crate::collector::{Collector, Meter, ServeError};
use crate::config::{CollectorConfig, WalConfig};
use crate::intake::{AcceptError, Intake};
use crate::tests::oracle::Records;

/// Long enough for a slow machine; nothing waits that long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn config(dir: &Path) -> CollectorConfig {
    CollectorConfig {
        wal: WalConfig { dir: dir.join("wal"), segment_bytes_max: 2_000, ..WalConfig::default() },
        request_bytes_max: 1 << 20,
        in_flight_bytes_max: 2 << 20,
        batch_age_ms: 20,
        admission_wait_ms: 50,
        ..CollectorConfig::default()
    }
}

pub(crate) async fn tables(dir: &Path, access: Access) -> Tables {
    Tables::open(&TablesConfig { dir: dir.join("tables"), access }).await.unwrap()
}

pub(crate) async fn open(dir: &Path) -> (Collector, Tables) {
    let tables = tables(dir, Access::ReadWrite).await;
    let collector = Collector::open(config(dir), tables.clone(), Arc::new(SystemClock)).await.unwrap();
    (collector, tables)
}

/// Takes a request in as the doors do.
pub(crate) async fn send(intake: &Intake, records: Records) -> Result<(), AcceptError> {
    intake.accept(protobuf(&records), intake.admission.begin(source("test", 1))).await.map(|_| ())
}

/// One number from SQL over all five tables.
pub(crate) async fn number(tables: &Tables, sql: &str) -> i64 {
    let session = SessionContext::new();
    for table in TableName::ALL {
        session.register_table(table.as_str(), tables.provider(table)).unwrap();
    }
    let rows = session.sql(sql).await.unwrap().collect().await.unwrap();
    rows[0].column(0).as_any().downcast_ref::<Int64Array>().unwrap().value(0)
}

/// Waits until SQL answers this number.
pub(crate) async fn expect(tables: &Tables, sql: &str, expected: i64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = number(tables, sql).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A collector that is being served.
pub(crate) struct Served {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) tables: Tables,
    pub(crate) intake: Arc<Intake>,
    pub(crate) meter: Meter,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::start_with(dir, |_| ()).await
    }

    pub(crate) async fn start_with(dir: &Path, change: impl FnOnce(&mut CollectorConfig)) -> Self {
        let tables = tables(dir, Access::ReadWrite).await;
        let mut config = config(dir);
        change(&mut config);
        let collector = Collector::open(config, tables.clone(), Arc::new(SystemClock)).await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (grpc_address, http_address) = (grpc.local_addr().unwrap(), http.local_addr().unwrap());
        let (intake, meter, stop) = (collector.intake().clone(), collector.meter(), CancellationToken::new());
        let task = tokio::spawn(collector.serve(grpc, http, stop.clone()));
        Self { grpc: grpc_address, http: http_address, tables, intake, meter, stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}
