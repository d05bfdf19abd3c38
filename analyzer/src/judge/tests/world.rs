//! A seeded world: services, instances, traffic and faults, as evidence.

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

use haldane_store::{ExponentialHistogram, UnixNanos};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::{Cell, Cells, ErrorCount, Evidence, Pairing, Role};

/// One operation of the service.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(super) name: &'static str,
    /// Part of the traffic, for each cohort.
    pub(super) share: [f64; 2],
    /// Rate of errors, for each cohort.
    pub(super) errors: [f64; 2],
    pub(super) median_ms: f64,
    pub(super) sigma: f64,
    /// Duration in the canary over that in the baseline.
    pub(super) slower: f64,
}

impl Operation {
    pub(super) fn new(name: &'static str, share: f64) -> Self {
        Self { name, share: [share; 2], errors: [0.005; 2], median_ms: 40.0, sigma: 0.4, slower: 1.0 }
    }
}

/// What happens, and how noisy it is.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) pairing: Pairing,
    pub(crate) operations: Vec<Operation>,
    pub(crate) requests_per_second: f64,
    /// The canary's part of the traffic.
    pub(crate) split: f64,
    pub(crate) instances: [usize; 2],
    pub(crate) history_windows: i64,
    pub(crate) windows: i64,
    /// Errors come in groups of this mean size.
    pub(crate) burst: f64,
    /// Standard deviation of shared drift of error rate and speed, on the log scale.
    pub(crate) drift: f64,
    /// Standard deviation between instances of the log error rate.
    pub(crate) error_spread: f64,
    /// Standard deviation between instances of the log duration.
    pub(crate) speed_spread: f64,
    /// Chance of a minute of twenty-fold errors on an instance, per minute.
    pub(crate) storms: f64,
    /// The last instance of each cohort is slower by this factor.
    pub(crate) slow_instance: f64,
    /// A new error, as a share of the canary's requests.
    pub(crate) new_error: f64,
    pub(crate) with_durations: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            seed: 1,
            pairing: Pairing::Concurrent,
            operations: vec![Operation::new("GET /cart", 0.7), Operation::new("POST /pay", 0.3)],
            requests_per_second: 100.0,
            split: 0.5,
            instances: [3, 3],
            history_windows: 30,
            windows: 30,
            burst: 1.0,
            drift: 0.0,
            error_spread: 0.0,
            speed_spread: 0.0,
            storms: 0.0,
            slow_instance: 1.0,
            new_error: 0.0,
            with_durations: true,
        }
    }
}

pub(super) const START: i64 = 1_800_000_000;

/// Chance, by seed.
struct Dice(StdRng);

impl Dice {
    fn normal(&mut self) -> f64 {
        let (a, b): (f64, f64) = (self.0.random(), self.0.random());
        (-2.0 * (1.0 - a).ln()).sqrt() * (TAU * b).cos()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count that is not negative")]
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (mut left, mut count) = ((-mean).exp(), 0);
        loop {
            left /= 1.0 - self.0.random::<f64>();
            if left >= 1.0 {
                return count;
            }
            count += 1;
        }
    }

    /// Errors in groups whose size is geometric.
    fn bursts(&mut self, mean: f64, burst: f64) -> u64 {
        let groups = self.poisson(mean / burst);
        (0..groups)
            .map(|_| {
                let mut size = 1;
                while burst > 1.0 && self.0.random::<f64>() > 1.0 / burst {
                    size += 1;
                }
                size
            })
            .sum()
    }
}

struct Instance {
    role: usize,
    name: Arc<str>,
    error_factor: f64,
    speed_factor: f64,
    storm_until: i64,
}

impl World {
    /// Everything that happens.
    pub(crate) fn evidence(&self) -> Evidence {
        let mut dice = Dice(StdRng::seed_from_u64(self.seed));
        let mut instances = self.instances_of(&mut dice);
        let names: Vec<Arc<str>> = self.operations.iter().map(|operation| operation.name.into()).collect();
        let (mut cells, mut errors) = (Cells::default(), Vec::new());
        let mut drift = 0.0;
        for window in -self.history_windows..self.windows {
            drift = 0.95 * drift + (1.0 - 0.95_f64.powi(2)).sqrt() * self.drift * dice.normal();
            let at = UnixNanos::from_seconds(START + 10 * window);
            for instance in &mut instances {
                if dice.0.random::<f64>() < self.storms / 6.0 {
                    instance.storm_until = window + 6;
                }
                let part = self.part(instance.role, window);
                if part <= 0.0 {
                    continue;
                }
                let load = 10.0 * self.requests_per_second * part / self.instances[instance.role] as f64;
                for (operation, name) in self.operations.iter().zip(&names) {
                    let cell = self.cell(&mut dice, (operation, name), instance, (at, window), (load, drift));
                    if instance.role == 1 {
                        errors.extend(self.new_errors(&mut dice, &cell));
                    }
                    cells.push(&cell);
                }
            }
        }
        let until = UnixNanos::from_seconds(START + 10 * self.windows);
        let window = Duration::from_secs(10);
        Evidence { cells, errors, ..Evidence::new(self.seed, self.pairing, window, UnixNanos::from_seconds(START), until) }
    }

