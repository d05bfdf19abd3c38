//! Judges recorded samples of two cohorts that did not run side by side: a fault in the past, a benchmark, an export of another tool.
//!
//! There are no requests in common windows here, so what the default judge lives on is missing. The measure of chance is the baseline itself: it is cut
//! into blocks as long as the canary, and how much these differ from one another is how much a canary without a fault may differ too. A rise has to be
//! unlikely by that measure, large enough to matter, and not due to one sample alone. Who looks again and again while a canary grows sees its first few
//! samples by themselves: these have to be the more unusual.

use std::time::Duration;

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::compare::{percentile, sorted};
use crate::judge::{self, Evidence};
use crate::kayenta::{self, Direction, Label, MetricConfig};

/// The chance of a rollback without a fault that one look at a case is meant to have, over all its metrics.
const LEVEL: f64 = 0.03;
/// The baseline is cut into at least so many blocks.
const BLOCKS_MIN: usize = 5;
/// Samples that follow one another are alike: their mean varies more than that of independent ones.
const INFLATION: f64 = 2.0;
/// The variance of a count over that of independent events.
const BURSTS: f64 = 1.5;
/// Smallest standard deviation of a mean on the logarithmic scale: 2 %.
const LEAST_DEVIATION: f64 = 0.02;
/// Blocks tell less of a variance than their number says, a usual amount of noise more.
const PRIOR_FREEDOM: f64 = 3.0;
/// A smaller change does not matter: 13 %.
const LEAST_CHANGE: f64 = 0.12;
/// Nor one that is small beside how much samples differ.
const LEAST_SPREAD: f64 = 0.3;
/// Counts below this are compared as such, others by their logarithm.
const SMALL_COUNT: f64 = 20.0;
/// Fewer samples of the canary are not judged.
const SAMPLES_MIN: usize = 2;
/// With so many, the change has to be as unlikely without the farthest sample;
const SAMPLES_MANY: usize = 12;
/// with fewer, the others must at least lean the same way.
const OTHERS_LEVEL: f64 = 0.3;
/// With so many, the whole level may be spent; with fewer the root of their part.
const SAMPLES_ENOUGH: f64 = 8.0;
/// With more than so many, the outer tenths are clipped.
const SAMPLES_CLIPPED: usize = 4;

/// What a metric counts or measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Time; compared by ratio.
    Latency,
    /// A share of 0 to 1; compared by difference.
    ErrorRate,
    /// Events in a time.
    Count,
    /// Any other number.
    Gauge,
}

impl Kind {
    /// By the name that case tables use; anything unknown is a gauge.
    pub fn named(name: &str) -> Self {
        match name {
            "latency_ms" => Self::Latency,
            "error_rate" => Self::ErrorRate,
            "count" => Self::Count,
            _ => Self::Gauge,
        }
    }
}

/// A metric of a case, its samples in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Which change is bad.
    pub direction: Direction,
    /// Samples of the baseline.
    pub baseline: Vec<f64>,
    /// Samples of the canary.
    pub canary: Vec<f64>,
}

/// Which judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Judge {
    /// Ours.
    #[default]
    Default,
    /// Kayenta's classification of each metric: one that is higher or lower in its bad direction rolls back.
    Kayenta,
}

/// What is said of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Whether to roll back.
    pub rollback: bool,
    /// The metric that speaks loudest, and how unlikely its change is by chance, times the number of metrics; none when none could be compared, and no
    /// number where Kayenta judges.
    pub loudest: Option<(String, Option<f64>)>,
}

/// Windowed counts as metrics, a sample for each whole minute in which a cohort served.
pub fn minutes(evidence: &Evidence) -> Vec<Metric> {
    let metrics = judge::Minutes::new(evidence).samples(Duration::MAX).into_iter().map(|samples| Metric {
        name: samples.name.to_owned(),
        kind: if samples.name == "error_rate" { Kind::ErrorRate } else { Kind::Latency },
        direction: Direction::Increase,
        baseline: samples.baseline,
        canary: samples.canary,
    });
    metrics.collect()
}

/// Judges a case by all its metrics.
pub fn judge(metrics: &[Metric], judge: Judge) -> Finding {
    match judge {
        Judge::Default => by_blocks(metrics),
        Judge::Kayenta => by_kayenta(metrics),
    }
}

fn by_kayenta(metrics: &[Metric]) -> Finding {
    let is_bad = |metric: &&Metric| {
        let config = MetricConfig { direction: metric.direction, ..MetricConfig::default() };
        matches!(kayenta::classify(&metric.canary, &metric.baseline, &config).classification, Label::High | Label::Low)
    };
    let loudest = metrics.iter().find(is_bad).map(|metric| (metric.name.clone(), None));
    Finding { rollback: loudest.is_some(), loudest }
}

