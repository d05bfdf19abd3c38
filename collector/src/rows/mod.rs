//! The rows of all five tables that are being collected: checked bodies go in, one batch a table comes out.
//!
//! Always holds: a body is walked once, and all that its records say to any table is taken in that pass.

mod attributes;
mod columns;
mod logs;
mod metrics;
mod numbers;
mod origin;
mod series;
mod spans;
#[cfg(test)]
mod tests;

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use haldane_store::{TableName, UnixNanos};

use crate::decode::envelope::{Resource, ResourceGroup, ScopeGroup, resources};
use crate::decode::log::LogRecord;
use crate::decode::metric::{Metric, PointLists};
use crate::decode::span::{SpanLists, each_span};
use crate::decode::{Checked, Irregular, keeps_point, keeps_span, log_fault};
use crate::hex;
use crate::request::Signal;
use crate::rollup::{Cohort, Rollup};
use crate::wanted::Wanted;

pub(crate) use attributes::{PromotedColumns, RECORD_COLUMNS, RESOURCE_PLACES, ResourceAttributes};
pub(crate) use columns::{Columns, DerivedColumn, DictionaryColumn, IntegerColumn, MapColumn, Seal, TimeColumns, batch_of};
pub(crate) use logs::log_time;
pub(crate) use numbers::CountListColumn;
pub(crate) use spans::{kind_name, span_time};

use logs::LogRows;
use metrics::{MetricOrigin, MetricRows};
use origin::{ResourceOrigin, ScopeOrigin};
use spans::SpanRows;

/// Builders of all tables.
#[derive(Debug)]
pub(crate) struct Rows {
    spans: Unwanted<SpanRows>,
    logs: Unwanted<LogRows>,
    metrics: MetricRows,
    rollup: Rollup,
    resource: KnownResource,
    count: usize,
}

/// A table's builder, and one whose rows only the roll-ups look at: after a crash a table may have what they lack.
#[derive(Debug)]
struct Unwanted<T> {
    kept: T,
    dropped: T,
}

impl<T> Unwanted<T> {
    fn pick(&mut self, wanted: bool) -> &mut T {
        if wanted { &mut self.kept } else { &mut self.dropped }
    }
}

/// The resource that was seen last: senders repeat theirs in every request.
#[derive(Debug, Default)]
struct KnownResource {
    bytes: Vec<u8>,
    schema_url: Vec<u8>,
    origin: ResourceOrigin,
    cohort: Cohort,
}

impl KnownResource {
    fn turn_to(&mut self, group: ResourceGroup<'_>, rollup: &Rollup) -> Result<(), Irregular> {
        if self.bytes == group.resource && self.schema_url == group.schema_url && !self.bytes.is_empty() {
            return Ok(());
        }
        let resource = Resource::parse(group.resource)?;
        self.origin = ResourceOrigin::new(group, &resource);
        self.cohort = rollup.cohort_of(&self.origin.attributes, &resource.attributes);
        self.bytes = group.resource.to_vec();
        self.schema_url = group.schema_url.to_vec();
        Ok(())
    }
}

impl Rows {
    pub(crate) fn new(rollup: Rollup) -> Self {
        Self {
            spans: Unwanted { kept: SpanRows::new(), dropped: SpanRows::new() },
            logs: Unwanted { kept: LogRows::new(), dropped: LogRows::new() },
            metrics: MetricRows::new(),
            rollup,
            resource: KnownResource::default(),
            count: 0,
        }
    }

    /// How many records have been added since the last batch.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of what records share but each row has for itself.
    pub(crate) fn repeated_bytes(&self) -> usize {
        let Self { spans, logs, metrics, .. } = self;
        let origins = [&spans.kept.origin, &spans.dropped.origin, &logs.kept.origin, &logs.dropped.origin];
        origins.iter().map(|origin| origin.repeated_bytes()).sum::<usize>() + metrics.repeated_bytes()
    }

    /// Adds the rows of a request to those tables that want them.
    ///
    /// # Errors
    /// Never for a body that has been checked.
    pub(crate) fn append(&mut self, checked: &Checked, received: UnixNanos, wanted: Wanted) -> Result<(), Irregular> {
        resources(&checked.body, |group| {
            self.resource.turn_to(group, &self.rollup)?;
            let cohort = self.rollup.number(&self.resource.cohort);
            match checked.signal {
                Signal::Traces => {
                    let mut lists = SpanLists::default();
                    group.scopes(|scope| self.append_spans(scope, &mut lists, cohort, (received, wanted)))
                }
                Signal::Logs => group.scopes(|scope| self.append_logs(scope, cohort, (received, wanted))),
                Signal::Metrics if wanted.has(TableName::Metrics) => group.scopes(|scope| self.append_metrics(scope, received)),
                Signal::Metrics => Ok(()),
            }
        })
    }

