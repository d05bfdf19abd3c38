//! Of one metric: is the canary's sample higher or lower than the baseline's?

use super::Direction;
use super::brent::root;
use crate::compare::{Ranked, normal_quantile, percentile, rank_statistic, sorted};

/// Kayenta's confidence level, which its settings do not change.
const LEVEL: f64 = 0.98;
/// The shift that is tolerated, as a share of the estimated shift itself.
const TOLERANCE: f64 = 0.25;
/// Noise for two constant samples: its standard deviation is this share of the value.
const NOISE: f64 = 1e-5;

/// What is done with values that are no numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NanStrategy {
    /// They are left out.
    #[default]
    Remove,
    /// They are zero.
    Replace,
}

/// What is done with values far from all others.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "strategy")]
pub enum Outliers {
    /// They stay.
    #[default]
    Keep,
    /// Those beyond the fences are left out.
    Remove {
        /// How many interquartile ranges the fences are away from the quartiles.
        #[serde(default = "three", rename = "outlierFactor")]
        factor: f64,
    },
}

fn three() -> f64 {
    3.0
}

/// How an effect is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// The canary's mean by the baseline's.
    #[default]
    MeanRatio,
    /// The share of pairs in which the canary's value is the greater one.
    Cles,
}

/// The settings of a metric under `analysisConfigurations.canary`, with Kayenta's names and defaults.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricConfig {
    /// Which differences count.
    pub direction: Direction,
    /// What is done with values that are no numbers.
    pub nan_strategy: NanStrategy,
    /// What is done with values far from all others.
    pub outliers: Outliers,
    /// Whether a failure fails the canary.
    pub critical: bool,
    /// Whether missing data is a failure.
    pub must_have_data: bool,
    /// The least effects.
    pub effect_size: EffectSize,
}

/// Which effects are large enough; 1 for ratios and 0.5 for shares of pairs where nothing is said.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct EffectSize {
    /// How it is measured.
    pub measure: Measure,
    /// A higher metric has at least this one.
    pub allowed_increase: Option<f64>,
    /// A lower metric has at most this one.
    pub allowed_decrease: Option<f64>,
    /// A critical metric that is higher has at least this one.
    pub critical_increase: Option<f64>,
    /// A critical metric that is lower has at most this one.
    pub critical_decrease: Option<f64>,
}

/// What is said of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Label {
    /// No difference that counts.
    Pass,
    /// The canary is higher.
    High,
    /// It is lower.
    Low,
    /// One of the samples is empty.
    Nodata,
    /// The same, where data is asked for.
    NodataFailMetric,
    /// It could not be computed.
    Error,
}

/// The classification of a metric.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Classification {
    /// What is said of it.
    pub classification: Label,
    /// Whether that fails the canary.
    pub critical: bool,
    /// The canary's mean by the baseline's; 1 where nothing was compared.
    pub ratio: Option<f64>,
    /// Lower end of the interval of the shift.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
    /// The shift.
    pub estimate: Option<f64>,
}

impl Classification {
    fn uncompared(classification: Label, critical: bool, ratio: Option<f64>) -> Self {
        Self { classification, critical, ratio, lower: None, upper: None, estimate: None }
    }
}

