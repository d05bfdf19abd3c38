//! Worked examples. The values are SciPy's (1.17) unless said otherwise.

use proptest::prelude::*;

use super::*;

const A: [f64; 5] = [19.8, 12.5, 13.7, 16.1, 20.3];
const B: [f64; 7] = [11.2, 9.4, 18.0, 15.5, 10.1, 13.1, 8.8];
/// With ties between them.
const X: [f64; 10] = [9.8, 10.6, 7.8, 9.3, 8.4, 8.9, 8.3, 9.7, 11.6, 9.3];
const Y: [f64; 8] = [11.1, 10.0, 7.1, 7.3, 9.8, 9.6, 6.2, 12.3];

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "{found}, not {expected}");
}

#[test]
fn mann_whitney_exact() {
    for (alternative, p_value) in [
        (Alternative::TwoSided, 0.073_232_323_232_323_23),
        (Alternative::Less, 0.976_010_101_010_101),
        (Alternative::Greater, 0.036_616_161_616_161_616),
    ] {
        let found = mann_whitney(&A, &B, alternative, Method::Auto, true).unwrap();
        assert_eq!((found.u1, found.u2, found.exact), (29.0, 6.0, true));
        close(found.p_value, p_value);
    }
}

#[test]
fn mann_whitney_with_ties() {
    for (alternative, p_value) in [(Alternative::TwoSided, 1.0), (Alternative::Less, 0.5), (Alternative::Greater, 0.535_436_859_467_213_8)]
    {
        let found = mann_whitney(&X, &Y, alternative, Method::Auto, true).unwrap();
        assert_eq!((found.u1, found.exact), (39.5, false));
        close(found.p_value, p_value);
    }
    close(mann_whitney(&X, &Y, Alternative::TwoSided, Method::Asymptotic, false).unwrap().p_value, 0.964_528_103_406_385_4);
    let alike = mann_whitney(&[1.0, 1.0], &[1.0, 1.0, 1.0], Alternative::TwoSided, Method::Auto, true).unwrap();
    assert_eq!(alike.p_value, 1.0, "nothing but ties");
}

#[test]
fn kolmogorov_smirnov_exact() {
    for (alternative, statistic, p_value) in [
        (Alternative::TwoSided, 4.0 / 7.0, 0.237_373_737_373_737_38),
        (Alternative::Less, 4.0 / 7.0, 0.118_686_868_686_868_69),
        (Alternative::Greater, 0.0, 1.0),
    ] {
        let found = kolmogorov_smirnov(&A, &B, alternative).unwrap();
        assert!(found.exact);
        close(found.statistic, statistic);
        close(found.p_value, p_value);
    }
}

#[test]
fn hodges_lehmann_by_order_statistics() {
    let found = hodges_lehmann(&A, &B, 0.9).unwrap();
    assert!(found.exact);
    close(found.estimate, 4.3);
    // The seventh difference from either end: P(U <= 6) is the first above 5 % of all 792 orders (counted one by one).
    close(found.interval.low, 0.6);
    close(found.interval.high, 9.1);
}

/// Cliff's own example data in spirit: ordered categories with many ties; the formulas evaluated in NumPy.
#[test]
fn cliffs_delta_with_ties() {
    let (x, y) = ([1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 4.0, 5.0]);
    let found = cliffs_delta(&x, &y, 0.95).unwrap();
    close(found.delta, -0.25);
    close(found.interval.low, -0.701_646_594_089_636_9);
    close(found.interval.high, 0.344_959_312_565_413_23);
    let apart = cliffs_delta(&[5.0, 6.0, 7.0], &[1.0, 2.0], 0.95).unwrap();
    assert_eq!(apart.delta, 1.0);
}

#[test]
fn fisher_of_the_lady_tasting_tea_and_another() {
    for (alternative, p_value) in [
        (Alternative::TwoSided, 0.485_714_285_714_285_65),
        (Alternative::Less, 0.985_714_285_714_285_8),
        (Alternative::Greater, 0.242_857_142_857_142_83),
    ] {
        close(fisher([[3, 1], [1, 3]], alternative, 0.95).unwrap().p_value, p_value);
    }
    let found = fisher([[12, 5], [29, 2]], Alternative::TwoSided, 0.95).unwrap();
    close(found.p_value, 0.080_268_552_074_104_63);
    close(found.odds_ratio, 0.172_669_646_902_944_23);
    close(found.interval.low, 0.014_534_125_727_048_16);
    close(found.interval.high, 1.231_003_290_246_470_7);
    close(found.sample_odds_ratio.unwrap(), 24.0 / 145.0);
    let empty = fisher([[0, 5], [0, 2]], Alternative::TwoSided, 0.95).unwrap();
    assert_eq!((empty.p_value, empty.interval.low, empty.interval.high), (1.0, 0.0, f64::INFINITY));
}