    fn append_spans<'a>(
        &mut self,
        scope: ScopeGroup<'a>,
        lists: &mut SpanLists<'a>,
        cohort: u32,
        (received, wanted): (UnixNanos, Wanted),
    ) -> Result<(), Irregular> {
        let Self { spans, rollup, count, .. } = self;
        let rows = spans.pick(wanted.has(TableName::Spans));
        let rolled_up = wanted.has(TableName::Red) || wanted.has(TableName::Errors);
        let frame = each_span(scope, lists, |span, lists| {
            if keeps_span(span, lists) {
                rows.append(span, lists, received)?;
                if rolled_up {
                    rollup.add_span(cohort, (span, lists), (&rows.attributes.promoted, rows.rows - 1), received, wanted)?;
                }
                *count += 1;
            }
            Ok::<_, Irregular>(())
        })?;
        let end = rows.rows;
        rows.origin.set_until(end, &self.resource.origin, &ScopeOrigin::parse(frame)?);
        Ok(())
    }

    fn append_logs(&mut self, scope: ScopeGroup<'_>, cohort: u32, (received, wanted): (UnixNanos, Wanted)) -> Result<(), Irregular> {
        let Self { logs, rollup, count, .. } = self;
        let rows = logs.pick(wanted.has(TableName::Logs));
        let mut attributes = Vec::new();
        let frame = scope.records(|message| {
            let record = LogRecord::parse(message, &mut attributes)?;
            if log_fault(&record).is_none() {
                rows.append(&record, &attributes, received);
                if wanted.has(TableName::Errors) {
                    rollup.add_log(cohort, (&record, &attributes), (&rows.attributes.promoted, rows.rows - 1), received);
                }
                *count += 1;
            }
            Ok::<_, Irregular>(())
        })?;
        let end = rows.rows;
        rows.origin.set_until(end, &self.resource.origin, &ScopeOrigin::parse(frame)?);
        Ok(())
    }

    fn append_metrics(&mut self, scope: ScopeGroup<'_>, received: UnixNanos) -> Result<(), Irregular> {
        let mut lists = PointLists::default();
        let frame = scope.records(|message| {
            let metric = Metric::parse(message)?;
            let Some(series) = metric.series else { return Ok(()) };
            let metric = MetricOrigin::new(&metric, series);
            series.each_point(&mut lists, |point, lists| {
                if keeps_point(point, lists) {
                    self.metrics.append(&metric, point, lists, received)?;
                    self.count += 1;
                }
                Ok(())
            })
        })?;
        self.metrics.set_origin(&self.resource.origin, &ScopeOrigin::parse(frame)?);
        Ok(())
    }

    /// All rows since the last call, by table; tables without any are left out.
    pub(crate) fn finish(&mut self) -> Vec<(TableName, RecordBatch)> {
        self.count = 0;
        let (red, errors) = self.rollup.finish();
        let mut batches = vec![
            (TableName::Spans, self.spans.kept.finish()),
            (TableName::Logs, self.logs.kept.finish()),
            (TableName::Metrics, self.metrics.finish()),
            (TableName::Red, red),
            (TableName::Errors, errors),
        ];
        batches.retain(|(_, batch)| batch.num_rows() > 0);
        if self.spans.dropped.rows > 0 {
            self.spans.dropped = SpanRows::new();
        }
        if self.logs.dropped.rows > 0 {
            self.logs.dropped = LogRows::new();
        }
        batches
    }
}

/// A record's time may lie so far behind its receipt, for archives are sent again,
const BEHIND_MAX: Duration = Duration::from_secs(3_653 * 86_400);
/// and so far ahead. A clock that is further off tells nothing, and each day has a file of its own.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// The first instant that may be true; zero is OTLP's word for unknown.
fn first_known(instants: impl IntoIterator<Item = u64>, received: UnixNanos) -> UnixNanos {
    let possible = received.minus(BEHIND_MAX)..=received.plus(AHEAD_MAX);
    let mut instants = instants.into_iter().filter(|nanos| *nanos > 0).map(|nanos| UnixNanos::new(signed(nanos)));
    instants.find(|at| possible.contains(at)).unwrap_or(received)
}

/// A number that was found to fit when it was checked.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Text that is null when it is empty, as proto3 cannot tell an empty string from a missing one.
#[inline]
fn set_text(column: &mut DictionaryColumn, row: usize, text: &[u8]) {
    if !text.is_empty() {
        column.set(row, text);
    }
}

/// An id that may be left out. One of zeros is left out too: OTLP calls it invalid, and some senders write it where they have none.
#[inline]
fn given(id: &[u8]) -> Option<&[u8]> {
    id.iter().any(|byte| *byte != 0).then_some(id)
}

/// A trace's id as hex digits. One of another length was refused.
#[inline]
fn set_trace_id(column: &mut DerivedColumn<[u8; 16]>, row: usize, id: &[u8]) {
    if let Some(id) = id.as_array() {
        column.set(row, *id, |id| hex::digits(&id));
    }
}
