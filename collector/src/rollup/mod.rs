//! `red` and `errors`, made from spans and log records in the same pass that makes their rows.
//!
//! Always holds: what one sealed batch says is complete for its records, so partial rows of a key and bucket add up. A span's bucket is that of its
//! start (its row's `time`), for all that it says; a log record's is that of its own `time`. What an attribute says is read from the columns of the
//! record's row, so that SQL on the raw table finds the same.

mod cohort;
mod errors;
mod fingerprint;
mod keys;
mod operations;
mod red;
#[cfg(test)]
mod tests;

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use haldane_store::schema::BUCKET_SECONDS;
use haldane_store::{TableName, UnixNanos};

use crate::decode::Irregular;
use crate::decode::log::LogRecord;
use crate::decode::span::{Span, SpanLists};
use crate::decode::value::Attribute;
use crate::rows::{PromotedColumns, RECORD_COLUMNS, ResourceAttributes, log_time, span_time};
use crate::served::Served;
use crate::wanted::Wanted;

pub(crate) use cohort::{Cohort, CohortKeys};
pub(crate) use operations::Operations;

use errors::ErrorRows;
use keys::BatchKeys;
use red::RedRows;

const BUCKET: Duration = Duration::from_secs(BUCKET_SECONDS);
/// An HTTP status from here on is the server's failure.
const HTTP_SERVER_ERROR: i64 = 500;
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;
/// `SPAN_KIND_SERVER`.
const KIND_SERVER: i32 = 2;
/// `SPAN_KIND_CONSUMER`.
const KIND_CONSUMER: i32 = 5;
/// `SPAN_KIND_CLIENT`.
const KIND_CLIENT: i32 = 3;
/// What HTTP clients name their spans by, with `HTTP` before it or alone.
const HTTP_METHODS: [&[u8]; 11] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT", b"TRACE", b"QUERY", b"HTTP"];

/// The row that a record has just been given: its columns by attribute.
type Row<'r> = (&'r PromotedColumns, usize);

/// A span as the roll-ups see it.
#[derive(Debug, Clone, Copy)]
struct Seen<'s, 'a> {
    span: &'s Span<'a>,
    row: Row<'s>,
    cohort: u32,
    bucket: UnixNanos,
    operation: u32,
}

/// Builds a batch of `red` and one of `errors`.
#[derive(Debug)]
pub(crate) struct Rollup {
    keys: CohortKeys,
    operations: Operations,
    batch: BatchKeys,
    red: RedRows,
    errors: ErrorRows,
    scratch: Vec<u8>,
    served: Served,
}

impl Rollup {
    pub(crate) fn new(keys: CohortKeys, operations: Operations, served: Served) -> Self {
        let (batch, red, errors) = (BatchKeys::default(), RedRows::default(), ErrorRows::default());
        Self { keys, operations, batch, red, errors, scratch: Vec::new(), served }
    }

    /// What a resource's records are counted under.
    pub(crate) fn cohort_of(&self, resource: &ResourceAttributes, received: &[Attribute<'_>]) -> Cohort {
        Cohort::of(resource, received, &self.keys)
    }

    /// A cohort's number in this batch.
    pub(crate) fn number(&mut self, cohort: &Cohort) -> u32 {
        self.batch.cohort(cohort)
    }

    #[inline]
    pub(crate) fn add_span(
        &mut self,
        cohort: u32,
        (span, lists): (&Span<'_>, &SpanLists<'_>),
        row: Row<'_>,
        received: UnixNanos,
        wanted: Wanted,
    ) -> Result<(), Irregular> {
        let cohort = self.with_record(cohort, &lists.attributes);
        self.name_operation(span, row);
        let operation = self.batch.operation(cohort, &self.scratch, &mut self.operations);
        let bucket = span_time(span, received).bucket(BUCKET);
        let seen = Seen { span, row, cohort, bucket, operation };
        if wanted.has(TableName::Red) {
            self.red.add(seen);
        }
        if wanted.has(TableName::Errors) {
            self.errors.add_span(seen, lists)?;
        }
        Ok(())
    }

    pub(crate) fn add_log(
        &mut self,
        cohort: u32,
        (record, attributes): (&LogRecord<'_>, &[Attribute<'_>]),
        row: Row<'_>,
        received: UnixNanos,
    ) {
        if errors::is_error(record, row) {
            let cohort = self.with_record(cohort, attributes);
            self.errors.add_log(cohort, record, row, log_time(record, received).bucket(BUCKET));
        }
    }

    /// The rows since the last call, in the columns of `red` and `errors`.
    pub(crate) fn finish(&mut self) -> (RecordBatch, RecordBatch) {
        for (cohort, requests) in self.red.requests() {
            let cohort = self.batch.cohort_at(cohort);
            self.served.add(&cohort.service_name, cohort.environment(), requests);
        }
        let rows = (self.red.finish(&self.batch), self.errors.finish(&self.batch));
        self.batch = BatchKeys::default();
        rows
    }

    /// The cohort, told apart further by what the record itself says, such as the variant of a feature flag.
    #[inline]
    fn with_record(&mut self, cohort: u32, attributes: &[Attribute<'_>]) -> u32 {
        if !attributes.iter().any(|attribute| self.keys.is_of_record(attribute.key)) {
            return cohort;
        }
        let further = self.batch.cohort_at(cohort).with_record(attributes, &self.keys);
        self.batch.cohort(&further)
    }

    /// `METHOD route` where there is a route, else the span's name. An HTTP client knows no route and names its span by the method alone: then whom it
    /// asks is added, unless that is an address, of which there are too many.
    #[inline]
    fn name_operation(&mut self, span: &Span<'_>, (columns, row): Row<'_>) {
        self.scratch.clear();
        let Some(route) = columns.text_at(RECORD_COLUMNS.http_route, row) else {
            self.scratch.extend_from_slice(span.name);
            if span.kind == KIND_CLIENT && HTTP_METHODS.contains(&span.name.strip_prefix(b"HTTP ").unwrap_or(span.name)) {
                self.name_peer((columns, row));
            }
            return;
        };
        if let Some(method) = columns.text_at(RECORD_COLUMNS.http_request_method, row) {
            self.scratch.extend_from_slice(method);
            self.scratch.push(b' ');
        }
        self.scratch.extend_from_slice(route);
    }

    fn name_peer(&mut self, (columns, row): Row<'_>) {
        let named = columns.text_at(RECORD_COLUMNS.peer_service, row).filter(|name| !name.is_empty());
        let host = || columns.text_at(RECORD_COLUMNS.server_address, row).filter(|host| !host.is_empty() && !is_address(host));
        if let Some(peer) = named.or_else(host) {
            self.scratch.push(b' ');
            self.scratch.extend_from_slice(peer);
        }
    }
}

/// An IP address names no service, and there may be as many as there are instances.
fn is_address(host: &[u8]) -> bool {
    std::str::from_utf8(host).is_ok_and(|host| host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok())
}

/// Its status is ERROR, or it is a server span with an HTTP status of 500 or above.
#[inline]
fn failed(seen: Seen<'_, '_>) -> bool {
    let (columns, row) = seen.row;
    seen.span.status_code == STATUS_ERROR
        || (seen.span.kind == KIND_SERVER
            && columns.number_at(RECORD_COLUMNS.http_response_status_code, row).is_some_and(|status| status >= HTTP_SERVER_ERROR))
}
