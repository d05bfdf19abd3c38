//! The answers to OTLP/JSON: an export response, and a `google.rpc.Status`.

use serde_json::{Value, json};

use crate::decode::Rejected;
use crate::request::Signal;

/// `{}`, or what was left out. A 64-bit integer is a string in protobuf's JSON.
pub(crate) fn partial_success(signal: Signal, rejected: Option<&Rejected>) -> Value {
    let Some(rejected) = rejected else { return json!({}) };
    let count = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    json!({ "partialSuccess": { count: rejected.count.to_string(), "errorMessage": rejected.message } })
}

/// A `google.rpc.Status`.
pub(crate) fn status(code: i32, message: &str) -> Value {
    json!({ "code": code, "message": message })
}
