//! Evidence as rows and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Float64Array, Int32Array, ListBuilder, StringArray, TimestampNanosecondArray, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{Float64Type, Int32Type, TimestampNanosecondType, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use haldane_store::{ExponentialHistogram, UnixNanos};

use crate::judge::{CallCount, Cell, CellRef, Cells, ErrorCount, Evidence, Names, Role, Sample, TraceId};

const REQUESTS: &str = "requests";
const ERROR: &str = "error";
const CALL: &str = "call";
const SAMPLE: &str = "sample";

/// One row of the file.
enum Row<'e> {
    Cell(CellRef<'e>),
    Error(&'e ErrorCount),
    Call(&'e CallCount),
    Sample(&'e Sample),
}

/// One row for each cell, then one for each distinct error, then one for each call, then one for each sample.
pub(super) fn from_evidence(evidence: &Evidence) -> Result<RecordBatch, ArrowError> {
    let cells = evidence.cells.iter().map(Row::Cell);
    let rows: Vec<Row<'_>> = cells
        .chain(evidence.errors.iter().map(Row::Error))
        .chain(evidence.calls.iter().map(Row::Call))
        .chain(evidence.samples.iter().map(Row::Sample))
        .collect();
    let text = |value: &dyn Fn(&Row<'_>) -> Option<Arc<str>>| -> ArrayRef { Arc::new(rows.iter().map(value).collect::<StringArray>()) };
    let every = |value: &dyn Fn(&Row<'_>) -> Arc<str>| text(&|row| Some(value(row)));
    let number = |value: &dyn Fn(&Row<'_>) -> Option<u64>| -> ArrayRef { Arc::new(rows.iter().map(value).collect::<UInt64Array>()) };
    let of_cell = |value: fn(&CellRef<'_>) -> u64| number(&|row| row.cell().map(value));
    let integer =
        |value: fn(&CellRef<'_>) -> i32| -> ArrayRef { Arc::new(rows.iter().map(|row| row.cell().map(value)).collect::<Int32Array>()) };
    let of_error = |value: fn(&ErrorCount) -> Arc<str>| text(&|row| row.error().map(value));
    let values: ArrayRef = Arc::new(rows.iter().map(Row::value).collect::<Float64Array>());
    let times = rows.iter().map(|row| row.place().0.as_nanos());
    RecordBatch::try_from_iter_with_nullable([
        ("kind", every(&|row| row.kind().into()), false),
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC")), false),
        ("cohort", every(&|row| word(row.place().1).into()), false),
        ("operation", every(&|row| row.operation().clone()), false),
        ("instance", every(&|row| row.place().2.clone()), false),
        ("requests", of_cell(|cell| cell.requests), true),
        ("errors", number(&|row| row.errors()), true),
        ("duration_scale", integer(|cell| cell.durations.scale()), true),
        ("duration_zero_count", of_cell(|cell| cell.durations.zero_count()), true),
        ("duration_offset", integer(|cell| cell.durations.offset()), true),
        ("duration_counts", buckets(&rows), true),
        ("error_trace_id", text(&|row| row.cell().and_then(|cell| cell.error_trace.map(TraceId::text))), true),
        ("slow_trace_id", text(&|row| row.cell().and_then(|cell| cell.slow_trace.map(TraceId::text))), true),
        ("fingerprint", of_error(|error| error.fingerprint.clone()), true),
        ("source", of_error(|error| error.source.clone()), true),
        ("error_type", of_error(|error| error.error_type.clone()), true),
        ("message", of_error(|error| error.message.clone()), true),
        ("count", number(&|row| row.count()), true),
        ("trace_id", text(&|row| row.error().and_then(|error| error.trace.clone())), true),
        ("span_kind", text(&|row| row.span_kind()), true),
        ("value", values, true),
    ])
}

impl Row<'_> {
    fn cell(&self) -> Option<&CellRef<'_>> {
        if let Self::Cell(cell) = self { Some(cell) } else { None }
    }

    fn error(&self) -> Option<&ErrorCount> {
        if let Self::Error(error) = self { Some(error) } else { None }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Cell(_) => REQUESTS,
            Self::Error(_) => ERROR,
            Self::Call(_) => CALL,
            Self::Sample(_) => SAMPLE,
        }
    }

    fn place(&self) -> (UnixNanos, Role, &Arc<str>) {
        match self {
            Self::Cell(one) => (one.at, one.cohort, one.instance),
            Self::Error(one) => (one.at, one.cohort, &one.instance),
            Self::Call(one) => (one.at, one.cohort, &one.instance),
            Self::Sample(one) => (one.at, one.cohort, &one.instance),
        }
    }

    fn operation(&self) -> &Arc<str> {
        match self {
            Self::Cell(one) => one.operation,
            Self::Error(one) => &one.operation,
            Self::Call(one) => &one.name,
            Self::Sample(one) => &one.check,
        }
    }

    fn errors(&self) -> Option<u64> {
        match self {
            Self::Cell(one) => Some(one.errors),
            Self::Error(_) | Self::Sample(_) => None,
            Self::Call(one) => Some(one.errors),
        }
    }

    fn count(&self) -> Option<u64> {
        match self {
            Self::Cell(_) | Self::Sample(_) => None,
            Self::Error(one) => Some(one.count),
            Self::Call(one) => Some(one.count),
        }
    }

    fn value(&self) -> Option<f64> {
        if let Self::Sample(sample) = self { Some(sample.value) } else { None }
    }

    fn span_kind(&self) -> Option<Arc<str>> {
        if let Self::Call(call) = self { Some(call.kind.clone()) } else { None }
    }
}

fn buckets(rows: &[Row<'_>]) -> ArrayRef {
    let mut lists = ListBuilder::new(UInt64Builder::new());
    for row in rows {
        if let Some(cell) = row.cell() {
            cell.durations.dense().for_each(|count| lists.values().append_value(count));
        }
        lists.append(row.cell().is_some());
    }
    Arc::new(lists.finish())
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Baseline => "baseline",
        Role::Canary => "canary",
    }
}

/// What the rows of a file say.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) cells: Cells,
    pub(super) errors: Vec<ErrorCount>,
    pub(super) calls: Vec<CallCount>,
    pub(super) samples: Vec<Sample>,
}

/// The evidence of some rows.
pub(super) fn to_evidence(batches: &[RecordBatch]) -> Result<Counts, ArrowError> {
    let (mut counts, mut names) = (Counts::default(), Names::default());
    for batch in batches {
        let columns = Columns::of(batch)?;
        for row in 0..batch.num_rows() {
            match columns.kind.value(row) {
                REQUESTS => counts.cells.push(&columns.cell(row, &mut names)),
                ERROR => counts.errors.push(columns.error(row, &mut names)),
                CALL => counts.calls.push(columns.call(row, &mut names)),
                SAMPLE => counts.samples.push(columns.sample(row, &mut names)),
                other => return Err(ArrowError::SchemaError(format!("there are no rows of the kind {other}"))),
            }
        }
    }
    Ok(counts)
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
    span_kind: &'b StringArray,
    value: &'b Float64Array,
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
            span_kind: text("span_kind")?,
            value: column("value")?.as_primitive_opt::<Float64Type>().ok_or_else(|| wrong("value"))?,
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

    fn call(&self, row: usize, names: &mut Names) -> CallCount {
        CallCount {
            at: UnixNanos::new(self.time.value(row)),
            cohort: self.role(row),
            instance: names.get(self.instance.value(row)),
            kind: names.get(self.span_kind.value(row)),
            name: names.get(self.operation.value(row)),
            count: self.count.value(row),
            errors: self.errors.value(row),
        }
    }

    fn sample(&self, row: usize, names: &mut Names) -> Sample {
        Sample {
            at: UnixNanos::new(self.time.value(row)),
            cohort: self.role(row),
            check: names.get(self.operation.value(row)),
            instance: names.get(self.instance.value(row)),
            value: self.value.value(row),
        }
    }

    fn role(&self, row: usize) -> Role {
        if self.cohort.value(row) == word(Role::Canary) { Role::Canary } else { Role::Baseline }
    }
}

fn optional<'c, T: From<&'c str>>(column: &'c StringArray, row: usize) -> Option<T> {
    (!column.is_null(row)).then(|| column.value(row).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::world::World;

    /// Empty buckets before and behind the others, as files have them that were written when evidence kept those.
    fn padded(rows: &RecordBatch) -> RecordBatch {
        let of = |name: &str| rows.column_by_name(name).unwrap();
        let (lists, offsets) = (of("duration_counts").as_list::<i32>(), of("duration_offset").as_primitive::<Int32Type>());
        let mut counts = ListBuilder::new(UInt64Builder::new());
        for row in 0..rows.num_rows() {
            if !lists.is_null(row) {
                counts.values().append_slice(&[0, 0]);
                counts.values().append_slice(lists.value(row).as_primitive::<UInt64Type>().values());
                counts.values().append_value(0);
            }
            counts.append(!lists.is_null(row));
        }
        let offsets: Int32Array = offsets.iter().map(|offset| offset.map(|offset| offset - 2)).collect();
        let schema = rows.schema();
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "duration_counts" => Arc::new(counts.finish()) as ArrayRef,
            "duration_offset" => Arc::new(offsets.clone()),
            name => of(name).clone(),
        });
        RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
    }

    #[test]
    fn empty_buckets_of_older_files_make_no_difference() {
        let evidence = World { windows: 6, ..World::default() }.evidence();
        let rows = from_evidence(&evidence).unwrap();
        let read = to_evidence(&[padded(&rows)]).unwrap();
        assert!(!read.cells.is_empty() && read.cells == evidence.cells);
    }
}
