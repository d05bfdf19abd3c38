//! A case table, row by row: what its columns are called and which type they may have.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub(super) type Read<T> = Result<T, Box<dyn std::error::Error>>;

/// Every batch of rows of a file, in their order.
pub(super) fn batches(file: &Path) -> Read<impl Iterator<Item = Read<Columns>>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.build()?;
    Ok(reader.map(|rows| Ok(Columns(rows?))))
}

/// The columns of some rows.
pub(super) struct Columns(RecordBatch);

impl Columns {
    pub(super) fn rows(&self) -> usize {
        self.0.num_rows()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.column_by_name(name).is_some()
    }

    pub(super) fn column(&self, name: &str) -> Read<&ArrayRef> {
        let there = self.0.column_by_name(name);
        there.ok_or_else(|| format!("it has no column {name}; docs/judge.md names those of a case table").into())
    }

    pub(super) fn texts(&self, name: &str) -> Read<StringArray> {
        Ok(cast(self.column(name)?, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    /// Any numbers as those of a type; what does not fit is missing.
    pub(super) fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Read<PrimitiveArray<T>> {
        Ok(cast(self.column(name)?, &T::DATA_TYPE)?.as_primitive::<T>().clone())
    }
}

/// A text, empty where there is none.
pub(super) fn text(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}
