//! From a request's body to records that are known to be good, and from those to rows.
//!
//! Always holds: a body is decoded whole or refused; after [`decode`] turning the records into rows cannot fail, and gives the same rows each
//! time, so that replaying the log repeats what was acknowledged.
//! Left out on purpose: what is made of the rows, and any thought of how a request arrived.

mod attributes;
pub(crate) mod base64;
mod check;
mod columns;
pub(crate) mod hex;
mod logs;
mod metrics;
mod numbers;
mod point;
mod resource;
mod spans;
#[cfg(test)]
mod tests;
mod value;

use haldane_store::{Classified, Fault};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::otlp::json;
use crate::request::{Encoding, Request, Signal};

pub(crate) use attributes::{Attributes, RECORD_COLUMNS, RESOURCE_PLACES};
pub(crate) use columns::{MapColumn, TimeColumns};
pub(crate) use logs::{LogRows, log_time};
pub(crate) use metrics::{MetricRows, MetricView};
pub(crate) use numbers::CountListColumn;
pub(crate) use point::points;
pub(crate) use resource::{Origin, ResourceView, ScopeView};
pub(crate) use spans::{SpanRows, kind_name, span_duration_ns, span_time};
pub(crate) use value::text_of;

/// The records of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Records {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

impl Records {
    pub(crate) fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Traces,
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
        }
    }
}

/// Records that can never be stored: told to the sender, who must not send them again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) count: u64,
    pub(crate) message: String,
}

/// A request whose records will become rows.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) records: Records,
    pub(crate) kept: u64,
    pub(crate) rejected: Option<Rejected>,
    /// About how many bytes its rows take, with what records share repeated for each.
    pub(crate) expanded_bytes: u64,
}

/// Why a body is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The body is not the protobuf message it should be.
    #[error("the body is not a valid protobuf message of this service: {0}")]
    Protobuf(prost::DecodeError),
    /// The body is not the JSON it should be.
    #[error(transparent)]
    Json(#[from] json::JsonError),
    /// A few bytes of resource or scope repeated for very many records.
    #[error("the records with their resource and scope repeated for each would take {bytes} bytes, the limit is {max}: send fewer at once")]
    Expands { bytes: u64, max: u64 },
}

impl Classified for DecodeError {
    fn fault(&self) -> Fault {
        match self {
            Self::Protobuf(_) | Self::Json(_) | Self::Expands { .. } => Fault::Invalid,
        }
    }
}

/// Decodes a body and leaves out what can never be stored.
///
/// # Errors
/// When it is not what its encoding says, or its rows would take more than `expanded_bytes_max`.
pub(crate) fn decode(request: &Request, expanded_bytes_max: u64) -> Result<Checked, DecodeError> {
    let mut records = parse(request)?;
    let (kept, rejected) = check::check(&mut records);
    let expanded_bytes = expanded_bytes(&records).saturating_add(length(request.body.len()));
    if expanded_bytes > expanded_bytes_max {
        return Err(DecodeError::Expands { bytes: expanded_bytes, max: expanded_bytes_max });
    }
    Ok(Checked { records, kept, rejected, expanded_bytes })
}

fn parse(Request { signal, encoding, body }: &Request) -> Result<Records, DecodeError> {
    let body = body.clone();
    Ok(match (encoding, signal) {
        (Encoding::Protobuf, Signal::Traces) => Records::Traces(Message::decode(body)?),
        (Encoding::Protobuf, Signal::Metrics) => Records::Metrics(Message::decode(body)?),
        (Encoding::Protobuf, Signal::Logs) => Records::Logs(Message::decode(body)?),
        (Encoding::Json, Signal::Traces) => Records::Traces(json::traces(&body)?),
        (Encoding::Json, Signal::Metrics) => Records::Metrics(json::metrics(&body)?),
        (Encoding::Json, Signal::Logs) => Records::Logs(json::logs(&body)?),
    })
}

impl From<prost::DecodeError> for DecodeError {
    fn from(cause: prost::DecodeError) -> Self {
        Self::Protobuf(cause)
    }
}

/// The bytes that are repeated because each row carries its resource, scope and metric.
fn expanded_bytes(records: &Records) -> u64 {
    match records {
        Records::Traces(request) => total(request.resource_spans.iter().flat_map(|resource| {
            let shared = encoded(resource.resource.as_ref()) + resource.schema_url.len();
            resource
                .scope_spans
                .iter()
                .map(move |scope| (shared + encoded(scope.scope.as_ref()) + scope.schema_url.len(), scope.spans.len()))
        })),
        Records::Logs(request) => total(request.resource_logs.iter().flat_map(|resource| {
            let shared = encoded(resource.resource.as_ref()) + resource.schema_url.len();
            resource
                .scope_logs
                .iter()
                .map(move |scope| (shared + encoded(scope.scope.as_ref()) + scope.schema_url.len(), scope.log_records.len()))
        })),
        Records::Metrics(request) => total(request.resource_metrics.iter().flat_map(|resource| {
            let shared = encoded(resource.resource.as_ref()) + resource.schema_url.len();
            resource.scope_metrics.iter().flat_map(move |scope| {
                let shared = shared + encoded(scope.scope.as_ref()) + scope.schema_url.len();
                scope.metrics.iter().map(move |metric| (shared + own_bytes(metric), point::count(metric)))
            })
        })),
    }
}

fn own_bytes(metric: &opentelemetry_proto::tonic::metrics::v1::Metric) -> usize {
    let metadata: usize = metric.metadata.iter().map(Message::encoded_len).sum();
    metric.name.len() + metric.description.len() + metric.unit.len() + metadata
}

fn encoded(message: Option<&impl Message>) -> usize {
    message.map_or(0, Message::encoded_len)
}

fn total(shared: impl Iterator<Item = (usize, usize)>) -> u64 {
    shared.fold(0, |sum: u64, (bytes, rows)| sum.saturating_add(length(bytes).saturating_mul(length(rows))))
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
