use super::*;
use crate::stats::likelihood::PairCounts;
use proptest::prelude::*;

fn likelihood(canary: (f64, f64), baseline: (f64, f64)) -> RatioLikelihood {
    let pair =
        PairCounts { canary_requests: canary.0, canary_events: canary.1, baseline_requests: baseline.0, baseline_events: baseline.1 };
    RatioLikelihood::new([&pair], 0.0)
}

#[test]
fn the_estimate_is_the_ratio_of_the_rates() {
    let ratio = rate_ratio(&likelihood((13_300.0, 412.0), (13_100.0, 131.0)), Noise::NONE).unwrap();
    assert!((ratio.estimate - 412.0 / 13_300.0 / (131.0 / 13_100.0)).abs() < 0.01, "{ratio:?}");
    // The fixed-sample 99 % interval of the log ratio is 0.258 wide on either side; one that holds at all times is wider.
    let fixed = 2.576 * (1.0_f64 / 412.0 + 1.0 / 131.0).sqrt();
    let (below, above) = ((ratio.estimate / ratio.low).ln(), (ratio.high / ratio.estimate).ln());
    assert!(below > fixed && above > fixed && below.max(above) < 2.0 * fixed, "{ratio:?}");
}

#[test]
fn without_events_on_one_side_the_interval_is_open_there() {
    assert_eq!(rate_ratio(&likelihood((100.0, 0.0), (100.0, 0.0)), Noise::NONE), None);
    let none_before = rate_ratio(&likelihood((1000.0, 20.0), (1000.0, 0.0)), Noise::NONE).unwrap();
    assert!(none_before.estimate.is_infinite() && none_before.high.is_infinite() && none_before.low > 1.0, "{none_before:?}");
    let none_now = rate_ratio(&likelihood((1000.0, 0.0), (1000.0, 20.0)), Noise::NONE).unwrap();
    assert!(none_now.estimate == 0.0 && none_now.low == 0.0 && none_now.high < 1.0, "{none_now:?}");
}

proptest! {
    #[test]
    fn the_interval_holds_the_estimate_and_more_noise_widens_it(
        n in 10.0..1e6_f64, m in 10.0..1e6_f64, x in 1_u32..2000, y in 1_u32..2000, phi in 1.0..5.0_f64, tau in 0.0..0.5_f64,
    ) {
        let likelihood = likelihood((n, f64::from(x)), (m, f64::from(y)));
        let plain = rate_ratio(&likelihood, Noise::NONE).unwrap();
        let noisy = rate_ratio(&likelihood, Noise { phi, tau }).unwrap();
        prop_assert!(noisy.low <= plain.low * 1.01 && plain.high <= noisy.high * 1.01, "{plain:?} {noisy:?}");
        prop_assert!(plain.low <= plain.estimate && plain.estimate <= plain.high);
        let side = equality(&likelihood, Noise::NONE);
        prop_assert_eq!(side == std::cmp::Ordering::Less, plain.low > 1.0, "{:?}", plain);
    }
}
