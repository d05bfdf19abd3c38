//! Rows of `errors`: how often each distinct error was seen.
//!
//! Three sources: an `exception` (a span event of that name, or a log record with `exception.type` or `exception.message`), a `log` record of severity
//! ERROR or above, and the `status` of a failed span that has no exception event. With `logs/dup` an SDK tells one exception twice, as an event
//! and as a log record of the same span: within a batch that counts once.

use std::collections::{HashMap, HashSet};

use arrow::record_batch::RecordBatch;
use haldane_store::template::template_of;
use haldane_store::{TableName, UnixNanos};

use super::cohort::{Cohort, KeyColumns};
use super::fingerprint::fingerprint;
use super::keys::BatchKeys;
use super::{Row, STATUS_ERROR, Seen};
use crate::decode::Irregular;
use crate::decode::log::LogRecord;
use crate::decode::span::{Event, SpanLists};
use crate::decode::value::as_text;
use crate::hex;
use crate::rows::{DictionaryColumn, IntegerColumn, RECORD_COLUMNS, batch_of};

const EXCEPTION: &str = "exception";
const LOG: &str = "log";
const STATUS: &str = "status";
/// `SEVERITY_NUMBER_ERROR`.
const SEVERITY_ERROR: i32 = 17;

/// A span by its ids, where they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SpanKey {
    trace_id: Option<[u8; 16]>,
    span_id: Option<[u8; 8]>,
}

impl SpanKey {
    fn of(trace_id: &[u8], span_id: &[u8]) -> Self {
        Self { trace_id: trace_id.as_array().copied(), span_id: span_id.as_array().copied() }
    }
}

/// One error of one span or record, before it is counted.
#[derive(Debug)]
struct Sighting {
    cohort: u32,
    bucket: UnixNanos,
    /// A log record's is looked up when the batch ends.
    operation: Option<u32>,
    source: &'static str,
    error_type: String,
    message: String,
    fingerprint: u64,
    span: SpanKey,
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key<'k> {
    cohort: &'k Cohort,
    bucket: UnixNanos,
    operation: &'k str,
    fingerprint: u64,
    source: &'static str,
}

#[derive(Debug)]
struct Cell {
    count: i64,
    example: Sighting,
}

/// Collects the errors of one batch.
#[derive(Debug, Default)]
pub(super) struct ErrorRows {
    from_spans: Vec<Sighting>,
    from_logs: Vec<Sighting>,
    /// What each span of the batch did, for the log records written in it.
    spans: Vec<(SpanKey, u32)>,
}

/// Whether a log record tells of an error.
#[inline]
pub(super) fn is_error(record: &LogRecord<'_>, (columns, row): Row<'_>) -> bool {
    let told = [RECORD_COLUMNS.exception_type, RECORD_COLUMNS.exception_message];
    record.severity_number >= SEVERITY_ERROR || told.into_iter().any(|column| columns.text_at(column, row).is_some())
}

impl ErrorRows {
    #[inline]
    pub(super) fn add_span(&mut self, seen: Seen<'_, '_>, lists: &SpanLists<'_>) -> Result<(), Irregular> {
        let key = SpanKey::of(seen.span.trace_id, seen.span.span_id);
        self.spans.push((key, seen.operation));
        if lists.events.is_empty() && seen.span.status_code != STATUS_ERROR {
            return Ok(());
        }
        self.add_errors(seen, key, lists)
    }

    fn add_errors(&mut self, seen: Seen<'_, '_>, span: SpanKey, lists: &SpanLists<'_>) -> Result<(), Irregular> {
        let mut sighting = |source, error_type: String, message: &str| {
            let message = template_of(message);
            self.from_spans.push(Sighting {
                cohort: seen.cohort,
                bucket: seen.bucket,
                operation: Some(seen.operation),
                source,
                fingerprint: fingerprint(&error_type, &message),
                error_type,
                message,
                span,
            });
        };
        let mut told = false;
        for event in &lists.events {
            let event = Event::parse(event)?;
            if event.name == EXCEPTION.as_bytes() {
                told = true;
                let error_type = event_text(&event, b"exception.type").unwrap_or_else(|| EXCEPTION.to_owned());
                sighting(EXCEPTION, error_type, &event_text(&event, b"exception.message").unwrap_or_default());
            }
        }
        if !told && seen.span.status_code == STATUS_ERROR {
            sighting(STATUS, status_type(seen.row), as_text(seen.span.status_message));
        }
        Ok(())
    }

    pub(super) fn add_log(&mut self, cohort: u32, record: &LogRecord<'_>, row: Row<'_>, bucket: UnixNanos) {
        let (source, error_type, message) = told_by_log(record, row);
        let message = template_of(&message);
        self.from_logs.push(Sighting {
            cohort,
            bucket,
            operation: None,
            source,
            fingerprint: fingerprint(&error_type, &message),
            error_type,
            message,
            span: SpanKey::of(record.trace_id, record.span_id),
        });
    }

