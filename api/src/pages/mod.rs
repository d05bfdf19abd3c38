//! Pages for people: self-contained HTML without scripts, so that they load anywhere and are kept as they are.
//!
//! Always holds: what comes from telemetry is escaped; nothing is fetched from elsewhere.

pub mod report;
