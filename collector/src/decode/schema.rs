//! The messages of OTLP: each field by its number, as protobuf has it, and by its name, as OTLP's JSON has it.
//!
//! Left out on purpose: fields that stand for a place in a dictionary, which only profiles have.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};

use super::wire::{fixed32, fixed64, length, varint};
use crate::request::Signal;

/// The fields of a message, in the order in which most encoders write them.
pub(crate) struct Shape(pub(crate) &'static [Field]);

/// A field that a message may have.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    /// It says something though it is zero or empty: one of a `oneof`, or optional.
    pub(crate) even_zero: bool,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    One(&'static Shape),
    Many {
        shape: &'static Shape,
        /// What one of them takes as `prost`'s struct.
        struct_bytes: usize,
    },
    Scalar(Scalar),
    /// A list of them.
    Scalars(Scalar),
}

/// A value that holds no others, by its type in protobuf; ids and bytes, which are both `bytes` there, are written in two ways in JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar {
    Text,
    Id,
    Bytes,
    Bool,
    Uint32,
    Uint64,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    /// `AnyValue`'s `int64`; JavaScript's exporter writes each whole number as one, also one beyond 64 bits, which is a double then.
    AnyInteger,
    /// An enum, with what its names stand for.
    Choice(fn(&str) -> Option<i32>),
}

/// `AnyValue`'s field for doubles.
pub(crate) const ANY_DOUBLE: u64 = fixed64(4);

impl Scalar {
    /// The tag of a field of this type.
    #[inline]
    pub(crate) fn tag(self, number: u64) -> u64 {
        match self {
            Self::Text | Self::Id | Self::Bytes => length(number),
            Self::Bool | Self::Uint32 | Self::Uint64 | Self::Sint32 | Self::AnyInteger | Self::Choice(_) => varint(number),
            Self::Fixed64 | Self::Sfixed64 | Self::Double => fixed64(number),
            Self::Fixed32 => fixed32(number),
        }
    }
}

/// What a request of a signal looks like.
pub(crate) fn request(signal: Signal) -> &'static Shape {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    }
}

const fn field(name: &'static str, number: u64, kind: Kind) -> Field {
    Field { name, number, kind, even_zero: false }
}

const fn one(name: &'static str, number: u64, shape: &'static Shape) -> Field {
    field(name, number, Kind::One(shape))
}

const fn many<T>(name: &'static str, number: u64, shape: &'static Shape) -> Field {
    field(name, number, Kind::Many { shape, struct_bytes: size_of::<T>() })
}

const fn scalar(name: &'static str, number: u64, scalar: Scalar) -> Field {
    field(name, number, Kind::Scalar(scalar))
}

const fn scalars(name: &'static str, number: u64, scalar: Scalar) -> Field {
    field(name, number, Kind::Scalars(scalar))
}

/// One that says something though it is zero.
const fn any_scalar(name: &'static str, number: u64, scalar: Scalar) -> Field {
    Field { name, number, kind: Kind::Scalar(scalar), even_zero: true }
}

const fn text(name: &'static str, number: u64) -> Field {
    scalar(name, number, Scalar::Text)
}

const fn id(name: &'static str, number: u64) -> Field {
    scalar(name, number, Scalar::Id)
}

const fn time(name: &'static str, number: u64) -> Field {
    scalar(name, number, Scalar::Fixed64)
}

const fn attributes(number: u64) -> Field {
    many::<KeyValue>("attributes", number, &PAIR)
}

const fn dropped_attributes(number: u64) -> Field {
    scalar("droppedAttributesCount", number, Scalar::Uint32)
}

static VALUE: Shape = Shape(&[
    any_scalar("stringValue", 1, Scalar::Text),
    any_scalar("intValue", 3, Scalar::AnyInteger),
    any_scalar("boolValue", 2, Scalar::Bool),
    any_scalar("doubleValue", 4, Scalar::Double),
    one("arrayValue", 5, &VALUES),
    one("kvlistValue", 6, &PAIRS),
    any_scalar("bytesValue", 7, Scalar::Bytes),
]);
static VALUES: Shape = Shape(&[many::<AnyValue>("values", 1, &VALUE)]);
static PAIRS: Shape = Shape(&[many::<KeyValue>("values", 1, &PAIR)]);
static PAIR: Shape = Shape(&[text("key", 1), one("value", 2, &VALUE)]);
static ENTITY: Shape =
    Shape(&[text("schemaUrl", 1), text("type", 2), scalars("idKeys", 3, Scalar::Text), scalars("descriptionKeys", 4, Scalar::Text)]);
