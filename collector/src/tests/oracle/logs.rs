//! Rows of `logs`.

use std::sync::Arc;

use arrow::array::{Int32Builder, Int64Builder, StringBuilder};
use arrow::record_batch::RecordBatch;
use haldane_store::schema::SPAN_AND_LOG_COLUMNS;
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::attributes::Attributes;
use super::columns::{Columns, MapColumn, PromotedColumns, TimeColumns, append_id_given, append_instant, append_text};
use super::resource::{Origin, OriginColumns};
use super::spans::first_known;
use super::value::{text_of, type_name};

/// When a record happened: its own time, when it was observed, or when it was received.
pub(crate) fn log_time(record: &LogRecord, received: UnixNanos) -> UnixNanos {
    first_known([record.time_unix_nano, record.observed_time_unix_nano], received)
}

/// Builds a batch of `logs`.
#[derive(Debug)]
pub(crate) struct LogRows {
    time: TimeColumns,
    origin: OriginColumns,
    severity_number: Int32Builder,
    severity_text: StringBuilder,
    body: StringBuilder,
    body_type: StringBuilder,
    event_name: StringBuilder,
    trace_id: StringBuilder,
    span_id: StringBuilder,
    time_unix_nano: Int64Builder,
    observed_time_unix_nano: Int64Builder,
    promoted: PromotedColumns,
    attributes: MapColumn,
    flags: Int64Builder,
    dropped_attributes_count: Int64Builder,
    scratch: String,
}

impl LogRows {
    pub(crate) fn new() -> Self {
        Self {
            time: TimeColumns::default(),
            origin: OriginColumns::new(),
            severity_number: Int32Builder::new(),
            severity_text: StringBuilder::new(),
            body: StringBuilder::new(),
            body_type: StringBuilder::new(),
            event_name: StringBuilder::new(),
            trace_id: StringBuilder::new(),
            span_id: StringBuilder::new(),
            time_unix_nano: Int64Builder::new(),
            observed_time_unix_nano: Int64Builder::new(),
            promoted: PromotedColumns::new(SPAN_AND_LOG_COLUMNS),
            attributes: MapColumn::new(),
            flags: Int64Builder::new(),
            dropped_attributes_count: Int64Builder::new(),
            scratch: String::new(),
        }
    }

    /// Adds one log record. `attributes` are its own, already split.
    pub(crate) fn append(&mut self, origin: Origin<'_>, record: &LogRecord, attributes: &Attributes<'_>, received: UnixNanos) {
        self.time.append(log_time(record, received));
        self.origin.append(origin);
        self.severity_number.append_value(record.severity_number);
        append_text(&mut self.severity_text, &record.severity_text);
        self.body.append_option(record.body.as_ref().and_then(text_of));
        self.body_type.append_option(record.body.as_ref().and_then(type_name));
        append_text(&mut self.event_name, &record.event_name);
        append_id_given(&mut self.trace_id, &record.trace_id, &mut self.scratch);
        append_id_given(&mut self.span_id, &record.span_id, &mut self.scratch);
        append_instant(&mut self.time_unix_nano, record.time_unix_nano);
        append_instant(&mut self.observed_time_unix_nano, record.observed_time_unix_nano);
        self.promoted.append(&attributes.columns);
        self.attributes.append(&attributes.rest);
        self.flags.append_value(i64::from(record.flags));
        self.dropped_attributes_count.append_value(i64::from(record.dropped_attributes_count));
    }

    /// All rows since the last call, in the schema of `logs`.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let mut columns = Columns::new();
        self.time.finish_into(&mut columns);
        self.origin.finish_promoted_into(&mut columns);
        columns.push(Arc::new(self.severity_number.finish()));
        columns.push(Arc::new(self.severity_text.finish()));
        columns.push(Arc::new(self.body.finish()));
        columns.push(Arc::new(self.body_type.finish()));
        columns.push(Arc::new(self.event_name.finish()));
        columns.push(Arc::new(self.trace_id.finish()));
        columns.push(Arc::new(self.span_id.finish()));
        columns.push(Arc::new(self.time_unix_nano.finish()));
        columns.push(Arc::new(self.observed_time_unix_nano.finish()));
        self.promoted.finish_into(&mut columns);
        columns.push(self.attributes.finish());
        columns.push(Arc::new(self.flags.finish()));
        columns.push(Arc::new(self.dropped_attributes_count.finish()));
        self.origin.finish_rest_into(&mut columns);
        RecordBatch::try_new(TableName::Logs.schema(), columns).expect("columns are built in the order and types of the schema")
    }
}
