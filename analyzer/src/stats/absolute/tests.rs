use super::*;

fn pair(canary: (f64, f64), baseline: (f64, f64)) -> PairCounts {
    PairCounts { canary_requests: canary.0, canary_events: canary.1, baseline_requests: baseline.0, baseline_events: baseline.1 }
}

fn one(pair: PairCounts, noise: Noise) -> f64 {
    ln_non_inferior([&pair].into_iter(), 0.005, noise)
}

/// Summed over all outcomes of two Poisson counts at the margin and beyond.
#[test]
fn evidence_has_mean_one_at_most_when_the_canary_is_worse_by_the_margin() {
    let pmf = |mean: f64, k: u32| (f64::from(k) * mean.ln() - mean - statrs::function::factorial::ln_factorial(u64::from(k))).exp();
    for (canary, baseline, rate) in [(1000.0, 1000.0, 0.005), (500.0, 4500.0, 0.001), (2000.0, 200.0, 0.01)] {
        for excess in [0.005, 0.01] {
            let mut mean = 0.0;
            for x in 0..120 {
                for y in 0..60 {
                    let e = one(pair((canary, f64::from(x)), (baseline, f64::from(y))), Noise::NONE).exp();
                    mean += e * pmf(canary * (rate + excess), x) * pmf(baseline * rate, y);
                }
            }
            assert!(mean <= 1.0 + 1e-9, "{canary} {baseline} {rate} {excess}: {mean}");
        }
    }
}

#[test]
fn a_release_without_any_error_can_be_promoted() {
    let bar = 20.0_f64.ln();
    assert!(one(pair((1500.0, 0.0), (1500.0, 0.0)), Noise::NONE) >= bar);
    assert!(one(pair((200.0, 0.0), (1e6, 0.0)), Noise::NONE) < bar, "two hundred requests cannot exclude one in two hundred");
}

#[test]
fn fifteen_thousand_requests_at_half_a_percent_are_enough() {
    let clean = pair((15_000.0, 75.0), (15_000.0, 75.0));
    assert!(one(clean, Noise { phi: 1.3, tau: 0.14 }) >= 20.0_f64.ln());
    let worse = pair((15_000.0, 150.0), (15_000.0, 75.0));
    assert!(one(worse, Noise::NONE) < 0.0);
}

/// Two operations, one with many errors. The canary gets more of that one: its overall rate doubles, its rates do not.
#[test]
fn a_change_of_the_mix_does_not_stand_in_the_way() {
    let strata = [pair((5e4, 0.0), (9e4, 0.0)), pair((5e4, 1000.0), (1e4, 200.0))];
    assert!(ln_non_inferior(strata.iter(), 0.005, Noise::NONE) > 3.0);
    let together = strata[0].plus(&strata[1]);
    assert!(one(together, Noise::NONE) < 0.0, "taken together it looks worse");
}
