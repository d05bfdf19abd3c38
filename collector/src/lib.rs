//! Receives OTLP, makes it durable in the write-ahead log, and turns it into rows of `spans`, `logs`, `metrics`, `red` and `errors`.
//!
//! Always holds: a request is acknowledged only once it is durable, and every row of it reaches its table exactly once, through crashes too. What can
//! never be stored is told to the sender; what cannot be stored now is refused with a code that asks to try again.
//! This crate knows nothing of the analyzer, of SQL and of who reads the tables.

mod config;
mod request;

mod otlp;

mod admission;
mod intake;

mod base64;
mod decode;
mod hash;
mod hex;
mod rollup;
mod rows;
mod text;
mod wanted;

mod wal;

mod batch;
mod flush;
mod replay;
mod upkeep;

mod collector;
mod served;
mod stats;
#[cfg(test)]
mod tests;

pub use collector::{Collector, Meter, OpenError, ServeError};
pub use config::{CollectorConfig, DamagePolicy, TokenConfig, WalConfig};
pub use otlp::waiting::Waiting;
pub use replay::{ReplayError, Replayed};
pub use request::{Encoding, Request, Signal};
pub use served::ServedStats;
pub use stats::{CollectorStats, LATENCY_BOUNDS, Latency, Reason, Refusals, SignalStats};
pub use wal::RecoveryError;
