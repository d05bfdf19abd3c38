use super::*;
use crate::stats::likelihood::PairCounts;
use proptest::prelude::*;

fn pair(canary: (f64, f64), baseline: (f64, f64)) -> PairCounts {
    PairCounts { canary_requests: canary.0, canary_events: canary.1, baseline_requests: baseline.0, baseline_events: baseline.1 }
}

fn one(pair: PairCounts, null: f64, side: Side) -> f64 {
    ln_evidence(&RatioLikelihood::new([&pair], null), Noise::NONE, side)
}

/// Events in both arms, on the mean path, until the evidence reaches 100.
fn events_needed(share: f64, margin: f64, ratio: f64) -> Option<f64> {
    let odds = share / (1.0 - share) * ratio;
    let theta = if ratio.is_finite() { odds / (1.0 + odds) } else { 1.0 };
    let crosses = |events: f64| {
        let pair = pair((share * 1e4, events * theta), ((1.0 - share) * 1e4, events * (1.0 - theta)));
        one(pair, f64::ln_1p(margin), Side::Above) >= 100_f64.ln()
    };
    (1..=8000).map(f64::from).find(|events| crosses(*events))
}

/// The table of F12: total events until E crosses 100 on the mean path, phi 1, tau 0. Tolerance: one event or 2 %.
#[test]
fn as_many_events_are_needed_as_the_published_table_says() {
    let ratios = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, f64::INFINITY];
    let table: [(f64, f64, [Option<f64>; 7]); 5] = [
        (0.5, 0.0, [Some(1014.0), Some(309.0), Some(110.0), Some(47.0), Some(25.0), Some(16.0), Some(10.0)]),
        (0.5, 0.25, [None, Some(1565.0), Some(242.0), Some(76.0), Some(35.0), Some(20.0), Some(11.0)]),
        (0.1, 0.0, [Some(2501.0), Some(687.0), Some(205.0), Some(69.0), Some(27.0), Some(12.0), Some(4.0)]),
        (0.1, 0.25, [None, Some(3252.0), Some(424.0), Some(103.0), Some(35.0), Some(14.0), Some(4.0)]),
        (0.05, 0.0, [Some(4664.0), Some(1264.0), Some(367.0), Some(117.0), Some(42.0), Some(16.0), Some(3.0)]),
    ];
    for (share, margin, row) in table {
        for (ratio, expected) in ratios.into_iter().zip(row) {
            let needed = events_needed(share, margin, ratio);
            match (needed, expected) {
                (Some(needed), Some(expected)) => {
                    assert!(
                        (needed - expected).abs() <= f64::max(1.0, 0.02 * expected),
                        "{share} {margin} {ratio}: {needed} for {expected}"
                    );
                }
                (needed, expected) => assert_eq!(needed, expected, "{share} {margin} {ratio}"),
            }
        }
    }
}

/// F1 by hand: one pair, one alternative. ln L(d) = x ln(theta/theta0) + y ln((1-theta)/(1-theta0)).
#[test]
fn the_likelihood_of_one_pair_is_that_of_a_binomial() {
    let pair = pair((200.0, 7.0), (100.0, 2.0));
    let likelihood = RatioLikelihood::new([&pair], 0.0);
    for d in [-1.0_f64, 0.3, 2.0] {
        let theta = 200.0 * d.exp() / (200.0 * d.exp() + 100.0);
        let exact = 7.0 * (theta / (2.0 / 3.0)).ln() + 2.0 * ((1.0 - theta) / (1.0 / 3.0)).ln();
        assert!((likelihood.value(d) - exact).abs() < 2e-3, "{} for {exact}", likelihood.value(d));
    }
}

/// The integral over the spread, against a fine Riemann sum.
#[test]
fn the_smoothed_likelihood_is_an_integral() {
    let cases =
        [(pair((1000.0, 30.0), (1000.0, 10.0)), 0.3), (pair((1e6, 4e5), (1e6, 4.1e5)), 0.2), (pair((50.0, 3.0), (500.0, 0.0)), 0.5)];
    for (pair, tau) in cases {
        let likelihood = RatioLikelihood::new([&pair], 0.0);
        for mean in [-0.5, 0.0, 1.0] {
            let noise = Noise { phi: 1.5, tau };
            let smoothed = ln_smoothed(&likelihood, mean, noise, &mut 0.0);
            let step = 1e-4;
            let terms: Vec<f64> = (-60_000..60_000)
                .map(|k| f64::from(k) * step)
                .map(|d| {
                    likelihood.value(d) / 1.5 - 0.5 * ((d - mean) / tau).powi(2) + (step / tau).ln() - 0.5 * std::f64::consts::TAU.ln()
                })
                .collect();
            assert!((smoothed - ln_sum_exp(&terms)).abs() < 0.02, "{smoothed} for {}", ln_sum_exp(&terms));
        }
    }
}

