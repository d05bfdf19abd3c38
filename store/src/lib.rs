//! What every part of Haldane stands on: names and time, the schemas of its tables, the Delta tables
//! with the rows that are not in Parquet yet, and the ledger of rollouts and verdicts; also who may come in, and TLS.
//!
//! Always holds: a row is visible to every reader exactly once, first as a hot row, then as a committed
//! one; a commit names the log sequence number that it reaches, so that it happens once.
//! This crate knows nothing of OTLP, HTTP, cohorts or the judge.

pub mod name;
pub mod time;

pub mod access;
pub mod clock;
pub mod fault;
pub mod histogram;
pub mod template;

pub mod schema;
pub mod table;

pub mod ledger;

pub mod tls;

pub use clock::{Clock, SystemClock};
pub use fault::{Classified, Fault};
pub use histogram::ExponentialHistogram;
pub use ledger::Ledger;
pub use name::{Environment, NameError, ServiceName, Version};
pub use schema::TableName;
pub use table::Tables;
pub use time::{TimeWindow, UnixNanos};
