//! What went out and what was acknowledged. The two have to agree: a lost span would distort the evidence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts shared by all instances of a shop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    spans: AtomicU64,
    logs: AtomicU64,
    spans_acknowledged: AtomicU64,
    logs_acknowledged: AtomicU64,
    points_acknowledged: AtomicU64,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    /// A request to the judged service.
    Request,
    /// A span that ended.
    Span,
    /// A log record that was emitted.
    Log,
    /// A span that the server has.
    SpanAcknowledged,
    /// A log record that the server has.
    LogAcknowledged,
    /// A metric point that the server has.
    PointAcknowledged,
}

impl Tally {
    /// Counts `more` of something.
    pub(crate) fn add(&self, what: Counted, more: usize) {
        self.counter(what).fetch_add(more as u64, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn get(&self, what: Counted) -> u64 {
        self.counter(what).load(Ordering::Relaxed)
    }

    /// Spans and log records that ended and were not acknowledged.
    pub(crate) fn missing(&self) -> u64 {
        let spans = self.get(Counted::Span).saturating_sub(self.get(Counted::SpanAcknowledged));
        let logs = self.get(Counted::Log).saturating_sub(self.get(Counted::LogAcknowledged));
        spans + logs
    }

    fn counter(&self, what: Counted) -> &AtomicU64 {
        match what {
            Counted::Request => &self.0.requests,
            Counted::Span => &self.0.spans,
            Counted::Log => &self.0.logs,
            Counted::SpanAcknowledged => &self.0.spans_acknowledged,
            Counted::LogAcknowledged => &self.0.logs_acknowledged,
            Counted::PointAcknowledged => &self.0.points_acknowledged,
        }
    }
}
