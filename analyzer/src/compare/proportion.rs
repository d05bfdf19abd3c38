//! Two proportions, two rates, and a table of two by two.

use statrs::distribution::{Beta, ContinuousCDF as _};
use statrs::function::factorial::ln_binomial;

use super::{Alternative, CompareError, Interval, check_level, normal_quantile, normal_tail};

/// Probabilities that are as small as the observed one but for rounding count as such, as in R.
const AS_SMALL: f64 = 1.0 + 1e-7;
/// Tables with more counts than this are not computed one by one.
const COUNTS_MAX: u64 = 10_000_000;

/// Fisher's exact test of a table of two by two.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Fisher {
    /// How likely a table as extreme is, given its margins.
    pub p_value: f64,
    /// `ad / bc`, the odds ratio of the sample; none when it is 0 / 0.
    pub sample_odds_ratio: Option<f64>,
    /// The conditional maximum-likelihood estimate of the odds ratio, as R gives it.
    pub odds_ratio: f64,
    /// Where the odds ratio lies.
    pub interval: Interval,
}

/// The counts of a table that its margins leave open, with weights on the log scale.
struct Hypergeometric {
    low: u64,
    ln_weights: Vec<f64>,
}

impl Hypergeometric {
    fn new(row: u64, other_row: u64, column: u64) -> Result<Self, CompareError> {
        let (low, high) = (column.saturating_sub(other_row), column.min(row));
        if row.saturating_add(other_row) > COUNTS_MAX {
            return Err(CompareError::Invalid { what: "the table holds more than ten million counts" });
        }
        let ln_weights = (low..=high).map(|count| ln_binomial(row, count) + ln_binomial(other_row, column - count)).collect();
        Ok(Self { low, ln_weights })
    }

    /// The probabilities when the odds ratio has this logarithm.
    fn probabilities(&self, ln_odds: f64) -> Vec<f64> {
        let weighted: Vec<f64> = (self.low..).zip(&self.ln_weights).map(|(count, weight)| weight + count as f64 * ln_odds).collect();
        let top = weighted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = weighted.iter().map(|weight| (weight - top).exp()).collect();
        let all: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / all).collect()
    }

    fn at_most(&self, count: u64, ln_odds: f64) -> f64 {
        self.probabilities(ln_odds).iter().zip(self.low..).take_while(|(_, one)| *one <= count).map(|(probability, _)| probability).sum()
    }

    fn at_least(&self, count: u64, ln_odds: f64) -> f64 {
        self.probabilities(ln_odds).iter().zip(self.low..).skip_while(|(_, one)| *one < count).map(|(probability, _)| probability).sum()
    }

    fn mean(&self, ln_odds: f64) -> f64 {
        self.probabilities(ln_odds).iter().zip(self.low..).map(|(probability, count)| probability * count as f64).sum()
    }

    fn high(&self) -> u64 {
        self.low + self.ln_weights.len() as u64 - 1
    }
}

