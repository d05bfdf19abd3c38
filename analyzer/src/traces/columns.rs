//! Rows of `spans` as spans.

use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::Int64Type;
use haldane_store::UnixNanos;
use haldane_store::schema::{AttributeColumn, AttributeType, RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS};

use super::{Attribute, AttributeValue, SpanEvent, SpanLink, TraceSpan};
use crate::cohort::{Columns, GatherError, text};

/// The spans of a batch, each with its trace.
pub(super) fn spans(batch: &RecordBatch) -> Result<Vec<(String, TraceSpan)>, GatherError> {
    let columns = Columns { table: "spans", batch };
    let (resource_columns, span_columns) = (promoted(&columns, RESOURCE_COLUMNS)?, promoted(&columns, SPAN_AND_LOG_COLUMNS)?);
    let (resource, attributes) = (columns.map("resource_attributes")?, columns.map("attributes")?);
    let names = ["trace_id", "span_id", "parent_span_id", "name", "kind", "status_code", "status_message", "service_name", "scope_name"];
    let texts = names.into_iter().map(|name| columns.texts(name)).collect::<Result<Vec<_>, _>>()?;
    let (started, lasted) = (columns.longs("start_time_unix_nano")?, columns.longs("duration_ns")?);
    let (events, links) = (columns.column("events")?, columns.column("links")?);
    let span = |row: usize| {
        let [trace_id, span_id, parent_span_id, name, kind, status_code, status_message, service, scope] =
            std::array::from_fn(|at| text(&texts[at], row).to_owned());
        let all = |map, columns: &[Promoted]| columns.iter().filter_map(|column| column.at(row)).chain(entries(map, row)).collect();
        let span = TraceSpan {
            span_id,
            parent_span_id,
            name,
            kind,
            status_code,
            status_message,
            start: UnixNanos::new(if started.is_null(row) { 0 } else { started.value(row) }),
            duration: Duration::from_nanos(if lasted.is_null(row) { 0 } else { u64::try_from(lasted.value(row)).unwrap_or(0) }),
            service,
            scope,
            attributes: all(attributes, &span_columns),
            resource: all(resource, &resource_columns),
            events: elements(events, row).map(|items| events_of(&items)).unwrap_or_default(),
            links: elements(links, row).map(|items| links_of(&items)).unwrap_or_default(),
        };
        (trace_id, span)
    };
    Ok((0..batch.num_rows()).map(span).collect())
}

/// A column that an attribute has for itself.
struct Promoted {
    key: &'static str,
    kind: AttributeType,
    values: ArrayRef,
}

fn promoted(columns: &Columns<'_>, named: &'static [AttributeColumn]) -> Result<Vec<Promoted>, GatherError> {
    let one =
        |column: &AttributeColumn| Ok(Promoted { key: column.key, kind: column.kind, values: columns.column(column.column)?.clone() });
    named.iter().map(one).collect()
}

impl Promoted {
    fn at(&self, row: usize) -> Option<Attribute> {
        if self.values.is_null(row) {
            return None;
        }
        let value = match self.kind {
            AttributeType::Text | AttributeType::FreeText => {
                AttributeValue::Text(self.values.as_string_opt::<i32>()?.value(row).to_owned())
            }
            AttributeType::Integer => AttributeValue::Integer(self.values.as_primitive_opt::<Int64Type>()?.value(row)),
        };
        Some(Attribute { key: self.key.to_owned(), value })
    }
}

/// The attributes of a map.
fn entries(map: &MapArray, row: usize) -> Vec<Attribute> {
    if map.is_null(row) {
        return Vec::new();
    }
    let entries = map.value(row);
    let (Some(keys), Some(values)) = (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_string_opt::<i32>()) else {
        return Vec::new();
    };
    let entry = |at: usize| Attribute { key: keys.value(at).to_owned(), value: AttributeValue::Text(text(values, at).to_owned()) };
    (0..entries.len()).map(entry).collect()
}

/// The elements of a list of structs.
fn elements(list: &ArrayRef, row: usize) -> Option<StructArray> {
    let list = list.as_list_opt::<i32>()?;
    if list.is_null(row) {
        return None;
    }
    list.value(row).as_struct_opt().cloned()
}

fn events_of(events: &StructArray) -> Vec<SpanEvent> {
    let at = events.column_by_name("time_unix_nano").and_then(|column| column.as_primitive_opt::<Int64Type>().cloned());
    let attributes = events.column_by_name("attributes").and_then(|column| column.as_map_opt().cloned());
    let event = |row: usize| SpanEvent {
        at: UnixNanos::new(at.as_ref().filter(|at| !at.is_null(row)).map_or(0, |at| at.value(row))),
        name: text_of(events, "name", row),
        attributes: attributes.as_ref().map(|map| entries(map, row)).unwrap_or_default(),
    };
    (0..events.len()).map(event).collect()
}

fn links_of(links: &StructArray) -> Vec<SpanLink> {
    let link = |row: usize| SpanLink { trace_id: text_of(links, "trace_id", row), span_id: text_of(links, "span_id", row) };
    (0..links.len()).map(link).collect()
}

fn text_of(elements: &StructArray, column: &str, row: usize) -> String {
    let found: Option<&StringArray> = elements.column_by_name(column).and_then(|column| column.as_string_opt::<i32>());
    found.map_or("", |column| text(column, row)).to_owned()
}
