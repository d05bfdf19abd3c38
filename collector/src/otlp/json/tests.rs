use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::tests::oracle::Records;
use crate::tests::{generate, to_json};

const ONE_SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[SPAN]}]}]}"#;

fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, JsonError> {
    Ok(Message::decode(&*to_protobuf(Signal::Traces, body)?).unwrap())
}

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
    assert_eq!(with_whole_characters(r#"{"a":"cut \ud83d"}"#), r#"{"a":"cut \ufffd"}"#);
    assert_eq!(with_whole_characters(r#"["\ude00\ud83d\ud83d\uDE00x","\uD83d\n"]"#), r#"["\ufffd\ufffd\ud83d\uDE00x","\ufffd\n"]"#);
    for whole in [r#"["\ud83d\ude00"]"#, r#"["\\ud83d","\\","\u00e4","\ud8ä"]"#, r#"["\ä"]"#, r#"["\ud8"#, r#"["\"#, "[]", ""] {
        assert!(matches!(with_whole_characters(whole), Cow::Borrowed(same) if same == whole), "{whole}");
    }
}

#[test]
fn a_body_becomes_no_more_than_four_times_its_length() {
    let spans = ONE_SPAN.replace("SPAN", &format!("{}{{}}", "{},".repeat(300_000)));
    let read = to_protobuf(Signal::Traces, spans.as_bytes()).unwrap();
    assert!(read.len() < spans.len(), "{}", read.len());
    let counts = format!(r#"{{"histogram":{{"dataPoints":[{{"bucketCounts":[{}0]}}]}}}}"#, "0,".repeat(300_000));
    let body = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{counts}]}}]}}]}}"#);
    let read = to_protobuf(Signal::Metrics, body.as_bytes()).unwrap();
    assert!(read.len() <= 4 * body.len(), "{}", read.len());
    let metrics = ExportMetricsServiceRequest::decode(&*read).unwrap();
    assert!(format!("{metrics:?}").len() > 600_000, "all of them are there");
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
    for body in ["", "{}", "null", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[]}"#] {
        assert_eq!(traces(body.as_bytes()).unwrap(), Default::default(), "{body}");
    }
    let listed = span(r#"{"attributes":[null],"events":[null,{}],"droppedEventsCount":0,"name":""}"#).unwrap();
    assert_eq!((listed.attributes.len(), listed.events.len()), (1, 2));
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
        (r#"{"attributes":[[]]}"#, "spans[0].attributes[0] must be an object"),
        (r#"{"attributes":[{"key":{}}]}"#, "spans[0].attributes[0].key must be a string"),
        (r#"{"name":[]}"#, "spans[0].name must be a string"),
        (r#"{"status":"OK"}"#, "spans[0].status must be an object"),
        (r#"{"name":"a","kind":2,"name":"b"}"#, "spans[0].name must be there only once"),
        (r#"{"events":[],"events":null}"#, "spans[0].events must be there only once"),
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
    for no_json in ["{", "{} {}", "{\"a\":01}", r#"{"resourceSpans":[]"#] {
        assert!(traces(no_json.as_bytes()).unwrap_err().to_string().contains("not valid JSON"), "{no_json}");
    }
    assert!(traces(b"{\"a\":\"\xff\"}").unwrap_err().to_string().contains("not valid JSON: invalid utf-8"));
}

#[test]
fn nesting_without_end_is_refused_and_not_followed() {
    let nested = |depth: usize| {
        let value = [r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth)].concat();
        traces(ONE_SPAN.replace("SPAN", &format!(r#"{{"attributes":[{{"key":"k","value":{value}}}]}}"#)).as_bytes())
    };
    nested(30).unwrap();
    for depth in [50, 50_000] {
        assert!(matches!(nested(depth), Err(JsonError::Syntax(error)) if error.to_string().contains("recursion limit")));
    }
    // What is not read at all may be as deep as it likes.
    let unknown = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(traces(unknown.as_bytes()).unwrap(), Default::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Byte by byte what `prost` writes of the same records: that fields stand in another order is all that may differ.
    #[test]
    fn json_becomes_the_protobuf_that_it_stands_for(records in generate::records()) {
        let written = to_protobuf(records.signal(), &to_json::request(&records).body).unwrap();
        let read = match &records {
            Records::Traces(_) => Records::Traces(Message::decode(&*written).unwrap()),
            Records::Metrics(_) => Records::Metrics(Message::decode(&*written).unwrap()),
            Records::Logs(_) => Records::Logs(Message::decode(&*written).unwrap()),
        };
        prop_assert_eq!(format!("{read:?}"), format!("{records:?}"));
        prop_assert_eq!(written.len(), records.encode().len());
    }
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
