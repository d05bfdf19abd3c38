//! Is a mean beyond a margin? Evidence from a mean of differences whose error has two parts: one that shrinks with time, and one that stays.

/// Effects that are bet on, beyond the null, in units of the scale: from 2 % to a factor of 20 on the logarithmic one.
const EFFECTS: usize = 16;
const LEAST: f64 = 0.02;
const MOST: f64 = 3.0;

/// `ln` of the evidence that the mean lies above `null`.
///
/// The mean of `n` differences that share a random effect of variance `tau^2` (how far two cohorts of one version lie apart) and have an error of variance
/// `v` each has the variance `s^2 = tau^2 + v / n`, and the likelihood ratio of two true means is `exp((m - null) d / s^2 - d^2 / (2 s^2))` with `d` their distance: the joint
/// density depends on the mean by that alone, so that in `n` this is a martingale under the null and may be looked at at any time (the random-effects null
/// F10 with a normal likelihood). Mixed over a grid of `d`.
pub(crate) fn ln_above(mean: f64, null: f64, variance: f64, unit: f64) -> f64 {
    let variance = (variance / (unit * unit)).max(1e-12);
    let over = (mean - null) / unit;
    if !over.is_finite() || !variance.is_finite() {
        return 0.0;
    }
    let steps = (EFFECTS - 1) as f64;
    let terms: Vec<f64> = (0..EFFECTS)
        .map(|step| {
            let effect = LEAST * (MOST / LEAST).powf(step as f64 / steps);
            (over * effect - 0.5 * effect * effect) / variance
        })
        .collect();
    super::likelihood::ln_sum_exp(&terms) - (EFFECTS as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use rand_distr::{Distribution as _, StandardNormal};

    #[test]
    fn evidence_grows_with_what_is_seen_and_stops_at_what_cohorts_differ_by() {
        let at = |mean: f64, n: f64, tau: f64| ln_above(mean, 0.1, tau * tau + 0.01 / n, 1.0);
        assert!(at(0.3, 40.0, 0.0) > at(0.3, 10.0, 0.0) && at(0.3, 10.0, 0.0) > at(0.2, 10.0, 0.0));
        assert!(at(0.05, 40.0, 0.0) < 0.0);
        assert!((at(0.3, 1e9, 0.1) - at(0.3, 1e6, 0.1)).abs() < 0.01 && at(0.3, 1e9, 0.1) < 3.0);
        assert!((ln_above(300.0, 100.0, 1e4 * 0.01, 1000.0) - ln_above(0.3, 0.1, 1e-4, 1.0)).abs() < 1e-9, "units do not matter");
        assert_eq!(ln_above(f64::NAN, 0.0, 1.0, 1.0), 0.0);
    }

    /// At the margin itself, looked at after each of sixty differences, with cohorts that differ.
    #[test]
    fn at_most_one_in_twenty_reaches_twenty() {
        let mut dice = StdRng::seed_from_u64(7);
        let mut normal = move || -> f64 { StandardNormal.sample(&mut dice) };
        let runs = 2_000;
        let crossed = (0..runs).filter(|_| {
            let (tau, sd) = (0.1, 0.2);
            let apart = tau * normal();
            let mut sum = 0.0;
            (1..=60).any(|n| {
                sum += 0.25 + apart + sd * normal();
                ln_above(sum / f64::from(n), 0.25, tau * tau + sd * sd / f64::from(n), 1.0) >= 20.0_f64.ln()
            })
        });
        let crossed = crossed.count();
        assert!(crossed <= 120, "{crossed} of {runs}, at most 5 % and what chance adds");
    }
}
