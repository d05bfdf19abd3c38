//! What a program says that it sent, as the row that has to be in the table.

use std::collections::BTreeMap;

use haldane_store::UnixNanos;
use haldane_store::schema::{
    AttributeColumn, AttributeLevel, AttributeType, RESOURCE_COLUMNS, SPAN_AND_LOG_COLUMNS, TableName, find_attribute,
};
use serde_json::{Map, Value, json};

use crate::world::Row;

/// Marks a value that stands in the table as text, as JSON.
const TEXT: &str = "$text";
/// Marks a map of the table: nothing else may be in it. In other objects, such as an event, only what was sent is compared.
const MAP: &str = "$map";
/// Marks bytes, as base64.
const BYTES: &str = "$bytes";
/// Marks an instant, which has several spellings.
const TIME: &str = "$time";

/// The row of one printed line, with every column of its table; what was not sent has to be null or a default.
pub(crate) fn expected(line: &Value) -> Row {
    let line = line.as_object().unwrap();
    let mut row: Row = line.iter().map(|(key, value)| (key.clone(), nanos(key, value))).collect();
    let signal = row.remove("signal").unwrap();
    row.insert("scope_attributes".to_owned(), texts(&line["scope_attributes"]));
    attributes(&mut row, AttributeLevel::Resource, RESOURCE_COLUMNS, "resource_attributes");
    attributes(&mut row, AttributeLevel::Record, SPAN_AND_LOG_COLUMNS, "attributes");
    let table = match signal.as_str().unwrap() {
        "span" => span(&mut row),
        "log" => log(&mut row),
        _ => metric(&mut row),
    };
    // The SDKs do not show the flags that they send.
    for column in table.schema().fields().iter().filter(|column| !["flags", "series_id"].contains(&column.name().as_str())) {
        row.entry(column.name()).or_insert(Value::Null);
    }
    row
}

fn span(row: &mut Row) -> TableName {
    let at = |name: &str| row[name].as_i64().unwrap();
    let (start, end) = (at("start_time_unix_nano"), at("end_time_unix_nano"));
    row.insert("duration_ns".to_owned(), json!(end - start));
    time(row, start);
    for list in ["events", "links"] {
        each(row, list, |item| {
            item["attributes"] = texts(&item["attributes"]);
            item.insert("dropped_attributes_count".to_owned(), Value::Null);
        });
    }
    TableName::Spans
}

fn log(row: &mut Row) -> TableName {
    let body = row["body"].clone();
    let kind = match &body {
        Value::Null => None,
        Value::Bool(_) => Some("bool"),
        Value::Number(number) => Some(if number.is_f64() { "double" } else { "int" }),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
        Value::Object(object) => Some(if object.contains_key(BYTES) { "bytes" } else { "kvlist" }),
    };
    row.insert("body_type".to_owned(), json!(kind));
    row.insert("body".to_owned(), text(&body));
    let at = ["time_unix_nano", "observed_time_unix_nano"].iter().find_map(|name| row[*name].as_i64());
    time(row, at.unwrap());
    TableName::Logs
}

fn metric(row: &mut Row) -> TableName {
    time(row, row["time_unix_nano"].as_i64().unwrap());
    each(row, "exemplars", |exemplar| {
        let value = exemplar.remove("value").unwrap();
        let (double, int) = if value.is_f64() { (value, Value::Null) } else { (Value::Null, value) };
        exemplar.extend([("value_double".to_owned(), double), ("value_int".to_owned(), int)]);
        exemplar["filtered_attributes"] = texts(&exemplar["filtered_attributes"]);
    });
    TableName::Metrics
}

fn each(row: &mut Row, list: &str, mut change: impl FnMut(&mut Map<String, Value>)) {
    for item in row[list].as_array_mut().unwrap() {
        let item = item.as_object_mut().unwrap();
        *item = item.iter().map(|(key, value)| (key.clone(), nanos(key, value))).collect();
        change(item);
    }
}

/// `time` and `date`, as SQL shows them.
fn time(row: &mut Row, nanos: i64) {
    let shown = UnixNanos::new(nanos / 1_000 * 1_000).to_rfc3339();
    row.insert("date".to_owned(), json!(shown.split('T').next()));
    row.insert("time".to_owned(), json!({ TIME: shown }));
}

