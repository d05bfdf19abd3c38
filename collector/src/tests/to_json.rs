//! OTLP/JSON as an SDK would write it, made from the protobuf types, for comparing the two decoders.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint, exemplar, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::request::{Encoding, Request};
use crate::tests::oracle::Records;
use crate::{base64, hex};

/// The same records as [`super::fixture::protobuf`] gives, in JSON.
pub(crate) fn request(records: &Records) -> Request {
    let value = match records {
        Records::Traces(request) => traces(request),
        Records::Metrics(request) => metrics(request),
        Records::Logs(request) => logs(request),
    };
    Request { signal: records.signal(), encoding: Encoding::Json, body: value.to_string().into() }
}

fn all<T>(items: &[T], write: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(write).collect()
}

fn traces(request: &ExportTraceServiceRequest) -> Value {
    json!({"resourceSpans": all(&request.resource_spans, |rs| json!({
        "resource": rs.resource.as_ref().map(resource), "schemaUrl": rs.schema_url, "unknown": [1, {"x": null}],
        "scopeSpans": all(&rs.scope_spans, |ss| json!({
            "scope": ss.scope.as_ref().map(scope), "schemaUrl": ss.schema_url, "spans": all(&ss.spans, span),
        })),
    }))})
}

fn logs(request: &ExportLogsServiceRequest) -> Value {
    json!({"resourceLogs": all(&request.resource_logs, |rl| json!({
        "resource": rl.resource.as_ref().map(resource), "schemaUrl": rl.schema_url,
        "scopeLogs": all(&rl.scope_logs, |sl| json!({
            "scope": sl.scope.as_ref().map(scope), "schemaUrl": sl.schema_url,
            "logRecords": all(&sl.log_records, |log| json!({
                "timeUnixNano": log.time_unix_nano.to_string(), "observedTimeUnixNano": log.observed_time_unix_nano,
                "severityNumber": log.severity_number, "severityText": log.severity_text, "body": log.body.as_ref().map(any_value),
                "attributes": all(&log.attributes, key_value), "droppedAttributesCount": log.dropped_attributes_count,
                "flags": log.flags, "traceId": hex::encode(&log.trace_id).to_uppercase(), "spanId": hex::encode(&log.span_id),
                "eventName": log.event_name,
            })),
        })),
    }))})
}

fn metrics(request: &ExportMetricsServiceRequest) -> Value {
    json!({"resourceMetrics": all(&request.resource_metrics, |rm| json!({
        "resource": rm.resource.as_ref().map(resource), "schemaUrl": rm.schema_url,
        "scopeMetrics": all(&rm.scope_metrics, |sm| json!({
            "scope": sm.scope.as_ref().map(scope), "schemaUrl": sm.schema_url, "metrics": all(&sm.metrics, metric),
        })),
    }))})
}

fn resource(resource: &Resource) -> Value {
    json!({
        "attributes": all(&resource.attributes, key_value), "droppedAttributesCount": resource.dropped_attributes_count,
        "entityRefs": all(&resource.entity_refs, |entity| json!({
            "schemaUrl": entity.schema_url, "type": entity.r#type, "idKeys": entity.id_keys, "descriptionKeys": entity.description_keys,
        })),
    })
}

fn scope(scope: &InstrumentationScope) -> Value {
    json!({
        "name": scope.name, "version": scope.version, "attributes": all(&scope.attributes, key_value),
        "droppedAttributesCount": scope.dropped_attributes_count,
    })
}

fn key_value(attribute: &KeyValue) -> Value {
    json!({"key": attribute.key, "value": attribute.value.as_ref().map(any_value)})
}

fn any_value(value: &AnyValue) -> Value {
    match &value.value {
        None | Some(any_value::Value::StringValueStrindex(_)) => json!({}),
        Some(any_value::Value::StringValue(text)) => json!({"stringValue": text}),
        Some(any_value::Value::BoolValue(flag)) => json!({"boolValue": flag}),
        Some(any_value::Value::IntValue(number)) => json!({"intValue": number.to_string()}),
        Some(any_value::Value::DoubleValue(number)) => json!({"doubleValue": double(*number)}),
        Some(any_value::Value::BytesValue(bytes)) => json!({"bytesValue": base64::encode(bytes)}),
        Some(any_value::Value::ArrayValue(array)) if array.values.is_empty() => json!({"arrayValue": {}}),
        Some(any_value::Value::ArrayValue(array)) => json!({"arrayValue": {"values": all(&array.values, any_value)}}),
        Some(any_value::Value::KvlistValue(list)) => json!({"kvlistValue": {"values": all(&list.values, key_value)}}),
    }
}

fn double(number: f64) -> Value {
    match number {
        number if number.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        number => json!(number),
    }
}