/// Fisher's exact test of `[[a, b], [c, d]]`.
///
/// Source: Fisher (1935), The Design of Experiments; estimate and interval by the non-central hypergeometric distribution, as R's `fisher.test`. The two-sided
/// p-value adds up all tables that are no more likely than the observed one.
///
/// # Errors
/// When there are too many counts, or the level is none.
pub fn fisher([[a, b], [c, d]]: [[u64; 2]; 2], alternative: Alternative, level: f64) -> Result<Fisher, CompareError> {
    check_level(level)?;
    let tables = Hypergeometric::new(a.saturating_add(b), c.saturating_add(d), a.saturating_add(c))?;
    let probabilities = tables.probabilities(0.0);
    let p_value = match alternative {
        Alternative::Less => tables.at_most(a, 0.0),
        Alternative::Greater => tables.at_least(a, 0.0),
        Alternative::TwoSided => {
            let observed = probabilities.get(usize::try_from(a - tables.low).unwrap_or(usize::MAX)).copied().unwrap_or(0.0);
            probabilities.iter().filter(|one| **one <= observed * AS_SMALL).sum()
        }
    };
    let tail = match alternative {
        Alternative::TwoSided => (1.0 - level) / 2.0,
        Alternative::Less | Alternative::Greater => 1.0 - level,
    };
    let odds_ratio = match (a == tables.low, a == tables.high()) {
        (true, true) => f64::NAN,
        (true, false) => 0.0,
        (false, true) => f64::INFINITY,
        (false, false) => rising_root(|ln_odds| tables.mean(ln_odds) - a as f64).exp(),
    };
    let low = if a == tables.low || alternative == Alternative::Less {
        0.0
    } else {
        rising_root(|ln_odds| tables.at_least(a, ln_odds) - tail).exp()
    };
    let high = if a == tables.high() || alternative == Alternative::Greater {
        f64::INFINITY
    } else {
        rising_root(|ln_odds| tail - tables.at_most(a, ln_odds)).exp()
    };
    let (cross, other) = (a as f64 * d as f64, b as f64 * c as f64);
    let sample_odds_ratio = Some(cross / other).filter(|ratio| !ratio.is_nan());
    Ok(Fisher { p_value: p_value.min(1.0), sample_odds_ratio, odds_ratio, interval: Interval { low, high, level } })
}

/// Where a function that rises crosses zero, between -700 and 700.
fn rising_root(function: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-700.0_f64, 700.0_f64);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if function(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
        if high - low < 1e-13 * middle.abs().max(1e-3) {
            break;
        }
    }
    f64::midpoint(low, high)
}

/// The ratio of two rates of events.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct RateRatio {
    /// The first rate by the second; none when neither has events.
    pub ratio: Option<f64>,
    /// How likely a ratio as far from the null is.
    pub p_value: f64,
    /// Where the ratio lies.
    pub interval: Interval,
}

/// Whether events come more often in one exposure than in another: the exact test of two Poisson rates, by the binomial distribution of the first's
/// events among all of them.
///
/// Source: Przyborowski and Wilenski (1940), Biometrika 31; interval of Clopper and Pearson. The values are those of R's `poisson.test`.
///
/// # Errors
/// When an exposure is not positive, or the null or the level makes no sense.
pub fn rate_ratio(
    (x, x_exposure): (u64, f64),
    (y, y_exposure): (u64, f64),
    null: f64,
    alternative: Alternative,
    level: f64,
) -> Result<RateRatio, CompareError> {
    check_level(level)?;
    if ![x_exposure, y_exposure, null].iter().all(|number| number.is_finite() && *number > 0.0) {
        return Err(CompareError::Invalid { what: "exposures and the ratio of the null hypothesis have to be greater than 0" });
    }
    let events = x.saturating_add(y);
    if events > COUNTS_MAX {
        return Err(CompareError::Invalid { what: "there are more than ten million events" });
    }
    let share = null * x_exposure / (null * x_exposure + y_exposure);
    let p_value = binomial_p(x, events, share, alternative);
    let tail = if alternative == Alternative::TwoSided { (1.0 - level) / 2.0 } else { 1.0 - level };
    let (less, greater) = (alternative == Alternative::Less, alternative == Alternative::Greater);
    let low = if x == 0 || less { 0.0 } else { beta_quantile(x as f64, (y + 1) as f64, tail) };
    let high = if y == 0 || greater { 1.0 } else { beta_quantile((x + 1) as f64, y as f64, 1.0 - tail) };
    let as_ratio = |share: f64| if share < 1.0 { share / (1.0 - share) * y_exposure / x_exposure } else { f64::INFINITY };
    let ratio = (events > 0).then(|| (x as f64 / x_exposure) / (y as f64 / y_exposure));
    Ok(RateRatio { ratio, p_value, interval: Interval { low: as_ratio(low), high: as_ratio(high), level } })
}

fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    // The bisection of the library is exact enough; where it is not defined nothing can be said.
    Beta::new(a, b).map_or(f64::NAN, |beta| {
        let (mut low, mut high) = (0.0_f64, 1.0_f64);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            if beta.cdf(middle) < probability { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    })
}

fn binomial_p(x: u64, events: u64, share: f64, alternative: Alternative) -> f64 {
    let ln_probability = |count: u64| ln_binomial(events, count) + count as f64 * share.ln() + (events - count) as f64 * (-share).ln_1p();
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.map(|count| ln_probability(count).exp()).sum::<f64>();
    let p_value = match alternative {
        Alternative::Less => sum(&mut (0..=x)),
        Alternative::Greater => sum(&mut (x..=events)),
        Alternative::TwoSided => {
            let observed = ln_probability(x) + AS_SMALL.ln();
            sum(&mut (0..=events).filter(|count| ln_probability(*count) <= observed))
        }
    };
    p_value.min(1.0)
}

/// The difference of two proportions.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Proportions {
    /// The first less the second.
    pub difference: f64,
    /// How likely a difference as large is when both are alike.
    pub p_value: f64,
    /// The statistic of the test, standard normal when both are alike.
    pub z: f64,
    /// Where the difference lies.
    pub interval: Interval,
}

/// Whether events are a greater share of the first exposures.
///
/// Source: the score test with the pooled proportion, without a correction for continuity (R's `prop.test` with `correct = FALSE`); the interval is Newcombe's tenth
/// (1998), Statistics in Medicine 17: the score intervals of Wilson put together.
///
/// # Errors
/// When there are no trials, more events than trials, or the level is none.
pub fn two_proportions((x, m): (u64, u64), (y, n): (u64, u64), alternative: Alternative, level: f64) -> Result<Proportions, CompareError> {
    check_level(level)?;
    if m == 0 || n == 0 || x > m || y > n {
        return Err(CompareError::Invalid { what: "each proportion needs at least one trial, and no more events than trials" });
    }
    let (x, m, y, n) = (x as f64, m as f64, y as f64, n as f64);
    let (first, second, pooled) = (x / m, y / n, (x + y) / (m + n));
    let difference = first - second;
    let deviation = (pooled * (1.0 - pooled) * (1.0 / m + 1.0 / n)).sqrt();
    let z = if deviation > 0.0 { difference / deviation } else { 0.0 };
    let p_value = match alternative {
        Alternative::TwoSided => 2.0 * normal_tail(z.abs()),
        Alternative::Greater => normal_tail(z),
        Alternative::Less => normal_tail(-z),
    };
    let quantile = normal_quantile(0.5 + level / 2.0);
    let ((low1, high1), (low2, high2)) = (wilson(x, m, quantile), wilson(y, n, quantile));
    let low = difference - ((first - low1).powi(2) + (high2 - second).powi(2)).sqrt();
    let high = difference + ((high1 - first).powi(2) + (second - low2).powi(2)).sqrt();
    Ok(Proportions { difference, p_value, z, interval: Interval { low, high, level } })
}

/// The score interval of a proportion (Wilson 1927, Journal of the American Statistical Association 22).
fn wilson(events: f64, trials: f64, z: f64) -> (f64, f64) {
    let share = events / trials;
    let middle = share + z * z / (2.0 * trials);
    let width = z * (share * (1.0 - share) / trials + z * z / (4.0 * trials * trials)).sqrt();
    let divisor = 1.0 + z * z / trials;
    ((middle - width) / divisor, (middle + width) / divisor)
}

/// The score interval of a proportion, for a level between 0 and 1.
pub fn wilson_interval(events: u64, trials: u64, level: f64) -> (f64, f64) {
    wilson(events as f64, trials as f64, normal_quantile(0.5 + level / 2.0))
}
