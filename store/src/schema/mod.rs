//! The columns of the five tables. They are a published contract: DuckDB, Spark and every dashboard read them.
//!
//! Always holds: a column is only ever added, nullable, at the end of its group; its name and type never change.
//! Every table is partitioned by `date` (the UTC day of `time`) and keeps `time` in microseconds beside the exact
//! nanoseconds. Ids are lower-case hex text, so that they compare and join in every engine as people write them.

mod attribute;
mod column;
mod errors;
mod logs;
mod metrics;
mod red;
mod spans;

use arrow::datatypes::SchemaRef;

pub use attribute::{
    AttributeColumn, AttributeLevel, AttributeType, COHORT_ATTRIBUTES, RECORD_COHORT_ATTRIBUTES, RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS,
    find as find_attribute,
};
pub(crate) use column::Sum;
pub use column::{MAP_ENTRIES, MAP_KEYS, MAP_VALUES, attributes_type};
pub use metrics::{exemplar_fields, quantile_fields};
pub use spans::{event_fields, link_fields};

/// The width of the buckets of `red` and `errors`, in seconds.
pub const BUCKET_SECONDS: u64 = 10;

/// What stands in `service_name` of `red` and `errors` when a resource has none (OpenTelemetry's own default).
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// What stands in `operation` once a service has more operations than the limit.
pub const OTHER_OPERATION: &str = "__other__";

/// One of Haldane's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableName {
    /// One row a span.
    Spans,
    /// One row a log record.
    Logs,
    /// One row a data point.
    Metrics,
    /// Requests, errors and durations by cohort key and 10 s bucket; rows of one key and bucket add up.
    Red,
    /// Distinct errors by cohort key and 10 s bucket; rows of one key and bucket add up.
    Errors,
}

impl TableName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Spans, Self::Logs, Self::Metrics, Self::Red, Self::Errors];

    /// The name in SQL, and of the folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Red => "red",
            Self::Errors => "errors",
        }
    }

    /// The columns, `date` (the partition) first.
    pub fn schema(self) -> SchemaRef {
        match self {
            Self::Spans => spans::schema(),
            Self::Logs => logs::schema(),
            Self::Metrics => metrics::schema(),
            Self::Red => red::schema(),
            Self::Errors => errors::schema(),
        }
    }

    /// The columns that are kept only where they are not a sum.
    pub(crate) fn sums(self) -> &'static [Sum] {
        match self {
            Self::Spans => &spans::SUMS,
            Self::Logs | Self::Metrics | Self::Red | Self::Errors => &[],
        }
    }

    /// The columns rows are sorted by inside a file.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Spans | Self::Logs | Self::Red | Self::Errors => &["service_name", "time"],
            Self::Metrics => &["metric_name", "service_name", "time"],
        }
    }
}
