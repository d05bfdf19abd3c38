//! OTLP's JSON, from the body to the rows; the mapping field by field is tested beside it.

use super::*;

const ID: &str = r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174""#;

async fn send(served: &Served, span: &str) -> Answer {
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{span}}}]}}]}}]}}"#);
    http1(served.http, post("/v1/traces", &[JSON], body)).await
}

/// Sends spans of which SQL must then find as many as were sent.
async fn all_become(served: &Served, spans: &[String], filter: &str) {
    for span in spans {
        let answer = send(served, span).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]), "{span}");
    }
    let sql = format!("SELECT count(*) FROM spans WHERE {filter}");
    expect(&served.tables, &sql, i64::try_from(spans.len()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn j1_j2_j11_numbers_of_64_bits_are_strings_or_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let spans = [r#""1795210265123456789""#, "1795210265123456789"].map(|time| {
        let attributes = format!(
            r#"[{{"key":"n","value":{{"intValue":{}}}}},{{"key":"d","value":{{"doubleValue":"NaN"}}}}]"#,
            time.replace("1795210265123456789", "-9223372036854775808")
        );
        format!(r#"{ID},"startTimeUnixNano":{time},"attributes":{attributes}"#)
    });
    let filter = "start_time_unix_nano = 1795210265123456789 AND attributes['n'] = '-9223372036854775808' AND attributes['d'] = '\"NaN\"'";
    all_become(&served, &spans, filter).await;
    for wrong in [r#""startTimeUnixNano":"soon""#, r#""startTimeUnixNano":-1"#, r#""startTimeUnixNano":1.5"#] {
        let answer = send(&served, &format!("{ID},{wrong}")).await;
        let (code, message) = answer.refusal();
        assert_eq!((answer.status, code), (StatusCode::BAD_REQUEST, 3), "{message}");
        assert!(message.contains("startTimeUnixNano must be a whole number"), "{message}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn j3_j10_ids_are_hex_of_either_case() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let upper =
        ID.replace("5b8efff798038103d269b633813fc60c", "5B8EFFF798038103D269B633813FC60C") + r#","parentSpanId":"EEE19B7EC3C1B175""#;
    let lower = format!(r#"{ID},"parentSpanId":"eee19b7ec3c1b175""#);
    let filter = "trace_id = '5b8efff798038103d269b633813fc60c' AND span_id = 'eee19b7ec3c1b174' AND parent_span_id = 'eee19b7ec3c1b175'";
    all_become(&served, &[upper, lower], filter).await;
    let base64 = send(&served, r#""traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ=""#).await;
    assert_eq!((base64.status, base64.refusal().0), (StatusCode::BAD_REQUEST, 3));
    let short = send(&served, r#""traceId":"5b8e","spanId":"eee19b7ec3c1b174""#).await;
    assert_eq!((short.status, short.json()["partialSuccess"]["rejectedSpans"].as_str()), (StatusCode::OK, Some("1")));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn j4_unknown_fields_are_ignored_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let new = r#""future":{"a":[1,{"b":null}]}"#;
    let body = format!(
        r#"{{{new},"resourceSpans":[{{{new},"resource":{{{new},"attributes":[{{{new},"key":"service.name","value":{{{new},"stringValue":"shop"}}}}]}},
        "scopeSpans":[{{{new},"scope":{{{new}}},"spans":[{{{ID},{new},"status":{{{new}}},"events":[{{{new}}}],"links":[{{{new}}}]}}]}}]}}]}}"#
    );
    let answer = http1(served.http, post("/v1/traces", &[JSON], body)).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
    // Field 1000, a text, before a whole request.
    let unknown = [&[0xc2, 0x3e, 3, b'n', b'e', b'w'][..], &one_span()].concat();
    assert_eq!(http1(served.http, post("/v1/traces", &[PROTOBUF], unknown.clone())).await.status, StatusCode::OK);
    assert_eq!(call(&served, TRACES, "identity", &unknown).await.grpc().0, 0);
    expect(&served.tables, "SELECT count(*) FROM spans", 3).await;
    expect(&served.tables, "SELECT count(*) FROM spans WHERE service_name = 'shop'", 1).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn j5_enums_are_numbers_and_names_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let spans = [("3", "2"), (r#""SPAN_KIND_CLIENT""#, r#""STATUS_CODE_ERROR""#)]
        .map(|(kind, code)| format!(r#"{ID},"kind":{kind},"status":{{"code":{code}}}"#));
    all_become(&served, &spans, "kind = 'CLIENT' AND status_code = 'ERROR'").await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn j6_j7_any_attribute_may_hold_any_value() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let attributes = r#"[{"key":"bytes","value":{"bytesValue":"aGk="}},{"key":"list","value":{"arrayValue":{"values":[{"intValue":"1"},{"boolValue":true},{}]}}},
        {"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"doubleValue":0.5}}]}}},{"key":"none"},{"key":"empty","value":{}},
        {"key":"no list","value":{"arrayValue":{}}},{"key":"no map","value":{"kvlistValue":{}}},{"key":"zero","value":{"intValue":0}}]"#;
    let filter = r#"attributes['bytes'] = '"aGk="' AND attributes['list'] = '[1,true,null]' AND attributes['map'] = '{"k":0.5}'
        AND attributes['no list'] = '[]' AND attributes['no map'] = '{}' AND attributes['zero'] = '0' AND cardinality(attributes) = 8"#;
    all_become(&served, &[format!(r#"{ID},"attributes":{attributes}"#)], filter).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn j9_null_is_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let span = format!(
        r#"{ID},"name":null,"kind":null,"status":null,"attributes":null,"events":null,"links":null,"startTimeUnixNano":null,"flags":null"#
    );
    all_become(&served, &[span], "start_time_unix_nano = 0 AND cardinality(attributes) = 0 AND kind = 'UNSPECIFIED'").await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_snake_case_are_unknown_fields() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    all_become(&served, &[format!(r#"{ID},"parent_span_id":"eee19b7ec3c1b175""#)], "parent_span_id IS NULL").await;
    let answer = http1(served.http, post("/v1/traces", &[JSON], r#"{"resource_spans":[7]}"#)).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
    served.stop().await;
}
