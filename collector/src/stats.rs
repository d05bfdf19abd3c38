//! What the collector has done so far, counted by batch and by request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::request::Signal;

/// Counts of one signal since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalStats {
    /// Requests that were acknowledged.
    pub requests: u64,
    /// Records in them that are kept.
    pub accepted: u64,
    /// Records that can never be stored, told to the sender.
    pub rejected: u64,
    /// Requests refused for good: undecodable, too large, of the wrong type.
    pub invalid: u64,
    /// Requests refused for now.
    pub refused: u64,
}

/// What the collector has done and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollectorStats {
    /// Of spans.
    pub traces: SignalStats,
    /// Of data points.
    pub metrics: SignalStats,
    /// Of log records.
    pub logs: SignalStats,
    /// Bytes of requests that are being read, logged or turned into rows.
    pub bytes_in_flight: u64,
    /// Bytes of the log's segments.
    pub log_backlog_bytes: u64,
    /// Spans counted under `__other__` because their service has too many operations.
    pub operations_over_limit: u64,
    /// The last log sequence whose rows are visible.
    pub published_through: u64,
}

#[derive(Debug, Default)]
struct SignalCounters {
    requests: AtomicU64,
    accepted: AtomicU64,
    rejected: AtomicU64,
    invalid: AtomicU64,
    refused: AtomicU64,
}

impl SignalCounters {
    fn read(&self) -> SignalStats {
        SignalStats {
            requests: self.requests.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            invalid: self.invalid.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// The counters behind the stats, shared by all parts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    signals: [SignalCounters; Signal::ALL.len()],
    pub(crate) operations_over_limit: Arc<AtomicU64>,
    pub(crate) published_through: Arc<AtomicU64>,
}

impl Counters {
    pub(crate) fn acknowledged(&self, signal: Signal, accepted: u64, rejected: u64) {
        let counters = self.of(signal);
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.accepted.fetch_add(accepted, Ordering::Relaxed);
        counters.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    pub(crate) fn invalid(&self, signal: Signal) {
        self.of(signal).invalid.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, signal: Signal) {
        self.of(signal).refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> CollectorStats {
        CollectorStats {
            traces: self.of(Signal::Traces).read(),
            metrics: self.of(Signal::Metrics).read(),
            logs: self.of(Signal::Logs).read(),
            operations_over_limit: self.operations_over_limit.load(Ordering::Relaxed),
            published_through: self.published_through.load(Ordering::Relaxed),
            ..CollectorStats::default()
        }
    }

    fn of(&self, signal: Signal) -> &SignalCounters {
        let [traces, metrics, logs] = &self.signals;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }
}
