//! The pieces that the builders of the three raw tables are made of. Each piece appends one row at a time and ends as columns in schema order.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder as _, ArrayRef, Date32Builder, Int64Builder, ListArray, MapArray, StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use haldane_store::UnixNanos;
use haldane_store::schema::{AttributeColumn, AttributeType, attributes_type};

use super::attributes::{ColumnValue, Entries};

/// Columns on their way into a batch, in schema order.
pub(crate) type Columns = Vec<ArrayRef>;

/// Where each row of a list or map column ends.
#[derive(Debug)]
struct Offsets(Vec<i32>);

impl Offsets {
    fn new() -> Self {
        Self(vec![0])
    }

    fn end_row(&mut self, items: usize) {
        self.0.push(i32::try_from(items).expect("a batch is sealed long before it has 2^31 items"));
    }

    fn finish(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.0, vec![0])))
    }
}

/// `date` and `time`.
#[derive(Debug, Default)]
pub(crate) struct TimeColumns {
    date: Date32Builder,
    time: TimestampMicrosecondBuilder,
}

impl TimeColumns {
    pub(crate) fn append(&mut self, at: UnixNanos) {
        self.date.append_value(at.as_days());
        self.time.append_value(at.as_micros());
    }

    pub(crate) fn finish_into(&mut self, columns: &mut Columns) {
        columns.push(Arc::new(self.date.finish()));
        columns.push(Arc::new(self.time.finish().with_timezone("UTC")));
    }
}

#[derive(Debug)]
enum PromotedColumn {
    Text(StringBuilder),
    Integer(Int64Builder),
}

/// One column for each attribute of a list.
#[derive(Debug)]
pub(crate) struct PromotedColumns(Vec<PromotedColumn>);

impl PromotedColumns {
    pub(crate) fn new(attributes: &[AttributeColumn]) -> Self {
        let column = |attribute: &AttributeColumn| match attribute.kind {
            AttributeType::Text | AttributeType::FreeText => PromotedColumn::Text(StringBuilder::new()),
            AttributeType::Integer => PromotedColumn::Integer(Int64Builder::new()),
        };
        Self(attributes.iter().map(column).collect())
    }

    pub(crate) fn append(&mut self, values: &[Option<ColumnValue<'_>>]) {
        for (column, value) in self.0.iter_mut().zip(values) {
            match (column, value) {
                (PromotedColumn::Text(builder), Some(ColumnValue::Text(text))) => builder.append_value(text),
                (PromotedColumn::Text(builder), _) => builder.append_null(),
                (PromotedColumn::Integer(builder), Some(ColumnValue::Integer(number))) => builder.append_value(*number),
                (PromotedColumn::Integer(builder), _) => builder.append_null(),
            }
        }
    }

    pub(crate) fn finish_into(&mut self, columns: &mut Columns) {
        for column in &mut self.0 {
            match column {
                PromotedColumn::Text(builder) => columns.push(Arc::new(builder.finish())),
                PromotedColumn::Integer(builder) => columns.push(Arc::new(builder.finish())),
            }
        }
    }
}

/// A map of attributes: one row may have none, but is never null.
#[derive(Debug)]
pub(crate) struct MapColumn {
    offsets: Offsets,
    keys: StringBuilder,
    values: StringBuilder,
}

impl MapColumn {
    pub(crate) fn new() -> Self {
        Self { offsets: Offsets::new(), keys: StringBuilder::new(), values: StringBuilder::new() }
    }

    pub(crate) fn append(&mut self, entries: &Entries<'_>) {
        self.append_pairs(entries.iter().map(|(key, value)| (*key, value.as_deref())));
    }

    /// The keys must differ.
    pub(crate) fn append_pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, Option<&'a str>)>) {
        for (key, value) in pairs {
            self.keys.append_value(key);
            self.values.append_option(value);
        }
        self.offsets.end_row(self.keys.len());
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        let (field, entries) = map_parts();
        let entries = StructArray::new(entries, vec![Arc::new(self.keys.finish()), Arc::new(self.values.finish())], None);
        Arc::new(MapArray::new(field, self.offsets.finish(), entries, None, false))
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

/// The lengths and validity of a list column whose items are built elsewhere.
#[derive(Debug)]
pub(crate) struct ListRows {
    offsets: Offsets,
    valid: Vec<bool>,
}

impl ListRows {
    pub(crate) fn new() -> Self {
        Self { offsets: Offsets::new(), valid: Vec::new() }
    }

    /// Ends a row; `items` counts all items up to here.
    pub(crate) fn end_row(&mut self, items: usize) {
        self.offsets.end_row(items);
        self.valid.push(true);
    }

    /// A row that has no list at all.
    pub(crate) fn null_row(&mut self, items: usize) {
        self.offsets.end_row(items);
        self.valid.push(false);
    }

    pub(crate) fn finish(&mut self, items: ArrayRef) -> ArrayRef {
        let element = Arc::new(Field::new("element", items.data_type().clone(), true));
        let valid = std::mem::take(&mut self.valid);
        Arc::new(ListArray::new(element, self.offsets.finish(), items, Some(valid.into())))
    }
}

/// Text that is null when it is empty, as proto3 cannot tell an empty string from a missing one.
pub(crate) fn append_text(column: &mut StringBuilder, text: &str) {
    column.append_option((!text.is_empty()).then_some(text));
}

/// An id as hex digits, null when it is missing or zero.
pub(crate) fn append_id_given(column: &mut StringBuilder, id: &[u8], scratch: &mut String) {
    append_id(column, if id.iter().all(|byte| *byte == 0) { &[] } else { id }, scratch);
}

/// An id as hex digits, null when it is missing.
pub(crate) fn append_id(column: &mut StringBuilder, id: &[u8], scratch: &mut String) {
    scratch.clear();
    scratch.push_str(&crate::hex::encode(id));
    append_text(column, scratch);
}

/// An instant that is null when it is zero, OTLP's way to say unknown.
pub(crate) fn append_instant(column: &mut Int64Builder, nanos: u64) {
    column.append_option((nanos > 0).then(|| signed(nanos)));
}

/// A number that was found to fit.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
