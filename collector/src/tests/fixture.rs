//! Requests that use every field, and short ways to read what came of them.

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use haldane_store::{TableName, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::config::CollectorConfig;
use crate::decode::{Checked, decode};
use crate::request::{Encoding, Request, Signal};
use crate::rollup::{CohortKeys, Operations, Rollup};
use crate::rows::Rows;
use crate::tests::oracle::Records;
use crate::wanted::Wanted;

/// 2026-11-20T21:31:05.123456789Z.
pub(crate) const START: u64 = 1_795_210_265_123_456_789;
pub(crate) const RECEIVED: UnixNanos = UnixNanos::new(1_795_210_300_000_000_000);

pub(crate) fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value.to_owned())) }
}

pub(crate) fn int(value: i64) -> AnyValue {
    AnyValue { value: Some(Value::IntValue(value)) }
}

pub(crate) fn double(value: f64) -> AnyValue {
    AnyValue { value: Some(Value::DoubleValue(value)) }
}

pub(crate) fn bytes(value: &[u8]) -> AnyValue {
    AnyValue { value: Some(Value::BytesValue(value.to_vec())) }
}

pub(crate) fn array(values: Vec<AnyValue>) -> AnyValue {
    AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }
}

pub(crate) fn map(values: Vec<KeyValue>) -> AnyValue {
    AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) }
}

pub(crate) fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}

pub(crate) fn resource() -> Resource {
    Resource {
        attributes: vec![
            attribute("service.name", text("payment")),
            attribute("service.version", text("1.5.0")),
            attribute("deployment.environment", text("shop")),
            attribute("k8s.pod.name", text("payment-1")),
            attribute("k8s.replicaset.name", text("payment-5f")),
            attribute("process.pid", int(42)),
        ],
        dropped_attributes_count: 1,
        entity_refs: vec![EntityRef {
            schema_url: "https://e".to_owned(),
            r#type: "service".to_owned(),
            id_keys: vec!["service.name".to_owned()],
            description_keys: vec!["service.version".to_owned()],
        }],
    }
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "lib".to_owned(),
        version: "2.0".to_owned(),
        attributes: vec![attribute("scope.flag", AnyValue { value: Some(Value::BoolValue(true)) })],
        dropped_attributes_count: 2,
    }
}

pub(crate) fn span() -> Span {
    Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        trace_state: "a=b".to_owned(),
        parent_span_id: vec![9; 8],
        flags: 257,
        name: "pay".to_owned(),
        kind: 2,
        start_time_unix_nano: START,
        end_time_unix_nano: START + 1_000_000,
        attributes: vec![
            attribute("http.request.method", text("POST")),
            attribute("http.route", text("/pay")),
            attribute("http.status_code", int(500)),
            attribute("user.tags", array(vec![text("a"), int(1), double(f64::NAN), bytes(b"hi"), AnyValue::default()])),
            attribute("empty", AnyValue::default()),
        ],
        dropped_attributes_count: 3,
        events: vec![Event {
            time_unix_nano: START + 5,
            name: "exception".to_owned(),
            attributes: vec![
                attribute("exception.type", text("StripeSecretMissing")),
                attribute("exception.message", text("no secret for order 17")),
            ],
            dropped_attributes_count: 4,
        }],
        dropped_events_count: 5,
        links: vec![Link {
            trace_id: vec![0xab; 16],
            span_id: vec![0xcd; 8],
            trace_state: "c=d".to_owned(),
            attributes: vec![attribute("why", text("retry"))],
            dropped_attributes_count: 6,
            flags: 1,
        }],
        dropped_links_count: 7,
        status: Some(Status { message: "failed".to_owned(), code: 2 }),
    }
}

pub(crate) fn log() -> LogRecord {
    LogRecord {
        time_unix_nano: START,
        observed_time_unix_nano: START + 9,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: Some(map(vec![attribute("order", int(17)), attribute("paid", AnyValue { value: Some(Value::BoolValue(false)) })])),
        attributes: vec![attribute("exception.type", text("Timeout")), attribute("attempt", double(2.0))],
        dropped_attributes_count: 1,
        flags: 1,
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        event_name: "payment.failed".to_owned(),
    }
}

pub(crate) fn traces_of(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, schema_url: "https://s".to_owned() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource()), scope_spans, schema_url: "https://r".to_owned() }],
    }
}

pub(crate) fn logs_of(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: "https://s".to_owned() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: Some(resource()), scope_logs, schema_url: "https://r".to_owned() }],
    }
}

pub(crate) fn metrics_of(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: "https://s".to_owned() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource: Some(resource()), scope_metrics, schema_url: "https://r".to_owned() }],
    }
}

