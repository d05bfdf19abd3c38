//! How long does one verdict take, by the size of the service? An hour of 10 s windows, ten instances a cohort; ms a judgement.

use std::time::{Duration, Instant};

use haldane_analyzer::judge::{Cell, Evidence, Pairing, Role, judge};
use haldane_analyzer::policy::Policy;
use haldane_store::{ExponentialHistogram, UnixNanos};

const INSTANCES: i64 = 10;
const WINDOWS: i64 = 360;

pub(crate) fn run() {
    crate::say("\n## What one judgement costs\n");
    for operations in [1, 10, 50] {
        let evidence = evidence(operations);
        let mut times: Vec<Duration> = (0..7).map(|_| time_of(&evidence)).collect();
        times.sort();
        let (median, worst) = (times[3].as_secs_f64() * 1e3, times[6].as_secs_f64() * 1e3);
        let cells = evidence.cells.len();
        crate::say(&format!("- {operations} operations, {cells} cells: median {median:.1} ms, slowest {worst:.1} ms"));
    }
}

fn time_of(evidence: &Evidence) -> Duration {
    let start = Instant::now();
    std::hint::black_box(judge(&Policy::default(), std::hint::black_box(evidence)));
    start.elapsed()
}

/// Every cell has a few requests of different durations; the numbers follow from the cell's place.
fn evidence(operations: i64) -> Evidence {
    let start = 1_800_000_000;
    let mut cells = Vec::new();
    for (window, operation, instance) in
        (0..WINDOWS).flat_map(|w| (0..operations).flat_map(move |o| (0..2 * INSTANCES).map(move |i| (w, o, i))))
    {
        let mut durations = ExponentialHistogram::new(6);
        for request in 0..5 {
            durations.record(1e6 * (20 + (window * 7 + operation * 13 + instance * 29 + request * 31) % 100) as f64);
        }
        cells.push(Cell {
            at: UnixNanos::from_seconds(start + 10 * window),
            cohort: if instance < INSTANCES { Role::Baseline } else { Role::Canary },
            operation: format!("GET /{operation}").into(),
            instance: format!("i{instance}").into(),
            requests: 5,
            errors: u64::from((window + operation + instance) % 40 == 0),
            durations,
            error_trace: None,
            slow_trace: None,
        });
    }
    let (started_at, until) = (UnixNanos::from_seconds(start), UnixNanos::from_seconds(start + 10 * WINDOWS));
    Evidence { cells, ..Evidence::new(1, Pairing::Concurrent, Duration::from_secs(10), started_at, until) }
}
