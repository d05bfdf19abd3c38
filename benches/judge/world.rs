//! A service while a new version of it is rolled out, by chance and a seed: windowed counts of requests, errors and durations.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use haldane_analyzer::judge::{Cell, ErrorCount, Evidence, Pairing, Role};
use haldane_store::{ExponentialHistogram, UnixNanos};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Geometric, Normal, Poisson};

/// Windows of ten seconds.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// An hour of them.
pub(crate) const WINDOWS: i64 = 360;
/// Half an hour before the rollout, as a server reads it.
const HISTORY: i64 = 180;
const START: i64 = 1_800_000_000;
/// A storm lasts a minute,
const STORM_WINDOWS: i64 = 6;
/// and multiplies errors by this.
const STORM: f64 = 20.0;
/// A pod that is new is slow for two minutes.
const COLD_WINDOWS: i64 = 12;
/// Half of the baseline's pods began in this window.
const REPLACED: i64 = -90;
/// How much of a drift is left after ten seconds.
const DRIFT_MEMORY: f64 = 0.95;
/// Errors of a route that fails more often than the others, where routes differ.
const ROUTE_ERRORS: f64 = 5.0;
/// Durations: the log-normal's median in nanoseconds, and the standard deviation of its logarithm.
const MEDIAN_NS: f64 = 4e7;
const SPREAD: f64 = 0.4;

/// What is wrong with the canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Nothing,
    /// So many times the errors, from a window on.
    Errors {
        factor: f64,
        from: i64,
    },
    /// All requests take so many times as long.
    Latency(f64),
    /// A share of them does.
    Tail {
        share: f64,
        factor: f64,
    },
    /// One route has so many times the errors.
    Route(f64),
    /// One of its pods does.
    Pod(f64),
}

/// The errors of a cell as log records of requests that went well.
fn logged(cell: &Cell) -> ErrorCount {
    ErrorCount {
        at: cell.at,
        cohort: cell.cohort,
        operation: cell.operation.clone(),
        instance: cell.instance.clone(),
        fingerprint: "caught".into(),
        source: "log".into(),
        error_type: "Caught".into(),
        message: "caught".into(),
        count: cell.errors,
        trace: None,
    }
}

/// Everything that can be chosen.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) requests_per_second: f64,
    /// From a window on, this share of the traffic goes to the canary.
    pub(crate) ramp: Vec<(i64, f64)>,
    pub(crate) error_rate: f64,
    pub(crate) routes: usize,
    /// Half of the routes fail more often, and the canary gets more of these.
    pub(crate) mix_shift: bool,
    /// Of each cohort.
    pub(crate) pods: usize,
    /// Errors come in groups of this mean size.
    pub(crate) burst: f64,
    /// Standard deviation of the logarithm of pods' error rates,
    pub(crate) pod_errors: f64,
    /// and of their durations.
    pub(crate) pod_speed: f64,
    /// Standard deviation of the logarithm of what drifts in both cohorts at once.
    pub(crate) drift: f64,
    /// Storms for each pod and minute.
    pub(crate) storms: f64,
    /// How much slower a new pod is at first.
    pub(crate) cold: f64,
    /// The canary's clock is ahead by so many windows.
    pub(crate) skew: i64,
    /// Share of the cells that are lost.
    pub(crate) lost: f64,
    pub(crate) with_durations: bool,
    /// Errors are caught and logged: no request fails.
    pub(crate) caught: bool,
    /// So many windows of the baseline before the rollout.
    pub(crate) history: i64,
    pub(crate) fault: Fault,
}

impl Default for World {
    fn default() -> Self {
        Self {
            requests_per_second: 100.0,
            ramp: vec![(0, 0.5)],
            error_rate: 0.01,
            routes: 1,
            mix_shift: false,
            pods: 8,
            burst: 1.0,
            pod_errors: 0.0,
            pod_speed: 0.0,
            drift: 0.0,
            storms: 0.0,
            cold: 1.0,
            skew: 0,
            lost: 0.0,
            with_durations: false,
            caught: false,
            history: HISTORY,
            fault: Fault::Nothing,
        }
    }
}

struct Pod {
    role: Role,
    name: Arc<str>,
    is_last: bool,
    /// Its first window.
    born: i64,
    errors: f64,
    speed: f64,
    storm_until: i64,
}

/// One course of things, told window by window.
pub(crate) struct Course {
    pub(crate) evidence: Evidence,
    later: VecDeque<Cell>,
}

impl Course {
    /// Goes on to the end of a window.
    pub(crate) fn up_to(&mut self, windows: i64) -> &Evidence {
        self.evidence.until = UnixNanos::from_seconds(START + 10 * windows);
        while let Some(cell) = self.later.pop_front_if(|cell| cell.at < self.evidence.until) {
            self.evidence.cells.push(&cell);
        }
        &self.evidence
    }
}