static RESOURCE: Shape = Shape(&[attributes(1), dropped_attributes(2), many::<EntityRef>("entityRefs", 3, &ENTITY)]);
static SCOPE: Shape = Shape(&[text("name", 1), text("version", 2), attributes(3), dropped_attributes(4)]);

static TRACES: Shape = Shape(&[many::<ResourceSpans>("resourceSpans", 1, &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Shape =
    Shape(&[one("resource", 1, &RESOURCE), many::<ScopeSpans>("scopeSpans", 2, &SCOPE_SPANS), text("schemaUrl", 3)]);
static SCOPE_SPANS: Shape = Shape(&[one("scope", 1, &SCOPE), many::<Span>("spans", 2, &SPAN), text("schemaUrl", 3)]);
static SPAN: Shape = Shape(&[
    id("traceId", 1),
    id("spanId", 2),
    text("traceState", 3),
    id("parentSpanId", 4),
    scalar("flags", 16, Scalar::Fixed32),
    text("name", 5),
    scalar("kind", 6, Scalar::Choice(|name| SpanKind::from_str_name(name).map(i32::from))),
    time("startTimeUnixNano", 7),
    time("endTimeUnixNano", 8),
    attributes(9),
    dropped_attributes(10),
    many::<span::Event>("events", 11, &EVENT),
    scalar("droppedEventsCount", 12, Scalar::Uint32),
    many::<span::Link>("links", 13, &LINK),
    scalar("droppedLinksCount", 14, Scalar::Uint32),
    one("status", 15, &STATUS),
]);
static EVENT: Shape = Shape(&[time("timeUnixNano", 1), text("name", 2), attributes(3), dropped_attributes(4)]);
static LINK: Shape = Shape(&[
    id("traceId", 1),
    id("spanId", 2),
    text("traceState", 3),
    attributes(4),
    dropped_attributes(5),
    scalar("flags", 6, Scalar::Fixed32),
]);
static STATUS: Shape =
    Shape(&[text("message", 2), scalar("code", 3, Scalar::Choice(|name| StatusCode::from_str_name(name).map(i32::from)))]);

static LOGS: Shape = Shape(&[many::<ResourceLogs>("resourceLogs", 1, &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Shape = Shape(&[one("resource", 1, &RESOURCE), many::<ScopeLogs>("scopeLogs", 2, &SCOPE_LOGS), text("schemaUrl", 3)]);
static SCOPE_LOGS: Shape = Shape(&[one("scope", 1, &SCOPE), many::<LogRecord>("logRecords", 2, &LOG_RECORD), text("schemaUrl", 3)]);
static LOG_RECORD: Shape = Shape(&[
    time("timeUnixNano", 1),
    time("observedTimeUnixNano", 11),
    scalar("severityNumber", 2, Scalar::Choice(|name| SeverityNumber::from_str_name(name).map(i32::from))),
    text("severityText", 3),
    one("body", 5, &VALUE),
    attributes(6),
    dropped_attributes(7),
    scalar("flags", 8, Scalar::Fixed32),
    id("traceId", 9),
    id("spanId", 10),
    text("eventName", 12),
]);

static METRICS: Shape = Shape(&[many::<ResourceMetrics>("resourceMetrics", 1, &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Shape =
    Shape(&[one("resource", 1, &RESOURCE), many::<ScopeMetrics>("scopeMetrics", 2, &SCOPE_METRICS), text("schemaUrl", 3)]);
static SCOPE_METRICS: Shape = Shape(&[one("scope", 1, &SCOPE), many::<Metric>("metrics", 2, &METRIC), text("schemaUrl", 3)]);
static METRIC: Shape = Shape(&[
    text("name", 1),
    text("description", 2),
    text("unit", 3),
    one("gauge", 5, &GAUGE),
    one("sum", 7, &SUM),
    one("histogram", 9, &HISTOGRAM),
    one("exponentialHistogram", 10, &EXPONENTIAL_HISTOGRAM),
    one("summary", 11, &SUMMARY),
    many::<KeyValue>("metadata", 12, &PAIR),
]);
static GAUGE: Shape = Shape(&[many::<NumberDataPoint>("dataPoints", 1, &NUMBER_POINT)]);
static SUM: Shape =
    Shape(&[many::<NumberDataPoint>("dataPoints", 1, &NUMBER_POINT), temporality(2), scalar("isMonotonic", 3, Scalar::Bool)]);
static HISTOGRAM: Shape = Shape(&[many::<HistogramDataPoint>("dataPoints", 1, &HISTOGRAM_POINT), temporality(2)]);
static EXPONENTIAL_HISTOGRAM: Shape = Shape(&[many::<ExponentialHistogramDataPoint>("dataPoints", 1, &EXPONENTIAL_POINT), temporality(2)]);
static SUMMARY: Shape = Shape(&[many::<SummaryDataPoint>("dataPoints", 1, &SUMMARY_POINT)]);

const fn temporality(number: u64) -> Field {
    scalar("aggregationTemporality", number, Scalar::Choice(|name| AggregationTemporality::from_str_name(name).map(i32::from)))
}

const fn start(number: u64) -> Field {
    time("startTimeUnixNano", number)
}

const fn exemplars(number: u64) -> Field {
    many::<Exemplar>("exemplars", number, &EXEMPLAR)
}

const fn point_flags(number: u64) -> Field {
    scalar("flags", number, Scalar::Uint32)
}

static NUMBER_POINT: Shape = Shape(&[
    attributes(7),
    start(2),
    time("timeUnixNano", 3),
    any_scalar("asDouble", 4, Scalar::Double),
    any_scalar("asInt", 6, Scalar::Sfixed64),
    exemplars(5),
    point_flags(8),
]);
static HISTOGRAM_POINT: Shape = Shape(&[
    attributes(9),
    start(2),
    time("timeUnixNano", 3),
    scalar("count", 4, Scalar::Fixed64),
    any_scalar("sum", 5, Scalar::Double),
    scalars("bucketCounts", 6, Scalar::Fixed64),
    scalars("explicitBounds", 7, Scalar::Double),
    exemplars(8),
    point_flags(10),
    any_scalar("min", 11, Scalar::Double),
    any_scalar("max", 12, Scalar::Double),
]);
static EXPONENTIAL_POINT: Shape = Shape(&[
    attributes(1),
    start(2),
    time("timeUnixNano", 3),
    scalar("count", 4, Scalar::Fixed64),
    any_scalar("sum", 5, Scalar::Double),
    scalar("scale", 6, Scalar::Sint32),
    scalar("zeroCount", 7, Scalar::Fixed64),
    one("positive", 8, &BUCKETS),
    one("negative", 9, &BUCKETS),
    point_flags(10),
    exemplars(11),
    any_scalar("min", 12, Scalar::Double),
    any_scalar("max", 13, Scalar::Double),
    scalar("zeroThreshold", 14, Scalar::Double),
]);
static BUCKETS: Shape = Shape(&[scalar("offset", 1, Scalar::Sint32), scalars("bucketCounts", 2, Scalar::Uint64)]);
static SUMMARY_POINT: Shape = Shape(&[
    attributes(7),
    start(2),
    time("timeUnixNano", 3),
    scalar("count", 4, Scalar::Fixed64),
    scalar("sum", 5, Scalar::Double),
    many::<ValueAtQuantile>("quantileValues", 6, &QUANTILE),
    point_flags(8),
]);
static QUANTILE: Shape = Shape(&[scalar("quantile", 1, Scalar::Double), scalar("value", 2, Scalar::Double)]);
static EXEMPLAR: Shape = Shape(&[
    many::<KeyValue>("filteredAttributes", 7, &PAIR),
    time("timeUnixNano", 2),
    any_scalar("asDouble", 3, Scalar::Double),
    any_scalar("asInt", 6, Scalar::Sfixed64),
    id("spanId", 4),
    id("traceId", 5),
]);
