//! The collector's settings.

use std::path::PathBuf;
use std::time::Duration;

use haldane_store::access::{AccessList, Scope, TokenDigest};
use haldane_store::schema::{COHORT_ATTRIBUTES, RECORD_COHORT_ATTRIBUTES};
use haldane_store::table::UpkeepConfig;
use haldane_store::tls::TlsConfig;
use serde::Deserialize;

/// How much the collector takes, and when it writes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectorConfig {
    /// The write-ahead log.
    pub wal: WalConfig,
    /// Largest body of a request in bytes, before and after decompression.
    pub request_bytes_max: usize,
    /// Bytes of all bodies that are being read, decompressed, logged or turned into rows; a body counts in both forms while both are held. It bounds
    /// bodies, not what is decoded from them. One and a half times `request_bytes_max` at least: one request has to fit.
    pub in_flight_bytes_max: usize,
    /// How long a request may wait for room among those before it is refused, in milliseconds.
    pub admission_wait_ms: u64,
    /// How long a sender may take to send one body, in seconds.
    pub body_timeout_seconds: u64,
    /// How long a connection may be without a (whole) request header, in seconds.
    pub header_timeout_seconds: u64,
    /// Connections to each of the two ports; past it, new ones wait to be accepted.
    pub connections_max: usize,
    /// Calls under way on one HTTP/2 connection; past it, the sender keeps them back.
    pub streams_max: u32,
    /// A connection is asked to end after this long, so that senders spread anew behind a load balancer, in seconds; 0 is never.
    pub connection_age_max_seconds: u64,
    /// Web pages from these origins may send to the HTTP port, such as `https://shop.example`, or `*` for all. None by default.
    pub cors_allowed_origins: Vec<String>,
    /// Who may send. Without any, everybody may.
    pub tokens: Vec<TokenConfig>,
    /// The tokens of the process, those with the scope `ingest` among them.
    #[serde(skip)]
    pub access: AccessList,
    /// TLS on both ports. Without it they speak plain text.
    pub tls: Option<TlsConfig>,
    /// Rows become visible after this long, in milliseconds,
    pub batch_age_ms: u64,
    /// or once there are this many.
    pub batch_rows_max: usize,
    /// The rows of `red` and `errors` are written after this long, in milliseconds,
    pub rollup_flush_age_ms: u64,
    /// those of the other tables after this long,
    pub raw_flush_age_ms: u64,
    /// and those of any table once they take this many bytes of memory.
    pub flush_bytes_max: usize,
    /// Rows in memory, of all tables, in bytes; past it no more are made until some have been written, and senders are asked to wait.
    pub hot_bytes_max: usize,
    /// When files of the tables are joined, checkpointed and removed.
    pub upkeep: UpkeepConfig,
    /// How long stopping may take: first for requests to be answered, then again for the tables to be written, in seconds.
    pub drain_seconds: u64,
    /// Operations told apart for each service; the rest are counted together as `__other__`.
    pub operations_max: usize,
    /// Resource attributes that tell cohorts apart, besides service, version, environment and instance.
    pub cohort_attributes: Vec<String>,
    /// Attributes of spans and log records that do.
    pub record_cohort_attributes: Vec<String>,
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            wal: WalConfig::default(),
            request_bytes_max: 64 << 20,
            in_flight_bytes_max: 96 << 20,
            admission_wait_ms: 2_000,
            body_timeout_seconds: 60,
            header_timeout_seconds: 90,
            connections_max: 4_096,
            streams_max: 100,
            connection_age_max_seconds: 0,
            cors_allowed_origins: Vec::new(),
            tokens: Vec::new(),
            access: AccessList::default(),
            tls: None,
            batch_age_ms: 250,
            batch_rows_max: 32_768,
            rollup_flush_age_ms: 4_000,
            raw_flush_age_ms: 4_000,
            flush_bytes_max: 12 << 20,
            hot_bytes_max: 32 << 20,
            upkeep: UpkeepConfig::default(),
            drain_seconds: 20,
            operations_max: 1_000,
            cohort_attributes: owned(COHORT_ATTRIBUTES),
            record_cohort_attributes: owned(RECORD_COHORT_ATTRIBUTES),
        }
    }
}

