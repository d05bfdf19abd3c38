//! Rows of `logs`.

use std::sync::Arc;

use arrow::array::Int32Builder;
use arrow::record_batch::RecordBatch;
use haldane_store::{TableName, UnixNanos};

use super::attributes::RecordAttributes;
use super::columns::{Columns, DerivedColumn, DictionaryColumn, IntegerColumn, PlainColumn, Seal, TimeColumns, batch_of};
use super::origin::OriginColumns;
use super::{first_known, given, set_text, set_trace_id, signed};
use crate::decode::log::LogRecord;
use crate::decode::value::{Attribute, Value};
use crate::hex;

/// When a record happened: its own time, when it was observed, or when it was received.
pub(crate) fn log_time(record: &LogRecord<'_>, received: UnixNanos) -> UnixNanos {
    first_known([record.time_unix_nano, record.observed_time_unix_nano], received)
}

/// Builds a batch of `logs`.
#[derive(Debug)]
pub(crate) struct LogRows {
    pub(crate) rows: usize,
    time: TimeColumns,
    pub(crate) origin: OriginColumns,
    severity_number: Int32Builder,
    severity_text: DictionaryColumn,
    body: PlainColumn,
    body_type: DictionaryColumn,
    event_name: DictionaryColumn,
    trace_id: DerivedColumn<[u8; 16]>,
    span_id: PlainColumn,
    time_unix_nano: IntegerColumn,
    observed_time_unix_nano: IntegerColumn,
    pub(crate) attributes: RecordAttributes,
    flags: IntegerColumn,
    dropped_attributes_count: IntegerColumn,
    json: String,
}

impl LogRows {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            time: TimeColumns::default(),
            origin: OriginColumns::new(),
            severity_number: Int32Builder::new(),
            severity_text: DictionaryColumn::new(),
            body: PlainColumn::new(),
            body_type: DictionaryColumn::new(),
            event_name: DictionaryColumn::new(),
            trace_id: DerivedColumn::new(),
            span_id: PlainColumn::new(),
            time_unix_nano: IntegerColumn::new(),
            observed_time_unix_nano: IntegerColumn::new(),
            attributes: RecordAttributes::new(),
            flags: IntegerColumn::new(),
            dropped_attributes_count: IntegerColumn::new(),
            json: String::new(),
        }
    }

    /// Adds one log record; its origin is given to it with those of its scope.
    pub(crate) fn append(&mut self, record: &LogRecord<'_>, attributes: &[Attribute<'_>], received: UnixNanos) {
        let row = self.rows;
        self.time.push(log_time(record, received));
        self.severity_number.append_value(record.severity_number);
        set_text(&mut self.severity_text, row, record.severity_text);
        self.set_body(row, record.body);
        set_text(&mut self.event_name, row, record.event_name);
        if let Some(id) = given(record.trace_id) {
            set_trace_id(&mut self.trace_id, row, id);
        }
        if let Some(id) = given(record.span_id) {
            self.span_id.set_with(row, |text| hex::append(id, text));
        }
        let times =
            [(&mut self.time_unix_nano, record.time_unix_nano), (&mut self.observed_time_unix_nano, record.observed_time_unix_nano)];
        for (column, nanos) in times {
            if nanos > 0 {
                column.set(row, signed(nanos));
            }
        }
        self.attributes.set(row, attributes);
        self.flags.set(row, i64::from(record.flags));
        self.dropped_attributes_count.set(row, i64::from(record.dropped_attributes_count));
        self.rows += 1;
    }

    fn set_body(&mut self, row: usize, body: Value<'_>) {
        let Some(name) = body.type_name() else { return };
        self.body_type.set(row, name.as_bytes());
        if let Value::Text(text) = body {
            self.body.set(row, text);
        } else {
            self.json.clear();
            body.write_json(&mut self.json);
            self.body.set(row, self.json.as_bytes());
        }
    }

    /// All rows since the last call, in the columns of `logs`.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let seal = Seal::new(std::mem::take(&mut self.rows));
        let mut columns = Columns::new();
        self.time.finish_into(&mut columns);
        self.origin.finish_promoted_into(&mut columns, &seal);
        columns.push(Arc::new(self.severity_number.finish()));
        columns.push(self.severity_text.finish(&seal));
        columns.push(self.body.finish(&seal));
        columns.push(self.body_type.finish(&seal));
        columns.push(self.event_name.finish(&seal));
        columns.push(self.trace_id.finish(&seal));
        columns.push(self.span_id.finish(&seal));
        columns.push(self.time_unix_nano.finish(&seal));
        columns.push(self.observed_time_unix_nano.finish(&seal));
        self.attributes.promoted.finish_into(&mut columns, &seal);
        columns.push(self.attributes.rest.finish(&seal));
        columns.push(self.flags.finish(&seal));
        columns.push(self.dropped_attributes_count.finish(&seal));
        self.origin.finish_rest_into(&mut columns, &seal);
        batch_of(TableName::Logs, columns)
    }
}
