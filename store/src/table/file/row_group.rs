//! Writes sorted rows as row groups of one Parquet file: what comes in a dictionary by [`ChunkEncoder`], all else by the library's writers.

use std::fs::File;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::SchemaDescPtr;

use super::FileError;
use super::chunk::{ChunkEncoder, Encoded};
use super::properties::{has_statistics, properties, properties_of_plain_text};

/// The row groups of an open file. Readers take the types of columns from the table, so the file does not carry Arrow's.
pub(super) struct RowGroups {
    file: SerializedFileWriter<File>,
    schema: SchemaDescPtr,
    properties: WriterPropertiesPtr,
    plain_text: WriterPropertiesPtr,
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
        let schema = Arc::new(ArrowSchemaConverter::new().convert(schema)?);
        let file = SerializedFileWriter::new(file, schema.root_schema_ptr(), properties.clone())?;
        Ok(Self { file, schema, properties, plain_text: Arc::new(properties_of_plain_text()), chunks: ChunkEncoder::new()? })
    }

    /// Adds a row group; the columns are those that the file was created with, in their order. Each is made, encoded and let go of before the next.
    pub(super) fn write(&mut self, columns: impl Iterator<Item = Result<(FieldRef, ArrayRef), FileError>>) -> Result<(), FileError> {
        let mut group = self.file.next_row_group()?;
        let mut leaf = 0;
        for column in columns {
            let (field, column) = column?;
            let descr = self.schema.column(leaf);
            leaf += leaves_of(&field)?;
            match self.chunks.encode(&descr, &column, has_statistics(field.name()))? {
                Encoded::Chunk(chunk) => group.append_column(&chunk.bytes, chunk.close)?,
                Encoded::ByLibrary => write_column(&mut group, &field, &column, &self.properties)?,
                Encoded::AsPlainText => write_column(&mut group, &field, &column, &self.plain_text)?,
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
    properties: &WriterPropertiesPtr,
) -> Result<(), ParquetError> {
    let mut writers = column_writers(field, properties)?.into_iter();
    for leaf in compute_leaves(field, column)? {
        let mut writer = writers.next().ok_or_else(|| ParquetError::General("a leaf without a writer".to_owned()))?;
        writer.write(&leaf)?;
        writer.close()?.append_to_row_group(group)?;
    }
    Ok(())
}

/// The library's writers for a column.
fn column_writers(field: &FieldRef, properties: &WriterPropertiesPtr) -> Result<Vec<ArrowColumnWriter>, ParquetError> {
    let schema = Arc::new(Schema::new(vec![field.clone()]));
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
