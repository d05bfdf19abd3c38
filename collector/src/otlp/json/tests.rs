use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::*;

const ONE_SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[SPAN]}]}]}"#;

fn span(json: &str) -> Result<opentelemetry_proto::tonic::trace::v1::Span, String> {
    let body = ONE_SPAN.replace("SPAN", json);
    let request = traces(body.as_bytes()).map_err(|error| error.to_string())?;
    Ok(request.resource_spans[0].scope_spans[0].spans[0].clone())
}

fn value(json: &str) -> Option<Value> {
    let span = span(&format!(r#"{{"attributes":[{{"key":"k","value":{json}}}]}}"#)).unwrap();
    span.attributes[0].value.clone().and_then(|value| value.value)
}

#[test]
fn integers_are_taken_as_strings_and_as_numbers() {
    for time in ["\"1795210265123456789\"", "1795210265123456789"] {
        assert_eq!(span(&format!(r#"{{"startTimeUnixNano":{time}}}"#)).unwrap().start_time_unix_nano, 1_795_210_265_123_456_789);
    }
    assert_eq!(value(r#"{"intValue":"-9223372036854775808"}"#), Some(Value::IntValue(i64::MIN)));
    assert_eq!(value(r#"{"intValue":7}"#), Some(Value::IntValue(7)));
    assert_eq!(value(r#"{"intValue":1e3}"#), Some(Value::IntValue(1000)));
    assert_eq!(value(r#"{"intValue":1e+300}"#), Some(Value::DoubleValue(1e300)));
}

#[test]
fn half_a_character_becomes_a_replacement_character() {
    let mended = |text: &str| with_whole_characters(text.as_bytes()).map(|mended| String::from_utf8(mended).unwrap());
    assert_eq!(mended(r#"{"a":"cut \ud83d"}"#).as_deref(), Some(r#"{"a":"cut \ufffd"}"#));
    assert_eq!(mended(r#"["\ude00\ud83d\ud83d\uDE00x","\uD83d\n"]"#).as_deref(), Some(r#"["\ufffd\ufffd\ud83d\uDE00x","\ufffd\n"]"#));
    for whole in [r#"["\ud83d\ude00"]"#, r#"["\\ud83d","\\","\u00e4"]"#, r#"["\ud8"#, r#"["\"#, "[]", ""] {
        assert_eq!(mended(whole), None, "{whole}");
    }
}

#[test]
fn objects_of_two_bytes_do_not_become_gigabytes() {
    let spans = |count: usize| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#, "{},".repeat(count));
    assert_eq!(traces(spans(10_000).as_bytes()).unwrap().resource_spans[0].scope_spans[0].spans.len(), 10_001);
    let error = traces(spans(3_000_000).as_bytes()).unwrap_err().to_string();
    assert!(error.contains("resourceSpans[0].scopeSpans[0].spans must be shorter"), "{error}");
    let values = format!("[{}0]", "0,".repeat(20_000_000));
    assert!(traces(values.as_bytes()).unwrap_err().to_string().contains("too many values"));
}

#[test]
fn doubles_have_names_for_what_json_cannot_write() {
    assert!(matches!(value(r#"{"doubleValue":"NaN"}"#), Some(Value::DoubleValue(number)) if number.is_nan()));
    assert_eq!(value(r#"{"doubleValue":"-Infinity"}"#), Some(Value::DoubleValue(f64::NEG_INFINITY)));
    assert_eq!(value(r#"{"doubleValue":"2.5"}"#), Some(Value::DoubleValue(2.5)));
    assert_eq!(value(r#"{"doubleValue":3}"#), Some(Value::DoubleValue(3.0)));
}

#[test]
fn ids_are_hex_of_either_case_and_bytes_are_base64() {
    let read = span(r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174"}"#).unwrap();
    assert_eq!(crate::hex::encode(&read.trace_id), "5b8efff798038103d269b633813fc60c");
    assert_eq!(value(r#"{"bytesValue":"aGk="}"#), Some(Value::BytesValue(b"hi".to_vec())));
}

#[test]
fn null_missing_and_empty_are_the_default() {
    let read = span(r#"{"traceId":null,"attributes":null,"status":null,"kind":null,"unknown":{"a":[1]}}"#).unwrap();
    assert_eq!(read, Default::default());
    assert_eq!(value("{}"), None);
    assert_eq!(value("null"), None);
    assert_eq!(value(r#"{"arrayValue":{}}"#), Some(Value::ArrayValue(Default::default())));
    assert_eq!(value(r#"{"kvlistValue":{"values":[]}}"#), Some(Value::KvlistValue(Default::default())));
    for body in ["", "{}", "null", r#"{"resourceSpans":null}"#] {
        assert_eq!(traces(body.as_bytes()).unwrap(), Default::default(), "{body}");
    }
}

#[test]
fn enums_are_numbers_and_names_do_no_harm() {
    assert_eq!(span(r#"{"kind":2}"#).unwrap().kind, 2);
    assert_eq!(span(r#"{"kind":"SPAN_KIND_CLIENT"}"#).unwrap().kind, 3);
    assert_eq!(span(r#"{"status":{"code":"STATUS_CODE_ERROR"}}"#).unwrap().status.unwrap().code, 2);
}

#[test]
fn a_wrong_type_is_refused_by_its_path() {
    for (json, place) in [
        (r#"{"traceId":"xyz"}"#, "spans[0].traceId must be an id in hex digits"),
        (r#"{"traceId":7}"#, "spans[0].traceId must be an id in hex digits"),
        (r#"{"name":7}"#, "spans[0].name must be a string"),
        (r#"{"startTimeUnixNano":-1}"#, "spans[0].startTimeUnixNano must be a whole number"),
        (r#"{"startTimeUnixNano":"soon"}"#, "spans[0].startTimeUnixNano must be a whole number"),
        (r#"{"flags":4294967296}"#, "spans[0].flags must be a whole number"),
        (r#"{"attributes":{}}"#, "spans[0].attributes must be a list"),
        (
            r#"{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"boolValue":1}]}}}]}"#,
            "attributes[0].value.arrayValue.values[0].boolValue must be true or false",
        ),
        (r#"{"kind":"SIDEWAYS"}"#, "spans[0].kind must be the number"),
        ("7", "scopeSpans[0].spans[0] must be an object"),
    ] {
        let error = span(json).unwrap_err();
        assert!(error.contains(place), "{json}: {error}");
    }
    assert!(traces(b"[]").unwrap_err().to_string().contains("the body must be an object"));
    assert!(traces(b"{").unwrap_err().to_string().contains("not valid JSON"));
}

#[test]
fn nesting_without_end_is_refused_and_not_followed() {
    let deep = format!(r#"{{"resourceSpans":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(traces(deep.as_bytes()), Err(JsonError::Syntax(_))));
    let open = r#"{"arrayValue":{"values":["#.repeat(50_000);
    assert!(matches!(traces(open.as_bytes()), Err(JsonError::Syntax(_))));
}

#[test]
fn an_answer_says_only_what_was_left_out() {
    use crate::decode::Rejected;
    use crate::request::Signal;
    assert_eq!(partial_success(Signal::Logs, None).to_string(), "{}");
    let rejected = Rejected { count: 3, message: "why".to_owned() };
    let answer = partial_success(Signal::Metrics, Some(&rejected));
    assert_eq!(answer, serde_json::json!({"partialSuccess": {"rejectedDataPoints": "3", "errorMessage": "why"}}));
}
