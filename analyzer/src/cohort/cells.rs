//! The queries for evidence, and their rows as cells and error counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use haldane_store::{ExponentialHistogram, UnixNanos};

use super::gather::GatherError;
use crate::judge::{CallCount, Cell, ErrorCount, Names, Role};

/// A request is a span of these kinds; a service that has none of them is judged by its internal spans.
const REQUEST_KINDS: &str = "('SERVER', 'CONSUMER')";

pub(super) fn red_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, operation, service_instance_id, requests, errors, duration_scale, duration_zero_count, duration_offset,
         duration_counts, error_trace_id, slow_trace_id FROM red
         WHERE {chosen} AND {range} AND span_kind IN {REQUEST_KINDS}"
    )
}

/// The same columns, one row a span, as the roll-up would have made them.
pub(super) fn spans_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, CASE WHEN http_route IS NULL THEN name WHEN http_request_method IS NULL THEN http_route
           ELSE http_request_method || ' ' || http_route END AS operation,
         coalesce(service_instance_id, k8s_pod_name, host_name) AS service_instance_id,
         CAST(1 AS BIGINT) AS requests, CAST(status_code = 'ERROR' OR (kind = 'SERVER' AND coalesce(http_response_status_code, 0) >= 500)
           AS BIGINT) AS errors,
         duration_ns, trace_id FROM spans
         WHERE {chosen} AND {range} AND kind IN {REQUEST_KINDS}"
    )
}

pub(super) fn errors_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, operation, service_instance_id, fingerprint, source, error_type, message, count, trace_id FROM errors
         WHERE {chosen} AND {range}"
    )
}

/// What was called while requests were served. Functions within the service are counted together: their names are its own business.
pub(super) fn calls_sql(chosen: &str, range: &str) -> String {
    format!(
        "SELECT time, span_kind, CASE WHEN span_kind = 'INTERNAL' THEN '' ELSE operation END AS name, service_instance_id,
         CAST(sum(requests) AS BIGINT) AS count, CAST(sum(errors) AS BIGINT) AS errors FROM red
         WHERE {chosen} AND {range} AND span_kind IN ('CLIENT', 'PRODUCER', 'INTERNAL') GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
}

type CellKey = (UnixNanos, Role, Arc<str>, Arc<str>);
type ErrorKey = (UnixNanos, Role, Arc<str>, Arc<str>, Arc<str>);

/// Rows added up by key.
#[derive(Debug, Default)]
pub(super) struct CellRows {
    cells: BTreeMap<CellKey, Cell>,
    errors: BTreeMap<ErrorKey, ErrorCount>,
    calls: Vec<CallCount>,
    names: Names,
}

impl CellRows {
    pub(super) fn add_cells(&mut self, role: Role, batches: &[RecordBatch]) -> Result<(), GatherError> {
        batches.iter().try_for_each(|batch| {
            if batch.column_by_name("duration_counts").is_some() { self.add_rollups(role, batch) } else { self.add_spans(role, batch) }
        })
    }

    fn add_rollups(&mut self, role: Role, batch: &RecordBatch) -> Result<(), GatherError> {
        let columns = Columns { table: "red", batch };
        let (times, operations, instances) = (columns.times("time")?, columns.texts("operation")?, columns.texts("service_instance_id")?);
        let (requests, errors) = (columns.longs("requests")?, columns.longs("errors")?);
        let (scales, offsets) = (columns.ints("duration_scale")?, columns.ints("duration_offset")?);
        let zeros = columns.longs("duration_zero_count")?;
        let counts = columns.column("duration_counts")?;
        let counts = counts.as_list_opt::<i32>().ok_or(columns.unexpected("duration_counts"))?;
        let (failed, slow) = (columns.texts("error_trace_id")?, columns.texts("slow_trace_id")?);
        for (row, at) in times.iter().copied().enumerate() {
            let buckets = counts.value(row);
            let buckets = buckets.as_primitive_opt::<Int64Type>().ok_or(columns.unexpected("duration_counts"))?;
            let durations = ExponentialHistogram::from_parts(
                scales.value(row),
                unsigned(&zeros, row),
                offsets.value(row),
                buckets.values().iter().map(|count| u64::try_from(*count).unwrap_or(0)).collect(),
            );
            let cell = self.cell(at, role, text(&operations, row), text(&instances, row));
            cell.requests += unsigned(&requests, row);
            cell.errors += unsigned(&errors, row);
            cell.durations.merge(&durations);
            cell.error_trace = cell.error_trace.take().or_else(|| optional(&failed, row));
            cell.slow_trace = optional(&slow, row).or_else(|| cell.slow_trace.take());
        }
        Ok(())
    }

    fn add_spans(&mut self, role: Role, batch: &RecordBatch) -> Result<(), GatherError> {
        let columns = Columns { table: "spans", batch };
        let (times, operations, instances) = (columns.times("time")?, columns.texts("operation")?, columns.texts("service_instance_id")?);
        let (errors, durations, traces) = (columns.longs("errors")?, columns.longs("duration_ns")?, columns.texts("trace_id")?);
        let window = std::time::Duration::from_secs(haldane_store::schema::BUCKET_SECONDS);
        for (row, at) in times.iter().enumerate() {
            let cell = self.cell(at.bucket(window), role, text(&operations, row), text(&instances, row));
            cell.requests += 1;
            cell.durations.record(durations.value(row) as f64);
            if unsigned(&errors, row) > 0 {
                cell.errors += 1;
                cell.error_trace = cell.error_trace.take().or_else(|| optional(&traces, row));
            }
            cell.slow_trace = optional(&traces, row).or_else(|| cell.slow_trace.take());
        }
        Ok(())
    }

    pub(super) fn add_errors(&mut self, role: Role, batches: &[RecordBatch]) -> Result<(), GatherError> {
        for batch in batches {
            let columns = Columns { table: "errors", batch };
            let (times, operations, instances) =
                (columns.times("time")?, columns.texts("operation")?, columns.texts("service_instance_id")?);
            let (fingerprints, sources) = (columns.texts("fingerprint")?, columns.texts("source")?);
            let (kinds, messages) = (columns.texts("error_type")?, columns.texts("message")?);
            let (counts, traces) = (columns.longs("count")?, columns.texts("trace_id")?);
            for (row, at) in times.iter().copied().enumerate() {
                let (operation, instance) = (self.names.get(text(&operations, row)), self.names.get(text(&instances, row)));
                let fingerprint = self.names.get(text(&fingerprints, row));
                let key = (at, role, operation.clone(), instance.clone(), fingerprint.clone());
                let error = self.errors.entry(key).or_insert_with(|| ErrorCount {
                    at,
                    cohort: role,
                    operation,
                    instance,
                    fingerprint,
                    source: text(&sources, row).into(),
                    error_type: text(&kinds, row).into(),
                    message: text(&messages, row).into(),
                    count: 0,
                    trace: None,
                });
                error.count += unsigned(&counts, row);
                error.trace = error.trace.take().or_else(|| optional(&traces, row));
            }
        }
        Ok(())
    }

    pub(super) fn add_calls(&mut self, role: Role, batches: &[RecordBatch]) -> Result<(), GatherError> {
        for batch in batches {
            let columns = Columns { table: "red", batch };
            let (times, kinds, called) = (columns.times("time")?, columns.texts("span_kind")?, columns.texts("name")?);
            let (instances, counts, errors) = (columns.texts("service_instance_id")?, columns.longs("count")?, columns.longs("errors")?);
            for (row, at) in times.iter().copied().enumerate() {
                self.calls.push(CallCount {
                    at,
                    cohort: role,
                    instance: self.names.get(text(&instances, row)),
                    kind: self.names.get(text(&kinds, row)),
                    name: self.names.get(text(&called, row)),
                    count: unsigned(&counts, row),
                    errors: unsigned(&errors, row),
                });
            }
        }
        Ok(())
    }

    /// All cells, errors and calls, sorted by time, calls within their cohort.
    pub(super) fn finish(self) -> (Vec<Cell>, Vec<ErrorCount>, Vec<CallCount>) {
        (self.cells.into_values().collect(), self.errors.into_values().collect(), self.calls)
    }

    fn cell(&mut self, at: UnixNanos, cohort: Role, operation: &str, instance: &str) -> &mut Cell {
        let (operation, instance) = (self.names.get(operation), self.names.get(instance));
        let key = (at, cohort, operation.clone(), instance.clone());
        self.cells.entry(key).or_insert_with(|| Cell::new(at, cohort, operation, instance))
    }
}

/// The first value of a `time` column.
pub(super) fn first_time(batches: &[RecordBatch]) -> Result<Option<UnixNanos>, GatherError> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let columns = Columns { table: "red", batch };
    if columns.column("time")?.is_null(0) {
        return Ok(None);
    }
    Ok(columns.times("time")?.first().copied())
}

