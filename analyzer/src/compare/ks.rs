//! The two-sample Kolmogorov-Smirnov test.

use super::{Alternative, CompareError, PAIRS_MAX, check};

/// The outcome of the test.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct KolmogorovSmirnov {
    /// The greatest distance between the two empirical distributions, in the direction asked for.
    pub statistic: f64,
    /// How likely a distance as large is when both are alike.
    pub p_value: f64,
    /// Whether it is exact.
    pub exact: bool,
}

/// Whether two samples come from one distribution. `Greater` asks whether the first sample's distribution function lies above: whether its values are
/// the smaller ones, as in SciPy's `ks_2samp`.
///
/// Source: Hodges (1958), Arkiv för Matematik 3(43): paths between two boundaries, here as probabilities; for very many values the limits of Kolmogorov and
/// Smirnov.
///
/// # Errors
/// When a sample is empty or has values that are not finite.
pub fn kolmogorov_smirnov(x: &[f64], y: &[f64], alternative: Alternative) -> Result<KolmogorovSmirnov, CompareError> {
    check(x, y)?;
    let sides = Sides::of(x, y);
    let height = match alternative {
        Alternative::TwoSided => sides.above.max(sides.below),
        Alternative::Greater => sides.above,
        Alternative::Less => sides.below,
    };
    let (m, n) = (x.len(), y.len());
    let pairs = m as f64 * n as f64;
    let statistic = height as f64 / pairs;
    let exact = m.saturating_mul(n) <= PAIRS_MAX;
    let p_value =
        if exact { outside(m, n, height, alternative == Alternative::TwoSided) } else { limit(statistic, m as f64, n as f64, alternative) };
    Ok(KolmogorovSmirnov { statistic, p_value: p_value.clamp(0.0, 1.0), exact })
}

/// The greatest distances each way, times both sizes: whole numbers, so that nothing is rounded.
struct Sides {
    above: i64,
    below: i64,
}

impl Sides {
    fn of(x: &[f64], y: &[f64]) -> Self {
        let mut all: Vec<(f64, bool)> = x.iter().map(|value| (*value, true)).chain(y.iter().map(|value| (*value, false))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (up, down) = (whole(y.len()), whole(x.len()));
        let (mut height, mut sides) = (0_i64, Self { above: 0, below: 0 });
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            height += group.iter().map(|(_, first)| if *first { up } else { -down }).sum::<i64>();
            sides.above = sides.above.max(height);
            sides.below = sides.below.max(-height);
        }
        sides
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The probability that a random path from (0, 0) to (m, n) gets as far as `height` from the diagonal.
fn outside(m: usize, n: usize, height: i64, both_sides: bool) -> f64 {
    if height <= 0 {
        return 1.0;
    }
    let inside = |i: usize, j: usize| {
        let distance = whole(i) * whole(n) - whole(j) * whole(m);
        distance < height && (!both_sides || -distance < height)
    };
    // Of the paths to (i, j), the share that has been outside: of all of them, a share of i / (i + j) comes from (i - 1, j). Only sums: nothing cancels.
    let mut row = vec![0.0_f64; n + 1];
    for i in 0..=m {
        for j in 0..=n {
            let steps = (i + j) as f64;
            let before = if j > 0 { row[j - 1] * j as f64 / steps } else { 0.0 };
            let below = if i > 0 { row[j] * i as f64 / steps } else { 0.0 };
            row[j] = if inside(i, j) { before + below } else { 1.0 };
        }
    }
    row[n]
}

fn limit(statistic: f64, m: f64, n: f64, alternative: Alternative) -> f64 {
    let z = statistic * (m * n / (m + n)).sqrt();
    if alternative != Alternative::TwoSided {
        return (-2.0 * z * z).exp();
    }
    let term = |k: u32| {
        let k = f64::from(k);
        (-2.0 * k * k * z * z).exp() * if k % 2.0 == 1.0 { 1.0 } else { -1.0 }
    };
    if z < 0.2 { 1.0 } else { 2.0 * (1..=100).map(term).sum::<f64>() }
}
