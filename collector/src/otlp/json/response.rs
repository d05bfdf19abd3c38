//! The answers to OTLP/JSON: an export response, and a `google.rpc.Status`.

use serde_json::{Value, json};

use crate::decode::Rejected;
use crate::otlp::messages::BadRequest;
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
pub(crate) fn status(code: i32, message: &str, violation: Option<&BadRequest>) -> Value {
    let Some(violation) = violation else { return json!({ "code": code, "message": message }) };
    let told = violation.field_violations.iter().map(|told| json!({ "field": told.field, "description": told.description }));
    let details = json!([{ "@type": BadRequest::TYPE_URL, "fieldViolations": told.collect::<Vec<_>>() }]);
    json!({ "code": code, "message": message, "details": details })
}