/// The first value of a `rows` column.
pub(super) fn first_count(batches: &[RecordBatch]) -> Result<u64, GatherError> {
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(0) };
    Ok(unsigned(&Columns { table: "red", batch }.longs("rows")?, 0))
}

/// The columns of one batch, by name and type.
pub(crate) struct Columns<'a> {
    pub(crate) table: &'static str,
    pub(crate) batch: &'a RecordBatch,
}

impl Columns<'_> {
    fn unexpected(&self, column: &'static str) -> GatherError {
        GatherError::Column { table: self.table, column }
    }

    fn column(&self, column: &'static str) -> Result<&ArrayRef, GatherError> {
        self.batch.column_by_name(column).ok_or(self.unexpected(column))
    }

    pub(crate) fn texts(&self, column: &'static str) -> Result<StringArray, GatherError> {
        self.column(column)?.as_string_opt::<i32>().cloned().ok_or(self.unexpected(column))
    }

    pub(crate) fn longs(&self, column: &'static str) -> Result<Int64Array, GatherError> {
        self.column(column)?.as_primitive_opt::<Int64Type>().cloned().ok_or(self.unexpected(column))
    }

    fn ints(&self, column: &'static str) -> Result<Int32Array, GatherError> {
        self.column(column)?.as_primitive_opt::<Int32Type>().cloned().ok_or(self.unexpected(column))
    }

    pub(crate) fn times(&self, column: &'static str) -> Result<Vec<UnixNanos>, GatherError> {
        let micros = self.column(column)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or(self.unexpected(column))?;
        Ok(micros.values().iter().map(|micros| UnixNanos::new(micros.saturating_mul(1_000))).collect())
    }
}

/// A text, empty where there is none.
pub(crate) fn text(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}

fn optional(column: &StringArray, row: usize) -> Option<Arc<str>> {
    (!column.is_null(row) && !column.value(row).is_empty()).then(|| column.value(row).into())
}

/// A count, zero where there is none or a negative one.
pub(crate) fn unsigned(column: &Int64Array, row: usize) -> u64 {
    if column.is_null(row) { 0 } else { u64::try_from(column.value(row)).unwrap_or(0) }
}
