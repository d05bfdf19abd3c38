//! How far apart two samples are: the Hodges-Lehmann shift and Cliff's delta.

use super::rank::{Ranked, UDistribution};
use super::{CompareError, Interval, check_level, check_pairs, normal_quantile, sorted};

/// By how much the first sample's values are greater.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Shift {
    /// The median of all differences between a value of the first and one of the second.
    pub estimate: f64,
    /// Where the shift lies.
    pub interval: Interval,
    /// Whether the interval is exact.
    pub exact: bool,
}

/// Below this size, and without ties, intervals are exact, as in R.
const EXACT_BELOW: usize = 50;

/// The Hodges-Lehmann shift with its interval.
///
/// Source: Hodges and Lehmann (1963), Annals of Mathematical Statistics 34(2); the interval by order statistics of the differences (Hollander and Wolfe,
/// 4.3), and where there are ties or many values, by the shifts at which the tie-corrected normal statistic meets its quantiles, as R's `wilcox.test`.
///
/// # Errors
/// When a sample is empty, has values that are not finite, or there are too many pairs.
pub fn hodges_lehmann(x: &[f64], y: &[f64], level: f64) -> Result<Shift, CompareError> {
    check_pairs(x, y)?;
    check_level(level)?;
    let differences = sorted(x.iter().flat_map(|x| y.iter().map(move |y| x - y)));
    let pairs = differences.len();
    let estimate = f64::midpoint(differences[(pairs - 1) / 2], differences[pairs / 2]);
    let exact = x.len() < EXACT_BELOW && y.len() < EXACT_BELOW && Ranked::of(x.iter().copied(), y).ties == 0.0;
    let tail = (1.0 - level) / 2.0;
    if exact {
        let (rank, _) = UDistribution::new(x.len(), y.len())?.quantile(tail);
        let rank = rank.max(1);
        let interval = Interval { low: differences[rank - 1], high: differences[pairs - rank], level };
        return Ok(Shift { estimate, interval, exact });
    }
    let z = normal_quantile(1.0 - tail);
    // The statistic falls in steps at the differences, so where it meets a value is between two of them.
    let below = |wanted: f64| differences.partition_point(|shift| statistic(x, y, *shift) > wanted).min(pairs - 1);
    let interval = Interval { low: differences[below(z)], high: differences[below(-z)], level };
    Ok(Shift { estimate, interval, exact })
}

/// The standardised rank statistic of `x - shift` and `y`, with the correction for continuity.
pub(crate) fn statistic(x: &[f64], y: &[f64], shift: f64) -> f64 {
    let (m, n) = (x.len() as f64, y.len() as f64);
    let ranked = Ranked::of(x.iter().map(|value| value - shift), y);
    let above = ranked.sum - m * (m + 1.0) / 2.0 - m * n / 2.0;
    let corrected = above - 0.5 * if above == 0.0 { 0.0 } else { above.signum() };
    corrected / ranked.deviation(m, n)
}

/// How much more often the first sample's value is the greater one of a pair than the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct CliffsDelta {
    /// From -1, all smaller, to 1, all greater.
    pub delta: f64,
    /// Where it lies.
    pub interval: Interval,
}

/// Cliff's delta with its interval.
///
/// Source: Cliff (1993), Psychological Bulletin 114(3): the unbiased estimate of the variance; the asymmetric interval of Feng and Cliff (2004), Journal of
/// Modern Applied Statistical Methods 3(2).
///
/// # Errors
/// When a sample is empty, has values that are not finite, or there are too many pairs.
pub fn cliffs_delta(x: &[f64], y: &[f64], level: f64) -> Result<CliffsDelta, CompareError> {
    check_pairs(x, y)?;
    check_level(level)?;
    let (m, n) = (x.len() as f64, y.len() as f64);
    let (xs, ys) = (sorted(x.iter().copied()), sorted(y.iter().copied()));
    let of_x: Vec<f64> = x.iter().map(|value| dominance(*value, &ys)).collect();
    let of_y: Vec<f64> = y.iter().map(|value| -dominance(*value, &xs)).collect();
    let delta = of_x.iter().sum::<f64>() / m;
    let spread = |of: &[f64]| of.iter().map(|one| (one - delta).powi(2)).sum::<f64>();
    // The share of pairs that are no ties is the mean square of their signs.
    let untied = x.iter().map(|value| untied(*value, &ys)).sum::<f64>() / m;
    let pairs = m * n * (untied - delta * delta);
    let variance = if m > 1.0 && n > 1.0 {
        let unbiased = (n * n * spread(&of_x) + m * m * spread(&of_y) - pairs) / (m * n * (m - 1.0) * (n - 1.0));
        unbiased.max((1.0 - delta * delta) / (m * n - 1.0))
    } else {
        1.0
    };
    let z = normal_quantile(0.5 + level / 2.0);
    let d2 = delta * delta;
    let middle = delta - delta * d2;
    let width = z * variance.sqrt() * ((1.0 - d2).powi(2) + z * z * variance).sqrt();
    let divisor = 1.0 - d2 + z * z * variance;
    let (low, high) = if divisor > 0.0 { ((middle - width) / divisor, (middle + width) / divisor) } else { (delta, delta) };
    Ok(CliffsDelta { delta, interval: Interval { low: low.max(-1.0), high: high.min(1.0), level } })
}

/// The share of others that are smaller, less that of those that are greater.
fn dominance(value: f64, others: &[f64]) -> f64 {
    let (below, not_above) = around(value, others);
    (below + not_above - others.len() as f64) / others.len() as f64
}

fn untied(value: f64, others: &[f64]) -> f64 {
    let (below, not_above) = around(value, others);
    1.0 - (not_above - below) / others.len() as f64
}

fn around(value: f64, others: &[f64]) -> (f64, f64) {
    (others.partition_point(|other| *other < value) as f64, others.partition_point(|other| *other <= value) as f64)
}
