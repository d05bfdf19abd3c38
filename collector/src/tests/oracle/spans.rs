//! Rows of `spans`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder, StructArray};
use arrow::record_batch::RecordBatch;
use haldane_store::schema::{SPAN_AND_LOG_COLUMNS, event_fields, link_fields};
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::attributes::{Attributes, entries};
use super::columns::{
    Columns, ListRows, MapColumn, PromotedColumns, TimeColumns, append_id, append_id_given, append_instant, append_text, signed,
};
use super::resource::{Origin, OriginColumns};

/// A span's kind as the tables have it; a number that OTLP does not name stays that number.
pub(crate) fn kind_name(kind: i32) -> Cow<'static, str> {
    match SpanKind::try_from(kind) {
        Ok(SpanKind::Unspecified) => "UNSPECIFIED".into(),
        Ok(SpanKind::Internal) => "INTERNAL".into(),
        Ok(SpanKind::Server) => "SERVER".into(),
        Ok(SpanKind::Client) => "CLIENT".into(),
        Ok(SpanKind::Producer) => "PRODUCER".into(),
        Ok(SpanKind::Consumer) => "CONSUMER".into(),
        Err(_) => kind.to_string().into(),
    }
}

fn status_name(code: i32) -> Cow<'static, str> {
    match StatusCode::try_from(code) {
        Ok(StatusCode::Unset) => "UNSET".into(),
        Ok(StatusCode::Ok) => "OK".into(),
        Ok(StatusCode::Error) => "ERROR".into(),
        Err(_) => code.to_string().into(),
    }
}

/// When a span happened: its start; its end, or when it was received, if it does not tell.
pub(crate) fn span_time(span: &Span, received: UnixNanos) -> UnixNanos {
    first_known([span.start_time_unix_nano, span.end_time_unix_nano], received)
}

/// The first instant that is not zero, which OTLP uses for unknown, and within ten years before and a day after it was received.
pub(crate) fn first_known(instants: impl IntoIterator<Item = u64>, received: UnixNanos) -> UnixNanos {
    const DAY: i128 = 86_400_000_000_000;
    let is_possible = |nanos: &u64| {
        let ahead = i128::from(*nanos) - i128::from(received.as_nanos());
        *nanos > 0 && (-3_653 * DAY..=DAY).contains(&ahead)
    };
    instants.into_iter().find(is_possible).map_or(received, |nanos| UnixNanos::new(signed(nanos)))
}

/// How long a span took; zero when it ends before it starts, as clocks that are set back make it.
pub(crate) fn span_duration_ns(span: &Span) -> u64 {
    span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano)
}

/// Builds a batch of `spans`.
#[derive(Debug)]
pub(crate) struct SpanRows {
    time: TimeColumns,
    origin: OriginColumns,
    own: OwnColumns,
    promoted: PromotedColumns,
    attributes: MapColumn,
    events: EventColumn,
    links: LinkColumn,
    trace_state: StringBuilder,
    flags: Int64Builder,
    dropped_attributes_count: Int64Builder,
    dropped_events_count: Int64Builder,
    dropped_links_count: Int64Builder,
    scratch: String,
}

impl SpanRows {
    pub(crate) fn new() -> Self {
        Self {
            time: TimeColumns::default(),
            origin: OriginColumns::new(),
            own: OwnColumns::default(),
            promoted: PromotedColumns::new(SPAN_AND_LOG_COLUMNS),
            attributes: MapColumn::new(),
            events: EventColumn::new(),
            links: LinkColumn::new(),
            trace_state: StringBuilder::new(),
            flags: Int64Builder::new(),
            dropped_attributes_count: Int64Builder::new(),
            dropped_events_count: Int64Builder::new(),
            dropped_links_count: Int64Builder::new(),
            scratch: String::new(),
        }
    }

    /// Adds one span. `attributes` are its own, already split.
    pub(crate) fn append(&mut self, origin: Origin<'_>, span: &Span, attributes: &Attributes<'_>, received: UnixNanos) {
        self.time.append(span_time(span, received));
        self.origin.append(origin);
        self.own.append(span, &mut self.scratch);
        self.promoted.append(&attributes.columns);
        self.attributes.append(&attributes.rest);
        self.events.append(&span.events);
        self.links.append(&span.links, &mut self.scratch);
        append_text(&mut self.trace_state, &span.trace_state);
        self.flags.append_value(i64::from(span.flags));
        self.dropped_attributes_count.append_value(i64::from(span.dropped_attributes_count));
        self.dropped_events_count.append_value(i64::from(span.dropped_events_count));
        self.dropped_links_count.append_value(i64::from(span.dropped_links_count));
    }

    /// All rows since the last call, in the schema of `spans`.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let mut columns = Columns::new();
        self.time.finish_into(&mut columns);
        self.origin.finish_promoted_into(&mut columns);
        self.own.finish_into(&mut columns);
        self.promoted.finish_into(&mut columns);
        columns.push(self.attributes.finish());
        columns.push(self.events.finish());
        columns.push(self.links.finish());
        columns.push(Arc::new(self.trace_state.finish()));
        columns.push(Arc::new(self.flags.finish()));
        columns.push(Arc::new(self.dropped_attributes_count.finish()));
        columns.push(Arc::new(self.dropped_events_count.finish()));
        columns.push(Arc::new(self.dropped_links_count.finish()));
        self.origin.finish_rest_into(&mut columns);
        RecordBatch::try_new(TableName::Spans.schema(), columns).expect("columns are built in the order and types of the schema")
    }
}

