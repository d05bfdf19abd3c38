mod sql;

use std::collections::BTreeMap;

use haldane_store::TableName;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::tests::fixture::{START, attribute, json_rows, log, logs_of, numbered_span, rows_of, span, text, traces_of};
use crate::tests::oracle::Records;
use crate::tests::{fixture, generate};

fn errors_of(records: &[Records]) -> Vec<Value> {
    json_rows(&rows_of(records), TableName::Errors)
}

fn exception_log(error_type: &str, message: &str) -> LogRecord {
    LogRecord { attributes: vec![attribute("exception.type", text(error_type)), attribute("exception.message", text(message))], ..log() }
}

#[test]
fn a_request_is_counted_under_its_cohort_route_and_bucket() {
    let mut slow = numbered_span(9);
    slow.end_time_unix_nano = START + 5_000_000;
    slow.status = None;
    slow.attributes.retain(|attribute| attribute.key != "http.status_code");
    let rows = json_rows(&rows_of(&[Records::Traces(traces_of(vec![span(), slow]))]), TableName::Red);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    let expected = serde_json::json!({
        "date": "2026-11-20", "time": "2026-11-20T21:31:00Z", "service_name": "payment", "service_version": "1.5.0",
        "deployment_environment_name": "shop", "service_instance_id": "payment-1",
        "cohort_attributes": {"k8s.replicaset.name": "payment-5f"}, "operation": "POST /pay", "span_kind": "SERVER",
        "requests": 2, "errors": 1, "duration_sum_ns": 6_000_000, "duration_min_ns": 1_000_000, "duration_max_ns": 5_000_000,
        "duration_scale": 6, "duration_zero_count": 0, "duration_offset": row["duration_offset"], "duration_counts": row["duration_counts"],
        "error_trace_id": "0102030405060708090a0b0c0d0e0f10", "slow_trace_id": "07070707070707070000000000000009",
    });
    assert_eq!(row, &expected);
    let counted: i64 = row["duration_counts"].as_array().unwrap().iter().filter_map(Value::as_i64).sum();
    assert_eq!(counted, 2);
}

#[test]
fn a_feature_flag_s_variant_tells_cohorts_apart() {
    let mut flagged = span();
    flagged.attributes.push(attribute("feature_flag.result.variant", text("on")));
    let rows = json_rows(&rows_of(&[Records::Traces(traces_of(vec![span(), flagged]))]), TableName::Red);
    let variants: Vec<_> = rows.iter().map(|row| row["cohort_attributes"].get("feature_flag.result.variant")).collect();
    assert_eq!(variants, [Some(&Value::from("on")), None]);
}

#[test]
fn a_server_span_with_status_500_failed_and_a_client_s_did_not() {
    for (kind, errors) in [(2, 1), (3, 0)] {
        let one = Span { kind, status: None, ..span() };
        assert_eq!(json_rows(&rows_of(&[Records::Traces(traces_of(vec![one]))]), TableName::Red)[0]["errors"], errors);
    }
}

#[test]
fn an_http_client_s_operation_says_whom_it_asks() {
    let operation = |kind: i32, name: &str, peer: &[(&str, &str)]| {
        let attributes = peer.iter().map(|(key, value)| attribute(key, text(value))).collect();
        let one = Span { kind, name: name.into(), attributes, events: Vec::new(), ..span() };
        json_rows(&rows_of(&[Records::Traces(traces_of(vec![one]))]), TableName::Red)[0]["operation"].as_str().unwrap().to_owned()
    };
    let (host, service) = (("server.address", "api.stripe.com"), ("peer.service", "stripe"));
    assert_eq!(operation(3, "GET", &[host]), "GET api.stripe.com");
    assert_eq!(operation(3, "HTTP POST", &[host, service]), "HTTP POST stripe");
    assert_eq!(operation(3, "GET", &[("net.peer.name", "stock")]), "GET stock");
    assert_eq!(operation(3, "GET", &[("server.address", "10.0.0.7")]), "GET", "there may be thousands of addresses");
    assert_eq!(operation(3, "SELECT shop.orders", &[host]), "SELECT shop.orders");
    assert_eq!(operation(2, "GET", &[host]), "GET", "that is the service's own address");
    assert_eq!(operation(3, "GET", &[]), "GET");
}

