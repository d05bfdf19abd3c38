//! The columns of an answer, by name and type.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, MapArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use haldane_store::UnixNanos;

use super::gather::GatherError;

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
    pub(super) fn unexpected(&self, column: &'static str) -> GatherError {
        GatherError::Column { table: self.table, column }
    }

    pub(crate) fn column(&self, column: &'static str) -> Result<&ArrayRef, GatherError> {
        self.batch.column_by_name(column).ok_or(self.unexpected(column))
    }

    pub(crate) fn texts(&self, column: &'static str) -> Result<StringArray, GatherError> {
        self.column(column)?.as_string_opt::<i32>().cloned().ok_or(self.unexpected(column))
    }

    pub(crate) fn map(&self, column: &'static str) -> Result<&MapArray, GatherError> {
        self.batch.column_by_name(column).and_then(|column| column.as_map_opt()).ok_or(self.unexpected(column))
    }

    pub(crate) fn longs(&self, column: &'static str) -> Result<Int64Array, GatherError> {
        self.column(column)?.as_primitive_opt::<Int64Type>().cloned().ok_or(self.unexpected(column))
    }

    pub(crate) fn numbers(&self, column: &'static str) -> Result<Float64Array, GatherError> {
        self.column(column)?.as_primitive_opt::<Float64Type>().cloned().ok_or(self.unexpected(column))
    }

    pub(super) fn ints(&self, column: &'static str) -> Result<Int32Array, GatherError> {
        self.column(column)?.as_primitive_opt::<Int32Type>().cloned().ok_or(self.unexpected(column))
    }

    pub(crate) fn times(&self, column: &'static str) -> Result<Vec<UnixNanos>, GatherError> {
        let micros = self.column(column)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or(self.unexpected(column))?;
        Ok(micros.values().iter().map(|micros| UnixNanos::new(micros.saturating_mul(1_000))).collect())
    }
}

/// A column of texts.
pub(super) fn strings(column: &ArrayRef) -> Option<&StringArray> {
    column.as_string_opt::<i32>()
}

/// A text, empty where there is none.
pub(crate) fn text(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}

pub(super) fn optional<'c, T: From<&'c str>>(column: &'c StringArray, row: usize) -> Option<T> {
    (!column.is_null(row) && !column.value(row).is_empty()).then(|| column.value(row).into())
}

/// A count, zero where there is none or a negative one.
pub(crate) fn unsigned(column: &Int64Array, row: usize) -> u64 {
    if column.is_null(row) { 0 } else { u64::try_from(column.value(row)).unwrap_or(0) }
}