/// The columns that only spans have.
#[derive(Debug, Default)]
struct OwnColumns {
    trace_id: StringBuilder,
    span_id: StringBuilder,
    parent_span_id: StringBuilder,
    name: StringBuilder,
    kind: StringBuilder,
    status_code: StringBuilder,
    status_message: StringBuilder,
    start_time_unix_nano: Int64Builder,
    end_time_unix_nano: Int64Builder,
    duration_ns: Int64Builder,
}

impl OwnColumns {
    fn append(&mut self, span: &Span, scratch: &mut String) {
        append_id(&mut self.trace_id, &span.trace_id, scratch);
        append_id(&mut self.span_id, &span.span_id, scratch);
        append_id_given(&mut self.parent_span_id, &span.parent_span_id, scratch);
        self.name.append_value(&span.name);
        self.kind.append_value(kind_name(span.kind));
        self.status_code.append_value(status_name(span.status.as_ref().map_or(0, |status| status.code)));
        append_text(&mut self.status_message, span.status.as_ref().map_or("", |status| &status.message));
        self.start_time_unix_nano.append_value(signed(span.start_time_unix_nano));
        let is_sum = span.end_time_unix_nano == span.start_time_unix_nano.saturating_add(span_duration_ns(span));
        self.end_time_unix_nano.append_option((!is_sum).then(|| signed(span.end_time_unix_nano)));
        self.duration_ns.append_value(signed(span_duration_ns(span)));
    }

    fn finish_into(&mut self, columns: &mut Columns) {
        let texts = [&mut self.trace_id, &mut self.span_id, &mut self.parent_span_id, &mut self.name, &mut self.kind];
        columns.extend(texts.map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.status_code.finish()));
        columns.push(Arc::new(self.status_message.finish()));
        columns.push(Arc::new(self.start_time_unix_nano.finish()));
        columns.push(Arc::new(self.end_time_unix_nano.finish()));
        columns.push(Arc::new(self.duration_ns.finish()));
    }
}

#[derive(Debug)]
struct EventColumn {
    rows: ListRows,
    items: usize,
    time_unix_nano: Int64Builder,
    name: StringBuilder,
    attributes: MapColumn,
    dropped_attributes_count: Int64Builder,
}

impl EventColumn {
    fn new() -> Self {
        Self {
            rows: ListRows::new(),
            items: 0,
            time_unix_nano: Int64Builder::new(),
            name: StringBuilder::new(),
            attributes: MapColumn::new(),
            dropped_attributes_count: Int64Builder::new(),
        }
    }

    fn append(&mut self, events: &[Event]) {
        for event in events {
            append_instant(&mut self.time_unix_nano, event.time_unix_nano);
            self.name.append_value(&event.name);
            self.attributes.append(&entries(&event.attributes));
            self.dropped_attributes_count.append_value(i64::from(event.dropped_attributes_count));
        }
        self.items += events.len();
        self.rows.end_row(self.items);
    }

    fn finish(&mut self) -> ArrayRef {
        self.items = 0;
        let columns: Columns = vec![
            Arc::new(self.time_unix_nano.finish()),
            Arc::new(self.name.finish()),
            self.attributes.finish(),
            Arc::new(self.dropped_attributes_count.finish()),
        ];
        self.rows.finish(Arc::new(StructArray::new(event_fields(), columns, None)))
    }
}

#[derive(Debug)]
struct LinkColumn {
    rows: ListRows,
    items: usize,
    trace_id: StringBuilder,
    span_id: StringBuilder,
    trace_state: StringBuilder,
    attributes: MapColumn,
    dropped_attributes_count: Int64Builder,
    flags: Int64Builder,
}

impl LinkColumn {
    fn new() -> Self {
        Self {
            rows: ListRows::new(),
            items: 0,
            trace_id: StringBuilder::new(),
            span_id: StringBuilder::new(),
            trace_state: StringBuilder::new(),
            attributes: MapColumn::new(),
            dropped_attributes_count: Int64Builder::new(),
            flags: Int64Builder::new(),
        }
    }

    fn append(&mut self, links: &[Link], scratch: &mut String) {
        for link in links {
            append_id_given(&mut self.trace_id, &link.trace_id, scratch);
            append_id_given(&mut self.span_id, &link.span_id, scratch);
            append_text(&mut self.trace_state, &link.trace_state);
            self.attributes.append(&entries(&link.attributes));
            self.dropped_attributes_count.append_value(i64::from(link.dropped_attributes_count));
            self.flags.append_value(i64::from(link.flags));
        }
        self.items += links.len();
        self.rows.end_row(self.items);
    }

    fn finish(&mut self) -> ArrayRef {
        self.items = 0;
        let columns: Columns = vec![
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.trace_state.finish()),
            self.attributes.finish(),
            Arc::new(self.dropped_attributes_count.finish()),
            Arc::new(self.flags.finish()),
        ];
        self.rows.finish(Arc::new(StructArray::new(link_fields(), columns, None)))
    }
}
