use haldane_store::TableName;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::tests::fixture::{
    START, array, attribute, double, int, json_rows, log, logs_of, map, metrics, metrics_of, rows_of, span, text, traces_of,
};
use crate::tests::oracle::Records;

fn one_row(records: Records, table: TableName) -> Value {
    json_rows(&rows_of(&[records]), table).remove(0)
}

/// What the fixture's resource and scope look like in every table.
fn with_origin(mut own: Value) -> Value {
    let origin = json!({
        "date": "2026-11-20", "time": "2026-11-20T21:31:05.123456Z",
        "service_name": "payment", "service_version": "1.5.0", "deployment_environment_name": "shop",
        "k8s_pod_name": "payment-1", "k8s_replicaset_name": "payment-5f",
        "process_pid": 42, "resource_attributes": {"deployment.environment": "shop"},
        "resource_dropped_attributes_count": 1, "resource_schema_url": "https://r",
        "resource_entity_refs": "[{\"descriptionKeys\":[\"service.version\"],\"idKeys\":[\"service.name\"],\"schemaUrl\":\"https://e\",\"type\":\"service\"}]",
        "scope_name": "lib", "scope_version": "2.0", "scope_attributes": {"scope.flag": "true"},
        "scope_dropped_attributes_count": 2, "scope_schema_url": "https://s",
    });
    let fields = origin.as_object().unwrap().clone();
    own.as_object_mut().unwrap().extend(fields);
    own
}

#[test]
fn every_field_of_a_span_is_in_its_row() {
    let row = one_row(Records::Traces(traces_of(vec![span()])), TableName::Spans);
    let expected = with_origin(json!({
        "trace_id": "0102030405060708090a0b0c0d0e0f10", "span_id": "0102030405060708", "parent_span_id": "0909090909090909",
        "name": "pay", "kind": "SERVER", "status_code": "ERROR", "status_message": "failed",
        "start_time_unix_nano": START, "duration_ns": 1_000_000,
        "http_request_method": "POST", "http_route": "/pay", "http_response_status_code": 500,
        "attributes": {"http.status_code": "500", "user.tags": "[\"a\",1,\"NaN\",\"aGk=\",null]", "empty": null},
        "events": [{"time_unix_nano": START + 5, "name": "exception", "dropped_attributes_count": 4, "attributes": {
            "exception.type": "StripeSecretMissing", "exception.message": "no secret for order 17"}}],
        "links": [{"trace_id": "ab".repeat(16), "span_id": "cd".repeat(8), "trace_state": "c=d", "attributes": {"why": "retry"},
            "dropped_attributes_count": 6, "flags": 1}],
        "trace_state": "a=b", "flags": 257, "dropped_attributes_count": 3, "dropped_events_count": 5, "dropped_links_count": 7,
    }));
    assert_eq!(without_nulls(row), without_nulls(expected));
}

#[test]
fn an_end_is_kept_where_start_and_duration_do_not_tell_it() {
    for (start, end, kept) in
        [(START, START + 5, Value::Null), (START, START, Value::Null), (START, START - 5, json!(START - 5)), (START, 0, json!(0))]
    {
        let span = Span { start_time_unix_nano: start, end_time_unix_nano: end, ..span() };
        let row = one_row(Records::Traces(traces_of(vec![span])), TableName::Spans);
        assert_eq!(row.get("end_time_unix_nano").unwrap_or(&Value::Null), &kept, "{start} to {end}");
        assert_eq!(row["duration_ns"], json!(end.saturating_sub(start)));
    }
}

#[test]
fn every_field_of_a_log_record_is_in_its_row() {
    let row = one_row(Records::Logs(logs_of(vec![log()])), TableName::Logs);
    let expected = with_origin(json!({
        "severity_number": 17, "severity_text": "ERROR", "body": "{\"order\":17,\"paid\":false}", "body_type": "kvlist",
        "event_name": "payment.failed", "trace_id": "0102030405060708090a0b0c0d0e0f10", "span_id": "0102030405060708",
        "time_unix_nano": START, "observed_time_unix_nano": START + 9, "exception_type": "Timeout", "attributes": {"attempt": "2.0"},
        "flags": 1, "dropped_attributes_count": 1,
    }));
    assert_eq!(row, expected);
}

