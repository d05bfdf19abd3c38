//! The noise of one comparison: how bursty its events are, and how far two cohorts of one version lie apart.

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::stats::dispersion::{Arms, GroupCount, Spread, WindowCount, burstiness, concentration, paired_burstiness, spread};
use crate::stats::eprocess::Noise;

use super::counts::{Counts, InstanceCounts, Stratum};
use super::evidence::Pairing;
use super::judgement::{MeasuredNoise, NoiseSource};
use super::table::{Part, Table};

/// What was measured for a comparison as a whole.
pub(super) struct NoiseMeasure {
    phi: f64,
    instances: Spread,
    cautious: Spread,
    /// Standard deviation between the time before the rollout and the time of the rollout; zero where both cohorts serve at once.
    time: f64,
}

/// The noise that the tests of a comparison, or of one operation of it, allow for.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestNoise {
    /// Against a false rollback.
    pub(super) rollback: Noise,
    /// Against a false promotion. An assumed spread counts half here: it must not stand in the way for ever.
    pub(super) promote: Noise,
}

/// Precise instances it takes to call the spread measured.
const MEASURED_FROM: f64 = 3.0;

/// The spread between two times of one version is never taken to be less.
const TIME_SPREAD_MIN: f64 = 0.15;

/// … and taken to be this with too little history to measure it.
const TIME_SPREAD_PRIOR: f64 = 0.3;

impl NoiseMeasure {
    /// Measures on all operations together. `prior` is the spread between instances to assume where it cannot be measured.
    pub(super) fn new(table: &Table<'_>, counts: &Counts, prior: f64) -> Self {
        let minute = table.clock.windows(Duration::from_secs(60));
        let blocks = [1, minute, 5 * minute];
        let (canary, baseline, halves) = (counts.canary_windows(), counts.baseline_windows(), counts.half_windows());
        let between = burstiness(Arms { canary: &canary, baseline: &baseline }, &blocks);
        let (within, _) = paired_burstiness(Arms { canary: &halves[0], baseline: &halves[1] }, &blocks);
        let phi = between.max(within);
        let groups = instance_groups(table, counts);
        let time = match table.pairing {
            Pairing::Concurrent => 0.0,
            Pairing::Preceding => time_spread(&baseline, minute, table.clock.start, phi),
        };
        Self { phi, instances: spread(&groups, phi, prior), cautious: spread(&groups, phi, 0.5 * prior), time }
    }

    /// For the comparison as a whole.
    pub(super) fn overall(&self, table: &Table<'_>, counts: &Counts) -> TestNoise {
        let mut requests = vec![[0.0_f64; 2]; table.instances.len()];
        for instance in counts.strata.iter().flat_map(Stratum::instances) {
            if let Some(arm) = arm(instance.part) {
                requests[instance.instance as usize][arm] += instance.requests;
            }
        }
        self.test_noise(self.instances.sigma, self.cautious.sigma, &requests)
    }

    /// For one operation, whose instances may differ more than the comparison's as a whole.
    pub(super) fn of_operation(&self, stratum: &Stratum) -> TestNoise {
        let groups: Vec<GroupCount> = merged(stratum.instances().iter().filter(|instance| instance.part != Part::Canary))
            .into_iter()
            .map(|(requests, events)| GroupCount { expected: stratum.expected(Part::Baseline, requests), events })
            .collect();
        let requests: Vec<[f64; 2]> = stratum
            .instances()
            .iter()
            .filter_map(|instance| arm(instance.part).map(|arm| if arm == 0 { [instance.requests, 0.0] } else { [0.0, instance.requests] }))
            .collect();
        let sigma = |prior: f64| spread(&groups, self.phi, prior).sigma;
        self.test_noise(sigma(self.instances.sigma), sigma(self.cautious.sigma), &requests)
    }

    /// As a verdict shows it.
    pub(super) fn shown(&self, noise: Noise, pairing: Pairing) -> MeasuredNoise {
        let source = match (pairing, self.instances.weight >= MEASURED_FROM) {
            (Pairing::Preceding, _) => NoiseSource::History,
            (Pairing::Concurrent, true) => NoiseSource::Instances,
            (Pairing::Concurrent, false) => NoiseSource::Prior,
        };
        MeasuredNoise { phi: noise.phi, tau: noise.tau, source }
    }

    fn test_noise(&self, sigma: f64, cautious: f64, requests: &[[f64; 2]]) -> TestNoise {
        let shares = concentration(requests.iter().map(|arms| arms[0])) + concentration(requests.iter().map(|arms| arms[1]));
        let tau = |sigma: f64| (sigma * sigma * shares).sqrt().hypot(self.time);
        TestNoise { rollback: Noise { phi: self.phi, tau: tau(sigma) }, promote: Noise { phi: self.phi, tau: tau(cautious) } }
    }
}

fn arm(part: Part) -> Option<usize> {
    match part {
        Part::Canary => Some(0),
        Part::Baseline => Some(1),
        Part::Aside => None,
    }
}

/// The baseline's instances, each over all operations and with its history.
fn instance_groups(table: &Table<'_>, counts: &Counts) -> Vec<GroupCount> {
    let mut groups = vec![GroupCount { expected: 0.0, events: 0.0 }; table.instances.len()];
    for stratum in &counts.strata {
        for instance in stratum.instances().iter().filter(|instance| instance.part != Part::Canary) {
            let group = &mut groups[instance.instance as usize];
            group.expected += stratum.expected(Part::Baseline, instance.requests);
            group.events += instance.events;
        }
    }
    groups
}

/// Requests and events by instance, joining its history with the rest.
fn merged<'a>(instances: impl Iterator<Item = &'a InstanceCounts>) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = Vec::new();
    let mut places: FxHashMap<u32, usize> = FxHashMap::default();
    for instance in instances {
        let place = *places.entry(instance.instance).or_insert(all.len());
        match all.get_mut(place) {
            Some(known) => *known = (known.0 + instance.requests, known.1 + instance.events),
            None => all.push((instance.requests, instance.events)),
        }
    }
    all
}

/// How much the baseline's rate moves by itself between one time and another: the larger of twice the variance between minutes and
/// the squared difference of the two halves of history, within the stated floor.
fn time_spread(baseline: &[WindowCount], minute: i64, start: i64, phi: f64) -> f64 {
    let mut minutes: Vec<(i64, GroupCount)> = Vec::new();
    for count in baseline.iter().filter(|count| count.window < start) {
        let key = count.window.div_euclid(minute);
        match minutes.last_mut().filter(|last| last.0 == key) {
            Some((_, group)) => (group.expected, group.events) = (group.expected + count.expected, group.events + count.events),
            None => minutes.push((key, GroupCount { expected: count.expected, events: count.events })),
        }
    }
    if minutes.len() < 4 {
        return TIME_SPREAD_PRIOR;
    }
    let groups: Vec<GroupCount> = minutes.into_iter().map(|(_, group)| group).collect();
    let between = spread(&groups, phi, TIME_SPREAD_MIN).sigma;
    let (first, second) = groups.split_at(groups.len() / 2);
    let half = |half: &[GroupCount]| {
        let (expected, events) = half.iter().fold((0.5, 0.5), |(e, y), group| (e + group.expected, y + group.events));
        ((events / expected).ln(), phi / events)
    };
    let ((a, va), (b, vb)) = (half(first), half(second));
    let halves = ((a - b).powi(2) - va - vb).max(0.0);
    (2.0 * between * between).max(halves).sqrt().max(TIME_SPREAD_MIN)
}