#[test]
fn an_exception_event_is_an_error_and_its_span_s_status_is_not_one_more() {
    let errors = errors_of(&[Records::Traces(traces_of(vec![span(), numbered_span(5)]))]);
    assert_eq!(errors.len(), 1);
    let error = &errors[0];
    assert_eq!((&error["source"], &error["error_type"]), (&"exception".into(), &"StripeSecretMissing".into()));
    assert_eq!((&error["message"], &error["count"]), (&"no secret for order <num>".into(), &2.into()));
    assert_eq!((&error["operation"], &error["span_id"]), (&"POST /pay".into(), &"0102030405060708".into()));
}

#[test]
fn a_failed_span_without_an_exception_is_an_error_of_its_status() {
    let plain = Span { events: Vec::new(), ..span() };
    let errors = errors_of(&[Records::Traces(traces_of(vec![plain]))]);
    assert_eq!((&errors[0]["source"], &errors[0]["error_type"]), (&"status".into(), &"500".into()));
    let typed = Span { attributes: vec![attribute("error.type", text("timeout"))], events: Vec::new(), ..span() };
    assert_eq!(errors_of(&[Records::Traces(traces_of(vec![typed]))])[0]["error_type"], "timeout");
    let bare = Span { attributes: Vec::new(), events: Vec::new(), ..span() };
    assert_eq!(errors_of(&[Records::Traces(traces_of(vec![bare]))])[0]["error_type"], "error");
}

#[test]
fn an_exception_told_as_event_and_as_log_counts_once_in_either_order() {
    let told_again = Records::Logs(logs_of(vec![exception_log("StripeSecretMissing", "no secret for order 17")]));
    let told = Records::Traces(traces_of(vec![span()]));
    for batch in [[told.clone(), told_again.clone()], [told_again.clone(), told]] {
        let errors = errors_of(&batch);
        assert_eq!((errors.len(), &errors[0]["count"]), (1, &1.into()), "{errors:?}");
    }
    let alone = errors_of(&[told_again]);
    assert_eq!((&alone[0]["source"], &alone[0]["count"], &alone[0]["operation"]), (&"exception".into(), &1.into(), &"".into()));
    let from_span = errors_of(&[Records::Traces(traces_of(vec![span()]))]);
    assert_eq!(alone[0]["fingerprint"], from_span[0]["fingerprint"]);
}

#[test]
fn a_log_record_has_the_operation_of_its_span_when_they_meet() {
    let quiet = Span { events: Vec::new(), status: None, ..span() };
    let record = LogRecord { attributes: Vec::new(), event_name: String::new(), body: Some(text("disk 7 is full")), ..log() };
    let errors = errors_of(&[Records::Logs(logs_of(vec![record])), Records::Traces(traces_of(vec![quiet]))]);
    assert_eq!((&errors[0]["source"], &errors[0]["error_type"]), (&"log".into(), &"log".into()));
    assert_eq!((&errors[0]["operation"], &errors[0]["message"]), (&"POST /pay".into(), &"disk <num> is full".into()));
}

#[test]
fn a_log_record_that_tells_of_no_error_is_none() {
    let quiet = LogRecord { attributes: Vec::new(), severity_number: 16, ..log() };
    assert!(errors_of(&[Records::Logs(logs_of(vec![quiet]))]).is_empty());
    let caught = LogRecord { severity_number: 9, ..exception_log("Timeout", "") };
    assert_eq!(errors_of(&[Records::Logs(logs_of(vec![caught]))]).len(), 1);
}

type NaiveKey = [String; 5];

fn key(row: &Value, own: [&str; 2]) -> NaiveKey {
    let text = |column: &str| row.get(column).map(ToString::to_string).unwrap_or_default();
    [text("service_version"), text("time"), text("cohort_attributes"), text(own[0]), text(own[1])]
}

