//! A map of attributes: a row may have none, but is never null.

use std::sync::Arc;

use arrow::array::{ArrayRef, MapArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use haldane_store::schema::attributes_type;

use super::{Offsets, PlainColumn, Seal};

/// A column of attributes by key.
#[derive(Debug)]
pub(crate) struct MapColumn {
    offsets: Offsets,
    keys: PlainColumn,
    values: PlainColumn,
    items: usize,
}

impl MapColumn {
    pub(crate) fn new() -> Self {
        Self { offsets: Offsets::new(), keys: PlainColumn::new(), values: PlainColumn::new(), items: 0 }
    }

    /// Adds an entry to the row that has not been ended yet. The keys of a row must differ.
    #[inline]
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.keys.set(self.items, key);
        if let Some(value) = value {
            self.values.set(self.items, value);
        }
        self.items += 1;
    }

    #[inline]
    pub(crate) fn end_row(&mut self, row: usize) {
        self.offsets.end_row(row, self.items);
    }

    /// Bytes of all keys and values, which are repeated for each row.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.bytes()
    }

    /// How many rows have been ended.
    pub(crate) fn rows(&self) -> usize {
        self.offsets.rows
    }

    pub(crate) fn finish(&mut self, seal: &Seal) -> ArrayRef {
        self.finish_rows(seal, seal.rows)
    }

    /// For a map inside of a list, which has as many rows as the list has items.
    pub(crate) fn finish_rows(&mut self, seal: &Seal, rows: usize) -> ArrayRef {
        let items = std::mem::take(&mut self.items);
        let (field, entries) = map_parts();
        let entries = StructArray::new(entries, vec![self.keys.finish_rows(seal, items), self.values.finish_rows(seal, items)], None);
        Arc::new(MapArray::new(field, self.offsets.finish(seal, rows), entries, None, false))
    }
}

fn map_parts() -> (Arc<Field>, Fields) {
    if let DataType::Map(field, _) = attributes_type()
        && let DataType::Struct(entries) = field.data_type()
    {
        let entries = entries.clone();
        return (field, entries);
    }
    (Arc::new(Field::new("", DataType::Null, true)), Fields::empty())
}
