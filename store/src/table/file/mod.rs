//! Writes hot rows as Parquet files: a file for each day, one sorted row group for each group of batches.
//!
//! Always holds: a file is whole and durable, and so is its name, before anybody is told of it. What was begun and not ended is deleted.

mod chunk;
mod properties;
mod row_group;
mod runs;
mod statistics;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::{Array as _, ArrayRef, AsArray as _, DictionaryArray, Int32Array, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{Date32Type, Field, FieldRef, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use deltalake_core::kernel::Add;
use parquet::errors::ParquetError;

use super::hot::size_of_batch;
use super::order::{Rows, Sorted, in_type};
use crate::schema::TableName;

use properties::GROUP_ROWS_MAX;
use row_group::RowGroups;
use statistics::Statistics;

pub(super) use properties::DISTINCT_TEXTS;

/// Batches are joined to row groups of at least this many rows.
const GROUP_ROWS_MIN: usize = 24_576;
/// A group takes no more batches once it has this much memory: it is copied to be sorted.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// The partition column, which stands in the path of a file and not in it.
pub(super) const DATE: &str = "date";

/// Why no file was written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The rows cannot be brought into order.
    #[error("cannot sort the rows")]
    Order(#[from] ArrowError),
    /// Parquet says no.
    #[error("cannot read or write Parquet")]
    Parquet(#[from] ParquetError),
    /// One of the files that are to be joined.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The disk says no.
    #[error("cannot write {}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Writes all rows below the table's folder. Blocks.
pub(super) fn write(table: TableName, folder: &Path, batches: &[RecordBatch]) -> Result<Written, FileError> {
    let mut output = Output::new(table, folder);
    for group in groups(&with_values(table, batches)?) {
        by_day(group, |day, rows| output.write_group(day, &rows[..]))?;
    }
    output.finish()
}

/// A file that nobody may miss: deleted when dropped.
#[derive(Debug)]
struct Draft(PathBuf);

impl Draft {
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.0); // what stays is found by vacuum
        }
    }
}

/// Whole files that are in no table yet; deleted when dropped.
#[derive(Debug, Default)]
pub(super) struct Written {
    files: Vec<Add>,
    drafts: Vec<Draft>,
}

impl Written {
    fn add(&mut self, file: OpenFile) -> Result<(), FileError> {
        let (file, draft) = file.finish()?;
        self.files.push(file);
        self.drafts.push(draft);
        Ok(())
    }

    /// The files, and where they are: from now on they stay.
    pub(super) fn keep(self) -> (Vec<Add>, Vec<PathBuf>) {
        (self.files, self.drafts.into_iter().map(Draft::keep).collect())
    }
}

/// So many files are written at once. Rows come in the order of time, more or less; a request may name any number of days.
const OPEN_MAX: usize = 4;

/// Files that are being written, one for each day; a day that comes back after many others has another one.
#[derive(Debug)]
pub(super) struct Output<'f> {
    table: TableName,
    folder: &'f Path,
    open: BTreeMap<i32, OpenFile>,
    written: Written,
}

impl<'f> Output<'f> {
    pub(super) fn new(table: TableName, folder: &'f Path) -> Self {
        Self { table, folder, open: BTreeMap::new(), written: Written::default() }
    }

    /// Adds rows of one day, without their column of dates, as one sorted row group.
    pub(super) fn write_group(&mut self, day: i32, rows: &(impl Rows + ?Sized)) -> Result<(), FileError> {
        let rows = Sorted::of(self.table, rows)?;
        let mut file = match self.open.remove(&day) {
            Some(file) => file,
            None => OpenFile::create(self.folder, day, rows.schema())?,
        };
        file.write(&rows)?;
        self.open.insert(day, file);
        while self.open.len() > OPEN_MAX
            && let Some((_, earliest)) = self.open.pop_first()
        {
            self.written.add(earliest)?;
        }
        Ok(())
    }

    /// Ends all files and makes them durable.
    pub(super) fn finish(mut self) -> Result<Written, FileError> {
        std::mem::take(&mut self.open).into_values().try_for_each(|file| self.written.add(file))?;
        Ok(self.written)
    }
}

/// The batches without the columns in which no row of any has a value. A column that a file lacks reads as null, and most of those that a table has
/// are of no use to any one service: writing their nulls takes as long as writing a few columns of text.
fn with_values(table: TableName, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let is_used = |at: usize| batches.iter().any(|rows| rows.column(at).null_count() < rows.num_rows());
    let used = |(at, field): (usize, &FieldRef)| (!field.is_nullable() || is_sorted_by(table, field) || is_used(at)).then_some(at);
    let used: Vec<usize> = first.schema().fields().iter().enumerate().filter_map(used).collect();
    batches.iter().map(|rows| rows.project(&used)).collect()
}

/// Whether rows cannot be brought into order without a column.
pub(super) fn is_sorted_by(table: TableName, field: &Field) -> bool {
    table.sort_columns().contains(&field.name().as_str())
}

/// Neighbouring batches that make a row group together.
fn groups(batches: &[RecordBatch]) -> impl Iterator<Item = &[RecordBatch]> {
    let mut rest = batches;
    std::iter::from_fn(move || {
        let (mut rows, mut bytes) = (0, 0);
        let fits = |batch: &&RecordBatch| {
            let room = rows < GROUP_ROWS_MIN && rows + batch.num_rows() <= GROUP_ROWS_MAX && bytes < GROUP_BYTES_MAX;
            let more = rows == 0 || room;
            rows += batch.num_rows();
            bytes += size_of_batch(batch);
            more
        };
        let count = rest.iter().take_while(fits).count();
        let (group, others) = rest.split_at(count);
        rest = others;
        (count > 0).then_some(group)
    })
}

