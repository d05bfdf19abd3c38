//! What a sender is told when all, some or nothing of a request was stored.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, metric::Data};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

use super::*;
use crate::tests::fixture::numbered_span;

#[tokio::test(flavor = "multi_thread")]
async fn g1_h1_j8_an_empty_request_is_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (path, method, _) in one_of_each() {
        for (media_type, body) in [(PROTOBUF, ""), (JSON, ""), (JSON, "{}"), (JSON, "null")] {
            let answer = http1(served.http, post(path, &[media_type], body)).await;
            let expected: &[u8] = if media_type == JSON { b"{}" } else { b"" };
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, expected), "{path} {media_type:?} {body:?}");
        }
        assert_eq!(call(&served, method, "identity", b"").await.grpc().0, 0);
        assert_eq!(call(&served, method, "gzip", b"").await.grpc().0, 0);
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_h2_full_success_says_nothing_of_partial_success() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (path, method, records) in one_of_each() {
        let answer = http1(served.http, post(path, &[JSON], to_json::request(&records).body)).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
        let answer = http1(served.http, post(path, &[PROTOBUF], protobuf(&records).body)).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b""[..]));
        let answer = call(&served, method, "identity", &protobuf(&records).body).await;
        assert_eq!((answer.grpc(), &answer.message()[..]), ((0, String::new()), &b""[..]));
    }
    served.stop().await;
}

/// Two of three records of each signal can never be stored.
fn partly_bad() -> [(&'static str, &'static str, Records, &'static str, &'static str); 3] {
    let too_late = u64::MAX;
    let point = |time_unix_nano| NumberDataPoint { time_unix_nano, ..Default::default() };
    let gauge = Gauge { data_points: vec![point(too_late), point(1), point(too_late)] };
    let metric = Metric { name: "m".to_owned(), data: Some(Data::Gauge(gauge)), ..Default::default() };
    let short_id = Span { trace_id: vec![1], ..span() };
    let short_link = LogRecord { span_id: vec![1, 2], ..log() };
    [
        (
            "/v1/traces",
            TRACES,
            Records::Traces(traces_of(vec![short_id.clone(), numbered_span(1), short_id])),
            "rejectedSpans",
            "trace_id must have 16 bytes, not 1",
        ),
        (
            "/v1/metrics",
            METRICS,
            Records::Metrics(metrics_of(vec![metric])),
            "rejectedDataPoints",
            "the time 18446744073709551615 lies past the year 2262",
        ),
        (
            "/v1/logs",
            LOGS,
            Records::Logs(logs_of(vec![short_link.clone(), log(), short_link])),
            "rejectedLogRecords",
            "span_id must have 8 bytes, not 2",
        ),
    ]
}

fn partial(path: &str, body: bytes::Bytes) -> (i64, String) {
    match path {
        "/v1/traces" => {
            ExportTraceServiceResponse::decode(body).unwrap().partial_success.map(|told| (told.rejected_spans, told.error_message))
        }
        "/v1/metrics" => {
            ExportMetricsServiceResponse::decode(body).unwrap().partial_success.map(|told| (told.rejected_data_points, told.error_message))
        }
        _ => ExportLogsServiceResponse::decode(body).unwrap().partial_success.map(|told| (told.rejected_log_records, told.error_message)),
    }
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_success_counts_what_can_never_be_stored_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (path, method, records, field, why) in partly_bad() {
        let answer = http1(served.http, post(path, &[JSON], to_json::request(&records).body)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let message = answer.json()["partialSuccess"]["errorMessage"].as_str().unwrap().to_owned();
        assert_eq!(answer.json(), json!({"partialSuccess": {field: "2", "errorMessage": message}}));
        assert!(message.contains(why), "{message}");
        let answer = http1(served.http, post(path, &[PROTOBUF], protobuf(&records).body)).await;
        assert_eq!((answer.status, partial(path, answer.body)), (StatusCode::OK, (2, message.clone())));
        let answer = call(&served, method, "identity", &protobuf(&records).body).await;
        assert_eq!((answer.grpc().0, partial(path, answer.message())), (0, (2, message)));
    }
    let stats = served.meter.read();
    for stats in [stats.traces, stats.metrics, stats.logs] {
        assert_eq!((stats.requests, stats.accepted, stats.rejected), (3, 3, 6));
    }
    for table in ["spans", "metrics", "logs"] {
        expect(&served.tables, &format!("SELECT count(*) FROM {table}"), 3).await;
    }
    served.stop().await;
}

/// All is stored or counted: there is nothing in between of which a sender could be warned, so a message never comes without a count.
#[tokio::test(flavor = "multi_thread")]
async fn a_warning_without_a_count_is_never_sent_as_nothing_is_changed_silently() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let odd = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "startTimeUnixNano":"9","endTimeUnixNano":"3","kind":77,"attributes":[{"key":"a"},{"key":"a","value":{"intValue":1}},{"key":""}]}]}]}]}"#;
    let answer = http1(served.http, post("/v1/traces", &[JSON], odd)).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
    expect(&served.tables, "SELECT count(*) FROM spans", 1).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_envelopes_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    for (path, body) in [
        ("/v1/traces", r#"{"resourceSpans":[{},{"scopeSpans":[{},{"spans":[]}]}]}"#),
        (
            "/v1/metrics",
            r#"{"resourceMetrics":[{"resource":{}},{"scopeMetrics":[{"metrics":[{},{"name":"m"},{"name":"n","gauge":{}}]}]}]}"#,
        ),
        ("/v1/logs", r#"{"resourceLogs":[{"scopeLogs":[{"scope":{},"logRecords":[]}]}]}"#),
    ] {
        let answer = http1(served.http, post(path, &[JSON], body)).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
    }
    let stats = served.meter.read();
    assert_eq!((stats.traces.accepted, stats.metrics.accepted, stats.logs.accepted), (0, 0, 0));
    served.stop().await;
}
