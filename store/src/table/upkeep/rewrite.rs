//! Makes one file of several small ones.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::schema::TableName;
use crate::table::file::{self, FileError, Written};
use crate::table::hot::size_of_batch;

/// Rows that are sorted and written together when files are joined: it bounds the memory of it.
const GROUP_ROWS: usize = 16_384;
/// Fewer, when they take this much memory.
const GROUP_BYTES: usize = 6 << 20;
/// Rows that are read at once.
const READ_ROWS: usize = 1_024;

/// Writes the rows of some files as one, in sorted groups, with the columns that any of them has. `None` when one has columns that are not known here: then nobody may rewrite it.
pub(super) fn rewrite(table: TableName, folder: &Path, day: i32, paths: &[PathBuf]) -> Result<Option<Written>, FileError> {
    let Some(schema) = common_schema(table, paths)? else { return Ok(None) };
    let mut output = file::Output::new(table, folder);
    let (mut waiting, mut rows, mut bytes) = (Vec::new(), 0, 0);
    for path in paths {
        let input = open(path)?;
        let options = reading_options(&input, &schema)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(input, options).with_batch_size(READ_ROWS).build()?;
        for batch in reader {
            let batch = with_all_columns(&schema, &batch?)?;
            rows += batch.num_rows();
            bytes += size_of_batch(&batch);
            waiting.push(batch);
            if rows >= GROUP_ROWS || bytes >= GROUP_BYTES {
                output.write_group(day, &std::mem::take(&mut waiting))?;
                (rows, bytes) = (0, 0);
            }
        }
    }
    if !waiting.is_empty() {
        output.write_group(day, &waiting)?;
    }
    Ok(Some(output.finish()?))
}

/// The columns that any of the files has, text that repeats as it is kept in memory; `None` when one has columns that are not known here.
fn common_schema(table: TableName, paths: &[PathBuf]) -> Result<Option<SchemaRef>, FileError> {
    let mut there = HashSet::new();
    for path in paths {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let schema = ArrowReaderMetadata::load(&open(path)?, options)?.schema().clone();
        there.extend(schema.fields().iter().map(|field| field.name().clone()));
    }
    let mut fields = Vec::new();
    for field in table.schema().fields().iter().filter(|field| field.name() != file::DATE) {
        if there.remove(field.name()) || !field.is_nullable() || file::is_sorted_by(table, field) {
            fields.push(in_memory(field));
        }
    }
    Ok(there.is_empty().then(|| Arc::new(Schema::new(fields))))
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|source| FileError::Read { path: path.to_owned(), source })
}

fn in_memory(field: &Field) -> Field {
    let repeats = *field.data_type() == DataType::Utf8 && !file::DISTINCT_TEXTS.contains(&field.name().as_str());
    if repeats {
        Field::new(field.name(), DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), true)
    } else {
        field.clone()
    }
}

/// How to read a file so that its columns have the types of ours, which has them all.
fn reading_options(input: &File, schema: &SchemaRef) -> Result<ArrowReaderMetadata, FileError> {
    let plain = ArrowReaderMetadata::load(input, ArrowReaderOptions::new().with_skip_arrow_metadata(true))?;
    let in_our_type = |field: &Arc<Field>| {
        let ours = schema.field_with_name(field.name())?;
        Ok(Field::new(field.name(), ours.data_type().clone(), field.is_nullable()))
    };
    let fields = plain.schema().fields().iter().map(in_our_type).collect::<Result<Vec<_>, ArrowError>>()?;
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    Ok(ArrowReaderMetadata::try_new(plain.metadata().clone(), options)?)
}

/// A batch of a file with the columns that it lacks.
fn with_all_columns(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, FileError> {
    let column = |field: &Arc<Field>| -> ArrayRef {
        batch.column_by_name(field.name()).cloned().unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
    };
    Ok(RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect())?)
}
