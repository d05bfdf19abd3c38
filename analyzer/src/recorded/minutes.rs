//! Evidence as the samples of metrics, minute by minute: what a judge sees that knows nothing of requests.

use std::collections::BTreeMap;

use haldane_store::ExponentialHistogram;

use super::{Kind, Metric};
use crate::judge::{Cell, Evidence, Role};
use crate::kayenta::Direction;

const MINUTE_NANOS: i64 = 60_000_000_000;
const QUANTILES: [(&str, f64); 3] = [("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)];

/// What one cohort did in a minute.
struct Minute {
    requests: u64,
    errors: u64,
    durations: ExponentialHistogram,
}

/// The rate of errors and three quantiles of latency, a sample for each whole minute of the rollout and cohort that served.
pub fn minutes(evidence: &Evidence) -> Vec<Metric> {
    let start = evidence.started_at.as_nanos();
    let whole = evidence.until.as_nanos().saturating_sub(start).div_euclid(MINUTE_NANOS);
    let mut known: [BTreeMap<i64, Minute>; 2] = Default::default();
    for cell in &evidence.cells {
        let minute = cell.at.as_nanos().saturating_sub(start).div_euclid(MINUTE_NANOS);
        if (0..whole).contains(&minute) && cell.requests > 0 {
            add(&mut known[usize::from(cell.cohort == Role::Canary)], minute, cell);
        }
    }
    let metric = |name: &str, kind: Kind, value: &dyn Fn(&Minute) -> f64| {
        let [baseline, canary] = [0, 1].map(|cohort| known[cohort].values().map(value).collect());
        Metric { name: name.to_owned(), kind, direction: Direction::Increase, baseline, canary }
    };
    let rate = metric("error_rate", Kind::ErrorRate, &|minute| minute.errors as f64 / minute.requests as f64);
    let latency = QUANTILES.map(|(name, q)| {
        let value = |minute: &Minute| if minute.durations.count() == 0 { f64::NAN } else { minute.durations.quantile(q) / 1e6 };
        metric(name, Kind::Latency, &value)
    });
    std::iter::once(rate).chain(latency).collect()
}

fn add(minutes: &mut BTreeMap<i64, Minute>, at: i64, cell: &Cell) {
    let new = || Minute { requests: 0, errors: 0, durations: ExponentialHistogram::new(cell.durations.scale()) };
    let minute = minutes.entry(at).or_insert_with(new);
    minute.requests = minute.requests.saturating_add(cell.requests);
    minute.errors = minute.errors.saturating_add(cell.errors);
    minute.durations.merge(&cell.durations);
}
