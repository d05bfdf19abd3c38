//! OTLP/JSON, read into the same types as protobuf, and the answers to it.
//!
//! Always holds: what the JSON mapping of OTLP allows is read (64-bit integers as string or number, ids in hex of either case, `null` as the
//! default, unknown fields ignored); a value of the wrong type is refused by its path. Nesting ends where `serde_json`'s own limit
//! (128 levels) does, so no body can exhaust the stack.
//! Left out on purpose: snake_case keys, which OTLP does not know.

mod attribute;
mod logs;
mod metrics;
mod place;
mod response;
mod tape;
#[cfg(test)]
mod tests;
mod traces;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

pub(crate) use response::{partial_success, status};

use place::{Object, Place, ShapeError};
use tape::Tape;

/// Why a JSON body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// Not JSON, or nested too deeply.
    #[error("the body is not valid JSON: {0}")]
    Syntax(serde_json::Error),
    /// JSON, but not OTLP.
    #[error("the body is not valid OTLP/JSON: {0}")]
    Shape(#[from] ShapeError),
}

pub(crate) fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, JsonError> {
    let tape = parse(body)?;
    let root = Object::open(tape.root(), &Place::Root)?;
    Ok(ExportTraceServiceRequest { resource_spans: root.list("resourceSpans", traces::resource_spans)? })
}

pub(crate) fn metrics(body: &[u8]) -> Result<ExportMetricsServiceRequest, JsonError> {
    let tape = parse(body)?;
    let root = Object::open(tape.root(), &Place::Root)?;
    Ok(ExportMetricsServiceRequest { resource_metrics: root.list("resourceMetrics", metrics::resource_metrics)? })
}

pub(crate) fn logs(body: &[u8]) -> Result<ExportLogsServiceRequest, JsonError> {
    let tape = parse(body)?;
    let root = Object::open(tape.root(), &Place::Root)?;
    Ok(ExportLogsServiceRequest { resource_logs: root.list("resourceLogs", logs::resource_logs)? })
}

/// An empty body stands for an empty request, as it does in protobuf.
fn parse(body: &[u8]) -> Result<Tape<'_>, JsonError> {
    if body.is_empty() {
        return Ok(Tape::null());
    }
    Tape::parse(body).map_err(JsonError::Syntax)
}
