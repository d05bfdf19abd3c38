//! `red` and `errors`, made from spans and log records in the same pass that makes their rows.
//!
//! Always holds: what one sealed batch says is complete for its records, so partial rows of a key and bucket add up. A span's bucket is that of its
//! start (its row's `time`), for all that it says; a log record's is that of its own `time`.

mod cohort;
mod errors;
mod fingerprint;
mod normalise;
mod operations;
mod red;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use haldane_store::schema::BUCKET_SECONDS;
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::decode::{Attributes, RECORD_COLUMNS, ResourceView, log_time, span_time};
use crate::wanted::Wanted;

pub(crate) use cohort::CohortKeys;
pub(crate) use operations::Operations;

use cohort::Cohort;
use errors::ErrorRows;
use red::RedRows;

const BUCKET: Duration = Duration::from_secs(BUCKET_SECONDS);

/// An HTTP status from here on is the server's failure.
const HTTP_SERVER_ERROR: i64 = 500;

/// A span as the roll-ups see it.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    span: &'a Span,
    attributes: &'a Attributes<'a>,
    bucket: UnixNanos,
    operation: &'a Arc<str>,
}

/// Builds a batch of `red` and one of `errors`.
#[derive(Debug)]
pub(crate) struct Rollup {
    keys: CohortKeys,
    operations: Operations,
    red: RedRows,
    errors: ErrorRows,
}

impl Rollup {
    pub(crate) fn new(keys: CohortKeys, operations: Operations) -> Self {
        Self { keys, operations, red: RedRows::default(), errors: ErrorRows::default() }
    }

    /// What a resource's records are counted under.
    pub(crate) fn cohort(&self, resource: &ResourceView<'_>) -> Arc<Cohort> {
        Arc::new(Cohort::of(resource, &self.keys))
    }

    pub(crate) fn add_span(&mut self, cohort: &Arc<Cohort>, span: &Span, attributes: &Attributes<'_>, received: UnixNanos, wanted: Wanted) {
        let cohort = cohort.with_record(&span.attributes, &self.keys);
        let operation = self.operations.admit(&cohort.service_name, &operation(span, attributes));
        let seen = Seen { span, attributes, bucket: span_time(span, received).bucket(BUCKET), operation: &operation };
        if wanted.has(TableName::Red) {
            self.red.add(&cohort, seen);
        }
        if wanted.has(TableName::Errors) {
            self.errors.add_span(&cohort, seen);
        }
    }

    pub(crate) fn add_log(&mut self, cohort: &Arc<Cohort>, record: &LogRecord, attributes: &Attributes<'_>, received: UnixNanos) {
        let bucket = log_time(record, received).bucket(BUCKET);
        if errors::is_error(record, attributes) {
            let cohort = cohort.with_record(&record.attributes, &self.keys);
            self.errors.add_log(&cohort, record, attributes, bucket);
        }
    }

    /// The rows since the last call, in the schemas of `red` and `errors`.
    pub(crate) fn finish(&mut self) -> (RecordBatch, RecordBatch) {
        (self.red.finish(), self.errors.finish())
    }
}

/// `METHOD route` where there is a route, else the span's name.
fn operation(span: &Span, attributes: &Attributes<'_>) -> String {
    let method = attributes.text(RECORD_COLUMNS.http_request_method);
    match (attributes.text(RECORD_COLUMNS.http_route), method) {
        (Some(route), Some(method)) => format!("{method} {route}"),
        (Some(route), None) => route.to_owned(),
        (None, _) => span.name.clone(),
    }
}

fn has_status_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == i32::from(StatusCode::Error))
}

/// Its status is ERROR, or it is a server span with an HTTP status of 500 or above.
fn failed(span: &Span, attributes: &Attributes<'_>) -> bool {
    let http_status = attributes.integer(RECORD_COLUMNS.http_response_status_code);
    has_status_error(span) || (span.kind == i32::from(SpanKind::Server) && http_status.is_some_and(|status| status >= HTTP_SERVER_ERROR))
}
