//! Evidence as rows and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Int32Array, ListBuilder, StringArray, TimestampNanosecondArray, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{Int32Type, TimestampNanosecondType, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use haldane_store::{ExponentialHistogram, UnixNanos};

use crate::judge::{Cell, ErrorCount, Evidence, Names, Role};

const REQUESTS: &str = "requests";
const ERROR: &str = "error";

/// One row for each cell, then one for each distinct error.
pub(super) fn from_evidence(evidence: &Evidence) -> Result<RecordBatch, ArrowError> {
    let (cells, errors) = (&evidence.cells, &evidence.errors);
    // A column that cells and errors have, and those that only one of them has.
    let both = |cell: &dyn Fn(&Cell) -> String, error: &dyn Fn(&ErrorCount) -> String| -> ArrayRef {
        Arc::new(cells.iter().map(cell).chain(errors.iter().map(error)).map(Some).collect::<StringArray>())
    };
    let number = |cell: &dyn Fn(&Cell) -> u64| -> ArrayRef {
        Arc::new(cells.iter().map(|one| Some(cell(one))).chain(errors.iter().map(|_| None)).collect::<UInt64Array>())
    };
    let integer = |cell: &dyn Fn(&Cell) -> i32| -> ArrayRef {
        Arc::new(cells.iter().map(|one| Some(cell(one))).chain(errors.iter().map(|_| None)).collect::<Int32Array>())
    };
    let trace = |cell: &dyn Fn(&Cell) -> Option<Arc<str>>| -> ArrayRef {
        Arc::new(cells.iter().map(cell).chain(errors.iter().map(|_| None)).collect::<StringArray>())
    };
    let text = |error: &dyn Fn(&ErrorCount) -> Option<Arc<str>>| -> ArrayRef {
        Arc::new(cells.iter().map(|_| None).chain(errors.iter().map(error)).collect::<StringArray>())
    };
    let times = cells.iter().map(|cell| cell.at).chain(errors.iter().map(|error| error.at)).map(UnixNanos::as_nanos);
    let counts = cells.iter().map(|_| None).chain(errors.iter().map(|error| Some(error.count)));
    RecordBatch::try_from_iter_with_nullable([
        ("kind", both(&|_| REQUESTS.to_owned(), &|_| ERROR.to_owned()), false),
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC")), false),
        ("cohort", both(&|cell| word(cell.cohort).to_owned(), &|error| word(error.cohort).to_owned()), false),
        ("operation", both(&|cell| cell.operation.to_string(), &|error| error.operation.to_string()), false),
        ("instance", both(&|cell| cell.instance.to_string(), &|error| error.instance.to_string()), false),
        ("requests", number(&|cell| cell.requests), true),
        ("errors", number(&|cell| cell.errors), true),
        ("duration_scale", integer(&|cell| cell.durations.scale()), true),
        ("duration_zero_count", number(&|cell| cell.durations.zero_count()), true),
        ("duration_offset", integer(&|cell| cell.durations.offset()), true),
        ("duration_counts", buckets(evidence), true),
        ("error_trace_id", trace(&|cell| cell.error_trace.clone()), true),
        ("slow_trace_id", trace(&|cell| cell.slow_trace.clone()), true),
        ("fingerprint", text(&|error| Some(error.fingerprint.clone())), true),
        ("source", text(&|error| Some(error.source.clone())), true),
        ("error_type", text(&|error| Some(error.error_type.clone())), true),
        ("message", text(&|error| Some(error.message.clone())), true),
        ("count", Arc::new(counts.collect::<UInt64Array>()), true),
        ("trace_id", text(&|error| error.trace.clone()), true),
    ])
}

fn buckets(evidence: &Evidence) -> ArrayRef {
    let mut lists = ListBuilder::new(UInt64Builder::new());
    for cell in &evidence.cells {
        lists.values().append_slice(cell.durations.counts());
        lists.append(true);
    }
    evidence.errors.iter().for_each(|_| lists.append(false));
    Arc::new(lists.finish())
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Baseline => "baseline",
        Role::Canary => "canary",
    }
}

