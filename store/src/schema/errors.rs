//! `errors`: how often a distinct error was seen for one cohort key in one 10 s bucket, with one example.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Schema, SchemaRef};

use super::column::{long, text};
use super::red::cohort_key;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = cohort_key();
    fields.extend([
        // 16 hex digits over type and normalised message, whichever way it was reported
        text("fingerprint"),
        // exception, log, status
        text("source"),
        text("error_type"),
        // with what varies (numbers, ids, quoted text) replaced
        text("message"),
        long("count"),
        text("trace_id"),
        text("span_id"),
    ]);
    Arc::new(Schema::new(fields))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}