fn span(span: &Span) -> Value {
    json!({
        "traceId": hex::encode(&span.trace_id), "spanId": hex::encode(&span.span_id).to_uppercase(), "traceState": span.trace_state,
        "parentSpanId": hex::encode(&span.parent_span_id), "flags": span.flags, "name": span.name, "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano.to_string(), "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": all(&span.attributes, key_value), "droppedAttributesCount": span.dropped_attributes_count,
        "events": all(&span.events, |event| json!({
            "timeUnixNano": event.time_unix_nano.to_string(), "name": event.name, "attributes": all(&event.attributes, key_value),
            "droppedAttributesCount": event.dropped_attributes_count,
        })),
        "droppedEventsCount": span.dropped_events_count,
        "links": all(&span.links, |link| json!({
            "traceId": hex::encode(&link.trace_id), "spanId": hex::encode(&link.span_id), "traceState": link.trace_state,
            "attributes": all(&link.attributes, key_value), "droppedAttributesCount": link.dropped_attributes_count, "flags": link.flags,
        })),
        "droppedLinksCount": span.dropped_links_count,
        "status": span.status.as_ref().map(|status| json!({"message": status.message, "code": status.code})),
    })
}

fn metric(metric: &Metric) -> Value {
    let mut value = json!({
        "name": metric.name, "description": metric.description, "unit": metric.unit, "metadata": all(&metric.metadata, key_value),
    });
    let (key, data) = match &metric.data {
        None => return value,
        Some(metric::Data::Gauge(data)) => ("gauge", json!({"dataPoints": all(&data.data_points, number)})),
        Some(metric::Data::Sum(data)) => {
            let temporality = data.aggregation_temporality;
            let points = all(&data.data_points, number);
            ("sum", json!({"dataPoints": points, "aggregationTemporality": temporality, "isMonotonic": data.is_monotonic}))
        }
        Some(metric::Data::Histogram(data)) => {
            let points = all(&data.data_points, histogram_point);
            ("histogram", json!({"dataPoints": points, "aggregationTemporality": data.aggregation_temporality}))
        }
        Some(metric::Data::ExponentialHistogram(data)) => {
            let points = all(&data.data_points, exponential_point);
            ("exponentialHistogram", json!({"dataPoints": points, "aggregationTemporality": data.aggregation_temporality}))
        }
        Some(metric::Data::Summary(data)) => ("summary", json!({"dataPoints": all(&data.data_points, summary_point)})),
    };
    value[key] = data;
    value
}

fn number(point: &NumberDataPoint) -> Value {
    let mut value = json!({
        "attributes": all(&point.attributes, key_value), "startTimeUnixNano": point.start_time_unix_nano.to_string(),
        "timeUnixNano": point.time_unix_nano.to_string(), "exemplars": all(&point.exemplars, exemplar), "flags": point.flags,
    });
    match point.value {
        None => {}
        Some(number_data_point::Value::AsDouble(number)) => value["asDouble"] = double(number),
        Some(number_data_point::Value::AsInt(number)) => value["asInt"] = json!(number.to_string()),
    }
    value
}

fn exemplar(exemplar: &Exemplar) -> Value {
    let mut value = json!({
        "filteredAttributes": all(&exemplar.filtered_attributes, key_value), "timeUnixNano": exemplar.time_unix_nano,
        "spanId": hex::encode(&exemplar.span_id), "traceId": hex::encode(&exemplar.trace_id),
    });
    match exemplar.value {
        None => {}
        Some(exemplar::Value::AsDouble(number)) => value["asDouble"] = double(number),
        Some(exemplar::Value::AsInt(number)) => value["asInt"] = json!(number),
    }
    value
}

fn histogram_point(point: &HistogramDataPoint) -> Value {
    json!({
        "attributes": all(&point.attributes, key_value), "startTimeUnixNano": point.start_time_unix_nano,
        "timeUnixNano": point.time_unix_nano.to_string(), "count": point.count.to_string(), "sum": point.sum.map(double),
        "bucketCounts": all(&point.bucket_counts, |count| json!(count.to_string())),
        "explicitBounds": all(&point.explicit_bounds, |bound| double(*bound)), "exemplars": all(&point.exemplars, exemplar),
        "flags": point.flags, "min": point.min.map(double), "max": point.max.map(double),
    })
}

fn exponential_point(point: &ExponentialHistogramDataPoint) -> Value {
    json!({
        "attributes": all(&point.attributes, key_value), "startTimeUnixNano": point.start_time_unix_nano.to_string(),
        "timeUnixNano": point.time_unix_nano.to_string(), "count": point.count, "sum": point.sum.map(double), "scale": point.scale,
        "zeroCount": point.zero_count.to_string(), "positive": point.positive.as_ref().map(buckets),
        "negative": point.negative.as_ref().map(buckets), "flags": point.flags, "exemplars": all(&point.exemplars, exemplar),
        "min": point.min.map(double), "max": point.max.map(double), "zeroThreshold": double(point.zero_threshold),
    })
}

fn buckets(buckets: &Buckets) -> Value {
    json!({"offset": buckets.offset, "bucketCounts": all(&buckets.bucket_counts, |count| json!(count))})
}

fn summary_point(point: &SummaryDataPoint) -> Value {
    json!({
        "attributes": all(&point.attributes, key_value), "startTimeUnixNano": point.start_time_unix_nano.to_string(),
        "timeUnixNano": point.time_unix_nano.to_string(), "count": point.count.to_string(), "sum": double(point.sum),
        "quantileValues": all(&point.quantile_values, |at| json!({"quantile": double(at.quantile), "value": double(at.value)})),
        "flags": point.flags,
    })
}
