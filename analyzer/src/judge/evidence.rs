//! What the judge sees: counts by window, cohort, operation and instance. Nothing else reaches it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use haldane_store::histogram::DURATION_SCALE;
use haldane_store::{ExponentialHistogram, UnixNanos};

use super::calibration::Calibration;
use super::cells::Cells;
use super::trace_id::TraceId;

/// Everything that a verdict is computed from. The same evidence and policy give the same verdict, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// All chance in a judgement comes from here.
    pub seed: u64,
    /// What the canary is compared with.
    pub pairing: Pairing,
    /// Width of a window, as the roll-ups have it.
    pub window: Duration,
    /// When the canary began to serve.
    pub started_at: UnixNanos,
    /// The watermark: windows that end later are not in here.
    pub until: UnixNanos,
    /// Counts of requests, sorted by time. Baseline cells before `started_at` are history.
    pub cells: Cells,
    /// Counts of distinct errors.
    pub errors: Vec<ErrorCount>,
    /// Counts of what was called while requests were served.
    pub calls: Vec<CallCount>,
    /// The plain numbers that the policy compares, minute by minute.
    pub samples: Vec<Sample>,
    /// Numbers that could not be read, and why.
    pub unreadable: Vec<(Arc<str>, String)>,
    /// What replays of the service's past say of the judge, if there were any.
    pub calibration: Option<Calibration>,
}

impl Evidence {
    /// Nothing seen yet.
    pub fn new(seed: u64, pairing: Pairing, window: Duration, started_at: UnixNanos, until: UnixNanos) -> Self {
        Self {
            seed,
            pairing,
            window,
            started_at,
            until,
            cells: Cells::default(),
            errors: Vec::new(),
            calls: Vec::new(),
            samples: Vec::new(),
            unreadable: Vec::new(),
            calibration: None,
        }
    }
}

/// What the canary's windows are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// The baseline in the same window: what hits both at once cancels.
    Concurrent,
    /// What ran before the rollout: drift between then and now does not cancel, and has to be allowed for.
    Preceding,
}

/// The part a cohort plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The version that is known.
    Baseline,
    /// The version that is judged.
    Canary,
}

/// The requests that one instance served for one operation in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Start of the window.
    pub at: UnixNanos,
    /// Whose requests these are.
    pub cohort: Role,
    /// The operation, such as `POST /pay`.
    pub operation: Arc<str>,
    /// The instance that served them.
    pub instance: Arc<str>,
    /// How many requests.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How long they took, in nanoseconds.
    pub durations: ExponentialHistogram,
    /// A trace that failed.
    pub error_trace: Option<TraceId>,
    /// The slowest trace.
    pub slow_trace: Option<TraceId>,
}

impl Cell {
    /// One without any requests yet.
    pub fn new(at: UnixNanos, cohort: Role, operation: Arc<str>, instance: Arc<str>) -> Self {
        let durations = ExponentialHistogram::new(DURATION_SCALE);
        Self { at, cohort, operation, instance, requests: 0, errors: 0, durations, error_trace: None, slow_trace: None }
    }
}

/// Names of cells and errors: the same one is the same text in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(HashSet<Arc<str>>);

impl Names {
    pub(crate) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let name: Arc<str> = text.into();
        self.0.insert(name.clone());
        name
    }
}

/// How often one distinct error was seen in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorCount {
    /// Start of the window.
    pub at: UnixNanos,
    /// Whose errors these are.
    pub cohort: Role,
    /// The operation in which it happened; empty where that is not known.
    pub operation: Arc<str>,
    /// The instance that reported it.
    pub instance: Arc<str>,
    /// Hash of source, type and normalised message: what makes two errors the same.
    pub fingerprint: Arc<str>,
    /// `exception`, `log` or `status`.
    pub source: Arc<str>,
    /// Such as `StripeSecretMissing`.
    pub error_type: Arc<str>,
    /// With what varies replaced.
    pub message: Arc<str>,
    /// How often.
    pub count: u64,
    /// One trace in which it happened.
    pub trace: Option<Arc<str>>,
}

/// What one instance called in one window: spans other than those of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct CallCount {
    /// Start of the window.
    pub at: UnixNanos,
    /// Whose calls these are.
    pub cohort: Role,
    /// The instance that made them.
    pub instance: Arc<str>,
    /// Their span kind: `CLIENT`, `PRODUCER` or `INTERNAL`.
    pub kind: Arc<str>,
    /// What was called, such as `GET api.stripe.com`; empty for internal spans, which are counted together.
    pub name: Arc<str>,
    /// How often.
    pub count: u64,
    /// How often it failed.
    pub errors: u64,
}

/// What a plain number was in one minute of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Start of the minute.
    pub at: UnixNanos,
    /// Whose it is.
    pub cohort: Role,
    /// Name of the policy's check.
    pub check: Arc<str>,
    /// The instance; empty where that is not known.
    pub instance: Arc<str>,
    /// The mean of what was seen in that minute.
    pub value: f64,
}
