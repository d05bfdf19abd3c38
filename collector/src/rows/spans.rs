//! Rows of `spans`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::record_batch::RecordBatch;
use haldane_store::schema::{event_fields, link_fields};
use haldane_store::{TableName, UnixNanos};

use super::attributes::{RecordAttributes, push_all};
use super::columns::{
    Columns, DerivedColumn, DictionaryColumn, IntegerColumn, ListRows, MapColumn, PlainColumn, Seal, TimeColumns, batch_of,
};
use super::origin::OriginColumns;
use super::{first_known, given, set_text, set_trace_id, signed};
use crate::decode::Irregular;
use crate::decode::span::{Event, Link, Span, SpanLists};
use crate::hex;

const KINDS: [&str; 6] = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const STATUSES: [&str; 3] = ["UNSET", "OK", "ERROR"];

/// A span's kind as the tables have it; a number that OTLP does not name stays that number.
pub(crate) fn kind_name(kind: i32) -> Cow<'static, [u8]> {
    name_of(&KINDS, kind)
}

fn name_of(names: &[&'static str], number: i32) -> Cow<'static, [u8]> {
    match usize::try_from(number).ok().and_then(|at| names.get(at)) {
        Some(name) => Cow::Borrowed(name.as_bytes()),
        None => number.to_string().into_bytes().into(),
    }
}

/// When a span happened: its start; its end, or when it was received, if it does not tell.
pub(crate) fn span_time(span: &Span<'_>, received: UnixNanos) -> UnixNanos {
    first_known([span.start_time_unix_nano, span.end_time_unix_nano], received)
}

/// Builds a batch of `spans`.
#[derive(Debug)]
pub(crate) struct SpanRows {
    pub(crate) rows: usize,
    time: TimeColumns,
    pub(crate) origin: OriginColumns,
    own: OwnColumns,
    pub(crate) attributes: RecordAttributes,
    events: EventColumn,
    links: LinkColumn,
    trace_state: DictionaryColumn,
    flags: IntegerColumn,
    dropped_attributes_count: IntegerColumn,
    dropped_events_count: IntegerColumn,
    dropped_links_count: IntegerColumn,
}

impl SpanRows {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            time: TimeColumns::default(),
            origin: OriginColumns::new(),
            own: OwnColumns::new(),
            attributes: RecordAttributes::new(),
            events: EventColumn::new(),
            links: LinkColumn::new(),
            trace_state: DictionaryColumn::new(),
            flags: IntegerColumn::new(),
            dropped_attributes_count: IntegerColumn::new(),
            dropped_events_count: IntegerColumn::new(),
            dropped_links_count: IntegerColumn::new(),
        }
    }

    /// Adds one span; its origin is given to it with those of its scope.
    #[inline]
    pub(crate) fn append(&mut self, span: &Span<'_>, lists: &SpanLists<'_>, received: UnixNanos) -> Result<(), Irregular> {
        let row = self.rows;
        self.time.push(span_time(span, received));
        self.own.set(row, span);
        self.attributes.set(row, &lists.attributes);
        if !lists.events.is_empty() {
            self.events.set(row, &lists.events)?;
        }
        if !lists.links.is_empty() {
            self.links.set(row, &lists.links)?;
        }
        set_text(&mut self.trace_state, row, span.trace_state);
        self.flags.set(row, i64::from(span.flags));
        self.dropped_attributes_count.set(row, i64::from(span.dropped_attributes_count));
        self.dropped_events_count.set(row, i64::from(span.dropped_events_count));
        self.dropped_links_count.set(row, i64::from(span.dropped_links_count));
        self.rows += 1;
        Ok(())
    }

    /// All rows since the last call, in the columns of `spans`.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let seal = Seal::new(std::mem::take(&mut self.rows));
        let mut columns = Columns::new();
        self.time.finish_into(&mut columns);
        self.origin.finish_promoted_into(&mut columns, &seal);
        self.own.finish_into(&mut columns, &seal);
        self.attributes.promoted.finish_into(&mut columns, &seal);
        columns.push(self.attributes.rest.finish(&seal));
        columns.push(self.events.finish(&seal));
        columns.push(self.links.finish(&seal));
        columns.push(self.trace_state.finish(&seal));
        columns.push(self.flags.finish(&seal));
        columns.push(self.dropped_attributes_count.finish(&seal));
        columns.push(self.dropped_events_count.finish(&seal));
        columns.push(self.dropped_links_count.finish(&seal));
        self.origin.finish_rest_into(&mut columns, &seal);
        batch_of(TableName::Spans, columns)
    }
}

/// The columns that only spans have.
#[derive(Debug)]
struct OwnColumns {
    trace_id: DerivedColumn<[u8; 16]>,
    span_id: PlainColumn,
    parent_span_id: PlainColumn,
    name: DictionaryColumn,
    kind: DerivedColumn<i32>,
    status_code: DerivedColumn<i32>,
    status_message: DictionaryColumn,
    start_time_unix_nano: IntegerColumn,
    end_time_unix_nano: IntegerColumn,
    duration_ns: IntegerColumn,
}

impl OwnColumns {
    fn new() -> Self {
        Self {
            trace_id: DerivedColumn::new(),
            span_id: PlainColumn::new(),
            parent_span_id: PlainColumn::new(),
            name: DictionaryColumn::new(),
            kind: DerivedColumn::new(),
            status_code: DerivedColumn::new(),
            status_message: DictionaryColumn::new(),
            start_time_unix_nano: IntegerColumn::new(),
            end_time_unix_nano: IntegerColumn::new(),
            duration_ns: IntegerColumn::new(),
        }
    }