/// The example of R's `poisson.test`: 11 in 800 against 23 in 3000.
#[test]
fn rate_ratio_of_two_poisson_counts() {
    let of = |alternative| rate_ratio((11, 800.0), (23, 3_000.0), 1.0, alternative, 0.95).unwrap();
    let found = of(Alternative::TwoSided);
    close(found.ratio.unwrap(), 1.793_478_260_869_565_4);
    close(found.p_value, 0.137_168_691_678_205_67);
    close(found.interval.low, 0.789_310_945_699_126_6);
    close(found.interval.high, 3.829_820_066_816_624_5);
    close(of(Alternative::Less).p_value, 0.960_492_874_964_363_5);
    close(of(Alternative::Greater).p_value, 0.084_345_605_673_593_62);
    let none = rate_ratio((0, 1.0), (0, 1.0), 1.0, Alternative::TwoSided, 0.95).unwrap();
    assert_eq!((none.ratio, none.p_value, none.interval.high), (None, 1.0, f64::INFINITY));
}

/// The interval is the first example of Newcombe's paper.
#[test]
fn two_proportions_by_score() {
    let found = two_proportions((56, 70), (48, 80), Alternative::TwoSided, 0.95).unwrap();
    close(found.z, 2.650_171_951_258_533_6);
    close(found.p_value, 0.008_045_081_368_196_56);
    close(found.interval.low, 0.052_431_472_402_364_98);
    close(found.interval.high, 0.333_872_654_036_906);
    assert_eq!(two_proportions((0, 9), (0, 9), Alternative::TwoSided, 0.95).unwrap().p_value, 1.0);
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let said = |error: CompareError| error.to_string();
    assert!(said(mann_whitney(&[], &B, Alternative::Less, Method::Auto, true).unwrap_err()).contains("first sample is empty"));
    assert!(
        said(kolmogorov_smirnov(&A, &[f64::NAN], Alternative::Less).unwrap_err()).contains("second sample has a value that is not finite")
    );
    assert!(said(hodges_lehmann(&A, &B, 1.0).unwrap_err()).contains("level"));
    assert!(said(rate_ratio((1, 0.0), (1, 1.0), 1.0, Alternative::Less, 0.9).unwrap_err()).contains("exposures"));
    assert!(said(two_proportions((2, 1), (0, 1), Alternative::Less, 0.9).unwrap_err()).contains("no more events than trials"));
}

proptest! {
    /// The two samples change places, and everything is shifted or scaled: the answers follow.
    #[test]
    fn symmetry(x in prop::collection::vec(-50_i32..50, 1..12), y in prop::collection::vec(-50_i32..50, 1..12), shift in -5_i32..5) {
        let as_floats = |values: &[i32], shift: i32| values.iter().map(|value| f64::from(*value + shift)).collect::<Vec<_>>();
        let (a, b) = (as_floats(&x, 0), as_floats(&y, 0));
        let one = mann_whitney(&a, &b, Alternative::Less, Method::Auto, true).unwrap();
        let other = mann_whitney(&b, &a, Alternative::Greater, Method::Auto, true).unwrap();
        prop_assert!((one.p_value - other.p_value).abs() < 1e-12);
        prop_assert_eq!(one.u1 + one.u2, (x.len() * y.len()) as f64);
        let ks = kolmogorov_smirnov(&a, &b, Alternative::TwoSided).unwrap();
        prop_assert!((0.0..=1.0).contains(&ks.p_value) && (ks.p_value - kolmogorov_smirnov(&b, &a, Alternative::TwoSided).unwrap().p_value).abs() < 1e-12);
        let here = hodges_lehmann(&a, &b, 0.9).unwrap();
        let there = hodges_lehmann(&as_floats(&x, shift), &b, 0.9).unwrap();
        prop_assert!((there.estimate - here.estimate - f64::from(shift)).abs() < 1e-9);
        prop_assert!(here.interval.low <= here.estimate && here.estimate <= here.interval.high);
        let delta = cliffs_delta(&a, &b, 0.9).unwrap();
        prop_assert!((delta.delta - (one.u1 - one.u2) / (x.len() * y.len()) as f64).abs() < 1e-12);
        prop_assert!(delta.interval.low <= delta.delta + 1e-12 && delta.delta <= delta.interval.high + 1e-12);
    }

    /// A p-value is no smaller than its level more often than its level, whatever is observed: the sum over all tables of one margin.
    #[test]
    fn fisher_adds_up(a in 0_u64..12, b in 0_u64..12, c in 0_u64..12, d in 0_u64..12) {
        let found = fisher([[a, b], [c, d]], Alternative::TwoSided, 0.9).unwrap();
        let less = fisher([[a, b], [c, d]], Alternative::Less, 0.9).unwrap().p_value;
        let greater = fisher([[a, b], [c, d]], Alternative::Greater, 0.9).unwrap().p_value;
        prop_assert!(less + greater >= 1.0 - 1e-9 && found.p_value <= 1.0 && found.p_value + 1e-9 >= less.min(greater));
        prop_assert!((fisher([[c, d], [a, b]], Alternative::TwoSided, 0.9).unwrap().p_value - found.p_value).abs() < 1e-9);
    }
}
