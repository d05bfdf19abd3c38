//! Generated requests: any values in any field, odd ones included.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::fixture::{START, attribute, logs_of, metrics_of, text, traces_of};
use crate::tests::oracle::Records;

fn words() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c]{1,2}", "\\PC{0,8}"]
}

fn keys() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 10] = [
        "http.route",
        "http.request.method",
        "http.method",
        "http.response.status_code",
        "http.status_code",
        "error.type",
        "exception.type",
        "exception.message",
        "rpc.grpc.status_code",
        "feature_flag.result.variant",
    ];
    prop_oneof![3 => prop::sample::select(&KNOWN[..]).prop_map(str::to_owned), 2 => words()]
}

fn leaves() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => words().prop_map(Value::StringValue),
        1 => any::<bool>().prop_map(Value::BoolValue),
        2 => prop_oneof![any::<i64>(), 200_i64..600].prop_map(Value::IntValue),
        1 => prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(404.0)].prop_map(|n| Value::DoubleValue(one_nan(n))),
        1 => vec(any::<u8>(), 0..5).prop_map(Value::BytesValue),
    ]
}

/// JSON knows one NaN, and protobuf takes a negative zero for a missing field.
fn one_nan(number: f64) -> f64 {
    if number.is_nan() { f64::NAN } else { number + 0.0 }
}

pub(crate) fn values() -> impl Strategy<Value = AnyValue> {
    let leaf = option::weighted(0.9, leaves()).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            vec((words(), inner), 0..4).prop_map(|pairs| {
                let values = pairs.into_iter().map(|(key, value)| attribute(&key, value)).collect();
                AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) }
            }),
        ]
    })
}

pub(crate) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((keys(), option::weighted(0.9, values())), 0..6)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| KeyValue { key, value, ..Default::default() }).collect())
}

/// Few, so that spans and log records meet.
fn trace_ids() -> impl Strategy<Value = Vec<u8>> {
    (1_u8..4).prop_map(|byte| vec![byte; 16])
}

fn span_ids() -> impl Strategy<Value = Vec<u8>> {
    (1_u8..4).prop_map(|byte| vec![byte; 8])
}

fn times() -> impl Strategy<Value = u64> {
    prop_oneof![8 => START..START + 40_000_000_000, 1 => Just(0)]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (times(), prop_oneof![Just("exception".to_owned()), words()], attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event { time_unix_nano, name, attributes, dropped_attributes_count },
    );
    vec(event, 0..3)
}

pub(crate) fn spans() -> impl Strategy<Value = Span> {
    let ids = (trace_ids(), span_ids(), prop_oneof![Just(Vec::new()), Just(vec![0; 8]), span_ids()]);
    let status = option::of((words(), 0_i32..4).prop_map(|(message, code)| Status { message, code }));
    (ids, words(), 0_i32..7, (times(), times()), attributes(), events(), status, any::<u32>()).prop_map(
        |((trace_id, span_id, parent_span_id), name, kind, (start, end), attributes, events, status, flags)| Span {
            trace_id,
            span_id,
            parent_span_id,
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events,
            status,
            flags,
            ..Span::default()
        },
    )
}

pub(crate) fn log_records() -> impl Strategy<Value = LogRecord> {
    let ids = (prop_oneof![Just(Vec::new()), Just(vec![0; 16]), trace_ids()], prop_oneof![Just(Vec::new()), Just(vec![0; 8]), span_ids()]);
    (ids, (times(), times()), 0_i32..25, option::of(values()), attributes(), (words(), words()), any::<u32>()).prop_map(
        |((trace_id, span_id), (time_unix_nano, observed_time_unix_nano), severity_number, body, attributes, names, flags)| LogRecord {
            time_unix_nano,
            observed_time_unix_nano,
            severity_number,
            severity_text: names.0,
            body,
            attributes,
            flags,
            trace_id,
            span_id,
            event_name: names.1,
            ..LogRecord::default()
        },
    )
}

fn doubles() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_map(one_nan), Just(f64::NEG_INFINITY)]
}

fn counts() -> impl Strategy<Value = Vec<u64>> {
    vec(0..u64::MAX / 2, 0..4)
}

fn metric_data() -> impl Strategy<Value = metric::Data> {
    let value = option::of(prop_oneof![
        doubles().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt)
    ]);
    let number = (attributes(), times(), times(), value).prop_map(|(attributes, start_time_unix_nano, time_unix_nano, value)| {
        NumberDataPoint { attributes, start_time_unix_nano, time_unix_nano, value, ..NumberDataPoint::default() }
    });
    let histogram = (attributes(), times(), counts(), vec(doubles(), 0..3), option::of(doubles())).prop_map(
        |(attributes, time_unix_nano, bucket_counts, explicit_bounds, sum)| HistogramDataPoint {
            attributes,
            time_unix_nano,
            bucket_counts,
            explicit_bounds,
            sum,
            ..HistogramDataPoint::default()
        },
    );
    let buckets = option::of((any::<i32>(), counts()).prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }));
    let exponential = (attributes(), times(), any::<i32>(), buckets, doubles()).prop_map(
        |(attributes, time_unix_nano, scale, positive, zero_threshold)| ExponentialHistogramDataPoint {
            attributes,
            time_unix_nano,
            scale,
            positive,
            zero_threshold,
            ..ExponentialHistogramDataPoint::default()
        },
    );
    prop_oneof![
        vec(number, 0..3).prop_map(|data_points| metric::Data::Gauge(Gauge { data_points })),
        (vec(histogram, 0..3), 0_i32..4)
            .prop_map(|(data_points, aggregation_temporality)| metric::Data::Histogram(Histogram { data_points, aggregation_temporality })),
        vec(exponential, 0..3)
            .prop_map(|data_points| metric::Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality: 2 })),
    ]
}

fn any_metric() -> impl Strategy<Value = Metric> {
    (words(), option::weighted(0.9, metric_data())).prop_map(|(name, data)| Metric { name, data, ..Metric::default() })
}

pub(crate) fn traces() -> impl Strategy<Value = Records> {
    (vec(spans(), 0..6), words()).prop_map(|(spans, version)| {
        let mut request = traces_of(spans);
        if let Some(resource) = &mut request.resource_spans[0].resource {
            resource.attributes.push(attribute("service.version", text(&version)));
        }
        Records::Traces(request)
    })
}

pub(crate) fn logs() -> impl Strategy<Value = Records> {
    vec(log_records(), 0..6).prop_map(|records| Records::Logs(logs_of(records)))
}

pub(crate) fn metrics() -> impl Strategy<Value = Records> {
    vec(any_metric(), 0..4).prop_map(|metrics| Records::Metrics(metrics_of(metrics)))
}

/// A request of any signal.
pub(crate) fn records() -> impl Strategy<Value = Records> {
    prop_oneof![traces(), logs(), metrics()]
}
