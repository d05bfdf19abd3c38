//! Rows of `errors`: how often each distinct error was seen.
//!
//! Three sources: an `exception` (a span event of that name, or a log record with `exception.type` or `exception.message`), a `log` record of severity
//! ERROR or above, and the `status` of a failed span that has no exception event. With `logs/dup` an SDK tells one exception twice, as an event
//! and as a log record of the same span: within a batch that counts once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder};
use arrow::record_batch::RecordBatch;
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::span::Event;

use super::cohort::{Cohort, KeyColumns};
use super::fingerprint::fingerprint;
use super::normalise::normalise;
use super::{Seen, has_status_error};
use crate::decode::{Attributes, RECORD_COLUMNS, hex, text_of};

const EXCEPTION: &str = "exception";
const LOG: &str = "log";
const STATUS: &str = "status";

/// One error of one span or record, before it is counted.
#[derive(Debug)]
struct Sighting {
    cohort: Arc<Cohort>,
    bucket: UnixNanos,
    /// A log record's is looked up when the batch ends.
    operation: Option<Arc<str>>,
    source: &'static str,
    error_type: String,
    message: String,
    fingerprint: u64,
    trace_id: Vec<u8>,
    span_id: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    cohort: Arc<Cohort>,
    bucket: UnixNanos,
    operation: Arc<str>,
    fingerprint: u64,
    source: &'static str,
}

#[derive(Debug)]
struct Cell {
    count: i64,
    example: Sighting,
}

/// A span by its ids.
type SpanKey = (Vec<u8>, Vec<u8>);

/// Collects the errors of one batch.
#[derive(Debug, Default)]
pub(super) struct ErrorRows {
    from_spans: Vec<Sighting>,
    from_logs: Vec<Sighting>,
    /// What each span of the batch did, for the log records written in it.
    spans: Vec<(SpanKey, Arc<str>)>,
}

/// Whether a log record tells of an error.
pub(super) fn is_error(record: &LogRecord, attributes: &Attributes<'_>) -> bool {
    record.severity_number >= i32::from(SeverityNumber::Error) || attributes.text(RECORD_COLUMNS.exception_type).is_some()
}

impl ErrorRows {
    pub(super) fn add_span(&mut self, cohort: &Arc<Cohort>, seen: Seen<'_>) {
        let span = seen.span;
        self.spans.push(((span.trace_id.clone(), span.span_id.clone()), seen.operation.clone()));
        let mut sighting = |source, error_type: String, message: &str| {
            let message = normalise(message);
            self.from_spans.push(Sighting {
                cohort: cohort.clone(),
                bucket: seen.bucket,
                operation: Some(seen.operation.clone()),
                source,
                fingerprint: fingerprint(&error_type, &message),
                error_type,
                message,
                trace_id: span.trace_id.clone(),
                span_id: span.span_id.clone(),
            });
        };
        let mut told = false;
        for event in span.events.iter().filter(|event| event.name == EXCEPTION) {
            told = true;
            sighting(EXCEPTION, event_text(event, "exception.type").unwrap_or_else(|| EXCEPTION.to_owned()), &event_message(event));
        }
        if !told && has_status_error(span) {
            let message = span.status.as_ref().map_or("", |status| &status.message);
            sighting(STATUS, status_type(seen.attributes), message);
        }
    }

    pub(super) fn add_log(&mut self, cohort: &Arc<Cohort>, record: &LogRecord, attributes: &Attributes<'_>, bucket: UnixNanos) {
        let (source, error_type, message) = told_by_log(record, attributes);
        let message = normalise(&message);
        self.from_logs.push(Sighting {
            cohort: cohort.clone(),
            bucket,
            operation: None,
            source,
            fingerprint: fingerprint(&error_type, &message),
            error_type,
            message,
            trace_id: record.trace_id.clone(),
            span_id: record.span_id.clone(),
        });
    }

    pub(super) fn finish(&mut self) -> RecordBatch {
        let mut cells: HashMap<Key, Cell> = HashMap::new();
        let operations = self.operations_of_logs();
        let logs = self.logs_not_told_by_spans();
        for mut sighting in std::mem::take(&mut self.from_spans).into_iter().chain(logs) {
            let operation = sighting.operation.take().or_else(|| operations.get(&span_key(&sighting)).cloned());
            let key = Key {
                cohort: sighting.cohort.clone(),
                bucket: sighting.bucket,
                operation: operation.unwrap_or_else(|| "".into()),
                fingerprint: sighting.fingerprint,
                source: sighting.source,
            };
            cells.entry(key).or_insert(Cell { count: 0, example: sighting }).count += 1;
        }
        let mut cells: Vec<_> = cells.into_iter().collect();
        cells.sort_by(|(a, _), (b, _)| a.cmp(b));
        batch(&cells)
    }

