//! Log records.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};

use super::attribute::{any_value, key_value, resource, scope};
use super::place::{Object, ShapeError};

pub(super) fn resource_logs(object: &Object<'_, '_>) -> Result<ResourceLogs, ShapeError> {
    Ok(ResourceLogs {
        resource: object.child("resource", resource)?,
        scope_logs: object.list("scopeLogs", scope_logs)?,
        schema_url: object.text("schemaUrl")?,
    })
}

fn scope_logs(object: &Object<'_, '_>) -> Result<ScopeLogs, ShapeError> {
    Ok(ScopeLogs {
        scope: object.child("scope", scope)?,
        log_records: object.list("logRecords", log_record)?,
        schema_url: object.text("schemaUrl")?,
    })
}

fn log_record(object: &Object<'_, '_>) -> Result<LogRecord, ShapeError> {
    Ok(LogRecord {
        time_unix_nano: object.u64("timeUnixNano")?,
        observed_time_unix_nano: object.u64("observedTimeUnixNano")?,
        severity_number: object.choice("severityNumber", |name| SeverityNumber::from_str_name(name).map(i32::from))?,
        severity_text: object.text("severityText")?,
        body: object.child("body", any_value)?,
        attributes: object.list("attributes", key_value)?,
        dropped_attributes_count: object.u32("droppedAttributesCount")?,
        flags: object.u32("flags")?,
        trace_id: object.id("traceId")?,
        span_id: object.id("spanId")?,
        event_name: object.text("eventName")?,
    })
}
