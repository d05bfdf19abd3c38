//! What a body would take as the full decoder's structs, told before they are made: two bytes can become a metric of hundreds.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, SummaryDataPoint,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};

use super::wire::{Fields, Irregular};
use crate::request::Signal;

/// The fields of a message that hold messages.
struct Shape(&'static [Field]);

struct Field {
    number: u64,
    /// What each one of a list takes; nothing where there is one, as that is part of its message.
    bytes: usize,
    shape: &'static Shape,
}

/// A list of messages. Lists grow by doubling, so half of one may be empty.
const fn many<T>(number: u64, shape: &'static Shape) -> Field {
    Field { number, bytes: 2 * size_of::<T>(), shape }
}

const fn one(number: u64, shape: &'static Shape) -> Field {
    Field { number, bytes: 0, shape }
}

static NUMBERS: Shape = Shape(&[]);
static VALUE: Shape = Shape(&[one(5, &VALUES), one(6, &PAIRS)]);
static VALUES: Shape = Shape(&[many::<AnyValue>(1, &VALUE)]);
static PAIRS: Shape = Shape(&[many::<KeyValue>(1, &PAIR)]);
static PAIR: Shape = Shape(&[one(2, &VALUE)]);
static ENTITY: Shape = Shape(&[many::<String>(3, &NUMBERS), many::<String>(4, &NUMBERS)]);
static RESOURCE: Shape = Shape(&[many::<KeyValue>(1, &PAIR), many::<EntityRef>(3, &ENTITY)]);
static SCOPE: Shape = Shape(&[many::<KeyValue>(3, &PAIR)]);

static TRACES: Shape = Shape(&[many::<ResourceSpans>(1, &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Shape = Shape(&[one(1, &RESOURCE), many::<ScopeSpans>(2, &SCOPE_SPANS)]);
static SCOPE_SPANS: Shape = Shape(&[one(1, &SCOPE), many::<Span>(2, &SPAN)]);
static SPAN: Shape = Shape(&[many::<KeyValue>(9, &PAIR), many::<span::Event>(11, &EVENT), many::<span::Link>(13, &LINK)]);
static EVENT: Shape = Shape(&[many::<KeyValue>(3, &PAIR)]);
static LINK: Shape = Shape(&[many::<KeyValue>(4, &PAIR)]);

static LOGS: Shape = Shape(&[many::<ResourceLogs>(1, &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Shape = Shape(&[one(1, &RESOURCE), many::<ScopeLogs>(2, &SCOPE_LOGS)]);
static SCOPE_LOGS: Shape = Shape(&[one(1, &SCOPE), many::<LogRecord>(2, &LOG_RECORD)]);
static LOG_RECORD: Shape = Shape(&[one(5, &VALUE), many::<KeyValue>(6, &PAIR)]);

static METRICS: Shape = Shape(&[many::<ResourceMetrics>(1, &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Shape = Shape(&[one(1, &RESOURCE), many::<ScopeMetrics>(2, &SCOPE_METRICS)]);
static SCOPE_METRICS: Shape = Shape(&[one(1, &SCOPE), many::<Metric>(2, &METRIC)]);
static METRIC: Shape = Shape(&[
    one(5, &NUMBER_SERIES),
    one(7, &NUMBER_SERIES),
    one(9, &HISTOGRAM),
    one(10, &EXPONENTIAL_HISTOGRAM),
    one(11, &SUMMARY),
    many::<KeyValue>(12, &PAIR),
]);
static NUMBER_SERIES: Shape = Shape(&[many::<NumberDataPoint>(1, &NUMBER_POINT)]);
static HISTOGRAM: Shape = Shape(&[many::<HistogramDataPoint>(1, &HISTOGRAM_POINT)]);
static EXPONENTIAL_HISTOGRAM: Shape = Shape(&[many::<ExponentialHistogramDataPoint>(1, &EXPONENTIAL_POINT)]);
static SUMMARY: Shape = Shape(&[many::<SummaryDataPoint>(1, &SUMMARY_POINT)]);
static NUMBER_POINT: Shape = Shape(&[many::<KeyValue>(7, &PAIR), many::<Exemplar>(5, &EXEMPLAR)]);
static HISTOGRAM_POINT: Shape = Shape(&[many::<KeyValue>(9, &PAIR), many::<Exemplar>(8, &EXEMPLAR)]);
static EXPONENTIAL_POINT: Shape = Shape(&[many::<KeyValue>(1, &PAIR), many::<Exemplar>(11, &EXEMPLAR)]);
static SUMMARY_POINT: Shape = Shape(&[many::<KeyValue>(7, &PAIR), many::<ValueAtQuantile>(6, &NUMBERS)]);
static EXEMPLAR: Shape = Shape(&[many::<KeyValue>(7, &PAIR)]);

/// The full decoder goes no deeper.
const DEPTH_MAX: usize = 100;

/// Bytes of the structs that a body becomes, but for text and numbers, which take a few times what they take in the body. Whatever stands behind
/// the first fault in it is not counted, and not decoded either.
pub(super) fn bytes_of(signal: Signal, body: &[u8]) -> usize {
    let mut bytes = 0;
    let shape = match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    };
    // What is broken here is told by the full decoder.
    let _ = add(shape, body, 0, &mut bytes);
    bytes
}

fn add(shape: &Shape, message: &[u8], depth: usize, bytes: &mut usize) -> Result<(), Irregular> {
    if depth > DEPTH_MAX {
        return Err(Irregular);
    }
    let mut fields = Fields::of(message);
    while let Some(tag) = fields.tag()? {
        match tag & 7 {
            0 => fields.varint().map(|_| ())?,
            1 => fields.fixed64().map(|_| ())?,
            5 => fields.fixed32().map(|_| ())?,
            2 => {
                let within = fields.bytes()?;
                if let Some(field) = shape.0.iter().find(|field| field.number == tag >> 3) {
                    *bytes = bytes.saturating_add(field.bytes);
                    add(field.shape, within, depth + 1, bytes)?;
                }
            }
            // What is inside a group is passed over by the full decoder; counted here, it makes the sum greater at most.
            _ => {}
        }
    }
    Ok(())
}
