//! The doors for people and tools: REST with its OpenAPI document, long polls, reports and SQL; and what is told to them unasked.
//!
//! Always holds: wire types stop here, a type of the parts below is converted once; an error becomes a status in one place
//! ([`error::status_of`]) and is explained to who asked; nothing here decides about a rollout.

pub mod error;
pub mod http;
pub mod metrics;
pub mod notify;
mod pages;
mod probe;
pub mod report;
pub mod rows;
pub mod sql;

pub use error::{Problem, ProblemKind};
pub use http::{Api, Readiness};
pub use probe::{HttpProber, NoProber};
pub use rows::Rows;