fn exemplar(value: exemplar::Value) -> Exemplar {
    Exemplar {
        filtered_attributes: vec![attribute("user", text("ann"))],
        time_unix_nano: START + 1,
        span_id: (1..=8).collect(),
        trace_id: (1..=16).collect(),
        value: Some(value),
    }
}

fn number(value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![attribute("http.route", text("/pay"))],
        start_time_unix_nano: START - 10,
        time_unix_nano: START,
        exemplars: vec![exemplar(exemplar::Value::AsInt(3))],
        flags: 1,
        value: Some(value),
    }
}

/// One metric of each of the five types.
pub(crate) fn metrics() -> Vec<Metric> {
    let gauge = Gauge { data_points: vec![number(number_data_point::Value::AsDouble(1.5))] };
    let sum = Sum { data_points: vec![number(number_data_point::Value::AsInt(-7))], aggregation_temporality: 2, is_monotonic: true };
    let summary = SummaryDataPoint {
        attributes: vec![attribute("a", int(1))],
        start_time_unix_nano: START - 10,
        time_unix_nano: START,
        count: 4,
        sum: 10.0,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 2.5 }],
        flags: 0,
    };
    let data = [
        metric::Data::Gauge(gauge),
        metric::Data::Sum(sum),
        metric::Data::Histogram(Histogram { data_points: vec![histogram_point()], aggregation_temporality: 1 }),
        metric::Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![exponential_point()], aggregation_temporality: 1 }),
        metric::Data::Summary(Summary { data_points: vec![summary] }),
    ];
    let metric = |data| Metric {
        name: "queue.length".to_owned(),
        description: "how long it is".to_owned(),
        unit: "{item}".to_owned(),
        metadata: vec![attribute("source", text("test"))],
        data: Some(data),
    };
    data.map(metric).to_vec()
}

fn histogram_point() -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: vec![attribute("a", int(1))],
        start_time_unix_nano: START - 10,
        time_unix_nano: START,
        count: 3,
        sum: Some(6.5),
        bucket_counts: vec![1, 2, 0],
        explicit_bounds: vec![1.0, 5.0],
        exemplars: vec![exemplar(exemplar::Value::AsDouble(2.5))],
        flags: 0,
        min: Some(0.5),
        max: Some(4.0),
    }
}

fn exponential_point() -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: vec![attribute("a", int(1))],
        start_time_unix_nano: START - 10,
        time_unix_nano: START,
        count: 6,
        sum: Some(1.0),
        scale: -1,
        zero_count: 1,
        positive: Some(Buckets { offset: -2, bucket_counts: vec![1, 2] }),
        negative: Some(Buckets { offset: 3, bucket_counts: vec![2] }),
        flags: 0,
        exemplars: Vec::new(),
        min: None,
        max: Some(9.0),
        zero_threshold: 0.25,
    }
}

/// A span with an id of its own.
pub(crate) fn numbered_span(number: u64) -> Span {
    let mut trace_id = vec![7; 8];
    trace_id.extend(number.to_be_bytes());
    Span { trace_id, span_id: number.to_be_bytes().to_vec(), ..span() }
}

pub(crate) fn protobuf(records: &Records) -> Request {
    Request { signal: records.signal(), encoding: Encoding::Protobuf, body: records.encode().into() }
}

pub(crate) fn json(signal: Signal, body: &str) -> Request {
    Request { signal, encoding: Encoding::Json, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// Empty builders with the default settings.
pub(crate) fn rows() -> Rows {
    let config = CollectorConfig::default();
    let keys = CohortKeys::new(&config.cohort_attributes, &config.record_cohort_attributes);
    Rows::new(Rollup::new(keys, Operations::new(config.operations_max, Default::default()), Default::default()))
}

/// All rows that come of some records.
pub(crate) fn rows_of(records: &[Records]) -> Vec<(TableName, RecordBatch)> {
    let checked: Vec<Checked> = records.iter().map(|records| decode(&protobuf(records), u64::MAX).unwrap()).collect();
    rows_of_checked(&checked)
}

/// All rows that come of checked requests.
pub(crate) fn rows_of_checked(checked: &[Checked]) -> Vec<(TableName, RecordBatch)> {
    let mut rows = rows();
    checked.iter().for_each(|checked| rows.append(checked, RECEIVED, Wanted::ALL).unwrap());
    rows.finish()
}

/// A batch with its columns in the types that the table publishes.
pub(crate) fn published(table: TableName, batch: &RecordBatch) -> RecordBatch {
    let schema = table.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| arrow::compute::cast(column, field.data_type()).unwrap()).collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// The rows of one table as JSON objects; a column that is null is not there.
pub(crate) fn json_rows(batches: &[(TableName, RecordBatch)], table: TableName) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut lines);
    batches.iter().filter(|(name, _)| *name == table).for_each(|(_, batch)| writer.write(&published(table, batch)).unwrap());
    writer.finish().unwrap();
    String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
