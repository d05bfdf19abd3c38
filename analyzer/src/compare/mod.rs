//! Comparisons of two samples by ranks, and of two proportions or rates, each with an interval: for short looks back, and for judges of other tools.
//!
//! Pure functions of numbers. A value that is not finite is refused: what to do about missing values is the caller's to say. These tests hold
//! their level for one look; what is looked at again and again belongs to the e-process.

mod ks;
mod proportion;
mod rank;
mod shift;
#[cfg(test)]
mod tests;

pub use ks::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use proportion::{Fisher, Proportions, RateRatio, fisher, rate_ratio, two_proportions, wilson_interval};
pub use rank::{MannWhitney, Method, mann_whitney};
pub use shift::{CliffsDelta, Shift, cliffs_delta, hodges_lehmann};

pub(crate) use rank::Ranked;
pub(crate) use shift::statistic as rank_statistic;

/// Which differences speak against the null hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// Either way.
    #[default]
    TwoSided,
    /// The first is less.
    Less,
    /// The first is greater.
    Greater,
}

/// Where a quantity lies, by the data.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The share of such intervals that hold the true value, at least; of those by a normal approximation, about.
    pub level: f64,
}

/// Why there is nothing to compute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A sample without values.
    #[error("{sample} is empty: both samples need at least one value")]
    Empty {
        /// Which.
        sample: &'static str,
    },
    /// A value that is no number.
    #[error("{sample} has a value that is not finite: leave it out or replace it first")]
    NotFinite {
        /// Which.
        sample: &'static str,
    },
    /// More than can be computed exactly in reasonable time.
    #[error("{pairs} pairs of values are too many: at most {most} can be compared one by one")]
    TooMany {
        /// How many.
        pairs: usize,
        /// The limit.
        most: usize,
    },
    /// A level, a count or an exposure that cannot be.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// All pairs of two samples are looked at up to this many.
const PAIRS_MAX: usize = 25_000_000;

fn check(x: &[f64], y: &[f64]) -> Result<(), CompareError> {
    for (sample, values) in [("the first sample", x), ("the second sample", y)] {
        if values.is_empty() {
            return Err(CompareError::Empty { sample });
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(CompareError::NotFinite { sample });
        }
    }
    Ok(())
}

fn check_pairs(x: &[f64], y: &[f64]) -> Result<(), CompareError> {
    check(x, y)?;
    let pairs = x.len().saturating_mul(y.len());
    if pairs > PAIRS_MAX { Err(CompareError::TooMany { pairs, most: PAIRS_MAX }) } else { Ok(()) }
}

fn check_level(level: f64) -> Result<(), CompareError> {
    if level > 0.0 && level < 1.0 { Ok(()) } else { Err(CompareError::Invalid { what: "a level lies between 0 and 1" }) }
}

/// The upper tail of the standard normal distribution.
fn normal_tail(z: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(z / std::f64::consts::SQRT_2)
}

/// What a standard normal value stays below with this probability.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * probability)
}

/// In order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The percentile of ordered values by the definition that R calls 7.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into a list")]
pub(crate) fn percentile(ordered: &[f64], share: f64) -> f64 {
    let place = share * (ordered.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(ordered.len() - 1);
    ordered[below] + (place - place.floor()) * (ordered[above] - ordered[below])
}