    /// Part of the traffic that a cohort gets.
    fn part(&self, role: usize, window: i64) -> f64 {
        match (role, self.pairing, window >= 0) {
            (0, _, false) => 1.0,
            (_, _, false) => 0.0,
            (0, Pairing::Concurrent, true) => 1.0 - self.split,
            (_, Pairing::Concurrent, true) => self.split,
            (role, Pairing::Preceding, true) => role as f64,
        }
    }

    fn instances_of(&self, dice: &mut Dice) -> Vec<Instance> {
        let mut instances = Vec::new();
        for role in 0..2 {
            for number in 0..self.instances[role] {
                let last = number + 1 == self.instances[role];
                instances.push(Instance {
                    role,
                    name: format!("{}-{number}", ["old", "new"][role]).into(),
                    error_factor: (self.error_spread * dice.normal() - 0.5 * self.error_spread.powi(2)).exp(),
                    speed_factor: (self.speed_spread * dice.normal()).exp() * if last { self.slow_instance } else { 1.0 },
                    storm_until: i64::MIN,
                });
            }
        }
        instances
    }

    fn cell(
        &self,
        dice: &mut Dice,
        (operation, name): (&Operation, &Arc<str>),
        instance: &Instance,
        (at, window): (UnixNanos, i64),
        (load, drift): (f64, f64),
    ) -> Cell {
        let role = instance.role;
        let requests = dice.poisson(load * operation.share[role]);
        let storm = if window < instance.storm_until { 20.0 } else { 1.0 };
        let rate = (operation.errors[role] * instance.error_factor * drift.exp() * storm).min(0.9);
        let errors = dice.bursts(requests as f64 * rate, self.burst).min(requests);
        let mut durations = ExponentialHistogram::new(6);
        if self.with_durations {
            let slower = if role == 1 { operation.slower } else { 1.0 };
            let median = operation.median_ms * 1e6 * slower * instance.speed_factor * (0.3 * drift).exp();
            for _ in 0..requests {
                durations.record(median * (operation.sigma * dice.normal()).exp());
            }
        }
        Cell {
            at,
            cohort: [Role::Baseline, Role::Canary][role],
            operation: name.clone(),
            instance: instance.name.clone(),
            requests,
            errors,
            durations,
            error_trace: (errors > 0).then(|| format!("error-{}-{window}", instance.name).into()),
            slow_trace: (requests > 0).then(|| trace_id(&instance.name, window).into()),
        }
    }

    fn new_errors(&self, dice: &mut Dice, cell: &Cell) -> Option<ErrorCount> {
        let count = dice.poisson(cell.requests as f64 * self.new_error);
        (count > 0).then(|| error_of(cell, "f00d", "NullPointerException", count))
    }
}

/// As real ones are written.
fn trace_id(instance: &str, window: i64) -> String {
    let name = instance.bytes().fold(0, |sum: u64, byte| 256 * sum + u64::from(byte));
    format!("{name:016x}{window:016x}")
}

/// A distinct error in a cell.
pub(super) fn error_of(cell: &Cell, fingerprint: &str, error_type: &str, count: u64) -> ErrorCount {
    ErrorCount {
        at: cell.at,
        cohort: cell.cohort,
        operation: cell.operation.clone(),
        instance: cell.instance.clone(),
        fingerprint: fingerprint.into(),
        source: "exception".into(),
        error_type: error_type.into(),
        message: "it went wrong".into(),
        count,
        trace: Some(format!("trace-{fingerprint}").into()),
    }
}

/// The evidence as it was at the end of a window.
pub(super) fn up_to(evidence: &Evidence, windows: i64) -> Evidence {
    let until = evidence.started_at.plus(evidence.window * u32::try_from(windows).unwrap());
    let cells = evidence.cells.iter().filter(|cell| cell.at < until).collect();
    let errors = evidence.errors.iter().filter(|error| error.at < until).cloned().collect();
    Evidence { until, cells, errors, ..evidence.clone() }
}