impl World {
    pub(crate) fn course(&self, seed: u64) -> Course {
        let mut dice = Dice(StdRng::seed_from_u64(seed));
        let mut pods = self.pods(&mut dice);
        let routes: Vec<Arc<str>> = (0..self.routes).map(|route| format!("GET /{route}").into()).collect();
        let (mut cells, mut errors) = (Vec::new(), Vec::new());
        let mut drift = 0.0;
        for window in -self.history..WINDOWS {
            drift = DRIFT_MEMORY * drift + (1.0 - DRIFT_MEMORY * DRIFT_MEMORY).sqrt() * dice.normal(self.drift);
            for pod in &mut pods {
                if dice.0.random::<f64>() < self.storms / 6.0 {
                    pod.storm_until = window + STORM_WINDOWS;
                }
                let Some(share) = self.share(pod.role, window).filter(|_| window >= pod.born) else { continue };
                let load = 10.0 * self.requests_per_second * share / self.pods as f64;
                for (route, name) in routes.iter().enumerate() {
                    let mut cell = self.cell(&mut dice, pod, (route, name), window, (load, drift));
                    if self.caught && cell.errors > 0 {
                        errors.push(logged(&cell));
                        cell.errors = 0;
                    }
                    if dice.0.random::<f64>() >= self.lost {
                        cells.push(cell);
                    }
                }
            }
        }
        cells.sort_by_key(|cell| cell.at);
        let started_at = UnixNanos::from_seconds(START);
        let evidence = Evidence { errors, ..Evidence::new(seed, Pairing::Concurrent, WINDOW, started_at, started_at) };
        Course { evidence, later: cells.into() }
    }

    /// The part of the traffic that a cohort has.
    fn share(&self, role: Role, window: i64) -> Option<f64> {
        let canary = self.ramp.iter().rev().find(|(from, _)| *from <= window).map_or(0.0, |(_, share)| *share);
        let share = if role == Role::Canary { canary } else { 1.0 - canary };
        (share > 0.0).then_some(share)
    }

    fn pods(&self, dice: &mut Dice) -> Vec<Pod> {
        let mut pods = Vec::new();
        for role in [Role::Baseline, Role::Canary] {
            for number in 0..self.pods {
                pods.push(Pod {
                    role,
                    name: format!("{role:?}-{number}").into(),
                    is_last: number + 1 == self.pods,
                    born: match role {
                        Role::Canary => 0,
                        Role::Baseline if number % 2 == 0 => REPLACED,
                        Role::Baseline => i64::MIN / 2,
                    },
                    errors: (dice.normal(self.pod_errors) - 0.5 * self.pod_errors.powi(2)).exp(),
                    speed: dice.normal(self.pod_speed).exp(),
                    storm_until: i64::MIN,
                });
            }
        }
        pods
    }

    fn cell(&self, dice: &mut Dice, pod: &Pod, (route, name): (usize, &Arc<str>), window: i64, (load, drift): (f64, f64)) -> Cell {
        let is_canary = pod.role == Role::Canary;
        let fails_more = self.mix_shift && route % 2 == 0;
        let part = match (self.mix_shift, is_canary, fails_more) {
            (false, _, _) => 1.0,
            (true, true, true) | (true, false, false) => 1.6,
            (true, _, _) => 0.4,
        };
        let requests = dice.poisson(load * part / self.routes as f64);
        let storm = if window < pod.storm_until { STORM } else { 1.0 };
        let of_route = if fails_more { ROUTE_ERRORS } else { 1.0 };
        let rate = self.error_rate
            * pod.errors
            * drift.exp()
            * storm
            * of_route
            * if is_canary { self.error_factor(pod, route, window) } else { 1.0 };
        let errors = dice.bursts(requests as f64 * rate.min(0.9), self.burst).min(requests);
        let mut durations = ExponentialHistogram::new(6);
        if self.with_durations {
            let cold = if window - pod.born < COLD_WINDOWS { self.cold } else { 1.0 };
            let median = MEDIAN_NS * pod.speed * cold * (0.3 * drift).exp();
            for _ in 0..requests {
                let slower = if is_canary { self.slower(dice) } else { 1.0 };
                durations.record(median * slower * dice.normal(SPREAD).exp());
            }
        }
        let skew = if is_canary { self.skew } else { 0 };
        Cell {
            at: UnixNanos::from_seconds(START + 10 * (window + skew)),
            cohort: pod.role,
            operation: name.clone(),
            instance: pod.name.clone(),
            requests,
            errors,
            durations,
            error_trace: None,
            slow_trace: None,
        }
    }

    fn error_factor(&self, pod: &Pod, route: usize, window: i64) -> f64 {
        match self.fault {
            Fault::Errors { factor, from } if window >= from => factor,
            Fault::Route(factor) if route == self.routes / 2 => factor,
            Fault::Pod(factor) if pod.is_last => factor,
            Fault::Nothing | Fault::Errors { .. } | Fault::Latency(_) | Fault::Tail { .. } | Fault::Route(_) | Fault::Pod(_) => 1.0,
        }
    }

    fn slower(&self, dice: &mut Dice) -> f64 {
        match self.fault {
            Fault::Latency(factor) => factor,
            Fault::Tail { share, factor } if dice.0.random::<f64>() < share => factor,
            Fault::Nothing | Fault::Errors { .. } | Fault::Tail { .. } | Fault::Route(_) | Fault::Pod(_) => 1.0,
        }
    }

    /// The route that [`Fault::Route`] is about.
    pub(crate) fn guilty_route(&self) -> String {
        format!("GET /{}", self.routes / 2)
    }
}

struct Dice(StdRng);

impl Dice {
    /// Around zero.
    fn normal(&mut self, deviation: f64) -> f64 {
        if deviation > 0.0 { Normal::new(0.0, deviation).expect("a deviation is finite").sample(&mut self.0) } else { 0.0 }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 0.0 { Poisson::new(mean).expect("a mean is finite").sample(&mut self.0) as u64 } else { 0 }
    }

    /// Events in groups whose size is geometric.
    fn bursts(&mut self, mean: f64, burst: f64) -> u64 {
        let groups = self.poisson(mean / burst);
        if burst <= 1.0 {
            return groups;
        }
        let more = Geometric::new(1.0 / burst).expect("a share");
        (0..groups).map(|_| 1 + more.sample(&mut self.0)).sum()
    }
}
