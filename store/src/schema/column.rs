//! Short constructors for the column types that the tables use.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::attribute::{AttributeColumn, AttributeType};

/// Name of the entries of a map, as Delta's readers expect it.
pub const MAP_ENTRIES: &str = "key_value";
/// Name of a map's keys.
pub const MAP_KEYS: &str = "key";
/// Name of a map's values.
pub const MAP_VALUES: &str = "value";

/// `Map<Utf8, Utf8>`: attributes by key; values that are not strings as JSON.
pub fn attributes_type() -> DataType {
    let entry =
        DataType::Struct(Fields::from(vec![Field::new(MAP_KEYS, DataType::Utf8, false), Field::new(MAP_VALUES, DataType::Utf8, true)]));
    DataType::Map(Arc::new(Field::new(MAP_ENTRIES, entry, false)), false)
}

/// A whole number that is kept only where it is not the sum of two others; null where it is, also in the rows that are published.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) column: &'static str,
    pub(crate) of: [&'static str; 2],
}

pub(super) fn date() -> Field {
    Field::new("date", DataType::Date32, true)
}

pub(super) fn time() -> Field {
    Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true)
}

pub(super) fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

pub(super) fn long(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

pub(super) fn int(name: &str) -> Field {
    Field::new(name, DataType::Int32, true)
}

pub(super) fn double(name: &str) -> Field {
    Field::new(name, DataType::Float64, true)
}

pub(super) fn boolean(name: &str) -> Field {
    Field::new(name, DataType::Boolean, true)
}

pub(super) fn attributes(name: &str) -> Field {
    Field::new(name, attributes_type(), true)
}

pub(super) fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new("element", item, true))), true)
}

pub(super) fn promoted(columns: &[AttributeColumn]) -> impl Iterator<Item = Field> + '_ {
    columns.iter().map(|column| match column.kind {
        AttributeType::Text | AttributeType::FreeText => text(column.column),
        AttributeType::Integer => long(column.column),
    })
}

/// The columns that every record has from its resource and its instrumentation scope.
pub(super) fn resource_and_scope() -> Vec<Field> {
    vec![
        attributes("resource_attributes"),
        long("resource_dropped_attributes_count"),
        text("resource_schema_url"),
        text("resource_entity_refs"),
        text("scope_name"),
        text("scope_version"),
        attributes("scope_attributes"),
        long("scope_dropped_attributes_count"),
        text("scope_schema_url"),
    ]
}
