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

/// The body with U+FFFD for each half of a character, if there is such a half: a script that cuts a text after so many units writes them, and no
/// reader of JSON in Rust takes them.
pub(crate) fn with_whole_characters(body: &[u8]) -> Option<Vec<u8>> {
    let unit_at = |at: usize| {
        let digits = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let next = at + found;
        at = match (unit_at(next), unit_at(next + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => next + 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.get_or_insert_with(|| body.to_vec())[next..next + 6].copy_from_slice(b"\\ufffd");
                next + 6
            }
            (Some(_), _) => next + 6,
            // What follows is no beginning of an escape.
            (None, _) => next + 2,
        };
    }
    mended
}
