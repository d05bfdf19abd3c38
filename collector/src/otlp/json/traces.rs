//! Spans.

use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::attribute::{key_value, resource, scope};
use super::place::{Object, ShapeError};

pub(super) fn resource_spans(object: &Object<'_, '_>) -> Result<ResourceSpans, ShapeError> {
    Ok(ResourceSpans {
        resource: object.child("resource", resource)?,
        scope_spans: object.list("scopeSpans", scope_spans)?,
        schema_url: object.text("schemaUrl")?,
    })
}

fn scope_spans(object: &Object<'_, '_>) -> Result<ScopeSpans, ShapeError> {
    Ok(ScopeSpans { scope: object.child("scope", scope)?, spans: object.list("spans", span)?, schema_url: object.text("schemaUrl")? })
}

fn span(object: &Object<'_, '_>) -> Result<Span, ShapeError> {
    Ok(Span {
        trace_id: object.id("traceId")?,
        span_id: object.id("spanId")?,
        trace_state: object.text("traceState")?,
        parent_span_id: object.id("parentSpanId")?,
        flags: object.u32("flags")?,
        name: object.text("name")?,
        kind: object.choice("kind", |name| SpanKind::from_str_name(name).map(i32::from))?,
        start_time_unix_nano: object.u64("startTimeUnixNano")?,
        end_time_unix_nano: object.u64("endTimeUnixNano")?,
        attributes: object.list("attributes", key_value)?,
        dropped_attributes_count: object.u32("droppedAttributesCount")?,
        events: object.list("events", event)?,
        dropped_events_count: object.u32("droppedEventsCount")?,
        links: object.list("links", link)?,
        dropped_links_count: object.u32("droppedLinksCount")?,
        status: object.child("status", status)?,
    })
}

fn event(object: &Object<'_, '_>) -> Result<Event, ShapeError> {
    Ok(Event {
        time_unix_nano: object.u64("timeUnixNano")?,
        name: object.text("name")?,
        attributes: object.list("attributes", key_value)?,
        dropped_attributes_count: object.u32("droppedAttributesCount")?,
    })
}

fn link(object: &Object<'_, '_>) -> Result<Link, ShapeError> {
    Ok(Link {
        trace_id: object.id("traceId")?,
        span_id: object.id("spanId")?,
        trace_state: object.text("traceState")?,
        attributes: object.list("attributes", key_value)?,
        dropped_attributes_count: object.u32("droppedAttributesCount")?,
        flags: object.u32("flags")?,
    })
}

fn status(object: &Object<'_, '_>) -> Result<Status, ShapeError> {
    Ok(Status { message: object.text("message")?, code: object.choice("code", |name| StatusCode::from_str_name(name).map(i32::from))? })
}
