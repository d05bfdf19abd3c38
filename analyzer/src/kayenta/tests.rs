//! The intervals were computed with a port of R's `wilcox.test` and `zeroin` in NumPy.

use super::*;

const HIGH: [f64; 8] = [12.1, 13.4, 11.8, 14.2, 15.0, 13.3, 12.7, 14.9];
const USUAL: [f64; 8] = [10.2, 11.1, 9.8, 10.9, 12.0, 10.4, 11.6, 9.9];

fn config(text: &str) -> MetricConfig {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn shift(found: &Classification, lower: f64, upper: f64, estimate: f64) {
    for (found, expected) in [(found.lower, lower), (found.upper, upper), (found.estimate, estimate)] {
        assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?}, not {expected}");
    }
}

#[test]
fn higher_and_lower_by_the_interval_of_the_shift() {
    let found = classify(&HIGH, &USUAL, &MetricConfig::default());
    shift(&found, 1.199_952_320_071_895_8, 4.300_036_757_451_428, 2.624_703_007_083_025);
    assert_eq!((found.classification, found.critical), (Label::High, false));
    assert!((found.ratio.unwrap() - 1.250_291_036_088_475).abs() < 1e-12);
    let found = classify(&USUAL, &HIGH, &MetricConfig::default());
    shift(&found, -4.300_036_757_451_428, -1.199_952_320_071_895_8, -2.631_048_750_223_440_5);
    assert_eq!(found.classification, Label::Low);
    assert_eq!(classify(&HIGH, &USUAL, &config(r#"{"direction": "decrease"}"#)).classification, Label::Pass);
    assert!(classify(&HIGH, &USUAL, &config(r#"{"critical": true}"#)).critical);
}

#[test]
fn ties_and_few_values_as_kayenta_has_them() {
    let found = classify(
        &[1.0, 2.0, 2.0, 3.0, 5.0, 2.0, 4.0, 1.0, 0.0, 2.0],
        &[1.0, 1.0, 2.0, 2.0, 3.0, 1.0, 2.0, 0.0, 1.0, 2.0],
        &MetricConfig::default(),
    );
    shift(&found, -0.999_960_463_217_251_4, 2.000_023_824_388_527_8, 0.999_948_733_626_998_5);
    assert_eq!(found.classification, Label::Pass);
    // Two values a side: the interval is all there is, and the metric fails. Kayenta does so too.
    let found = classify(&[5.0, 7.0], &[1.0, 2.0], &MetricConfig::default());
    shift(&found, 3.0, 6.0, 4.5);
    assert_eq!(found.classification, Label::High);
    // One value a side: it cannot be computed, and nothing fails.
    let found = classify(&[5.0], &[1.0], &config(r#"{"critical": true}"#));
    assert_eq!((found.classification, found.critical), (Label::Error, false));
}

#[test]
fn what_is_missing_follows_the_settings() {
    let label = |text: &str| {
        let found = classify(&[f64::NAN], &USUAL, &config(text));
        (found.classification, found.critical)
    };
    assert_eq!(label("{}"), (Label::Nodata, false));
    assert_eq!(label(r#"{"critical": true}"#), (Label::Nodata, true));
    assert_eq!(label(r#"{"mustHaveData": true}"#), (Label::NodataFailMetric, false));
    let replaced = classify(&[f64::NAN; 8], &USUAL, &config(r#"{"nanStrategy": "replace"}"#));
    assert_eq!((replaced.classification, replaced.ratio), (Label::Low, None), "zeros, and no ratio of means");
    assert_eq!(classify(&[], &USUAL, &config(r#"{"nanStrategy": "replace"}"#)).classification, Label::Pass);
    assert_eq!(
        classify(&USUAL, &[USUAL[7], USUAL[6], USUAL[5], USUAL[4], USUAL[3], USUAL[2], USUAL[1], USUAL[0]], &MetricConfig::default())
            .classification,
        Label::Pass
    );
}

#[test]
fn effects_and_outliers_as_they_are_set() {
    let least = |size: f64| classify(&HIGH, &USUAL, &config(&format!(r#"{{"effectSize": {{"allowedIncrease": {size}}}}}"#))).classification;
    assert_eq!((least(1.2), least(1.3)), (Label::High, Label::Pass));
    let critical = |size: f64| {
        let found = classify(&HIGH, &USUAL, &config(&format!(r#"{{"critical": true, "effectSize": {{"criticalIncrease": {size}}}}}"#)));
        (found.classification, found.critical)
    };
    assert_eq!((critical(1.2), critical(1.3)), ((Label::High, true), (Label::High, false)));
    let cles = |size: f64| {
        classify(&HIGH, &USUAL, &config(&format!(r#"{{"effectSize": {{"measure": "cles", "allowedIncrease": {size}}}}}"#))).classification
    };
    // Of 64 pairs the canary's is the greater one in 63.
    assert_eq!((cles(0.98), cles(0.99)), (Label::High, Label::Pass));
    let mut wild = USUAL.to_vec();
    wild.push(1_000.0);
    let kept = classify(&wild, &USUAL, &MetricConfig::default()).ratio.unwrap();
    let removed = classify(&wild, &USUAL, &config(r#"{"outliers": {"strategy": "remove", "outlierFactor": 1.5}}"#)).ratio.unwrap();
    assert!(kept > 10.0 && (removed - 1.0).abs() < 1e-12, "{kept} {removed}");
}

#[test]
fn two_constant_samples_are_told_apart_the_same_way_each_time() {
    let found = classify(&[5.0; 6], &[4.0; 6], &MetricConfig::default());
    assert_eq!(found.classification, Label::High);
    assert_eq!(found, classify(&[5.0; 6], &[4.0; 6], &MetricConfig::default()));
}

fn judged(name: &str, classification: Label, groups: &[&str]) -> Judged {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Judged { name: name.to_owned(), classification, groups, critical: false, muted: false }
}

#[test]
fn a_score_is_the_weighted_sum_of_its_groups() {
    let metrics = [
        judged("a", Label::Pass, &["latency"]),
        judged("b", Label::High, &["latency"]),
        judged("c", Label::Low, &["errors", "latency"]),
        judged("d", Label::Pass, &["errors"]),
        judged("e", Label::Nodata, &["system"]),
    ];
    let config: ScoreConfig = serde_json::from_str(r#"{"groupWeights": {"errors": 60}, "pass": 50, "marginal": 30}"#).unwrap();
    let found = score(&metrics, &config);
    // errors 50 x 0.6, latency 33.33 x 0.2, system without data counts as 100 x 0.2.
    assert_eq!((found.score, found.classification), (56.67, Summary::Pass));
    let groups: Vec<_> = found.groups.iter().map(|group| (group.name.as_str(), group.score.round(), group.no_data)).collect();
    assert_eq!(groups, [("errors", 50.0, false), ("latency", 33.0, false), ("system", 0.0, true)]);
}

#[test]
fn a_critical_failure_or_too_little_data_is_zero() {
    let mut metrics = vec![judged("a", Label::Pass, &["g"]), judged("b", Label::High, &["g"])];
    metrics[1].critical = true;
    let found = score(&metrics, &ScoreConfig::default());
    assert_eq!((found.score, found.classification), (0.0, Summary::Fail));
    assert!(found.reason.unwrap().contains('b'));
    metrics[1].muted = true;
    assert_eq!(score(&metrics, &ScoreConfig::default()).score, 100.0);
    let half = [judged("a", Label::Pass, &["g"]), judged("b", Label::Nodata, &["g"])];
    assert_eq!(score(&half, &ScoreConfig::default()).score, 0.0);
    // Errors are no missing data: Kayenta passes them.
    assert_eq!(score(&[judged("a", Label::Error, &["g"])], &ScoreConfig::default()).score, 100.0);
}
