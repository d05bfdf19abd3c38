//! The Wilcoxon-Mann-Whitney test.

use super::{Alternative, CompareError, check, normal_tail};

/// How a p-value is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Exact when there are no ties and one of the samples has at most eight values (as in SciPy), else asymptotic.
    #[default]
    Auto,
    /// By the distribution of all orders, as if there were no ties.
    Exact,
    /// By the normal distribution, corrected for ties.
    Asymptotic,
}

/// The outcome of the test.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct MannWhitney {
    /// Pairs in which the first sample's value is the greater one, ties as halves.
    pub u1: f64,
    /// The same for the second sample: both together are all pairs.
    pub u2: f64,
    /// How likely a difference as large is when both are alike.
    pub p_value: f64,
    /// Whether it is exact.
    pub exact: bool,
}

/// With at most this many values in the smaller sample the exact distribution is the usual choice.
const EXACT_USUALLY: usize = 8;
/// Beyond this many steps the exact distribution is not computed.
const EXACT_STEPS_MAX: usize = 2_000_000_000;

/// Two samples ranked together.
#[derive(Debug)]
pub(crate) struct Ranked {
    /// Sum of the first sample's ranks, ties sharing theirs.
    pub(crate) sum: f64,
    /// Sum over groups of ties of `t^3 - t`.
    pub(crate) ties: f64,
}

impl Ranked {
    pub(crate) fn of(x: impl IntoIterator<Item = f64>, y: &[f64]) -> Self {
        let first = x.into_iter().map(|value| (value, true));
        let mut all: Vec<(f64, bool)> = first.chain(y.iter().map(|value| (*value, false))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut sum, mut ties, mut before) = (0.0, 0.0, 0);
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let (size, firsts) = (group.len() as f64, group.iter().filter(|(_, first)| *first).count() as f64);
            sum += firsts * (before as f64 + (size + 1.0) / 2.0);
            ties += size.powi(3) - size;
            before += group.len();
        }
        Self { sum, ties }
    }

    /// Standard deviation of the rank sum under the null hypothesis.
    pub(crate) fn deviation(&self, m: f64, n: f64) -> f64 {
        let all = m + n;
        (m * n / 12.0 * (all + 1.0 - self.ties / (all * (all - 1.0)))).max(0.0).sqrt()
    }
}

/// Whether one sample tends to have the greater values.
///
/// Source: Mann and Whitney (1947), Annals of Mathematical Statistics 18(1); tie correction as in Hollander and Wolfe, 4.1. The values are those of
/// SciPy's `mannwhitneyu` and, with `continuity`, of R's `wilcox.test`.
///
/// # Errors
/// When a sample is empty or has values that are not finite, or the exact way would take too long.
pub fn mann_whitney(x: &[f64], y: &[f64], alternative: Alternative, method: Method, continuity: bool) -> Result<MannWhitney, CompareError> {
    check(x, y)?;
    let (m, n) = (x.len() as f64, y.len() as f64);
    let ranked = Ranked::of(x.iter().copied(), y);
    let u1 = ranked.sum - m * (m + 1.0) / 2.0;
    let u2 = m * n - u1;
    let exact = match method {
        Method::Exact => true,
        Method::Asymptotic => false,
        Method::Auto => ranked.ties == 0.0 && x.len().min(y.len()) <= EXACT_USUALLY && steps(x.len(), y.len()) <= EXACT_STEPS_MAX / 10,
    };
    let (u, sides) = match alternative {
        Alternative::TwoSided => (u1.max(u2), 2.0),
        Alternative::Greater => (u1, 1.0),
        Alternative::Less => (u2, 1.0),
    };
    let tail = if exact {
        let distribution = UDistribution::new(x.len(), y.len())?;
        distribution.at_least(u.ceil())
    } else {
        let shift = if continuity { 0.5 } else { 0.0 };
        let deviation = ranked.deviation(m, n);
        let above = u - m * n / 2.0 - shift;
        if deviation > 0.0 { normal_tail(above / deviation) } else { 0.5 + f64::from(u8::from(continuity)) / 2.0 }
    };
    Ok(MannWhitney { u1, u2, p_value: (sides * tail).min(1.0), exact })
}

/// How much work the exact distribution is.
fn steps(m: usize, n: usize) -> usize {
    let (small, large) = (m.min(n), m.max(n));
    (small + large).saturating_mul(small).saturating_mul(small * large + small * (small + 1) / 2)
}

/// The distribution of U when both samples are alike and there are no ties.
#[derive(Debug)]
pub(super) struct UDistribution {
    /// Of each value from 0 on.
    probabilities: Vec<f64>,
}

impl UDistribution {
    pub(super) fn new(m: usize, n: usize) -> Result<Self, CompareError> {
        if steps(m, n) > EXACT_STEPS_MAX {
            return Err(CompareError::TooMany { pairs: m.saturating_mul(n), most: EXACT_STEPS_MAX });
        }
        let (small, large) = (m.min(n), m.max(n));
        let top = small * large + small * (small + 1) / 2;
        // ways[k][s]: k of the ranks up to the one at hand have the sum s. Only sums: nothing cancels.
        let mut ways = vec![vec![0.0_f64; top + 1]; small + 1];
        ways[0][0] = 1.0;
        for rank in 1..=small + large {
            for k in (1..=small.min(rank)).rev() {
                let (less, more) = ways.split_at_mut(k);
                let (from, to) = (&less[k - 1], &mut more[0]);
                for sum in rank..=top {
                    to[sum] += from[sum - rank];
                }
            }
        }
        let least = small * (small + 1) / 2;
        let counts = ways.pop().unwrap_or_default().split_off(least);
        let all: f64 = counts.iter().sum();
        Ok(Self { probabilities: counts.into_iter().map(|count| count / all).collect() })
    }

    /// The probability of this value or a greater one.
    fn at_least(&self, u: f64) -> f64 {
        self.probabilities.iter().zip(0_u32..).filter(|(_, value)| f64::from(*value) >= u).map(|(probability, _)| probability).sum()
    }

    /// The least value that is not exceeded with this probability, and the probability of less than it.
    pub(super) fn quantile(&self, probability: f64) -> (usize, f64) {
        let mut below = 0.0;
        for (value, one) in self.probabilities.iter().enumerate() {
            if below + one >= probability {
                return (value, below);
            }
            below += one;
        }
        (self.probabilities.len().saturating_sub(1), below)
    }
}