#[test]
fn every_field_of_all_five_kinds_of_point_is_in_its_row() {
    let rows = json_rows(&rows_of(&[Records::Metrics(metrics_of(metrics()))]), TableName::Metrics);
    let exemplar = |key: &str, value: Value| {
        json!([{"time_unix_nano": START + 1, key: value, "trace_id": "0102030405060708090a0b0c0d0e0f10", "span_id": "0102030405060708",
            "filtered_attributes": {"user": "ann"}}])
    };
    let number = json!({"http_route": "/pay", "attributes": {}, "flags": 1, "exemplars": exemplar("value_int", json!(3))});
    let other = json!({"attributes": {"a": "1"}, "flags": 0, "exemplars": []});
    let own = [
        (&number, json!({"metric_type": "gauge", "value_double": 1.5})),
        (&number, json!({"metric_type": "sum", "value_int": -7, "temporality": "cumulative", "is_monotonic": true})),
        (
            &other,
            json!({"metric_type": "histogram", "temporality": "delta", "count": 3, "sum": 6.5, "min": 0.5, "max": 4.0,
            "explicit_bounds": [1.0, 5.0], "bucket_counts": [1, 2, 0], "exemplars": exemplar("value_double", json!(2.5))}),
        ),
        (
            &other,
            json!({"metric_type": "exponential_histogram", "temporality": "delta", "count": 6, "sum": 1.0, "max": 9.0, "scale": -1,
            "zero_count": 1, "zero_threshold": 0.25, "positive_offset": -2, "positive_bucket_counts": [1, 2], "negative_offset": 3,
            "negative_bucket_counts": [2]}),
        ),
        (&other, json!({"metric_type": "summary", "count": 4, "sum": 10.0, "quantiles": [{"quantile": 0.5, "value": 2.5}]})),
    ];
    for (mut row, (shared, own)) in rows.into_iter().zip(own) {
        // The series that it is of is tested beside what tells it.
        assert!(row.as_object_mut().unwrap().remove("series_id").is_some_and(|id| id.is_string()));
        let mut expected = with_origin(json!({
            "metric_name": "queue.length", "unit": "{item}", "description": "how long it is", "metric_metadata": {"source": "test"},
            "time_unix_nano": START, "start_time_unix_nano": START - 10,
        }));
        for part in [shared, &own] {
            expected.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        assert_eq!(row, expected);
    }
}

fn without_nulls(mut row: Value) -> Value {
    if let Some(attributes) = row.get_mut("attributes").and_then(Value::as_object_mut) {
        attributes.retain(|_, value| !value.is_null());
    }
    row
}

fn span_row(attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> Value {
    let one = opentelemetry_proto::tonic::trace::v1::Span { attributes, ..span() };
    one_row(Records::Traces(traces_of(vec![one])), TableName::Spans)
}

#[test]
fn the_present_name_moves_and_the_older_one_stays_and_yields() {
    let row = span_row(vec![attribute("http.method", text("GET")), attribute("http.request.method", text("POST"))]);
    assert_eq!((&row["http_request_method"], &row["attributes"]), (&json!("POST"), &json!({"http.method": "GET"})));
    // Between two older names the newer one wins, whatever their order.
    let row = span_row(vec![attribute("net.host.name", text("old")), attribute("net.peer.name", text("less old"))]);
    assert_eq!(row["server_address"], "less old");
}

#[test]
fn a_value_of_another_type_fills_the_column_and_stays_in_the_map() {
    let row = span_row(vec![attribute("http.response.status_code", text("404")), attribute("rpc.grpc.status_code", int(14))]);
    assert_eq!((&row["http_response_status_code"], &row["rpc_response_status_code"]), (&json!(404), &json!("14")));
    assert_eq!(row["attributes"], json!({"http.response.status_code": "404", "rpc.grpc.status_code": "14"}));
    let row = span_row(vec![attribute("http.response.status_code", text("teapot")), attribute("http.route", array(vec![int(1)]))]);
    assert_eq!((&row.get("http_response_status_code"), &row["http_route"]), (&None, &json!("[1]")));
    assert_eq!(row["attributes"], json!({"http.response.status_code": "teapot", "http.route": "[1]"}));
}

#[test]
fn of_two_attributes_of_one_key_the_last_stays() {
    let row = span_row(vec![
        attribute("a", int(1)),
        attribute("http.route", text("/x")),
        attribute("a", text("2")),
        attribute("http.route", text("/y")),
        attribute("deep", map(vec![attribute("k", int(1)), attribute("k", double(2.5))])),
    ]);
    assert_eq!((&row["http_route"], &row["attributes"]), (&json!("/y"), &json!({"a": "2", "deep": "{\"k\":2.5}"})));
    let many = (0..1000).map(|n| attribute(&format!("k{}", n % 500), int(n))).collect();
    assert_eq!(span_row(many)["attributes"].as_object().unwrap().len(), 500);
}

#[test]
fn a_log_record_without_a_time_has_that_of_its_observation_or_arrival() {
    let mut record = log();
    record.time_unix_nano = 0;
    let row = one_row(Records::Logs(logs_of(vec![record.clone()])), TableName::Logs);
    assert_eq!((&row["time"], row.get("time_unix_nano")), (&json!("2026-11-20T21:31:05.123456Z"), None));
    record.observed_time_unix_nano = 0;
    let row = one_row(Records::Logs(logs_of(vec![record])), TableName::Logs);
    assert_eq!(row["time"], json!("2026-11-20T21:31:40Z"));
}

#[test]
fn a_time_that_cannot_be_true_is_that_of_the_receipt_and_stays_as_it_was_sent() {
    const DAY: u64 = 86_400 * 1_000_000_000;
    let of = |start: u64, end: u64| {
        let span = Span { start_time_unix_nano: start, end_time_unix_nano: end, ..span() };
        one_row(Records::Traces(traces_of(vec![span])), TableName::Spans)
    };
    let received = of(0, 0)["time"].clone();
    assert_eq!(received, "2026-11-20T21:31:40Z");
    for (start, time) in [(START - 3_650 * DAY, "2016-11-22T21:31:05.123456Z"), (START + DAY, "2026-11-21T21:31:05.123456Z")] {
        assert_eq!(of(start, start + 1)["time"], time);
    }
    for start in [1, START - 3_660 * DAY, START + 2 * DAY, 80_000 * DAY] {
        assert_eq!((&of(start, start + 1)["time"], &of(start, start + 1)["start_time_unix_nano"]), (&received, &start.into()));
        assert_eq!(of(start, START)["time"], "2026-11-20T21:31:05.123456Z", "the end may be true: {start}");
    }
}
