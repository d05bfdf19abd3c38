//! Makes one file of several small ones.
//!
//! Row groups are joined to larger ones, and those are read, put in order and written column by column: what takes memory is a few times one column of one group. A
//! row group with a column that is too large for that is taken in parts.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Encoding, PageType, Type};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use crate::schema::TableName;
use crate::table::file::{self, FileError, Written};
use crate::table::order::{Rows, joined};

/// Row groups are joined to at least so many rows,
const GROUP_ROWS_MIN: usize = 65_536;
/// and to no more than this,
const GROUP_ROWS_MAX: usize = 131_072;
/// unless one of their columns takes this much memory before,
const COLUMN_BYTES_MAX: usize = 6 << 20;
/// or they are so many: each has its file's metadata.
const PARTS_MAX: usize = 256;
/// A row group is not taken in parts of fewer rows than this; so many are read at once to find out what they take.
const PART_ROWS_MIN: usize = 1_024;

/// Writes the rows of some files as one, in sorted groups, with the columns that any of them has. `None` when one has columns that are not known here: then nobody may rewrite it.
pub(super) fn rewrite(table: TableName, folder: &Path, day: i32, paths: &[PathBuf]) -> Result<Option<Written>, FileError> {
    let Some(schema) = common_schema(table, paths)? else { return Ok(None) };
    let mut output = file::Output::new(table, folder);
    let mut group = Group::new(&schema);
    for path in paths {
        let input = Arc::new(Input::new(path, &schema)?);
        for part in Part::all_of(&input)? {
            if !group.has_room_for(&part) {
                output.write_group(day, &group)?;
                group = Group::new(&schema);
            }
            group.add(part);
        }
    }
    if group.count() > 0 {
        output.write_group(day, &group)?;
    }
    Ok(Some(output.finish()?))
}

/// A file that is read: opened for each column, as there may be very many.
#[derive(Debug)]
struct Input {
    path: PathBuf,
    /// With our types.
    metadata: ArrowReaderMetadata,
}

impl Input {
    fn new(path: &Path, schema: &SchemaRef) -> Result<Self, FileError> {
        Ok(Self { path: path.to_owned(), metadata: reading_options(&open(path)?, schema)? })
    }

    /// What the largest of the columns of a row group takes that are known to be small, and the other ones.
    fn columns_by_size(&self, stored: &RowGroupMetaData) -> (usize, Vec<usize>) {
        let mut columns = vec![Some(0_usize); self.metadata.schema().fields().len()];
        for (leaf, chunk) in stored.columns().iter().enumerate() {
            let root = self.metadata.parquet_schema().get_column_root_idx(leaf);
            columns[root] = columns[root].zip(self.bytes_of(root, chunk)).map(|(sum, bytes)| sum.saturating_add(bytes));
        }
        let is_small = |bytes: &Option<usize>| bytes.is_some_and(|bytes| bytes <= COLUMN_BYTES_MAX);
        let large = columns.iter().enumerate().filter(|(_, bytes)| !is_small(bytes)).map(|(column, _)| column).collect();
        (columns.into_iter().filter(is_small).flatten().max().unwrap_or(0), large)
    }

    /// What a leaf takes: its values and a place for each; `None` where a file does not say, as text in a dictionary is written out when it is read, unless it
    /// stays in one.
    fn bytes_of(&self, root: usize, chunk: &ColumnChunkMetaData) -> Option<usize> {
        let in_dictionary = chunk.column_type() == Type::BYTE_ARRAY && chunk.dictionary_page_offset().is_some();
        let written_out = in_dictionary && !self.stays_in_dictionary(root, chunk);
        let values = if written_out { chunk.unencoded_byte_array_data_bytes()? } else { chunk.uncompressed_size() };
        usize::try_from(values.saturating_add(chunk.num_values().saturating_mul(8))).ok()
    }

    /// Whether a column is read as a dictionary of texts, and all of it is stored as one: of other pages each row's text is written out first.
    fn stays_in_dictionary(&self, root: usize, chunk: &ColumnChunkMetaData) -> bool {
        let only = |encoding| chunk.page_encoding_stats_mask().is_some_and(|mask| mask.is_only(encoding));
        let each = |encoding| {
            let pages = chunk.page_encoding_stats().into_iter().flatten();
            let mut data = pages.filter(|pages| pages.page_type != PageType::DICTIONARY_PAGE).peekable();
            data.peek().is_some() && data.all(|pages| pages.encoding == encoding)
        };
        self.is_dictionary(root) && (only(Encoding::RLE_DICTIONARY) || each(Encoding::RLE_DICTIONARY))
    }

    fn is_dictionary(&self, root: usize) -> bool {
        matches!(self.metadata.schema().field(root).data_type(), DataType::Dictionary(..))
    }

