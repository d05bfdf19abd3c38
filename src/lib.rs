//! Haldane judges whether the version you are rolling out is hurting users, from its OpenTelemetry data.
//!
//! This crate starts and stops the parts and is the command line; what the parts do is theirs.

pub mod config;

pub mod app;
pub mod cli;
pub mod demo;
mod metrics;
pub mod telemetry;

pub use app::App;
pub use config::Config;
