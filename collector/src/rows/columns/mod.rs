//! Columns that grow row by row and cost little for what repeats: text by its place in a dictionary, rows that are all null or all the same not at
//! all. Each may be given a value for the row it is at; rows that it was passed over for are null.

mod derived;
mod dictionary;
mod map;
mod number;
mod plain;

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use haldane_store::TableName;

pub(crate) use derived::DerivedColumn;
pub(crate) use dictionary::DictionaryColumn;
pub(crate) use map::MapColumn;
pub(crate) use number::{IntegerColumn, TimeColumns};
pub(crate) use plain::PlainColumn;

/// Columns on their way into a batch, in schema order.
pub(crate) type Columns = Vec<ArrayRef>;

/// What the columns of one finished batch share: the buffers of those that say nothing.
#[derive(Debug)]
pub(crate) struct Seal {
    pub(crate) rows: usize,
    zero_keys: ScalarBuffer<i32>,
    zeros: ScalarBuffer<i64>,
    nulls: NullBuffer,
}

impl Seal {
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows, zero_keys: vec![0; rows + 1].into(), zeros: vec![0; rows].into(), nulls: NullBuffer::new_null(rows) }
    }

    fn zero_keys(&self, rows: usize) -> ScalarBuffer<i32> {
        if rows <= self.rows { self.zero_keys.slice(0, rows) } else { vec![0; rows].into() }
    }

    fn zeros(&self, rows: usize) -> ScalarBuffer<i64> {
        if rows <= self.rows { self.zeros.slice(0, rows) } else { vec![0; rows].into() }
    }

    fn nulls(&self, rows: usize) -> NullBuffer {
        if rows == self.rows { self.nulls.clone() } else { NullBuffer::new_null(rows) }
    }

    /// Offsets of lists or maps that are all empty.
    fn no_offsets(&self, rows: usize) -> OffsetBuffer<i32> {
        if rows <= self.rows { OffsetBuffer::new(self.zero_keys.slice(0, rows + 1)) } else { OffsetBuffer::new_zeroed(rows) }
    }
}

/// What a column that grew lets go of: its array keeps the memory until it is written.
pub(super) fn fitted<T>(mut values: Vec<T>) -> Vec<T> {
    if values.capacity() - values.len() > values.len() / 4 {
        values.shrink_to_fit();
    }
    values
}

/// Which rows have a value. As long as all have one, they are only counted.
#[derive(Debug, Default)]
struct Validity {
    rows: usize,
    /// Of each row, once there is a null.
    valid: Vec<bool>,
    nulls: usize,
    /// So many rows may come.
    room: usize,
}

impl Validity {
    const fn with_room(room: usize) -> Self {
        Self { rows: 0, valid: Vec::new(), nulls: 0, room }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn is_valid(&self, row: usize) -> bool {
        row < self.rows && self.valid.get(row).copied().unwrap_or(true)
    }

    fn push_nulls(&mut self, count: usize) {
        if count > 0 {
            if self.valid.is_empty() {
                self.valid.reserve(self.room.max(self.rows + count));
                self.valid.resize(self.rows, true);
            }
            self.rows += count;
            self.valid.resize(self.rows, false);
            self.nulls += count;
        }
    }

    #[inline]
    fn push_valid(&mut self, count: usize) {
        self.rows += count;
        if !self.valid.is_empty() {
            self.valid.resize(self.rows, true);
        }
    }

    fn set(&mut self, row: usize) {
        if let Some(valid) = self.valid.get_mut(row).filter(|valid| !**valid) {
            *valid = true;
            self.nulls -= 1;
        }
    }

    /// Takes the last row away.
    fn pop(&mut self) {
        self.rows -= 1;
        self.nulls -= usize::from(self.valid.pop() == Some(false));
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        let Self { valid, nulls, .. } = std::mem::take(self);
        (nulls > 0).then(|| valid.into())
    }
}

/// Where each row of a list or map column ends.
#[derive(Debug)]
struct Offsets {
    /// Empty as long as no row has an item.
    ends: Vec<i32>,
    rows: usize,
}

impl Offsets {
    const fn new() -> Self {
        Self { ends: Vec::new(), rows: 0 }
    }

    /// Ends rows up to `row`, those that were passed over without items; `items` counts all up to here.
    #[inline]
    fn end_row(&mut self, row: usize, items: usize) {
        if items > 0 {
            let before = self.ends.last().copied().unwrap_or(0);
            self.ends.resize(row + 1, before);
            self.ends.push(i32::try_from(items).expect("a batch is sealed long before it has 2^31 items"));
        }
        self.rows = row + 1;
    }

    fn finish(&mut self, seal: &Seal, rows: usize) -> OffsetBuffer<i32> {
        let mut ends = std::mem::take(&mut self.ends);
        self.rows = 0;
        let Some(last) = ends.last().copied() else { return seal.no_offsets(rows) };
        ends.resize(rows + 1, last);
        OffsetBuffer::new(ends.into())
    }
}

/// The lengths of a list column whose items are built elsewhere. A row that was passed over has an empty list, or none at all.
#[derive(Debug)]
pub(crate) struct ListRows {
    offsets: Offsets,
    validity: Validity,
    absent_is_null: bool,
}

impl ListRows {
    /// Each row has a list.
    pub(crate) const fn always() -> Self {
        Self { offsets: Offsets::new(), validity: Validity::with_room(0), absent_is_null: false }
    }

    /// A row may have no list.
    pub(crate) const fn sometimes() -> Self {
        Self { offsets: Offsets::new(), validity: Validity::with_room(0), absent_is_null: true }
    }

    /// Ends a row that has a list; `items` counts all items up to here.
    pub(crate) fn end_row(&mut self, row: usize, items: usize) {
        self.offsets.end_row(row, items);
        if self.absent_is_null {
            self.validity.push_nulls(row - self.validity.rows());
            self.validity.push_valid(1);
        }
    }

    pub(crate) fn finish(&mut self, items: ArrayRef, seal: &Seal) -> ArrayRef {
        let element = Arc::new(Field::new("element", items.data_type().clone(), true));
        let nulls = if !self.absent_is_null {
            None
        } else if self.validity.rows() == 0 {
            Some(seal.nulls(seal.rows))
        } else {
            self.validity.push_nulls(seal.rows - self.validity.rows());
            self.validity.finish()
        };
        Arc::new(ListArray::new(element, self.offsets.finish(seal, seal.rows), items, nulls))
    }
}

/// A batch of a table's columns; text may be in dictionaries, as the table's readers are told by the batch's own schema.
pub(crate) fn batch_of(table: TableName, columns: Columns) -> RecordBatch {
    let schema = table.schema();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), field.is_nullable()))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns are built in the order of the schema, all of one length")
}