    /// How many rows of a column may be read at once: of a dictionary that has to be made while reading, few, as it was measured.
    fn rows_at_once(&self, root: usize, row_group: usize, rows: usize) -> usize {
        let stored = self.metadata.metadata().row_group(row_group).columns().iter().enumerate();
        let mut chunks = stored.filter(|(leaf, _)| self.metadata.parquet_schema().get_column_root_idx(*leaf) == root);
        let is_made = self.is_dictionary(root) && chunks.any(|(_, chunk)| !self.stays_in_dictionary(root, chunk));
        if is_made { PART_ROWS_MIN } else { rows }
    }

    /// Reads columns of a row group, some rows at a time, for how many these are and what the largest of the columns takes for them.
    fn measure(&self, row_group: usize, columns: Vec<usize>) -> Result<Vec<(usize, usize)>, FileError> {
        let only = ProjectionMask::roots(self.metadata.parquet_schema(), columns);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(open(&self.path)?, self.metadata.clone());
        let reader = builder.with_projection(only).with_row_groups(vec![row_group]).with_batch_size(PART_ROWS_MIN).build()?;
        let size = |batch: RecordBatch| {
            let bytes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
            Ok((batch.num_rows(), bytes.collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or(0)))
        };
        Ok(reader.map(|batch| batch.and_then(size)).collect::<Result<_, ArrowError>>()?)
    }
}

/// Rows of a row group of a file: all of them, unless a column takes too much memory.
#[derive(Debug)]
struct Part {
    input: Arc<Input>,
    row_group: usize,
    from: usize,
    rows: usize,
    /// What its largest column takes in memory.
    column_bytes: usize,
}

impl Part {
    /// All rows of a file.
    fn all_of(input: &Arc<Input>) -> Result<Vec<Self>, FileError> {
        let mut parts = Vec::new();
        for (row_group, stored) in input.metadata.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(stored.num_rows()).unwrap_or(0);
            let part = |from, rows, column_bytes| Self { input: input.clone(), row_group, from, rows, column_bytes };
            let (small, large) = input.columns_by_size(stored);
            if large.is_empty() {
                parts.extend((rows > 0).then(|| part(0, rows, small)));
                continue;
            }
            let mut next = part(0, 0, 0);
            for (rows_of_batch, measured) in input.measure(row_group, large)? {
                let bytes = measured.max(small.saturating_mul(rows_of_batch) / rows.max(1));
                if next.rows > 0 && next.column_bytes.saturating_add(bytes) > COLUMN_BYTES_MAX {
                    let from = next.from + next.rows;
                    parts.push(std::mem::replace(&mut next, part(from, 0, 0)));
                }
                next.rows += rows_of_batch;
                next.column_bytes = next.column_bytes.saturating_add(bytes);
            }
            parts.extend((next.rows > 0).then_some(next));
        }
        Ok(parts)
    }

    /// A column of it, nulls where its file has none of that name.
    fn column(&self, field: &Field) -> Result<ArrayRef, FileError> {
        let Input { path, metadata } = &*self.input;
        let Ok(at) = metadata.schema().index_of(field.name()) else { return Ok(new_null_array(field.data_type(), self.rows)) };
        let only = ProjectionMask::roots(metadata.parquet_schema(), [at]);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(open(path)?, metadata.clone());
        let rows = builder.with_projection(only).with_row_groups(vec![self.row_group]).with_offset(self.from).with_limit(self.rows);
        let reader = rows.with_batch_size(self.input.rows_at_once(at, self.row_group, self.rows)).build()?;
        let parts = reader.map(|batch| batch.map(|batch| batch.column(0).clone())).collect::<Result<Vec<_>, _>>()?;
        Ok(joined(&parts)?)
    }
}

/// Row groups that become one.
#[derive(Debug)]
struct Group {
    schema: SchemaRef,
    parts: Vec<Part>,
}

impl Group {
    fn new(schema: &SchemaRef) -> Self {
        Self { schema: schema.clone(), parts: Vec::new() }
    }

    fn has_room_for(&self, part: &Part) -> bool {
        let rows = self.count();
        let bytes = self.parts.iter().chain([part]).fold(0_usize, |sum, part| sum.saturating_add(part.column_bytes));
        let room = rows < GROUP_ROWS_MIN && rows + part.rows <= GROUP_ROWS_MAX && self.parts.len() < PARTS_MAX;
        rows == 0 || (room && bytes <= COLUMN_BYTES_MAX)
    }

    fn add(&mut self, part: Part) {
        self.parts.push(part);
    }
}

impl Rows for Group {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn count(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    fn column(&self, at: usize) -> Result<ArrayRef, FileError> {
        let parts = self.parts.iter().map(|part| part.column(self.schema.field(at))).collect::<Result<Vec<_>, _>>()?;
        Ok(joined(&parts)?)
    }
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
