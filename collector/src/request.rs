//! One export request, as gRPC and HTTP both give it.

use bytes::Bytes;

/// What kind of telemetry a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What its records are called in messages.
    pub(crate) fn records(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "data points",
            Self::Logs => "log records",
        }
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `application/x-protobuf`, and all of gRPC.
    Protobuf,
    /// `application/json`.
    Json,
}

/// A request whose body has been read and decompressed, but not looked into. Cloning copies pointers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it carries.
    pub signal: Signal,
    /// How the body is written.
    pub encoding: Encoding,
    /// The body, decompressed.
    pub body: Bytes,
}
