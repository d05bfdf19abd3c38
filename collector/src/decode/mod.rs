//! From a request's body to records that are known to be good.
//!
//! Always holds: a body is read whole or refused. After [`decode`] the body is protobuf that this module's walk can read, so turning its records into
//! rows cannot fail, and gives the same rows each time: replaying the log repeats what was acknowledged. No tree of objects is built: records
//! are slices of the body. JSON becomes protobuf first; protobuf as no encoder writes it is brought into the walk's form by a full decoder.
//! Left out on purpose: what is made of the records, and any thought of how a request arrived.

mod check;
pub(crate) mod envelope;
pub(crate) mod log;
pub(crate) mod metric;
pub(crate) mod schema;
pub(crate) mod span;
mod speaker;
#[cfg(test)]
mod tests;
pub(crate) mod value;
mod weight;
pub(crate) mod wire;

use bytes::Bytes;
use haldane_store::{Classified, Fault};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::otlp::json;
use crate::request::{Encoding, Request, Signal};

pub(crate) use check::{keeps_point, keeps_span, log_fault};
pub(crate) use speaker::Speaker;
pub(crate) use wire::Irregular;

/// Records that can never be stored: told to the sender, who must not send them again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) count: u64,
    pub(crate) message: String,
}

/// A request whose records will become rows.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) signal: Signal,
    /// Protobuf that the walk reads.
    pub(crate) body: Bytes,
    pub(crate) kept: u64,
    pub(crate) rejected: Option<Rejected>,
    /// Whose records they are.
    pub(crate) speaker: Speaker,
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
    /// Two bytes of protobuf can be a message, and the full decoder makes structs of them all.
    #[error("the body would take {bytes} bytes when it is decoded, the limit is {max}: send fewer records at once")]
    Heavy { bytes: usize, max: usize },
    /// The full decoder took it, the walk did not take what that wrote.
    #[error("the body could not be brought into the form that is stored")]
    Unreadable,
}

impl Classified for DecodeError {
    fn fault(&self) -> Fault {
        match self {
            Self::Protobuf(_) | Self::Json(_) | Self::Expands { .. } | Self::Heavy { .. } => Fault::Invalid,
            Self::Unreadable => Fault::Bug,
        }
    }
}

impl From<prost::DecodeError> for DecodeError {
    fn from(cause: prost::DecodeError) -> Self {
        Self::Protobuf(cause)
    }
}

/// Checks a body and counts what can never be stored.
///
/// # Errors
/// When it is not what its encoding says, or its rows would take more than `expanded_bytes_max`.
pub(crate) fn decode(request: &Request, expanded_bytes_max: u64) -> Result<Checked, DecodeError> {
    let signal = request.signal;
    let body = match request.encoding {
        Encoding::Protobuf => request.body.clone(),
        Encoding::Json => json::to_protobuf(signal, &request.body)?.into(),
    };
    let (body, tally) = match check::check(signal, &body) {
        Ok(tally) => (body, tally),
        Err(Irregular) => regular(signal, rewrite(signal, body)?)?,
    };
    let expanded_bytes = tally.repeated_bytes.saturating_add(u64::try_from(body.len()).unwrap_or(u64::MAX));
    if expanded_bytes > expanded_bytes_max {
        return Err(DecodeError::Expands { bytes: expanded_bytes, max: expanded_bytes_max });
    }
    Ok(Checked { signal, body, kept: tally.kept, rejected: tally.rejected(signal), speaker: tally.speaker })
}

/// Checks what our own encoder wrote.
fn regular(signal: Signal, body: Bytes) -> Result<(Bytes, check::Tally), DecodeError> {
    let tally = check::check(signal, &body).map_err(|Irregular| DecodeError::Unreadable)?;
    Ok((body, tally))
}

/// Protobuf in any form it may have, as an encoder writes it.
fn rewrite(signal: Signal, body: Bytes) -> Result<Bytes, DecodeError> {
    let (bytes, max) = (weight::bytes_of(signal, &body), weight::bytes_max(body.len()));
    if bytes > max {
        return Err(DecodeError::Heavy { bytes, max });
    }
    Ok(match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(body)?.encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(body)?.encode_to_vec(),
        Signal::Logs => ExportLogsServiceRequest::decode(body)?.encode_to_vec(),
    }
    .into())
}