/// The evidence of some rows.
pub(super) fn to_evidence(batches: &[RecordBatch]) -> Result<(Vec<Cell>, Vec<ErrorCount>), ArrowError> {
    let (mut cells, mut errors, mut names) = (Vec::new(), Vec::new(), Names::default());
    for batch in batches {
        let columns = Columns::of(batch)?;
        for row in 0..batch.num_rows() {
            if columns.kind.value(row) == REQUESTS {
                cells.push(columns.cell(row, &mut names));
            } else {
                errors.push(columns.error(row, &mut names));
            }
        }
    }
    Ok((cells, errors))
}

struct Columns<'b> {
    kind: &'b StringArray,
    time: &'b TimestampNanosecondArray,
    cohort: &'b StringArray,
    operation: &'b StringArray,
    instance: &'b StringArray,
    requests: &'b UInt64Array,
    errors: &'b UInt64Array,
    scale: &'b Int32Array,
    zeros: &'b UInt64Array,
    offset: &'b Int32Array,
    counts: Vec<Vec<u64>>,
    error_trace: &'b StringArray,
    slow_trace: &'b StringArray,
    fingerprint: &'b StringArray,
    source: &'b StringArray,
    error_type: &'b StringArray,
    message: &'b StringArray,
    count: &'b UInt64Array,
    trace: &'b StringArray,
}

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")));
        let wrong = |name: &str| ArrowError::SchemaError(format!("the column {name} has another type"));
        let text = |name: &str| column(name)?.as_string_opt::<i32>().ok_or_else(|| wrong(name));
        let number = |name: &str| column(name)?.as_primitive_opt::<UInt64Type>().ok_or_else(|| wrong(name));
        let integer = |name: &str| column(name)?.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong(name));
        let lists = column("duration_counts")?.as_list_opt::<i32>().ok_or_else(|| wrong("duration_counts"))?;
        let list = |row: usize| {
            let counts = lists.value(row);
            let counts = counts.as_primitive_opt::<UInt64Type>().ok_or_else(|| wrong("duration_counts"))?;
            Ok(counts.values().to_vec())
        };
        Ok(Self {
            kind: text("kind")?,
            time: column("time")?.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(|| wrong("time"))?,
            cohort: text("cohort")?,
            operation: text("operation")?,
            instance: text("instance")?,
            requests: number("requests")?,
            errors: number("errors")?,
            scale: integer("duration_scale")?,
            zeros: number("duration_zero_count")?,
            offset: integer("duration_offset")?,
            counts: (0..batch.num_rows()).map(list).collect::<Result<_, ArrowError>>()?,
            error_trace: text("error_trace_id")?,
            slow_trace: text("slow_trace_id")?,
            fingerprint: text("fingerprint")?,
            source: text("source")?,
            error_type: text("error_type")?,
            message: text("message")?,
            count: number("count")?,
            trace: text("trace_id")?,
        })
    }

    fn cell(&self, row: usize, names: &mut Names) -> Cell {
        let (scale, zeros, offset) = (self.scale.value(row), self.zeros.value(row), self.offset.value(row));
        Cell {
            at: UnixNanos::new(self.time.value(row)),
            cohort: self.role(row),
            operation: names.get(self.operation.value(row)),
            instance: names.get(self.instance.value(row)),
            requests: self.requests.value(row),
            errors: self.errors.value(row),
            durations: ExponentialHistogram::from_parts(scale, zeros, offset, self.counts[row].clone()),
            error_trace: optional(self.error_trace, row),
            slow_trace: optional(self.slow_trace, row),
        }
    }

    fn error(&self, row: usize, names: &mut Names) -> ErrorCount {
        ErrorCount {
            at: UnixNanos::new(self.time.value(row)),
            cohort: self.role(row),
            operation: names.get(self.operation.value(row)),
            instance: names.get(self.instance.value(row)),
            fingerprint: names.get(self.fingerprint.value(row)),
            source: names.get(self.source.value(row)),
            error_type: names.get(self.error_type.value(row)),
            message: names.get(self.message.value(row)),
            count: self.count.value(row),
            trace: optional(self.trace, row),
        }
    }

    fn role(&self, row: usize) -> Role {
        if self.cohort.value(row) == word(Role::Canary) { Role::Canary } else { Role::Baseline }
    }
}

fn optional(column: &StringArray, row: usize) -> Option<Arc<str>> {
    (!column.is_null(row)).then(|| column.value(row).into())
}