fn bytes(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// A token that lets its holder send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// What it is called in metrics.
    pub name: String,
    /// The SHA-256 of the token, in hex.
    pub sha256: TokenDigest,
}

/// The write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalConfig {
    /// Where segments live, `wal` in the data folder if not named; the disk must outlive a restart.
    pub dir: PathBuf,
    /// A segment is ended at this many bytes.
    pub segment_bytes_max: u64,
    /// Bytes of all segments; past it, while the tables lag behind, senders are asked to wait.
    pub backlog_bytes_max: u64,
    /// What happens when acknowledged data in the log cannot be read.
    pub damaged: DamagePolicy,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self { dir: PathBuf::new(), segment_bytes_max: 64 << 20, backlog_bytes_max: 2 << 30, damaged: DamagePolicy::Refuse }
    }
}

/// What happens when acknowledged data in the log cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DamagePolicy {
    /// Starting fails and says where the damage is.
    #[default]
    Refuse,
    /// A copy of the segment is kept beside it, and the log goes on without what stands at and behind the damage in that segment.
    MoveAside,
}

/// A larger request could become more text in one column than a batch holds (2 GiB).
const REQUEST_BYTES_MOST: usize = 256 << 20;

impl CollectorConfig {
    /// What cannot work, one sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let least: [(&str, u64, u64); 11] = [
            ("request_bytes_max", bytes(self.request_bytes_max), 1_024),
            ("body_timeout_seconds", self.body_timeout_seconds, 1),
            ("header_timeout_seconds", self.header_timeout_seconds, 1),
            ("connections_max", bytes(self.connections_max), 1),
            ("streams_max", u64::from(self.streams_max), 1),
            ("batch_rows_max", bytes(self.batch_rows_max), 1),
            ("flush_bytes_max", bytes(self.flush_bytes_max), 64 << 10),
            ("hot_bytes_max", bytes(self.hot_bytes_max), 1 << 20),
            ("operations_max", bytes(self.operations_max), 1),
            ("wal.segment_bytes_max", self.wal.segment_bytes_max, 64 << 10),
            ("wal.backlog_bytes_max", self.wal.backlog_bytes_max, self.wal.segment_bytes_max),
        ];
        let own = least.into_iter().filter(|(_, found, least)| found < least);
        let own = own.map(|(name, found, least)| format!("collector.{name} = {found}: it has to be at least {least}"));
        let most = (self.request_bytes_max > REQUEST_BYTES_MOST)
            .then(|| format!("collector.request_bytes_max = {}: it has to be at most {REQUEST_BYTES_MOST}", self.request_bytes_max));
        own.chain(most).chain(self.upkeep.mistakes().into_iter().map(|mistake| format!("collector.upkeep.{mistake}"))).collect()
    }

    /// Whether senders are asked who they are, by a token or by a certificate.
    pub fn asks_who_sends(&self) -> bool {
        !self.tokens.is_empty() || self.access.asks(Scope::Ingest) || self.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some())
    }

    pub(crate) fn admission_wait(&self) -> Duration {
        Duration::from_millis(self.admission_wait_ms)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_seconds)
    }

    pub(crate) fn batch_age(&self) -> Duration {
        Duration::from_millis(self.batch_age_ms)
    }

    pub(crate) fn drain_limit(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }

    /// A request may expand to this many bytes of rows: what its records share is repeated for each.
    pub(crate) fn expanded_bytes_max(&self) -> u64 {
        u64::try_from(self.request_bytes_max).unwrap_or(u64::MAX).saturating_mul(4)
    }

    /// A sender that is alone may hold 27/40 of the budget (see `admission`), and that has to be a whole request.
    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes_max.max(self.request_bytes_max.saturating_mul(3) / 2)
    }
}
