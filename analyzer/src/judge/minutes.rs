//! Evidence as the samples of metrics, minute by minute: what a judge sees that knows nothing of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::ExponentialHistogram;

use super::cells::CellRef;
use super::evidence::{Evidence, Role};

const MINUTE: Duration = Duration::from_secs(60);
const QUANTILES: [(&str, f64); 3] = [("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)];

/// The samples of one metric, one for each whole minute of the rollout in which the cohort served.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteSamples {
    /// Its name: `error_rate`, `latency_p50`, …
    pub name: &'static str,
    /// Samples of the baseline: a share, or milliseconds.
    pub baseline: Vec<f64>,
    /// Samples of the canary.
    pub canary: Vec<f64>,
}

/// What one cohort did in a minute.
#[derive(Debug)]
struct Minute {
    requests: u64,
    errors: u64,
    durations: ExponentialHistogram,
}

/// What both cohorts did in each whole minute.
#[derive(Debug)]
pub struct Minutes {
    /// Of baseline and canary.
    known: [BTreeMap<u64, Minute>; 2],
}

impl Minutes {
    /// Of the whole rollout.
    pub fn new(evidence: &Evidence) -> Self {
        let whole = evidence.until.since(evidence.started_at).as_secs() / MINUTE.as_secs();
        let mut known: [BTreeMap<u64, Minute>; 2] = Default::default();
        for cell in evidence.cells.iter().filter(|cell| cell.at >= evidence.started_at && cell.requests > 0) {
            let minute = cell.at.since(evidence.started_at).as_secs() / MINUTE.as_secs();
            if minute < whole {
                add(&mut known[usize::from(cell.cohort == Role::Canary)], minute, &cell);
            }
        }
        Self { known }
    }

    /// The rate of errors and three quantiles of latency, up to `until` after the beginning.
    pub fn samples(&self, until: Duration) -> Vec<MinuteSamples> {
        let whole = until.as_secs() / MINUTE.as_secs();
        let samples = |name, value: &dyn Fn(&Minute) -> f64| {
            let [baseline, canary] = [0, 1].map(|cohort| self.known[cohort].range(..whole).map(|(_, minute)| value(minute)).collect());
            MinuteSamples { name, baseline, canary }
        };
        let rate = samples("error_rate", &|minute| minute.errors as f64 / minute.requests as f64);
        let latency = QUANTILES.map(|(name, q)| {
            samples(name, &|minute| if minute.durations.count() == 0 { f64::NAN } else { minute.durations.quantile(q) / 1e6 })
        });
        std::iter::once(rate).chain(latency).collect()
    }
}

fn add(minutes: &mut BTreeMap<u64, Minute>, at: u64, cell: &CellRef<'_>) {
    let new = || Minute { requests: 0, errors: 0, durations: ExponentialHistogram::new(cell.durations.scale()) };
    let minute = minutes.entry(at).or_insert_with(new);
    minute.requests = minute.requests.saturating_add(cell.requests);
    minute.errors = minute.errors.saturating_add(cell.errors);
    cell.durations.add_to(&mut minute.durations);
}