/// The rows of each day, without the column that says which. One day after the other: a batch for each of very many takes far more memory than the rows.
fn by_day(batches: &[RecordBatch], mut visit: impl FnMut(i32, Vec<RecordBatch>) -> Result<(), FileError>) -> Result<(), FileError> {
    /// Numbers of rows in a batch.
    type Part = (Arc<RecordBatch>, Vec<u32>);
    let mut by_day: BTreeMap<i32, Vec<Part>> = BTreeMap::new();
    for rows in batches {
        let at = rows.schema().index_of(DATE)?;
        let days = rows.column(at).as_primitive_opt::<Date32Type>().ok_or_else(|| ArrowError::SchemaError("date is no date".to_owned()))?;
        let mut rest = rows.clone();
        rest.remove_column(at);
        let mut order: Vec<u32> = (0..).take(rows.num_rows()).collect();
        let day_of = |row: &u32| days.value(*row as usize);
        order.sort_by_key(day_of);
        let rest = Arc::new(rest);
        for of_day in order.chunk_by(|a, b| day_of(a) == day_of(b)) {
            of_day.first().into_iter().for_each(|row| by_day.entry(day_of(row)).or_default().push((rest.clone(), of_day.to_vec())));
        }
    }
    by_day.into_iter().try_for_each(|(day, parts)| {
        let rows = parts.iter().map(|(rows, of_day)| part_of(rows, of_day)).collect::<Result<_, ArrowError>>()?;
        visit(day, rows)
    })
}

/// Some rows of a batch. What is done with a dictionary is done with all its texts, so theirs have no more than they need.
fn part_of(rows: &RecordBatch, numbers: &[u32]) -> Result<RecordBatch, ArrowError> {
    if numbers.len() == rows.num_rows() {
        return Ok(rows.clone());
    }
    let part = take_record_batch(rows, &UInt32Array::from(numbers.to_vec()))?;
    let columns = part.columns().iter().map(compacted).collect::<Result<_, _>>()?;
    RecordBatch::try_new(part.schema(), columns)
}

fn compacted(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let many = |dictionary: &&DictionaryArray<Int32Type>| dictionary.values().len() > dictionary.len();
    let Some(dictionary) = column.as_dictionary_opt::<Int32Type>().filter(many) else { return Ok(column.clone()) };
    let (mut places, mut used) = (HashMap::new(), Vec::new());
    let mut place_of = |key: i32| {
        *places.entry(key).or_insert_with(|| {
            used.push(key);
            i32::try_from(used.len() - 1).expect("there are fewer than keys")
        })
    };
    let keys: Int32Array = dictionary.keys().iter().map(|key| key.map(&mut place_of)).collect();
    let values = take(dictionary.values(), &Int32Array::from(used), None)?;
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}

#[derive(Debug)]
struct OpenFile {
    schema: SchemaRef,
    /// Below the table's folder.
    name: String,
    draft: Draft,
    day: String,
    writer: RowGroups,
    statistics: Statistics,
}

impl OpenFile {
    fn create(folder: &Path, day: i32, schema: &SchemaRef) -> Result<Self, FileError> {
        let day = date_text(day);
        let name = format!("{DATE}={day}/part-{}-c000.zstd.parquet", uuid::Uuid::now_v7());
        let path = folder.join(&name);
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source| FileError::Disk { path, source }
        };
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(disk(parent))?;
        let file = File::create_new(&path).map_err(disk(&path))?;
        let draft = Draft(path);
        let writer = RowGroups::create(file, schema)?;
        Ok(Self { schema: schema.clone(), name, draft, day, writer, statistics: Statistics::default() })
    }

    fn write(&mut self, rows: &Sorted<'_, impl Rows + ?Sized>) -> Result<(), FileError> {
        let statistics = &mut self.statistics;
        let columns = self.schema.fields().iter().enumerate().map(|(at, field)| {
            let column = in_type(&rows.column(at)?, field.data_type())?;
            statistics.add_column(field.name(), &column);
            Ok::<_, FileError>((field.clone(), column))
        });
        self.writer.write(columns)?;
        self.statistics.rows += rows.count();
        Ok(())
    }

    fn finish(self) -> Result<(Add, Draft), FileError> {
        let Self { name, draft, day, writer, statistics, .. } = self;
        let path = &draft.0;
        let disk = |source| FileError::Disk { path: path.clone(), source };
        let file = writer.finish()?;
        file.sync_all().map_err(disk)?;
        let metadata = file.metadata().map_err(disk)?;
        let folder = path.parent().unwrap_or(path);
        for dir in [Some(folder), folder.parent()].into_iter().flatten() {
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(disk)?;
        }
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::ZERO);
        let add = Add {
            path: name,
            partition_values: HashMap::from([(DATE.to_owned(), Some(day))]),
            size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            modification_time: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX),
            data_change: true,
            stats: Some(statistics.to_json().to_string()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        };
        Ok((add, draft))
    }
}

fn date_text(day: i32) -> String {
    let date = chrono::NaiveDate::from_epoch_days(day).unwrap_or_default();
    date.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests;
