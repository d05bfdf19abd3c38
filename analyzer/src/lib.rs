//! Compares the telemetry of two cohorts of one service and judges whether the newer one hurts users.
//!
//! Always holds: the judge is pure, so a verdict follows from its evidence and policy alone; what cannot be computed is an
//! error, never a promotion. This crate knows nothing of how telemetry came in, nor of HTTP.

pub mod compare;
pub mod kayenta;
pub mod query;

pub mod cohort;
pub mod policy;

mod series;
mod stats;

pub mod bundle;
pub mod judge;
pub mod recorded;
pub mod vectors;
pub mod verdict;

pub mod rehearsal;
pub mod rollout;
pub mod traces;

pub use query::{Engine, QueryError, QueryLimits, QueryResult};
pub use rollout::{AnalyzerConfig, Rollouts, Scheduler};
pub use verdict::Verdict;