    /// The operations of those spans of this batch that log records with errors belong to.
    fn operations_of_logs(&mut self) -> HashMap<SpanKey, Arc<str>> {
        let spans = std::mem::take(&mut self.spans);
        let wanted: HashSet<SpanKey> = self.from_logs.iter().filter(|log| !log.span_id.is_empty()).map(span_key).collect();
        spans.into_iter().filter(|(span, _)| wanted.contains(span)).collect()
    }

    /// Takes out the log records that repeat what an event of the same span has told.
    fn logs_not_told_by_spans(&mut self) -> Vec<Sighting> {
        let mut told: HashMap<(SpanKey, u64), usize> = HashMap::new();
        if !self.from_logs.is_empty() {
            for sighting in self.from_spans.iter().filter(|sighting| sighting.source == EXCEPTION) {
                *told.entry((span_key(sighting), sighting.fingerprint)).or_default() += 1;
            }
        }
        let mut logs = std::mem::take(&mut self.from_logs);
        logs.retain(|log| match told.get_mut(&(span_key(log), log.fingerprint)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            Some(_) | None => true,
        });
        logs
    }
}

fn span_key(sighting: &Sighting) -> SpanKey {
    (sighting.trace_id.clone(), sighting.span_id.clone())
}

fn event_text(event: &Event, key: &str) -> Option<String> {
    let attribute = event.attributes.iter().rfind(|attribute| attribute.key == key)?;
    Some(attribute.value.as_ref().and_then(text_of)?.into_owned()).filter(|text| !text.is_empty())
}

fn event_message(event: &Event) -> String {
    event_text(event, "exception.message").unwrap_or_default()
}

/// `error.type`, else the HTTP status, else `error`.
fn status_type(attributes: &Attributes<'_>) -> String {
    let http_status = attributes.integer(RECORD_COLUMNS.http_response_status_code).map(|status| status.to_string());
    attributes.text(RECORD_COLUMNS.error_type).map(str::to_owned).or(http_status).unwrap_or_else(|| "error".to_owned())
}

/// Source, type and message of the error in a log record.
fn told_by_log(record: &LogRecord, attributes: &Attributes<'_>) -> (&'static str, String, String) {
    let exception_type = attributes.text(RECORD_COLUMNS.exception_type);
    let exception_message = attributes.text(RECORD_COLUMNS.exception_message);
    let body = || record.body.as_ref().and_then(text_of).unwrap_or_default().into_owned();
    if exception_type.is_none() && exception_message.is_none() {
        let named = Some(record.event_name.as_str()).filter(|name| !name.is_empty());
        let error_type = attributes.text(RECORD_COLUMNS.error_type).or(named).unwrap_or(LOG);
        return (LOG, error_type.to_owned(), body());
    }
    let error_type = exception_type.filter(|text| !text.is_empty()).unwrap_or(EXCEPTION);
    (EXCEPTION, error_type.to_owned(), exception_message.unwrap_or_default().to_owned())
}

fn batch(cells: &[(Key, Cell)]) -> RecordBatch {
    let mut key_columns = KeyColumns::new();
    let mut texts: [StringBuilder; 6] = Default::default();
    let mut count = Int64Builder::new();
    for (key, cell) in cells {
        let example = &cell.example;
        key_columns.append(key.bucket, &key.cohort, &key.operation);
        let id = |id: &[u8]| (!id.is_empty()).then(|| hex::encode(id));
        let values = [
            Some(format!("{:016x}", key.fingerprint)),
            Some(key.source.to_owned()),
            Some(example.error_type.clone()),
            Some(example.message.clone()),
            id(&example.trace_id),
            id(&example.span_id),
        ];
        for (column, value) in texts.iter_mut().zip(values) {
            column.append_option(value);
        }
        count.append_value(cell.count);
    }
    let mut columns = Vec::new();
    key_columns.finish_into(&mut columns);
    columns.extend(texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
    columns.insert(columns.len() - 2, Arc::new(count.finish())); // the count stands before the two ids
    RecordBatch::try_new(TableName::Errors.schema(), columns).expect("columns are built in the order and types of the schema")
}
