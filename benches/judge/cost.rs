//! How long does one verdict take, by the size of the service? An hour, ms a judgement.

use std::time::{Duration, Instant};

use haldane_analyzer::judge::{Cell, Cells, Evidence, Pairing, Role, judge};
use haldane_analyzer::policy::Policy;
use haldane_store::{ExponentialHistogram, UnixNanos};

use crate::Ask;

const HOUR: i64 = 3_600;

/// What evidence keeps apart of an hour.
struct Service {
    name: &'static str,
    operations: i64,
    /// Half of them of the canary.
    instances: i64,
    window_seconds: i64,
    /// In a cell.
    requests: i64,
}

const SERVICES: [Service; 4] = [
    Service { name: "1 operation on 20 instances", operations: 1, instances: 20, window_seconds: 10, requests: 5 },
    Service { name: "10 operations on 20 instances", operations: 10, instances: 20, window_seconds: 10, requests: 5 },
    Service { name: "40 operations on 20 instances", operations: 40, instances: 20, window_seconds: 10, requests: 5 },
    // Of that many cells evidence has windows of five minutes, and of 200 operations apart.
    Service { name: "1,000 operations on 100 instances", operations: 201, instances: 100, window_seconds: 300, requests: 30 },
];

/// So many judgements of each service.
pub(crate) fn run(ask: &Ask) {
    crate::say("\n## What one judgement costs\n");
    for service in SERVICES.iter().filter(|service| ask.wants(service.name, "")) {
        let evidence = service.evidence();
        let mut times: Vec<Duration> = (0..ask.runs.max(1)).map(|_| time_of(&evidence)).collect();
        times.sort();
        let (median, worst) = (times[times.len() / 2].as_secs_f64() * 1e3, times[times.len() - 1].as_secs_f64() * 1e3);
        let cells = evidence.cells.len();
        crate::say(&format!("- {}, {cells} cells: median {median:.1} ms, slowest {worst:.1} ms", service.name));
    }
}

fn time_of(evidence: &Evidence) -> Duration {
    let start = Instant::now();
    std::hint::black_box(judge(&Policy::default(), std::hint::black_box(evidence)));
    start.elapsed()
}

impl Service {
    /// Every cell has requests of different durations; the numbers follow from the cell's place. In the order in which evidence is gathered: by window, cohort and names.
    fn evidence(&self) -> Evidence {
        let start = 1_800_000_000;
        let windows = HOUR / self.window_seconds;
        let mut cells = Cells::default();
        let half = self.instances / 2;
        let of_cohort = |from: i64| (0..self.operations).flat_map(move |operation| (from..from + half).map(move |at| (operation, at)));
        let of_window = |window: i64| of_cohort(0).chain(of_cohort(half)).map(move |(operation, instance)| (window, operation, instance));
        for (window, operation, instance) in (0..windows).flat_map(of_window) {
            let mut durations = ExponentialHistogram::new(6);
            for request in 0..self.requests {
                durations.record(1e6 * (20 + (window * 7 + operation * 13 + instance * 29 + request * 31) % 100) as f64);
            }
            cells.push(&Cell {
                at: UnixNanos::from_seconds(start + self.window_seconds * window),
                cohort: if instance < half { Role::Baseline } else { Role::Canary },
                operation: format!("GET /{operation:04}").into(),
                instance: format!("i{instance:03}").into(),
                requests: durations.count(),
                errors: u64::from((window + operation + instance) % 40 == 0),
                durations,
                error_trace: None,
                slow_trace: None,
            });
        }
        let (started_at, until) = (UnixNanos::from_seconds(start), UnixNanos::from_seconds(start + HOUR));
        let window = Duration::from_secs(self.window_seconds.unsigned_abs());
        Evidence { cells, ..Evidence::new(1, Pairing::Concurrent, window, started_at, until) }
    }
}
