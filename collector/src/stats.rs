//! What the collector has done so far, counted by batch and by request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::request::Signal;
use crate::served::{Served, ServedStats};

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

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No room among the requests in flight.
    Overloaded,
    /// It cannot be made durable at the moment: the log is full, the disk fails, the server stops.
    Unavailable,
    /// Its body came too slowly.
    Slow,
    /// It cannot be decoded.
    Invalid,
    /// Its body is over the limit.
    TooLarge,
    /// Its form is not taken here: method, media type, coding.
    Unsupported,
    /// It has no valid token.
    Unauthenticated,
    /// Its token is known, and may not send.
    Forbidden,
    /// The server made a mistake.
    Internal,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Overloaded,
        Self::Unavailable,
        Self::Slow,
        Self::Invalid,
        Self::TooLarge,
        Self::Unsupported,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Internal,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Slow => "slow",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Internal => "internal",
        }
    }
}

/// Requests of one signal that were refused with one token for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// What they carried.
    pub signal: Signal,
    /// The token's name; `none` without one.
    pub token: Arc<str>,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub requests: u64,
}

/// Upper bounds of the buckets of [`Latency`], in milliseconds; one more bucket has none.
pub const LATENCY_BOUNDS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 5_000];

/// How long acknowledgements took, from the request's header to its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Requests by bucket, each counted once.
    pub buckets: [u64; LATENCY_BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

/// What the collector has done and holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Requests of each service, as its spans tell them.
    pub served: Vec<ServedStats>,
    /// The last log sequence whose rows are visible.
    pub published_through: u64,
    /// Refused requests, those that there are.
    pub refusals: Vec<Refusals>,
    /// How long requests waited for room among those in flight, all together.
    pub admission_wait: Duration,
    /// How long acknowledgements took.
    pub latency: Latency,
    /// Age of the oldest acknowledged request, of those since the start, that a table lacks; to about 0.1 s.
    pub oldest_uncommitted: Duration,
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

#[derive(Debug, Default)]
struct LatencyCounters {
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// Acknowledged requests that a table lacks, by when they were acknowledged: one mark for those of [`MARK_EVERY`].
#[derive(Debug)]
struct Mark {
    since: Instant,
    through: u64,
}

const MARK_EVERY: Duration = Duration::from_millis(100);

/// The counters behind the stats, shared by all parts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    signals: [SignalCounters; Signal::ALL.len()],
    /// In the order in which they first came up; bounded by the signals, reasons and configured tokens.
    refusals: Mutex<Vec<Refusals>>,
    admission_wait_micros: AtomicU64,
    latency: LatencyCounters,
    uncommitted: Mutex<VecDeque<Mark>>,
    committed_through: AtomicU64,
    pub(crate) operations_over_limit: Arc<AtomicU64>,
    pub(crate) served: Served,
    pub(crate) published_through: Arc<AtomicU64>,
}

impl Counters {
    pub(crate) fn acknowledged(&self, signal: Signal, accepted: u64, rejected: u64) {
        let counters = self.of(signal);
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.accepted.fetch_add(accepted, Ordering::Relaxed);
        counters.rejected.fetch_add(rejected, Ordering::Relaxed);
    }

    /// A request was refused for a reason: for good or, when `retry` is useful, for now.
    pub(crate) fn refused(&self, signal: Signal, token: &Arc<str>, reason: Reason, retry: bool) {
        let counters = self.of(signal);
        let counter = if retry { &counters.refused } else { &counters.invalid };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refusals.iter_mut().find(|known| known.signal == signal && known.reason == reason && known.token == *token);
        match known {
            Some(known) => known.requests += 1,
            None => refusals.push(Refusals { signal, token: token.clone(), reason, requests: 1 }),
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.admission_wait_micros.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// A request was acknowledged this long after it came.
    pub(crate) fn took(&self, time: Duration) {
        let bucket = LATENCY_BOUNDS.partition_point(|bound| Duration::from_millis(*bound) < time);
        if let Some(counter) = self.latency.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.latency.micros.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// A request is in the log under this sequence number.
    pub(crate) fn logged(&self, sequence: u64) {
        let mut marks = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        if sequence <= self.committed_through.load(Ordering::Relaxed) {
            return;
        }
        match marks.back_mut().filter(|mark| mark.since.elapsed() < MARK_EVERY) {
            Some(mark) => mark.through = mark.through.max(sequence),
            None => marks.push_back(Mark { since: Instant::now(), through: sequence }),
        }
    }

    /// All tables have what is in the log up to this sequence number.
    pub(crate) fn committed(&self, through: u64) {
        let mut marks = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        self.committed_through.fetch_max(through, Ordering::Relaxed);
        while marks.front().is_some_and(|mark| mark.through <= through) {
            marks.pop_front();
        }
    }

    pub(crate) fn read(&self) -> CollectorStats {
        CollectorStats {
            traces: self.of(Signal::Traces).read(),
            metrics: self.of(Signal::Metrics).read(),
            logs: self.of(Signal::Logs).read(),
            operations_over_limit: self.operations_over_limit.load(Ordering::Relaxed),
            served: self.served.read(),
            published_through: self.published_through.load(Ordering::Relaxed),
            refusals: self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            admission_wait: Duration::from_micros(self.admission_wait_micros.load(Ordering::Relaxed)),
            latency: Latency {
                buckets: self.latency.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
                sum: Duration::from_micros(self.latency.micros.load(Ordering::Relaxed)),
            },
            oldest_uncommitted: self.oldest_uncommitted(),
            ..CollectorStats::default()
        }
    }

    fn oldest_uncommitted(&self) -> Duration {
        let marks = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        marks.front().map_or(Duration::ZERO, |mark| mark.since.elapsed())
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

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_uncommitted_request_ages_until_all_tables_have_it() {
        let counters = Counters::default();
        counters.logged(1);
        counters.logged(2);
        counters.committed(1);
        assert!(counters.read().oldest_uncommitted > Duration::ZERO);
        counters.committed(2);
        assert_eq!(counters.read().oldest_uncommitted, Duration::ZERO);
    }

    #[test]
    fn a_latency_lies_at_or_below_its_bound() {
        let counters = Counters::default();
        [1, 2, 3, 9_000].into_iter().for_each(|ms| counters.took(Duration::from_millis(ms)));
        let Latency { buckets, sum } = counters.read().latency;
        assert_eq!((buckets[0], buckets[1], buckets[2], buckets[12], sum), (1, 1, 1, 1, Duration::from_millis(9_006)));
    }
}
