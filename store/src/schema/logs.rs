//! `logs`: one row a log record. `time` falls back to the observed time when the record has none of its own.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Schema, SchemaRef};

use super::attribute::{RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS};
use super::column::{attributes, date, int, long, promoted, resource_and_scope, text, time};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![date(), time()];
    fields.extend(promoted(RESOURCE_COLUMNS));
    fields.extend([
        int("severity_number"),
        text("severity_text"),
        // a string as it is, anything else as JSON; `body_type` tells: string, bool, int, double, bytes, array, kvlist
        text("body"),
        text("body_type"),
        text("event_name"),
        text("trace_id"),
        text("span_id"),
        long("time_unix_nano"),
        long("observed_time_unix_nano"),
    ]);
    fields.extend(promoted(SPAN_AND_LOG_COLUMNS));
    fields.extend([attributes("attributes"), long("flags"), long("dropped_attributes_count")]);
    fields.extend(resource_and_scope());
    Arc::new(Schema::new(fields))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}
