//! How many queries there were, how they ended, and how long they took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of durations, in milliseconds; one more bucket has none.
pub const QUERY_BOUNDS: [u64; 10] = [5, 20, 50, 100, 250, 500, 1_000, 5_000, 15_000, 30_000];

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryOutcome {
    /// With an answer.
    Ok,
    /// It may not be asked, or the text is no SQL.
    Refused,
    /// It took too long.
    Timeout,
    /// Its client gave it up.
    Cancelled,
    /// It could not be answered.
    Failed,
}

impl QueryOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Refused, Self::Timeout, Self::Cancelled, Self::Failed];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Timeout => 2,
            Self::Cancelled => 3,
            Self::Failed => 4,
        }
    }
}

/// The counts. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct SqlStats(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    outcomes: [AtomicU64; QueryOutcome::ALL.len()],
    buckets: [AtomicU64; QUERY_BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl SqlStats {
    pub(super) fn count(&self, outcome: QueryOutcome, took: Duration) {
        self.0.outcomes[outcome.place()].fetch_add(1, Ordering::Relaxed);
        let bucket = QUERY_BOUNDS.partition_point(|bound| Duration::from_millis(*bound) < took);
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Queries that ended so.
    pub fn ended(&self, outcome: QueryOutcome) -> u64 {
        self.0.outcomes[outcome.place()].load(Ordering::Relaxed)
    }

    /// Queries by bucket of [`QUERY_BOUNDS`], each counted once, and the time of all together.
    pub fn durations(&self) -> ([u64; QUERY_BOUNDS.len() + 1], Duration) {
        let buckets = self.0.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        (buckets, Duration::from_micros(self.0.micros.load(Ordering::Relaxed)))
    }
}