/// The mean of E under the null, summed over all outcomes of a pair of Poisson counts, is at most one (Ville's condition).
#[test]
fn evidence_has_mean_one_at_most_at_the_margin() {
    let pmf = |mean: f64, k: u32| (f64::from(k) * mean.ln() - mean - statrs::function::factorial::ln_factorial(u64::from(k))).exp();
    for (canary, baseline, rate) in [(100.0, 100.0, 0.04), (100.0, 900.0, 0.02), (500.0, 100.0, 0.01)] {
        for (side, ratio) in [(Side::Above, 1.25), (Side::Above, 1.0), (Side::FarAbove, 1.25), (Side::Below, 1.25), (Side::Below, 2.0)] {
            let mut mean = 0.0;
            for x in 0..60 {
                for y in 0..60 {
                    let e = one(pair((canary, f64::from(x)), (baseline, f64::from(y))), 1.25_f64.ln(), side).exp();
                    mean += e * pmf(canary * rate * ratio, x) * pmf(baseline * rate, y);
                }
            }
            assert!(mean <= 1.01, "{side:?} at ratio {ratio}: {mean}");
        }
    }
}

#[test]
fn a_spread_between_instances_bounds_what_any_traffic_can_show() {
    // Twice the errors with tau 0.3: 1.6 standard deviations beyond the margin, however many there are.
    let huge = RatioLikelihood::new([&pair((1e9, 2e7), (1e9, 1e7))], 1.25_f64.ln());
    let ln_e = ln_evidence(&huge, Noise { phi: 1.0, tau: 0.3 }, Side::Above);
    assert!(ln_e.is_finite() && ln_e < 1.6_f64.powi(2) / 2.0 + 0.2, "{ln_e}");
    assert!(ln_evidence(&huge, Noise::NONE, Side::Above) > 1e4);
}

proptest! {
    #[test]
    fn evidence_grows_with_the_canarys_events_and_falls_with_the_baselines(
        n in 1.0..1e6_f64, m in 1.0..1e6_f64, x in 0_u32..500, y in 0_u32..500, tau in 0.0..0.5_f64, phi in 1.0..5.0_f64,
    ) {
        let noise = Noise { phi, tau };
        let at = |x: u32, y: u32| ln_evidence(&RatioLikelihood::new([&pair((n, f64::from(x)), (m, f64::from(y)))], 0.2), noise, Side::Above);
        prop_assert!(at(x + 1, y) >= at(x, y) - 1e-6);
        prop_assert!(at(x, y + 1) <= at(x, y) + 1e-6);
    }

    #[test]
    fn swapping_the_cohorts_swaps_the_sides(n in 1.0..1e6_f64, m in 1.0..1e6_f64, x in 0_u32..500, y in 0_u32..500, tau in 0.0..0.5_f64) {
        let noise = Noise { phi: 1.0, tau };
        let (x, y) = (f64::from(x), f64::from(y));
        let above = ln_evidence(&RatioLikelihood::new([&pair((n, x), (m, y))], 0.0), noise, Side::Above);
        let below = ln_evidence(&RatioLikelihood::new([&pair((m, y), (n, x))], 0.0), noise, Side::Below);
        prop_assert!((above - below).abs() < 1e-6 * (1.0 + above.abs()) + 1e-3, "{above} {below}");
    }

    #[test]
    fn evidence_is_a_number_whatever_the_counts(
        n in 0.0..1e19_f64, m in 0.0..1e19_f64, x in 0.0..1e19_f64, y in 0.0..1e19_f64, tau in 0.0..3.0_f64, phi in 1.0..1e9_f64,
    ) {
        let likelihood = RatioLikelihood::new([&pair((n, x), (m, y))], 0.2);
        for side in [Side::Above, Side::Below, Side::FarAbove] {
            let ln_e = ln_evidence(&likelihood, Noise { phi, tau }, side);
            prop_assert!(ln_e.is_finite());
        }
    }
}