/// `red` computed row by row from `spans`, as a reader of the tables would.
fn naive_red(spans: &[Value]) -> BTreeMap<NaiveKey, [i64; 5]> {
    let mut cells: BTreeMap<NaiveKey, [i64; 5]> = BTreeMap::new();
    for span in spans {
        let route = span.get("http_route").and_then(Value::as_str);
        let method = span.get("http_request_method").and_then(Value::as_str);
        let operation = match (method, route) {
            (Some(method), Some(route)) => format!("{method} {route}"),
            (None, Some(route)) => route.to_owned(),
            (_, None) => span["name"].as_str().unwrap().to_owned(),
        };
        let http = span.get("http_response_status_code").and_then(Value::as_i64);
        let failed = span["status_code"] == "ERROR" || (span["kind"] == "SERVER" && http.is_some_and(|status| status >= 500));
        let time = haldane_store::UnixNanos::parse_rfc3339(span["time"].as_str().unwrap()).unwrap().bucket(BUCKET).to_rfc3339();
        let mut cohort = serde_json::Map::from_iter([("k8s.replicaset.name".to_owned(), Value::from("payment-5f"))]);
        if let Some(variant) = span.get("feature_flag_result_variant") {
            cohort.insert("feature_flag.result.variant".to_owned(), variant.clone());
        }
        let version = span.get("service_version").filter(|version| *version != "").map(ToString::to_string).unwrap_or_default();
        let key =
            [version, format!("{time:?}"), Value::from(cohort).to_string(), span["kind"].to_string(), Value::from(operation).to_string()];
        let duration = span["duration_ns"].as_i64().unwrap();
        let cell = cells.entry(key).or_insert([0, 0, 0, i64::MAX, 0]);
        *cell = [cell[0] + 1, cell[1] + i64::from(failed), cell[2].saturating_add(duration), cell[3].min(duration), cell[4].max(duration)];
    }
    cells
}

proptest! {
    #[test]
    fn red_is_what_a_reader_would_count_from_spans(batch in prop::collection::vec(generate::traces(), 1..4)) {
        let batches = rows_of(&batch);
        let mut counted = BTreeMap::new();
        for row in json_rows(&batches, TableName::Red) {
            let number = |column: &str| row[column].as_i64().unwrap();
            let numbers = ["requests", "errors", "duration_sum_ns", "duration_min_ns", "duration_max_ns"].map(number);
            let in_buckets: i64 = row["duration_counts"].as_array().unwrap().iter().filter_map(Value::as_i64).sum();
            prop_assert_eq!(in_buckets + number("duration_zero_count"), numbers[0]);
            prop_assert!(counted.insert(key(&row, ["span_kind", "operation"]), numbers).is_none());
        }
        prop_assert_eq!(counted, naive_red(&json_rows(&batches, TableName::Spans)));
    }

    #[test]
    fn rows_of_parts_add_up_to_rows_of_the_whole(batch in prop::collection::vec(generate::traces(), 2..4)) {
        let total = |batches: &[(TableName, arrow::record_batch::RecordBatch)]| -> BTreeMap<NaiveKey, i64> {
            let mut sums = BTreeMap::new();
            for row in json_rows(batches, TableName::Errors) {
                *sums.entry(key(&row, ["operation", "fingerprint"])).or_default() += row["count"].as_i64().unwrap();
            }
            sums
        };
        let parts: Vec<_> = batch.iter().flat_map(|records| rows_of(std::slice::from_ref(records))).collect();
        prop_assert_eq!(total(&parts), total(&rows_of(&batch)));
    }

    #[test]
    fn an_error_is_counted_once_for_each_exception_or_failed_span(spans in prop::collection::vec(generate::spans(), 0..8)) {
        let expected: usize = spans.iter().map(|span| {
            let exceptions = span.events.iter().filter(|event| event.name == "exception").count();
            if exceptions == 0 { usize::from(span.status.as_ref().is_some_and(|status| status.code == STATUS_ERROR)) } else { exceptions }
        }).sum();
        let errors = errors_of(&[Records::Traces(fixture::traces_of(spans))]);
        let counted: u64 = errors.iter().map(|error| error["count"].as_u64().unwrap()).sum();
        prop_assert_eq!(counted, expected as u64);
    }
}