fn by_blocks(metrics: &[Metric]) -> Finding {
    let compared: Vec<(&Metric, f64)> = metrics.iter().filter_map(|metric| Some((metric, chance(metric)?))).collect();
    let count = compared.len() as f64;
    let loudest =
        compared.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(metric, chance)| (metric.name.clone(), (chance * count).min(1.0)));
    let samples = metrics.iter().map(|metric| metric.canary.len()).max().unwrap_or(0) as f64;
    let level = LEVEL * (samples / SAMPLES_ENOUGH).min(1.0).sqrt();
    let rollback = loudest.as_ref().is_some_and(|(_, chance)| *chance <= level);
    Finding { rollback, loudest: loudest.map(|(name, chance)| (name, Some(chance))) }
}

/// How unlikely a change as bad is by chance; 1 for one that does not matter. `None` when there is too little to compare.
fn chance(metric: &Metric) -> Option<f64> {
    let finite = |values: &[f64]| values.iter().copied().filter(|value| value.is_finite()).collect::<Vec<_>>();
    let (baseline, canary) = (finite(&metric.baseline), finite(&metric.canary));
    if baseline.len() <= SAMPLES_MIN || canary.len() < SAMPLES_MIN {
        return None;
    }
    let all = chance_of(metric, &baseline, &canary);
    let middle = quantile(&baseline, 0.5);
    let farthest = canary.iter().enumerate().max_by(|a, b| (a.1 - middle).abs().total_cmp(&(b.1 - middle).abs())).map_or(0, |(at, _)| at);
    let mut others = canary;
    others.remove(farthest);
    let without = chance_of(metric, &baseline, &others);
    Some(match (others.len() + 1 < SAMPLES_MANY, without <= OTHERS_LEVEL) {
        (true, true) => all,
        (true, false) => 1.0,
        (false, _) => all.max(without),
    })
}

fn chance_of(metric: &Metric, baseline: &[f64], canary: &[f64]) -> f64 {
    let scale = Scale::of(metric.kind, baseline, canary);
    let (baseline, canary) = (scale.apply(baseline), scale.apply(canary));
    let (n, k) = (baseline.len() as f64, canary.len() as f64);
    let spread = variance(&baseline).sqrt();
    let block = canary.len().min((baseline.len() / BLOCKS_MIN).max(1));
    let blocks: Vec<f64> = baseline.chunks_exact(block).map(|block| scale.middle(block)).collect();
    let between = if blocks.len() > 1 { variance(&blocks) } else { spread * spread };
    let least = match scale {
        Scale::Count => BURSTS * (sum(&baseline) + sum(&canary)) / (n + k) / k,
        Scale::Logarithm { .. } | Scale::Plain => LEAST_DEVIATION * LEAST_DEVIATION,
    };
    let of_canary = between.max(INFLATION * spread * spread / k).max(least);
    let own = if scale == Scale::Count { 0.0 } else { least };
    let deviation = (of_canary + spread * spread / n + own).sqrt();
    let change = scale.middle(&canary) - scale.middle(&baseline);
    let matters = match scale {
        Scale::Logarithm { .. } => LEAST_CHANGE.max(LEAST_SPREAD * spread),
        Scale::Count => (LEAST_CHANGE * scale.middle(&baseline)).max(LEAST_SPREAD * spread),
        Scale::Plain => LEAST_SPREAD * spread,
    };
    let freedom = (blocks.len().max(2) as f64 - 1.0 + PRIOR_FREEDOM).min((n - 1.0).max(2.0));
    let beyond = |change: f64| if change > matters { tail(change / deviation, freedom) } else { 1.0 };
    match metric.direction {
        Direction::Increase => beyond(change),
        Direction::Decrease => beyond(-change),
        Direction::Either => (2.0 * beyond(change).min(beyond(-change))).min(1.0),
    }
}

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// By ratio; what is added first keeps zeros comparable.
    Logarithm { plus: f64 },
    /// As small counts.
    Count,
    /// By difference.
    Plain,
}

impl Scale {
    fn of(kind: Kind, baseline: &[f64], canary: &[f64]) -> Self {
        let all = || baseline.iter().chain(canary).copied();
        let mean = (sum(baseline) + sum(canary)) / (baseline.len() + canary.len()) as f64;
        if kind == Kind::Count && mean < SMALL_COUNT && all().all(|value| value >= 0.0 && value.fract() == 0.0) {
            return Self::Count;
        }
        if kind == Kind::Latency && all().all(|value| value > 0.0) {
            return Self::Logarithm { plus: 0.0 };
        }
        if kind == Kind::ErrorRate || all().any(|value| value < 0.0) {
            return Self::Plain;
        }
        let positive: Vec<f64> = baseline.iter().copied().filter(|value| *value > 0.0).collect();
        Self::Logarithm { plus: 0.1 * if positive.is_empty() { 1.0 } else { quantile(&positive, 0.5) } }
    }

