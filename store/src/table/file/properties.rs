//! How each column is written. The choices come from measurements of a prototype on spans; `make bench-ingest` says what they lead to: bytes a span.

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

/// Batches are not joined to more rows than this.
pub(super) const GROUP_ROWS_MAX: usize = 131_072;
/// Texts that take more than this are no dictionary.
pub(super) const DICTIONARY_BYTES_MAX: usize = 4 << 20;
/// Longer text is not put into statistics.
pub(super) const STATISTICS_BYTES_MAX: usize = 64;
/// Higher levels take longer and save nothing.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// Columns that readers pass over files and row groups by.
const PRUNED_BY: [&str; 12] = [
    "time",
    "service_name",
    "service_version",
    "deployment_environment_name",
    "metric_name",
    "operation",
    "name",
    "http_route",
    "http_response_status_code",
    "severity_number",
    "duration_ns",
    "start_time_unix_nano",
];
/// Instants, which are small steps from row to row, and durations, of which many have far fewer bits than the longest: packed by what they differ in.
const PACKED: [&str; 6] =
    ["time", "time_unix_nano", "start_time_unix_nano", "end_time_unix_nano", "observed_time_unix_nano", "duration_ns"];
/// Text that seldom repeats, for which a dictionary is work for nothing.
pub(in crate::table) const DISTINCT_TEXTS: [&str; 9] = [
    "span_id",
    "parent_span_id",
    "url_path",
    "url_query",
    "url_full",
    "body",
    "exception_message",
    "exception_stacktrace",
    "db_query_text",
];
/// Numbers that seldom repeat. (`BYTE_STREAM_SPLIT` would save 0.8 bytes a span, but Spark does not read it.)
const DISTINCT_NUMBERS: [&str; 1] = ["http_response_body_size"];

pub(super) fn zstd_level() -> ZstdLevel {
    ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()
}

/// Whether a column has statistics in each row group.
pub(super) fn has_statistics(column: &str) -> bool {
    PRUNED_BY.contains(&column)
}

pub(super) fn properties() -> WriterProperties {
    builder().build()
}

/// For a column of texts that are in a dictionary and should not be.
pub(super) fn properties_of_plain_text() -> WriterProperties {
    builder().set_dictionary_enabled(false).set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY).build()
}

fn builder() -> WriterPropertiesBuilder {
    let zstd = Compression::ZSTD(zstd_level());
    let mut builder = WriterProperties::builder()
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .set_data_page_row_count_limit(GROUP_ROWS_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    for column in PRUNED_BY {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::Chunk);
    }
    for column in PACKED {
        let path = ColumnPath::from(column);
        builder = builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    for column in DISTINCT_TEXTS {
        let path = ColumnPath::from(column);
        builder = builder.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY);
    }
    for column in DISTINCT_NUMBERS {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    builder
}
