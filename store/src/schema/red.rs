//! `red`: rate, errors and duration of one cohort key in one 10 s bucket. `time` is the start of the bucket.
//!
//! A key may have several rows in a bucket (one a flush, more for late data); counts add up and histograms merge.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::column::{attributes, date, int, list, long, text, time};

/// The columns that `red` and `errors` share: where the rows come from.
pub(super) fn cohort_key() -> Vec<Field> {
    vec![
        date(),
        time(),
        text("service_name"),
        text("service_namespace"),
        text("service_version"),
        text("deployment_environment_name"),
        // service.instance.id, else k8s.pod.name, else host.name
        text("service_instance_id"),
        attributes("cohort_attributes"),
        text("operation"),
    ]
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = cohort_key();
    fields.extend([
        text("span_kind"),
        long("requests"),
        long("errors"),
        long("duration_sum_ns"),
        long("duration_min_ns"),
        long("duration_max_ns"),
        // base-2 exponential histogram of nanoseconds
        int("duration_scale"),
        long("duration_zero_count"),
        int("duration_offset"),
        list("duration_counts", DataType::Int64),
        // one trace that failed, and the slowest one
        text("error_trace_id"),
        text("slow_trace_id"),
    ]);
    Arc::new(Schema::new(fields))
});

pub(super) fn schema() -> SchemaRef {
    SCHEMA.clone()
}