/// Classifies a metric; values that are no numbers are missing ones.
///
/// Source: Kayenta's `NetflixACAJudge`, `MannWhitneyClassifier`, `MannWhitney`, `IQRDetector`, `EffectSizes`.
pub fn classify(experiment: &[f64], control: &[f64], config: &MetricConfig) -> Classification {
    let (mut experiment, mut control) = (prepared(experiment, config), prepared(control, config));
    if experiment.is_empty() || control.is_empty() {
        return match config.nan_strategy {
            NanStrategy::Replace => Classification::uncompared(Label::Pass, false, Some(1.0)),
            NanStrategy::Remove if config.must_have_data && !config.critical => {
                Classification::uncompared(Label::NodataFailMetric, false, Some(1.0))
            }
            NanStrategy::Remove => Classification::uncompared(Label::Nodata, config.critical, Some(1.0)),
        };
    }
    if sorted(experiment.iter().copied()) == sorted(control.iter().copied()) {
        return Classification::uncompared(Label::Pass, false, Some(1.0));
    }
    if is_constant(&experiment) && is_constant(&control) {
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        for values in [&mut experiment, &mut control] {
            values.iter_mut().for_each(|value| *value += noise.next() * NOISE * *value);
        }
    }
    let ratio = mean_ratio(&experiment, &control);
    let Some((lower, upper, estimate)) = shift(&experiment, &control) else {
        return Classification::uncompared(Label::Error, false, ratio);
    };
    let (effect, neutral) = match config.effect_size.measure {
        Measure::MeanRatio => (ratio, 1.0),
        Measure::Cles => (Some(cles(&experiment, &control)), 0.5),
    };
    let sizes = &config.effect_size;
    let at_least = |size: Option<f64>| effect.is_none_or(|effect| effect >= size.unwrap_or(neutral));
    let at_most = |size: Option<f64>| effect.is_none_or(|effect| effect <= size.unwrap_or(neutral));
    let bound = TOLERANCE * estimate.abs();
    let (classification, beyond) = if config.direction != Direction::Decrease && lower > bound && at_least(sizes.allowed_increase) {
        (Label::High, at_least(sizes.critical_increase))
    } else if config.direction != Direction::Increase && upper < -bound && at_most(sizes.allowed_decrease) {
        (Label::Low, at_most(sizes.critical_decrease))
    } else {
        (Label::Pass, false)
    };
    let critical = config.critical && beyond;
    Classification { classification, critical, ratio, lower: Some(lower), upper: Some(upper), estimate: Some(estimate) }
}

/// Without what the settings leave out.
fn prepared(values: &[f64], config: &MetricConfig) -> Vec<f64> {
    let values: Vec<f64> = match config.nan_strategy {
        NanStrategy::Remove => values.iter().copied().filter(|value| !value.is_nan()).collect(),
        NanStrategy::Replace => values.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect(),
    };
    match config.outliers {
        Outliers::Remove { factor } if !values.is_empty() => within_fences(&values, factor),
        Outliers::Remove { .. } | Outliers::Keep => values,
    }
}

fn within_fences(values: &[f64], factor: f64) -> Vec<f64> {
    let ordered = sorted(values.iter().copied());
    let (first, third) = (percentile(&ordered, 0.25), percentile(&ordered, 0.75));
    let range = factor * (third - first);
    let low = percentile(&ordered, 0.01).min(first - range);
    let high = percentile(&ordered, 0.99).max(third + range);
    values.iter().copied().filter(|value| *value >= low && *value <= high).collect()
}

#[expect(clippy::float_cmp, reason = "constant means the same number")]
fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn mean_ratio(experiment: &[f64], control: &[f64]) -> Option<f64> {
    let (experiment, control) = (mean(experiment), mean(control));
    (experiment != 0.0 && control != 0.0).then(|| experiment / control)
}

fn cles(experiment: &[f64], control: &[f64]) -> f64 {
    let (m, n) = (experiment.len() as f64, control.len() as f64);
    let ranks = Ranked::of(experiment.iter().copied(), control).sum;
    (2.0 * ranks - m * (m + 1.0)) / (2.0 * n * m)
}

/// Interval and estimate of the shift from the control to the experiment; `None` where it cannot be found.
fn shift(experiment: &[f64], control: &[f64]) -> Option<(f64, f64, f64)> {
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = (least(experiment) - most(control), most(experiment) - least(control));
    let at = |shift: f64| rank_statistic(experiment, control, shift);
    if low >= high || !at(low).is_finite() || !at(high).is_finite() {
        return None;
    }
    let meets = |wanted: f64| {
        if at(low) - wanted <= 0.0 {
            low
        } else if at(high) - wanted >= 0.0 {
            high
        } else {
            root(|shift| at(shift) - wanted, low, high)
        }
    };
    let z = normal_quantile(1.0 - (1.0 - LEVEL) / 2.0);
    // The estimate is asked for without looking at the ends: without a change of sign between them there is none.
    (at(low) * at(high) <= 0.0).then(|| (meets(z), meets(-z), root(at, low, high)))
}

/// Standard normal numbers from a fixed seed.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> f64 {
        let (radius, angle) = (self.uniform().max(f64::MIN_POSITIVE), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}