    fn apply(self, values: &[f64]) -> Vec<f64> {
        match self {
            Self::Logarithm { plus } => values.iter().map(|value| (value + plus).ln()).collect(),
            Self::Count | Self::Plain => values.to_vec(),
        }
    }

    /// The middle of some values; on the logarithmic scale the outer ones count as those at the tenth from either end.
    fn middle(self, values: &[f64]) -> f64 {
        let clipped = matches!(self, Self::Logarithm { .. }) && values.len() > SAMPLES_CLIPPED;
        let (low, high) = if clipped { (quantile(values, 0.1), quantile(values, 0.9)) } else { (f64::NEG_INFINITY, f64::INFINITY) };
        values.iter().map(|value| value.clamp(low, high)).sum::<f64>() / values.len() as f64
    }
}

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn variance(values: &[f64]) -> f64 {
    let mean = sum(values) / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0).max(1.0)
}

/// By the definition that R calls 7.
fn quantile(values: &[f64], share: f64) -> f64 {
    percentile(&sorted(values.iter().copied()), share)
}

/// The upper tail of Student's distribution.
fn tail(t: f64, freedom: f64) -> f64 {
    if !t.is_finite() {
        return 0.0;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |student| student.sf(t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metric(kind: Kind, direction: Direction, baseline: &[f64], canary: &[f64]) -> Metric {
        Metric { name: "m".to_owned(), kind, direction, baseline: baseline.to_vec(), canary: canary.to_vec() }
    }

    /// Thirty samples around ten, the same each time.
    fn usual() -> Vec<f64> {
        (0..30).map(|at| 10.0 + f64::from(at * 7 % 5) - 2.0).collect()
    }

    #[test]
    fn a_rise_is_rolled_back_and_one_that_does_not_matter_or_is_good_is_not() {
        let of = |direction, canary: &[f64]| judge(&[metric(Kind::Latency, direction, &usual(), canary)], Judge::Default).rollback;
        assert!(of(Direction::Increase, &[25.0, 27.0, 24.0]));
        assert!(!of(Direction::Decrease, &[25.0, 27.0, 24.0]));
        assert!(of(Direction::Either, &[3.0, 3.5, 2.9]));
        assert!(!of(Direction::Increase, &[11.0, 11.5, 11.2, 11.1, 11.3]), "ten per cent");
        assert!(!of(Direction::Increase, &[10.0, 9.0, 11.0, 10.0, 90.0, 10.0]), "one sample alone");
        assert!(!of(Direction::Increase, &[10.0, 90.0]), "one of two");
        assert!(!of(Direction::Increase, &[90.0]), "too few");
    }

    #[test]
    fn drifting_baselines_allow_for_more() {
        let drifting: Vec<f64> = (0..30).map(|at| if at / 6 % 2 == 0 { 10.0 } else { 20.0 }).collect();
        let of = |baseline: &[f64]| judge(&[metric(Kind::Latency, Direction::Increase, baseline, &[22.0; 6])], Judge::Default).rollback;
        assert!(of(&usual()) && !of(&drifting));
    }

    #[test]
    fn rare_counts_are_counts() {
        let mut baseline = vec![0.0; 30];
        baseline[3] = 1.0;
        let of = |canary: &[f64]| judge(&[metric(Kind::Count, Direction::Increase, &baseline, canary)], Judge::Default).rollback;
        assert!(!of(&[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]));
        assert!(of(&[3.0, 4.0, 3.0, 5.0, 4.0, 2.0]));
    }

    #[test]
    fn kayenta_judges_by_its_own_rule() {
        let metrics = [metric(Kind::Latency, Direction::Increase, &usual(), &[25.0, 27.0, 24.0, 26.0, 25.5])];
        assert!(judge(&metrics, Judge::Kayenta).rollback && !judge(&[], Judge::Kayenta).rollback);
    }

    proptest! {
        /// Never a panic, whatever was recorded; nothing is rolled back for nothing.
        #[test]
        fn any_samples_are_judged(
            baseline in prop::collection::vec(prop::num::f64::ANY, 0..40),
            canary in prop::collection::vec(prop::num::f64::ANY, 0..12),
            kind in prop::sample::select(vec![Kind::Latency, Kind::ErrorRate, Kind::Count, Kind::Gauge]),
        ) {
            let found = judge(&[metric(kind, Direction::Either, &baseline, &canary)], Judge::Default);
            prop_assert!(!found.rollback || canary.len() >= SAMPLES_MIN);
            let same = judge(&[metric(kind, Direction::Either, &baseline, &baseline)], Judge::Default);
            prop_assert!(!same.rollback);
        }
    }
}