/// Moves those that have a column there; under an older name or with another type they stay in the map too.
fn attributes(row: &mut Row, level: AttributeLevel, columns: &[AttributeColumn], map: &str) {
    let sent = row[map].as_object().unwrap().clone();
    let mut rest = Map::new();
    let mut own: BTreeMap<&str, Value> = columns.iter().map(|column| (column.column, Value::Null)).collect();
    for (key, value) in &sent {
        let place = find_attribute(level, key);
        if let Some((at, _)) = place {
            own.insert(columns[at].column, if columns[at].kind != AttributeType::Integer { text(value) } else { value.clone() });
        }
        let exact = place.is_some_and(|(at, present)| present && value.is_string() == (columns[at].kind != AttributeType::Integer));
        if !exact {
            rest.insert(key.clone(), text(value));
        }
    }
    row.extend(own.into_iter().map(|(column, value)| (column.to_owned(), value)));
    row.insert(map.to_owned(), json!({ MAP: rest }));
}

fn texts(attributes: &Value) -> Value {
    let texts: Map<_, _> = attributes.as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value))).collect();
    json!({ MAP: texts })
}

fn text(value: &Value) -> Value {
    if value.is_null() || value.is_string() { value.clone() } else { json!({ TEXT: value }) }
}

/// Whole numbers that JavaScript prints as text.
fn nanos(key: &str, value: &Value) -> Value {
    match value.as_str() {
        Some(digits) if key.ends_with("_unix_nano") => json!(digits.parse::<i64>().unwrap()),
        _ => value.clone(),
    }
}

/// Every row that was sent is there once, and nothing else.
pub(crate) fn assert_same(table: &str, sent: Vec<Row>, mut stored: Vec<Row>) {
    assert_eq!(sent.len(), stored.len(), "{table}: rows sent and stored");
    for row in sent {
        let differences = |other: &Row| row.iter().filter(|(column, value)| !same(value, &other[*column])).count();
        let (at, least) = stored.iter().map(differences).enumerate().min_by_key(|(_, count)| *count).unwrap();
        let closest = stored.swap_remove(at);
        if least > 0 {
            let different = row.iter().filter(|(column, value)| !same(value, &closest[*column]));
            let told: Vec<String> =
                different.map(|(column, value)| format!("{column}: sent {value}, stored {}", closest[column])).collect();
            panic!("{table}: a row came back changed:\n  {}\nsent: {}", told.join("\n  "), Value::Object(row));
        }
    }
}

/// Whether a stored value is what was sent. Protobuf does not tell a default from nothing, so neither does this.
fn same(sent: &Value, stored: &Value) -> bool {
    match (sent, stored) {
        (Value::Number(a), Value::Number(b)) => a.as_i64().zip(b.as_i64()).map_or(a.as_f64() == b.as_f64(), |(a, b)| a == b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(object), _) => match object.iter().next() {
            Some((mark, value)) if mark.starts_with('$') => same_marked(mark, value, stored),
            _ => stored
                .as_object()
                .is_some_and(|stored| object.iter().all(|(key, value)| same(value, stored.get(key).unwrap_or(&Value::Null)))),
        },
        _ => sent == stored || (is_default(sent) && is_default(stored)),
    }
}

fn same_marked(mark: &str, sent: &Value, stored: &Value) -> bool {
    if mark == MAP {
        let (sent, empty) = (sent.as_object().unwrap(), Map::new());
        let stored = stored.as_object().unwrap_or(&empty);
        return sent.len() == stored.len() && sent.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| same(value, stored)));
    }
    let Some(text) = stored.as_str() else { return false };
    match mark {
        TEXT => serde_json::from_str::<Value>(text).is_ok_and(|stored| same_json(sent, &stored)),
        TIME => UnixNanos::parse_rfc3339(text).ok() == UnixNanos::parse_rfc3339(sent.as_str().unwrap()).ok(),
        other => unreachable!("{other} marks nothing"),
    }
}

/// As [`same`], but nothing may be missing or more.
fn same_json(sent: &Value, stored: &Value) -> bool {
    match (sent, stored) {
        (Value::Object(bytes), Value::String(_)) if bytes.contains_key(BYTES) => bytes[BYTES] == *stored,
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_json(a, b))),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b)),
        (Value::Number(_), Value::Number(_)) => same(sent, stored),
        _ => sent == stored,
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
