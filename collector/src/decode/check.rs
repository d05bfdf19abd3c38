//! Walks a body once, before it is acknowledged: all of it can be read, and each record is one that a table can hold or is counted.

use std::fmt;

use haldane_store::UnixNanos;

use super::Rejected;
use super::envelope::{Resource, Scope, ScopeFrame, ScopeGroup, resources};
use super::log::LogRecord;
use super::metric::{Metric, Point, PointLists};
use super::span::{Span, SpanLists, each_span};
use super::speaker::Speaker;
use super::value::{CheckAttributes, check_text};
use super::wire::Irregular;
use crate::request::Signal;

/// What a row takes beside what its record says: a record may be two bytes long.
const ROW_BYTES: usize = 64;
/// What an event, a link, an exemplar or a quantile takes.
const ITEM_BYTES: usize = 32;
const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;

/// Why no table can ever hold a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordFault {
    Id { what: &'static str, bytes: usize, found: usize },
    Time { nanos: u64 },
    Count { count: u64 },
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id { what, bytes, found } => write!(f, "{what} must have {bytes} bytes, not {found}"),
            Self::Time { nanos } => write!(f, "the time {nanos} lies past the year 2262"),
            Self::Count { count } => write!(f, "the count {count} is 2^63 or more"),
        }
    }
}

/// How many records are good and how many were left out, and why the first of those was.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) kept: u64,
    rejected: u64,
    first: Option<RecordFault>,
    /// The bytes that are repeated because each row carries its resource, scope and metric.
    pub(super) repeated_bytes: u64,
    /// Whose records they are.
    pub(super) speaker: Speaker,
}

impl Tally {
    fn count(&mut self, fault: Option<RecordFault>) {
        match fault {
            None => self.kept += 1,
            Some(fault) => {
                self.rejected += 1;
                self.first.get_or_insert(fault);
            }
        }
    }

    fn repeat(&mut self, bytes: usize, rows: impl TryInto<u64>) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.repeated_bytes = self.repeated_bytes.saturating_add(bytes.saturating_mul(rows.try_into().unwrap_or(u64::MAX)));
    }

    pub(super) fn rejected(&self, signal: Signal) -> Option<Rejected> {
        let (count, first) = (self.rejected, self.first?);
        Some(Rejected { count, message: format!("{count} {} can never be stored and were left out; the first: {first}", signal.records()) })
    }
}

/// Checks a body of protobuf.
pub(super) fn check(signal: Signal, body: &[u8]) -> Result<Tally, Irregular> {
    let mut tally = Tally::default();
    let (mut span_lists, mut point_lists) = (SpanLists::default(), PointLists::default());
    resources(body, |group| {
        let resource = Resource::parse(group.resource)?;
        resource.check()?;
        tally.speaker.and_resource(&resource);
        check_text(group.schema_url)?;
        group.scopes(|scope| {
            let before = tally.kept;
            let frame = match signal {
                Signal::Traces => check_spans(scope, &mut span_lists, &mut tally),
                Signal::Logs => scope.records(|message| {
                    let record = LogRecord::parse(message, &mut CheckAttributes)?;
                    record.check()?;
                    tally.count(log_fault(&record));
                    Ok(())
                }),
                Signal::Metrics => scope.records(|message| check_metric(message, &mut point_lists, &mut tally)),
            }?;
            Scope::parse(frame.scope)?.check()?;
            check_text(frame.schema_url)?;
            let shared = group.resource.len() + group.schema_url.len() + frame.scope.len() + frame.schema_url.len();
            tally.repeat(shared + ROW_BYTES, tally.kept - before);
            Ok(())
        })
    })?;
    Ok(tally)
}

fn check_spans<'a>(
    scope: ScopeGroup<'a>,
    lists: &mut SpanLists<'a, CheckAttributes>,
    tally: &mut Tally,
) -> Result<ScopeFrame<'a>, Irregular> {
    each_span(scope, lists, |span, lists| {
        let latest = span.check(lists)?;
        tally.count(span_fault(span).or_else(|| time_fault(latest)));
        tally.repeat(ITEM_BYTES, lists.events.len() + lists.links.len());
        Ok(())
    })
}

fn check_metric<'a>(message: &'a [u8], lists: &mut PointLists<'a, CheckAttributes>, tally: &mut Tally) -> Result<(), Irregular> {
    let metric = Metric::parse(message)?;
    metric.check()?;
    let Some(series) = metric.series else { return Ok(()) };
    let before = tally.kept;
    series.each_point(lists, |point, lists| {
        let latest = point.check(lists)?;
        tally.count(time_fault(latest).or_else(|| point_fault(point)));
        tally.repeat(ITEM_BYTES, lists.exemplars.len() + lists.quantiles.len());
        tally.repeat(size_of::<i64>(), point.packed_bytes());
        Ok::<_, Irregular>(())
    })?;
    tally.repeat(metric.shared_bytes(), tally.kept - before);
    Ok(())
}

fn span_fault(span: &Span<'_>) -> Option<RecordFault> {
    let parent = || given_id_fault("parent_span_id", span.parent_span_id, SPAN_ID_BYTES);
    id_fault("trace_id", span.trace_id, TRACE_ID_BYTES).or_else(|| id_fault("span_id", span.span_id, SPAN_ID_BYTES)).or_else(parent)
}

/// Whether a span that was checked becomes a row.
pub(crate) fn keeps_span(span: &Span<'_>, lists: &SpanLists<'_>) -> bool {
    span_fault(span).is_none() && span.latest(lists).is_ok_and(|latest| time_fault(latest).is_none())
}

/// A log record may have no ids, but not ids of another length.
pub(crate) fn log_fault(record: &LogRecord<'_>) -> Option<RecordFault> {
    given_id_fault("trace_id", record.trace_id, TRACE_ID_BYTES)
        .or_else(|| given_id_fault("span_id", record.span_id, SPAN_ID_BYTES))
        .or_else(|| time_fault(record.time_unix_nano.max(record.observed_time_unix_nano)))
}

fn point_fault(point: &Point<'_>) -> Option<RecordFault> {
    point.count_too_large().map(|count| RecordFault::Count { count })
}

/// Whether a point that was checked becomes a row.
pub(crate) fn keeps_point(point: &Point<'_>, lists: &PointLists<'_>) -> bool {
    point.latest(lists).is_ok_and(|latest| time_fault(latest).is_none()) && point_fault(point).is_none()
}

fn id_fault(what: &'static str, id: &[u8], bytes: usize) -> Option<RecordFault> {
    (id.len() != bytes).then_some(RecordFault::Id { what, bytes, found: id.len() })
}

/// Of an id that may be left out.
fn given_id_fault(what: &'static str, id: &[u8], bytes: usize) -> Option<RecordFault> {
    if id.is_empty() { None } else { id_fault(what, id, bytes) }
}

fn time_fault(latest: u64) -> Option<RecordFault> {
    UnixNanos::try_from_u64(latest).is_none().then_some(RecordFault::Time { nanos: latest })
}
