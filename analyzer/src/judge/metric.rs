//! The checks of plain numbers: is the mean of a metric beyond its margin?
//!
//! Compared minute by minute, canary beside baseline, so that what moves both cancels. Where all values are positive it is ratios that are compared, else
//! differences. How much minutes vary, and for how long they stay alike, is taken from the baseline's instances, history included, and from the differences
//! themselves; how far instances lie apart is taken between the baseline's, and assumed where it has few.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::UnixNanos;
use statrs::distribution::{ChiSquared, ContinuousCDF as _};

use crate::kayenta::Direction;
use crate::policy::{CheckKind, MetricCheck, Policy};
use crate::stats::effect::LEVEL;
use crate::stats::likelihood::ln_weighted_mean;
use crate::stats::shift::ln_above;

use super::evidence::{Evidence, Pairing, Role, Sample};
use super::judgement::{Comparison, Effect, EffectMeasure, MeasuredNoise, NoiseSource, Side};
use super::settle::finding;
use super::wording;

/// How wide the windows of samples are.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// With fewer pairs of minutes nothing is said.
const PAIRS_MIN: usize = 4;
/// Minutes of a group.
const GROUP: i64 = 5;
/// What stays for minutes shows in longer groups of an instance's own minutes.
const OWN_GROUPS: [i64; 3] = [1, GROUP, 3 * GROUP];
/// Two instances of one version differ by this share where it cannot be measured, and what is measured is drawn towards it as if two more had been seen.
const INSTANCES_PRIOR: f64 = 0.1;
const PRIOR_INSTANCES: f64 = 2.0;
/// Two times of one version differ by this share at least.
const TIMES_PRIOR: f64 = 0.15;
/// The variance of a minute is never taken to be less: 1 %.
const VARIANCE_MIN: f64 = 1e-4;
/// The estimated variance is replaced by its upper bound at this level.
const UPPER: f64 = 0.8;
/// A promotion shows that the change is less than so many times the margin.
const PROMOTE_FACTOR: f64 = 2.0;
/// The normal quantile of the interval's level, 99 %.
const NORMAL: f64 = 2.575_829;

/// Values on the scale on which they are compared.
struct Scale {
    is_log: bool,
    /// The size of a difference of one: 1 on the logarithmic scale.
    unit: f64,
    /// The margin.
    null: f64,
}

/// Minutes of both cohorts, on the scale.
#[derive(Default)]
struct Minutes {
    /// By minute of the rollout: sum and number of the instances' values, of baseline and canary.
    during: BTreeMap<i64, [(f64, f64); 2]>,
    /// The same of the baseline before.
    before: BTreeMap<i64, (f64, f64)>,
}

/// Compares one number.
pub(super) fn compare_metric(policy: &Policy, check: &MetricCheck, evidence: &Evidence) -> Comparison {
    let samples: Vec<&Sample> = evidence.samples.iter().filter(|sample| *sample.check == *check.name && counts(sample, evidence)).collect();
    let unreadable = evidence.unreadable.iter().find(|(name, _)| **name == *check.name).map(|(_, why)| why.as_str());
    let scale = Scale::of(check, &samples);
    let minutes = Minutes::new(&scale, &samples, evidence);
    let differences = minutes.differences(evidence.pairing);
    let sides = [Role::Baseline, Role::Canary]
        .map(|role| mean(samples.iter().filter(|s| s.cohort == role && is_compared(s, evidence)).map(|s| s.value)));
    let weight = policy.metric_weight(check);
    let blank = Comparison {
        required: check.required,
        weight,
        baseline: Side { value: sides[0], events: 0.0, requests: 0.0 },
        canary: Side { value: sides[1], events: 0.0, requests: 0.0 },
        relative: check.relative,
        absolute: Some(check.absolute).filter(|margin| *margin > 0.0),
        reason: wording::metric(check, sides, None, unreadable),
        ..Comparison::new(CheckKind::Metric, check.name.clone())
    };
    if differences.len() < PAIRS_MIN || unreadable.is_some() {
        return blank;
    }
    let values: Vec<f64> = differences.iter().map(|(_, difference)| *difference).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let instances = Instances::new(&scale, &samples, evidence);
    let tau2 = instances.spread(&scale) + times(&scale, &minutes, evidence.pairing);
    let variance = tau2 + upper(&scale, &differences).max(instances.unrest()) / values.len() as f64;
    let (ln_e, ln_promote) = tests(check.direction, mean, variance, &scale);
    let effect = effect(&scale, mean, variance.sqrt(), sides[0]);
    Comparison {
        finding: finding(policy, ln_e + weight.ln(), ln_promote),
        effect,
        ln_e,
        ln_promote,
        noise: Some(MeasuredNoise { phi: 1.0, tau: tau2.sqrt() / scale.unit, source: NoiseSource::Instances }),
        reason: wording::metric(check, sides, effect.as_ref(), None),
        ..blank
    }
}

