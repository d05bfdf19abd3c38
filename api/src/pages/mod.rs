//! Pages for people: HTML from this server alone, with one script of our own that keeps them new.
//!
//! Always holds: what comes from telemetry is escaped; nothing is fetched from elsewhere; without the script every page says the same.

pub(crate) mod frame;
mod plot;

pub(crate) mod home;
pub(crate) mod service;

mod checks;
mod differences;
mod failures;
pub(crate) mod history;
mod latency;
mod ranking;
pub(crate) mod report;
pub(crate) mod served;
mod timeline;
pub(crate) mod waterfall;
