//! A trace in Jaeger's JSON: times in microseconds, resources as processes, attributes as tags.

use haldane_analyzer::traces::{Attribute, AttributeValue, SpanEvent, Trace, TraceSpan};
use serde_json::{Map, Value, json};

pub(super) fn trace(trace: &Trace) -> Value {
    let mut processes: Vec<(&str, &[Attribute])> = Vec::new();
    let mut spans = Vec::with_capacity(trace.spans.len());
    for span in &trace.spans {
        let process = (span.service.as_str(), span.resource.as_slice());
        let at = processes.iter().position(|known| *known == process).unwrap_or_else(|| {
            processes.push(process);
            processes.len() - 1
        });
        spans.push(span_of(&trace.trace_id, span, &format!("p{}", at + 1)));
    }
    let processes: Map<String, Value> =
        processes.iter().enumerate().map(|(at, process)| (format!("p{}", at + 1), process_of(*process))).collect();
    let warnings = trace.may_lack_spans.then(|| json!(["too many spans were asked for at once: some of this trace may be missing"]));
    json!({ "traceID": trace.trace_id, "spans": spans, "processes": processes, "warnings": warnings })
}

fn process_of((service, resource): (&str, &[Attribute])) -> Value {
    let tags: Vec<Value> = resource.iter().filter(|attribute| attribute.key != "service.name").map(tag).collect();
    json!({ "serviceName": service, "tags": tags })
}

fn span_of(trace_id: &str, span: &TraceSpan, process: &str) -> Value {
    let mut references = Vec::new();
    if !span.parent_span_id.is_empty() {
        references.push(json!({ "refType": "CHILD_OF", "traceID": trace_id, "spanID": span.parent_span_id }));
    }
    references.extend(span.links.iter().map(|link| json!({ "refType": "FOLLOWS_FROM", "traceID": link.trace_id, "spanID": link.span_id })));
    json!({
        "traceID": trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": references,
        "startTime": span.start.as_micros(),
        "duration": u64::try_from(span.duration.as_micros()).unwrap_or(u64::MAX),
        "tags": tags(span),
        "logs": span.events.iter().map(log).collect::<Vec<_>>(),
        "processID": process,
        "warnings": null,
    })
}

/// What OpenTelemetry says of a span and Jaeger has no field for is a tag, under the names of the specification's mapping.
fn tags(span: &TraceSpan) -> Vec<Value> {
    let text = |key: &str, value: &str| (!value.is_empty()).then(|| json!({ "key": key, "type": "string", "value": value }));
    let status = Some(span.status_code.as_str()).filter(|code| *code != "UNSET").unwrap_or_default();
    let mut tags: Vec<Value> = span.attributes.iter().map(tag).collect();
    tags.extend(text("span.kind", &span.kind.to_ascii_lowercase()));
    tags.extend(text("otel.status_code", status));
    tags.extend(text("otel.status_description", &span.status_message));
    tags.extend(text("otel.scope.name", &span.scope));
    tags.extend((status == "ERROR").then(|| json!({ "key": "error", "type": "bool", "value": true })));
    tags
}

fn tag(attribute: &Attribute) -> Value {
    match &attribute.value {
        AttributeValue::Text(value) => json!({ "key": attribute.key, "type": "string", "value": value }),
        AttributeValue::Integer(value) => json!({ "key": attribute.key, "type": "int64", "value": value }),
    }
}

fn log(event: &SpanEvent) -> Value {
    let name = json!({ "key": "event", "type": "string", "value": event.name });
    let fields: Vec<Value> = std::iter::once(name).chain(event.attributes.iter().map(tag)).collect();
    json!({ "timestamp": event.at.as_micros(), "fields": fields })
}
