//! Writes sorted rows as row groups of one Parquet file: what comes in a dictionary by [`ChunkEncoder`], all else by the library's writers.

use std::fs::File;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use super::chunk::{Chunk, ChunkEncoder};
use super::properties::{GROUP_ROWS_MAX, has_statistics, properties};

/// The row groups of an open file. Readers take the types of columns from the table, so the file does not carry Arrow's.
pub(super) struct RowGroups {
    file: SerializedFileWriter<File>,
    properties: WriterPropertiesPtr,
    chunks: ChunkEncoder,
}

impl std::fmt::Debug for RowGroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowGroups").finish_non_exhaustive()
    }
}

impl RowGroups {
    pub(super) fn create(file: File, schema: &SchemaRef) -> Result<Self, ParquetError> {
        let properties = Arc::new(properties());
        let root = ArrowSchemaConverter::new().convert(schema)?.root_schema_ptr();
        let file = SerializedFileWriter::new(file, root, properties.clone())?;
        Ok(Self { file, properties, chunks: ChunkEncoder::new()? })
    }

    /// Adds rows in the columns that the file was created with.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        for start in (0..rows.num_rows()).step_by(GROUP_ROWS_MAX) {
            self.write_group(&rows.slice(start, GROUP_ROWS_MAX.min(rows.num_rows() - start)))?;
        }
        Ok(())
    }

    fn write_group(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        let schema = rows.schema();
        let mut encoded: Vec<Option<Chunk>> = Vec::new();
        let mut leaf = 0;
        for (field, column) in schema.fields().iter().zip(rows.columns()) {
            let descr = self.file.schema_descr().column(leaf);
            encoded.push(self.chunks.encode(&descr, column, has_statistics(field.name()))?);
            leaf += leaves_of(field)?;
        }
        let others = schema.fields().iter().zip(&encoded).filter(|(_, chunk)| chunk.is_none()).map(|(field, _)| field.clone());
        let mut others = column_writers(others.collect(), &self.properties)?.into_iter();
        let mut group = self.file.next_row_group()?;
        for ((field, column), chunk) in schema.fields().iter().zip(rows.columns()).zip(encoded) {
            match chunk {
                Some(Chunk { bytes, close }) => group.append_column(&bytes, close)?,
                None => write_column(&mut group, field, column, &mut others)?,
            }
        }
        group.close()?;
        Ok(())
    }

    /// Writes the footer and gives the file back.
    pub(super) fn finish(self) -> Result<File, ParquetError> {
        self.file.into_inner()
    }
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    field: &FieldRef,
    column: &ArrayRef,
    writers: &mut impl Iterator<Item = ArrowColumnWriter>,
) -> Result<(), ParquetError> {
    for leaf in compute_leaves(field, column)? {
        let mut writer = writers.next().ok_or_else(|| ParquetError::General("a leaf without a writer".to_owned()))?;
        writer.write(&leaf)?;
        writer.close()?.append_to_row_group(group)?;
    }
    Ok(())
}

/// The library's writers for some columns of a file.
fn column_writers(fields: Vec<FieldRef>, properties: &WriterPropertiesPtr) -> Result<Vec<ArrowColumnWriter>, ParquetError> {
    let schema = Arc::new(Schema::new(fields));
    let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
    // It makes writers for all columns of a file only: here of one that has no others, and is written nowhere.
    let nowhere = SerializedFileWriter::new(std::io::sink(), root, properties.clone())?;
    ArrowRowGroupWriterFactory::new(&nowhere, schema).create_column_writers(0)
}

/// How many columns of Parquet a column becomes.
fn leaves_of(field: &FieldRef) -> Result<usize, ParquetError> {
    if !field.data_type().is_nested() {
        return Ok(1);
    }
    Ok(ArrowSchemaConverter::new().convert(&Schema::new(vec![field.clone()]))?.num_columns())
}