    pub(super) fn finish(&mut self, keys: &BatchKeys) -> RecordBatch {
        let mut cells: HashMap<Key<'_>, Cell> = HashMap::new();
        let operations = self.operations_of_logs();
        let logs = self.logs_not_told_by_spans();
        for sighting in std::mem::take(&mut self.from_spans).into_iter().chain(logs) {
            let operation = sighting.operation.or_else(|| operations.get(&sighting.span).copied());
            let key = Key {
                cohort: keys.cohort_at(sighting.cohort),
                bucket: sighting.bucket,
                operation: operation.map_or("", |operation| keys.operation_at(operation)),
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
    fn operations_of_logs(&mut self) -> HashMap<SpanKey, u32> {
        let wanted: HashSet<SpanKey> = self.from_logs.iter().map(|log| log.span).filter(|span| span.span_id.is_some()).collect();
        let spans = self.spans.drain(..);
        if wanted.is_empty() {
            return HashMap::new();
        }
        spans.filter(|(span, _)| wanted.contains(span)).collect()
    }

    /// Takes out the log records that repeat what an event of the same span has told.
    fn logs_not_told_by_spans(&mut self) -> Vec<Sighting> {
        let mut told: HashMap<(SpanKey, u64), usize> = HashMap::new();
        if !self.from_logs.is_empty() {
            for sighting in self.from_spans.iter().filter(|sighting| sighting.source == EXCEPTION) {
                *told.entry((sighting.span, sighting.fingerprint)).or_default() += 1;
            }
        }
        let mut logs = std::mem::take(&mut self.from_logs);
        logs.retain(|log| match told.get_mut(&(log.span, log.fingerprint)) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            Some(_) | None => true,
        });
        logs
    }
}

fn event_text(event: &Event<'_>, key: &[u8]) -> Option<String> {
    let attribute = event.attributes.iter().rfind(|attribute| attribute.key == key)?;
    Some(attribute.value.to_text()?.into_owned()).filter(|text| !text.is_empty())
}

/// `error.type`, else the HTTP status, else `error`.
fn status_type((columns, row): Row<'_>) -> String {
    let named = columns.text_at(RECORD_COLUMNS.error_type, row).map(|text| as_text(text).to_owned());
    let http_status = || columns.number_at(RECORD_COLUMNS.http_response_status_code, row).map(|status| status.to_string());
    named.or_else(http_status).unwrap_or_else(|| "error".to_owned())
}

/// Source, type and message of the error in a log record.
fn told_by_log(record: &LogRecord<'_>, (columns, row): Row<'_>) -> (&'static str, String, String) {
    let text = |column| columns.text_at(column, row).map(as_text);
    let exception_type = text(RECORD_COLUMNS.exception_type);
    let exception_message = text(RECORD_COLUMNS.exception_message);
    if exception_type.is_none() && exception_message.is_none() {
        let named = Some(as_text(record.event_name)).filter(|name| !name.is_empty());
        let error_type = text(RECORD_COLUMNS.error_type).or(named).unwrap_or(LOG);
        return (LOG, error_type.to_owned(), record.body.to_text().unwrap_or_default().into_owned());
    }
    let error_type = exception_type.filter(|text| !text.is_empty()).unwrap_or(EXCEPTION);
    (EXCEPTION, error_type.to_owned(), exception_message.unwrap_or_default().to_owned())
}

fn batch(cells: &[(Key<'_>, Cell)]) -> RecordBatch {
    let mut key_columns = KeyColumns::new();
    let mut texts: [DictionaryColumn; 6] = std::array::from_fn(|_| DictionaryColumn::new());
    let mut count = IntegerColumn::new();
    for (key, cell) in cells {
        let example = &cell.example;
        let row = key_columns.append(key.bucket, key.cohort, key.operation);
        let values = [
            Some(format!("{:016x}", key.fingerprint)),
            Some(key.source.to_owned()),
            Some(example.error_type.clone()),
            Some(example.message.clone()),
            example.span.trace_id.map(|id| hex::encode(&id)),
            example.span.span_id.map(|id| hex::encode(&id)),
        ];
        for (column, value) in texts.iter_mut().zip(values) {
            if let Some(value) = value {
                column.set(row, value.as_bytes());
            }
        }
        count.set(row, cell.count);
    }
    let (mut columns, seal) = key_columns.finish();
    columns.extend(texts.iter_mut().map(|column| column.finish(&seal)));
    columns.insert(columns.len() - 2, count.finish(&seal)); // the count stands before the two ids
    batch_of(TableName::Errors, columns)
}