    #[inline]
    fn set(&mut self, row: usize, span: &Span<'_>) {
        set_trace_id(&mut self.trace_id, row, span.trace_id);
        self.span_id.set_with(row, |text| hex::append(span.span_id, text));
        if let Some(id) = given(span.parent_span_id) {
            self.parent_span_id.set_with(row, |text| hex::append(id, text));
        }
        self.name.set(row, span.name);
        self.kind.set(row, span.kind, kind_name);
        self.status_code.set(row, span.status_code, |code| name_of(&STATUSES, code));
        set_text(&mut self.status_message, row, span.status_message);
        self.start_time_unix_nano.set(row, signed(span.start_time_unix_nano));
        // Elsewhere it is what the two others add up to, see the schema.
        if span.end_time_unix_nano < span.start_time_unix_nano {
            self.end_time_unix_nano.set(row, signed(span.end_time_unix_nano));
        }
        self.duration_ns.set(row, signed(span.duration_ns()));
    }

    fn finish_into(&mut self, columns: &mut Columns, seal: &Seal) {
        columns.push(self.trace_id.finish(seal));
        columns.push(self.span_id.finish(seal));
        columns.push(self.parent_span_id.finish(seal));
        columns.push(self.name.finish(seal));
        columns.push(self.kind.finish(seal));
        columns.push(self.status_code.finish(seal));
        columns.push(self.status_message.finish(seal));
        columns.push(self.start_time_unix_nano.finish(seal));
        columns.push(self.end_time_unix_nano.finish(seal));
        columns.push(self.duration_ns.finish(seal));
    }
}

#[derive(Debug)]
struct EventColumn {
    rows: ListRows,
    items: usize,
    time_unix_nano: IntegerColumn,
    name: PlainColumn,
    attributes: MapColumn,
    dropped_attributes_count: IntegerColumn,
}

impl EventColumn {
    fn new() -> Self {
        Self {
            rows: ListRows::always(),
            items: 0,
            time_unix_nano: IntegerColumn::new(),
            name: PlainColumn::new(),
            attributes: MapColumn::new(),
            dropped_attributes_count: IntegerColumn::new(),
        }
    }

    fn set(&mut self, row: usize, events: &[&[u8]]) -> Result<(), Irregular> {
        for event in events {
            let event = Event::parse(event)?;
            if event.time_unix_nano > 0 {
                self.time_unix_nano.set(self.items, signed(event.time_unix_nano));
            }
            self.name.set(self.items, event.name);
            push_all(&mut self.attributes, &event.attributes);
            self.attributes.end_row(self.items);
            self.dropped_attributes_count.set(self.items, i64::from(event.dropped_attributes_count));
            self.items += 1;
        }
        self.rows.end_row(row, self.items);
        Ok(())
    }

    fn finish(&mut self, seal: &Seal) -> ArrayRef {
        let items = std::mem::take(&mut self.items);
        let inner = Seal::new(items);
        let columns: Columns = vec![
            self.time_unix_nano.finish(&inner),
            self.name.finish(&inner),
            self.attributes.finish(&inner),
            self.dropped_attributes_count.finish(&inner),
        ];
        self.rows.finish(Arc::new(StructArray::new(event_fields(), columns, None)), seal)
    }
}

#[derive(Debug)]
struct LinkColumn {
    rows: ListRows,
    items: usize,
    trace_id: PlainColumn,
    span_id: PlainColumn,
    trace_state: PlainColumn,
    attributes: MapColumn,
    dropped_attributes_count: IntegerColumn,
    flags: IntegerColumn,
}

impl LinkColumn {
    fn new() -> Self {
        Self {
            rows: ListRows::always(),
            items: 0,
            trace_id: PlainColumn::new(),
            span_id: PlainColumn::new(),
            trace_state: PlainColumn::new(),
            attributes: MapColumn::new(),
            dropped_attributes_count: IntegerColumn::new(),
            flags: IntegerColumn::new(),
        }
    }

    fn set(&mut self, row: usize, links: &[&[u8]]) -> Result<(), Irregular> {
        for link in links {
            let link = Link::parse(link)?;
            for (column, id) in [(&mut self.trace_id, link.trace_id), (&mut self.span_id, link.span_id)] {
                if let Some(id) = given(id) {
                    column.set_with(self.items, |text| hex::append(id, text));
                }
            }
            if !link.trace_state.is_empty() {
                self.trace_state.set(self.items, link.trace_state);
            }
            push_all(&mut self.attributes, &link.attributes);
            self.attributes.end_row(self.items);
            self.dropped_attributes_count.set(self.items, i64::from(link.dropped_attributes_count));
            self.flags.set(self.items, i64::from(link.flags));
            self.items += 1;
        }
        self.rows.end_row(row, self.items);
        Ok(())
    }

    fn finish(&mut self, seal: &Seal) -> ArrayRef {
        let items = std::mem::take(&mut self.items);
        let inner = Seal::new(items);
        let columns: Columns = vec![
            self.trace_id.finish(&inner),
            self.span_id.finish(&inner),
            self.trace_state.finish(&inner),
            self.attributes.finish(&inner),
            self.dropped_attributes_count.finish(&inner),
            self.flags.finish(&inner),
        ];
        self.rows.finish(Arc::new(StructArray::new(link_fields(), columns, None)), seal)
    }
}
