//! Pages for people: HTML from this server alone, with one script of our own that keeps them new.
//!
//! Always holds: what comes from telemetry is escaped; nothing is fetched from elsewhere; without the script every page says the same.

pub(crate) mod frame;
pub(crate) mod home;
pub mod report;
pub(crate) mod service;