/// Whether a sample's minute is over.
fn counts(sample: &Sample, evidence: &Evidence) -> bool {
    sample.value.is_finite()
        && sample.at.plus(MINUTE) <= evidence.until
        && (sample.cohort == Role::Baseline || sample.at >= evidence.started_at)
}

/// Whether a sample stands for its cohort in the comparison.
fn is_compared(sample: &Sample, evidence: &Evidence) -> bool {
    match (sample.cohort, evidence.pairing) {
        (Role::Canary, _) | (Role::Baseline, Pairing::Concurrent) => sample.at >= evidence.started_at,
        (Role::Baseline, Pairing::Preceding) => sample.at < evidence.started_at,
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

impl Scale {
    fn of(check: &MetricCheck, samples: &[&Sample]) -> Self {
        let baseline = || samples.iter().filter(|sample| sample.cohort == Role::Baseline).map(|sample| sample.value);
        let middle = mean(baseline()).unwrap_or(0.0);
        let is_log = check.absolute <= 0.0 && !samples.is_empty() && samples.iter().all(|sample| sample.value > 0.0);
        if is_log {
            return Self { is_log, unit: 1.0, null: check.relative.ln_1p() };
        }
        let spread = mean(baseline().map(|value| (value - middle).powi(2))).unwrap_or(0.0).sqrt();
        // Of a baseline of zero the canary's values are the only measure there is.
        let canary = mean(samples.iter().filter(|sample| sample.cohort == Role::Canary).map(|sample| sample.value.abs())).unwrap_or(0.0);
        let unit = middle.abs().max(spread).max(check.absolute);
        let unit = if unit > 0.0 { unit } else { canary.max(1e-150) };
        Self { is_log, unit, null: (check.relative * middle.abs()).max(check.absolute) }
    }

    fn value(&self, value: f64) -> f64 {
        if self.is_log { value.ln() } else { value }
    }
}

fn minute_of(at: UnixNanos) -> i64 {
    at.as_seconds().div_euclid(MINUTE.as_secs() as i64)
}

impl Minutes {
    fn new(scale: &Scale, samples: &[&Sample], evidence: &Evidence) -> Self {
        let mut minutes = Self::default();
        for sample in samples {
            let place = if sample.at >= evidence.started_at {
                &mut minutes.during.entry(minute_of(sample.at)).or_default()[usize::from(sample.cohort == Role::Canary)]
            } else {
                minutes.before.entry(minute_of(sample.at)).or_default()
            };
            *place = (place.0 + scale.value(sample.value), place.1 + 1.0);
        }
        minutes
    }

    /// Canary less baseline: in the same minute, or the baseline as it was before.
    fn differences(&self, pairing: Pairing) -> Vec<(i64, f64)> {
        let past = mean(self.before.values().map(|(sum, count)| sum / count));
        let difference = |(minute, [baseline, canary]): (&i64, &[(f64, f64); 2])| {
            let reference = match pairing {
                Pairing::Concurrent => (baseline.1 > 0.0).then(|| baseline.0 / baseline.1),
                Pairing::Preceding => past,
            };
            let reference = reference.filter(|_| canary.1 > 0.0)?;
            Some((*minute, canary.0 / canary.1 - reference))
        };
        self.during.iter().filter_map(difference).collect()
    }
}

/// Both tests, in the direction that is bad.
fn tests(direction: Direction, mean: f64, variance: f64, scale: &Scale) -> (f64, f64) {
    let promote = PROMOTE_FACTOR * scale.null.max(0.01 * scale.unit);
    let worse = |mean: f64| ln_above(mean, scale.null, variance, scale.unit);
    let better = |mean: f64| ln_above(-mean, -promote, variance, scale.unit);
    match direction {
        Direction::Increase => (worse(mean), better(mean)),
        Direction::Decrease => (worse(-mean), better(-mean)),
        Direction::Either => (ln_weighted_mean(&[(0.5, worse(mean)), (0.5, worse(-mean))]), better(mean).min(better(-mean))),
    }
}

/// The variance of one difference, so that its mean over many has that of as many independent ones; an upper bound, for it is estimated.
fn upper(scale: &Scale, differences: &[(i64, f64)]) -> f64 {
    let single: Vec<f64> = differences.iter().map(|(_, difference)| *difference).collect();
    let mut groups: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for (minute, difference) in differences {
        let group = groups.entry(minute.div_euclid(GROUP)).or_default();
        *group = (group.0 + difference, group.1 + 1.0);
    }
    let full: Vec<f64> = groups.into_values().filter(|(_, count)| *count >= GROUP as f64).map(|(sum, count)| sum / count).collect();
    let within = between_neighbours(&single);
    let between = if full.len() >= PAIRS_MIN { GROUP as f64 * between_neighbours(&full) } else { 0.0 };
    within.max(between).max(VARIANCE_MIN * scale.unit * scale.unit)
}

/// Half the mean squared step between neighbours, at the upper end of what it may be.
fn between_neighbours(values: &[f64]) -> f64 {
    let steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).collect();
    let freedom = steps.len() as f64;
    if steps.is_empty() {
        return 0.0;
    }
    let variance = steps.iter().sum::<f64>() / (2.0 * freedom);
    variance * of_upper(freedom)
}

/// The upper bound of a variance over its estimate.
fn of_upper(freedom: f64) -> f64 {
    let low = ChiSquared::new(freedom).map_or(freedom, |chi| chi.inverse_cdf(1.0 - UPPER));
    freedom / low.max(1e-3)
}

/// The baseline's instances, each minute less what all of them had in it: what moves all at once is no difference between them.
struct Instances {
    own: Vec<BTreeMap<i64, f64>>,
    /// One by the number of the canary's instances and one by that of the baseline's, added up.
    shares: f64,
}

impl Instances {
    fn new(scale: &Scale, samples: &[&Sample], evidence: &Evidence) -> Self {
        let baseline = || samples.iter().filter(|sample| sample.cohort == Role::Baseline);
        let mut minutes: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for sample in baseline() {
            let minute = minutes.entry(minute_of(sample.at)).or_default();
            *minute = (minute.0 + scale.value(sample.value), minute.1 + 1.0);
        }
        let mut own: BTreeMap<&str, BTreeMap<i64, f64>> = BTreeMap::new();
        for sample in baseline() {
            let (sum, count) = minutes[&minute_of(sample.at)];
            own.entry(&sample.instance).or_default().insert(minute_of(sample.at), scale.value(sample.value) - sum / count);
        }
        let count = |role: Role| {
            let names =
                samples.iter().filter(|sample| sample.cohort == role && is_compared(sample, evidence)).map(|sample| &*sample.instance);
            names.collect::<std::collections::BTreeSet<_>>().len().max(1) as f64
        };
        Self { own: own.into_values().collect(), shares: 1.0 / count(Role::Canary) + 1.0 / count(Role::Baseline) }
    }

    /// The variance between two cohorts' means that comes from which instances they have.
    fn spread(&self, scale: &Scale) -> f64 {
        let means: Vec<f64> = self.own.iter().filter_map(|minutes| mean(minutes.values().copied())).collect();
        let middle = mean(means.iter().copied()).unwrap_or(0.0);
        let squares: f64 = means.iter().map(|mean| (mean - middle).powi(2)).sum();
        let prior = (INSTANCES_PRIOR * scale.unit).powi(2);
        (PRIOR_INSTANCES * prior + squares) / (PRIOR_INSTANCES + (means.len().max(1) - 1) as f64) * self.shares
    }

    /// The variance of one difference that comes from how instances move about their own mean, so that a mean over many minutes has that of as many
    /// independent ones: the largest over groups of minutes, as far as there are groups.
    fn unrest(&self) -> f64 {
        let of_groups = |length: i64| -> f64 {
            let (mut squares, mut freedom) = (0.0, 0.0);
            for minutes in &self.own {
                let mut groups: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
                for (minute, value) in minutes {
                    let group = groups.entry(minute.div_euclid(length)).or_default();
                    *group = (group.0 + value, group.1 + 1.0);
                }
                let full: Vec<f64> =
                    groups.into_values().filter(|(_, count)| *count >= length as f64).map(|(sum, count)| sum / count).collect();
                let middle = mean(full.iter().copied()).unwrap_or(0.0);
                squares += full.iter().map(|value| (value - middle).powi(2)).sum::<f64>();
                freedom += full.len().saturating_sub(1) as f64;
            }
            if freedom < PAIRS_MIN as f64 { 0.0 } else { length as f64 * squares / freedom * of_upper(freedom) }
        };
        OWN_GROUPS.into_iter().map(of_groups).fold(0.0, f64::max) * self.shares
    }
}

/// The variance between two times of one version, where the baseline served before: that of the two halves of its past, at least.
fn times(scale: &Scale, minutes: &Minutes, pairing: Pairing) -> f64 {
    match pairing {
        Pairing::Concurrent => 0.0,
        Pairing::Preceding => {
            let all: Vec<f64> = minutes.before.values().map(|(sum, count)| sum / count).collect();
            let (first, second) = all.split_at(all.len() / 2);
            let half = |half: &[f64]| mean(half.iter().copied());
            let apart = half(first).zip(half(second)).map_or(0.0, |(a, b)| (a - b).powi(2));
            apart.max((TIMES_PRIOR * scale.unit).powi(2))
        }
    }
}

/// The ratio of the means with its interval; none where the baseline's is not above zero.
fn effect(scale: &Scale, mean: f64, deviation: f64, baseline: Option<f64>) -> Option<Effect> {
    let at = |shift: f64| {
        if scale.is_log {
            return Some(shift.exp());
        }
        baseline.filter(|baseline| *baseline > 0.0).map(|baseline| ((baseline + shift) / baseline).max(0.0))
    };
    let (low, high) = (at(mean - NORMAL * deviation)?, at(mean + NORMAL * deviation)?);
    Some(Effect { measure: EffectMeasure::Mean, estimate: at(mean)?, low, high, level: LEVEL })
}
