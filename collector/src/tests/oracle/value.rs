//! An attribute's value as text: a string as it is, anything else as JSON (bytes as a base64 string, `NaN` as a string).

use std::borrow::Cow;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use serde_json::json;

use super::attributes::last_of_each_key;
use crate::base64;

/// The value as a table has it, `None` for an empty one.
pub(crate) fn text_of(value: &AnyValue) -> Option<Cow<'_, str>> {
    if let Value::StringValue(text) = value.value.as_ref()? {
        return Some(Cow::Borrowed(text));
    }
    let mut json = String::new();
    write_json(value, &mut json);
    Some(Cow::Owned(json))
}

/// What `body_type` says of a value, `None` for an empty one.
pub(crate) fn type_name(value: &AnyValue) -> Option<&'static str> {
    Some(match value.value.as_ref()? {
        Value::StringValue(_) => "string",
        Value::BoolValue(_) => "bool",
        // a string by its place in a dictionary, which the signals kept here do not have
        Value::IntValue(_) | Value::StringValueStrindex(_) => "int",
        Value::DoubleValue(_) => "double",
        Value::BytesValue(_) => "bytes",
        Value::ArrayValue(_) => "array",
        Value::KvlistValue(_) => "kvlist",
    })
}

/// Entity references as a JSON list in OTLP's own key names, `None` when there are none.
pub(crate) fn entity_refs(refs: &[EntityRef]) -> Option<String> {
    if refs.is_empty() {
        return None;
    }
    let list: Vec<_> = refs
        .iter()
        .map(|entity| {
            json!({
                "schemaUrl": entity.schema_url, "type": entity.r#type,
                "idKeys": entity.id_keys, "descriptionKeys": entity.description_keys,
            })
        })
        .collect();
    Some(serde_json::Value::from(list).to_string())
}

/// Recursion ends: both decoders limit how deeply a value may nest.
fn write_json(value: &AnyValue, out: &mut String) {
    match value.value.as_ref() {
        None => out.push_str("null"),
        Some(Value::StringValue(text)) => write_string(text, out),
        Some(Value::BoolValue(flag)) => out.push_str(if *flag { "true" } else { "false" }),
        Some(Value::IntValue(number)) => out.push_str(&number.to_string()),
        Some(Value::StringValueStrindex(index)) => out.push_str(&index.to_string()),
        Some(Value::DoubleValue(number)) => write_double(*number, out),
        Some(Value::BytesValue(bytes)) => write_string(&base64::encode(bytes), out),
        Some(Value::ArrayValue(array)) => {
            write_between(('[', ']'), array.values.iter(), out, write_json);
        }
        Some(Value::KvlistValue(list)) => {
            let kept = last_of_each_key(&list.values);
            write_between(('{', '}'), kept, out, write_member);
        }
    }
}

fn write_member(member: &KeyValue, out: &mut String) {
    write_string(&member.key, out);
    out.push(':');
    match &member.value {
        Some(value) => write_json(value, out),
        None => out.push_str("null"),
    }
}

fn write_between<'a, T: 'a>(
    (open, close): (char, char),
    items: impl Iterator<Item = &'a T>,
    out: &mut String,
    write: impl Fn(&T, &mut String),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// JSON has no `NaN` and no infinities; OTLP writes them as strings.
fn write_double(number: f64, out: &mut String) {
    if number.is_finite() {
        out.push_str(&serde_json::Value::from(number).to_string());
    } else if number.is_nan() {
        out.push_str("\"NaN\"");
    } else {
        out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}
