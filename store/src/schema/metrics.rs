//! `metrics`: one row a data point of any type; the columns of the other types are null.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};

use super::attribute::{RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS};
use super::column::{attributes, boolean, date, double, int, list, long, promoted, resource_and_scope, text, time};

/// One element of `exemplars`.
pub fn exemplar_fields() -> Fields {
    vec![
        long("time_unix_nano"),
        double("value_double"),
        long("value_int"),
        text("trace_id"),
        text("span_id"),
        attributes("filtered_attributes"),
    ]
    .into()
}

/// One element of `quantiles`.
pub fn quantile_fields() -> Fields {
    vec![double("quantile"), double("value")].into()
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![date(), time(), text("metric_name")];
    fields.extend(promoted(RESOURCE_COLUMNS));
    fields.extend([
        // gauge, sum, histogram, exponential_histogram, summary
        text("metric_type"),
        text("unit"),
        text("description"),
        // unspecified, delta, cumulative; null for gauge and summary
        text("temporality"),
        boolean("is_monotonic"),
        // 16 hex digits: the points of one series have the same
        text("series_id"),
        long("time_unix_nano"),
        long("start_time_unix_nano"),
        double("value_double"),
        long("value_int"),
        long("count"),
        double("sum"),
        double("min"),
        double("max"),
        list("explicit_bounds", DataType::Float64),
        list("bucket_counts", DataType::Int64),
        int("scale"),
        long("zero_count"),
        double("zero_threshold"),
        int("positive_offset"),
        list("positive_bucket_counts", DataType::Int64),
        int("negative_offset"),
        list("negative_bucket_counts", DataType::Int64),
        list("quantiles", DataType::Struct(quantile_fields())),
    ]);
    fields.extend(promoted(SPAN_AND_LOG_COLUMNS));
    fields.extend([
        attributes("attributes"),
        list("exemplars", DataType::Struct(exemplar_fields())),
        long("flags"),
        attributes("metric_metadata"),
    ]);
    fields.extend(resource_and_scope());
    Arc::new(Schema::new(fields))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}
