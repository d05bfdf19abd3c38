//! `spans`: one row a span, everything OTLP carries about it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};

use super::attribute::{RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS};
use super::column::{Sum, attributes, date, list, long, promoted, resource_and_scope, text, time};

/// The end is kept where the span ends before it starts, or does not say when; elsewhere it takes a tenth of a file to say what start and duration say.
pub(super) static SUMS: [Sum; 1] = [Sum { column: "end_time_unix_nano", of: ["start_time_unix_nano", "duration_ns"] }];

/// One element of `events`.
pub fn event_fields() -> Fields {
    vec![long("time_unix_nano"), text("name"), attributes("attributes"), long("dropped_attributes_count")].into()
}

/// One element of `links`.
pub fn link_fields() -> Fields {
    vec![text("trace_id"), text("span_id"), text("trace_state"), attributes("attributes"), long("dropped_attributes_count"), long("flags")]
        .into()
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![date(), time()];
    fields.extend(promoted(RESOURCE_COLUMNS));
    fields.extend([
        text("trace_id"),
        text("span_id"),
        text("parent_span_id"),
        text("name"),
        // SERVER, CLIENT, INTERNAL, PRODUCER, CONSUMER, UNSPECIFIED; a number OTLP does not name stays that number
        text("kind"),
        // UNSET, OK, ERROR
        text("status_code"),
        text("status_message"),
        long("start_time_unix_nano"),
        // See SUMS.
        long("end_time_unix_nano"),
        long("duration_ns"),
    ]);
    fields.extend(promoted(SPAN_AND_LOG_COLUMNS));
    fields.extend([
        attributes("attributes"),
        list("events", DataType::Struct(event_fields())),
        list("links", DataType::Struct(link_fields())),
        text("trace_state"),
        long("flags"),
        long("dropped_attributes_count"),
        long("dropped_events_count"),
        long("dropped_links_count"),
    ]);
    fields.extend(resource_and_scope());
    Arc::new(Schema::new(fields))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}
