//! Limits that hold whatever the baseline does.

use std::time::Duration;

use haldane_store::UnixNanos;

use super::super::*;
use super::world::{Operation, World};
use crate::policy::{GateKind, GateOverride, Policy, PolicyOverrides};

fn policy(gate: GateOverride) -> Policy {
    let gate = GateOverride { name: Some("limit".into()), ..gate };
    Policy::default().with(&PolicyOverrides { gates: Some(vec![gate]), ..PolicyOverrides::default() }).unwrap()
}

fn limit(judgement: &Judgement) -> &Comparison {
    judgement.comparisons.iter().find(|one| one.name == "limit").unwrap()
}

/// Ten minutes in which baseline and canary fail at these rates.
fn world(errors: [f64; 2]) -> World {
    World { operations: vec![Operation { errors, ..Operation::new("GET /cart", 1.0) }], windows: 60, ..World::default() }
}

fn slo(max: f64) -> GateOverride {
    GateOverride { kind: GateKind::Slo, error_rate: Some(max), ..GateOverride::default() }
}

#[test]
fn a_service_level_that_only_the_canary_breaks_is_rolled_back() {
    // So little worse than the baseline that the comparison alone does not mind.
    let evidence = world([0.0085, 0.014]).evidence();
    let lenient = PolicyOverrides { error_relative: Some(1.0), promote_error_relative: Some(1.5), ..PolicyOverrides::default() };
    let by = |gates: Vec<GateOverride>| {
        judge(&Policy::default().with(&PolicyOverrides { gates: Some(gates), ..lenient.clone() }).unwrap(), &evidence)
    };
    assert!(matches!(by(Vec::new()).decision, Decision::Promote { .. }));
    let judged = by(vec![slo(0.01)]);
    let Decision::Rollback { worst, .. } = &judged.decision else { panic!("{judged:?}") };
    assert!(worst.reason.starts_with("slo_error_rate: 1.4") && worst.reason.contains("at most 1 % may"), "{}", worst.reason);
    let told = by(vec![GateOverride { critical: Some(false), ..slo(0.01) }]);
    let Decision::Continue { doubts, .. } = &told.decision else { panic!("{told:?}") };
    assert!(doubts.iter().any(|doubt| matches!(doubt, Doubt::Gate { .. })), "what is not critical holds the promotion only");
}

#[test]
fn a_service_level_that_both_break_holds_the_promotion_but_rolls_nothing_back() {
    let judged = judge(&policy(slo(0.001)), &world([0.01, 0.01]).evidence());
    assert!(matches!(judged.decision, Decision::Continue { .. }), "{judged:?}");
    assert!(limit(&judged).reason.contains("a rollback would mend nothing"), "{}", limit(&judged).reason);
}

#[test]
fn a_level_that_is_kept_is_no_harm_however_often_one_looks() {
    for seed in 0..40 {
        let evidence = World { seed, burst: 3.0, ..world([0.009, 0.0095]) }.evidence();
        for minutes in 1..=10 {
            let until = evidence.started_at.plus(Duration::from_secs(60 * minutes));
            let judged = judge(&policy(slo(0.01)), &Evidence { until, ..evidence.clone() });
            assert_ne!(limit(&judged).finding, Finding::Regressed, "seed {seed}, minute {minutes}");
        }
    }
}

#[test]
fn a_latency_has_its_limit_too() {
    let gate = |seconds| GateOverride {
        kind: GateKind::Slo,
        latency_seconds: Some(seconds),
        latency_quantile: Some(0.9),
        ..GateOverride::default()
    };
    let slow = World { operations: vec![Operation { slower: 1.3, ..Operation::new("GET /cart", 1.0) }], windows: 60, ..World::default() }
        .evidence();
    // The baseline's p90 is 40 ms × e^(1.28 × 0.4) = 67 ms.
    let judged = judge(&policy(gate(0.072)), &slow);
    assert_eq!(limit(&judged).finding, Finding::Regressed, "{}", limit(&judged).reason);
    assert!(limit(&judged).reason.contains("p90 latency is 8"), "{}", limit(&judged).reason);
    assert_eq!(limit(&judge(&policy(gate(0.2)), &slow)).finding, Finding::NotWorse);
}

fn with_samples(values: impl Fn(Role, i64) -> f64) -> Evidence {
    let mut evidence = world([0.005; 2]).evidence();
    for minute in 0..10 {
        for cohort in [Role::Baseline, Role::Canary] {
            let at = UnixNanos::from_seconds(evidence.started_at.as_seconds() + 60 * minute);
            evidence.samples.push(Sample { at, cohort, check: "limit".into(), instance: "i".into(), value: values(cohort, minute) });
        }
    }
    evidence
}

#[test]
fn a_resource_is_passed_after_five_minutes_in_a_row() {
    let gate = GateOverride { kind: GateKind::Resource, metric: Some("cpu".into()), max: Some(0.8), ..GateOverride::default() };
    let policy = policy(gate);
    let of = |values: &dyn Fn(Role, i64) -> f64| judge(&policy, &with_samples(values));
    let canary_over = |since: i64| move |role: Role, minute: i64| if role == Role::Canary && minute >= since { 0.9 } else { 0.5 };
    let judged = of(&canary_over(5));
    let Decision::Rollback { worst, .. } = &judged.decision else { panic!("{judged:?}") };
    assert_eq!(worst.reason, "limit: 0.900 in the last minute, at most 0.8 is allowed");
    assert_eq!(limit(&of(&canary_over(6))).finding, Finding::Undecided, "four minutes are not enough, but hold the promotion");
    assert!(matches!(of(&|_, _| 0.9).decision, Decision::Continue { .. }), "the baseline is beyond it too");
    assert!(matches!(of(&|_, _| 0.5).decision, Decision::Promote { .. }));
    let unknown = judge(&policy, &world([0.005; 2]).evidence());
    assert!(matches!(unknown.decision, Decision::Continue { .. }), "what is not known holds the promotion");
}

#[test]
fn a_probe_fails_after_wrong_answers_in_a_row() {
    let gate = GateOverride { kind: GateKind::Probe, url: Some("http://shop/health".into()), ..GateOverride::default() };
    let policy = policy(gate);
    let of = |right: &[bool]| {
        let mut evidence = world([0.005; 2]).evidence();
        let sample = |(second, right): (i64, &bool)| {
            let at = UnixNanos::from_seconds(evidence.started_at.as_seconds() + second);
            Sample { at, cohort: Role::Canary, check: "limit".into(), instance: "".into(), value: if *right { 1.0 } else { 0.0 } }
        };
        evidence.samples = (0..).zip(right).map(sample).collect();
        judge(&policy, &evidence)
    };
    assert!(matches!(of(&[true, false, false, false]).decision, Decision::Rollback { .. }));
    assert!(matches!(of(&[true, false, false]).decision, Decision::Continue { .. }));
    assert!(matches!(of(&[false, false, true]).decision, Decision::Promote { .. }));
    assert!(matches!(of(&[]).decision, Decision::Continue { .. }));
}

#[test]
fn little_traffic_holds_a_promotion() {
    let gate = |least| policy(GateOverride { kind: GateKind::MinTraffic, requests_per_second: Some(least), ..GateOverride::default() });
    let evidence = world([0.005; 2]).evidence();
    assert!(matches!(judge(&gate(10.0), &evidence).decision, Decision::Promote { .. }));
    let judged = judge(&gate(80.0), &evidence);
    assert!(matches!(judged.decision, Decision::Continue { .. }), "{judged:?}");
    assert!(limit(&judged).reason.contains("at least 80 are needed"), "{}", limit(&judged).reason);
}

#[test]
fn a_group_without_its_score_holds_the_promotion_and_says_so() {
    let evidence = world([0.01, 0.01]).evidence();
    let by = |more: &str| {
        let overrides: PolicyOverrides = serde_json::from_str(more).unwrap();
        judge(&Policy::default().with(&overrides).unwrap(), &evidence)
    };
    let plain = by("{}");
    assert!(matches!(plain.decision, Decision::Promote { .. }));
    let names: Vec<&str> = plain.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["calls", "errors", "latency", "traffic"]);
    let latency = &plain.groups[2];
    assert_eq!((latency.score, latency.needed), (Some(100.0), None));
    assert_eq!(latency.comparisons, ["latency_p50", "latency_p95", "latency_p99"]);
    assert!((plain.groups.iter().map(|group| group.weight).sum::<f64>() - 1.0).abs() < 1e-9);

    assert!(matches!(by(r#"{"groups": {"latency": {"min_score": 100}}}"#).decision, Decision::Promote { .. }));
    let unknown =
        by(r#"{"metrics": [{"metric": "heap", "weight": 0, "group": "saturation"}], "groups": {"saturation": {"min_score": 1}}}"#);
    let Decision::Continue { doubts, .. } = &unknown.decision else { panic!("{unknown:?}") };
    let held = Doubt::Group { name: "saturation".into(), score: None, needed: 1.0 };
    assert_eq!(doubts.iter().collect::<Vec<_>>(), [&held], "nothing else stands in the way");

    let worse = judge(&Policy::default(), &world([0.01, 0.1]).evidence());
    let errors = worse.groups.iter().find(|group| group.name == "errors").unwrap();
    assert!(errors.score.is_some_and(|score| score < 30.0), "{errors:?}");
}

#[test]
fn a_group_that_no_check_belongs_to_is_a_mistake() {
    for (wrong, told) in [
        (r#"{"groups": {"speed": {"min_score": 50}}}"#, "groups: speed: no check of the policy belongs to it"),
        (r#"{"groups": {"errors": {"min_score": 101}}}"#, "groups: errors: min_score is 101, it has to lie between 0 and 100"),
        (r#"{"checks": [{"name": "error_rate", "group": ""}]}"#, "groups: : the length of name is 0, it has to lie between 1 and 100"),
        (r#"{"judge": "kayenta", "groups": {"errors": {"min_score": 1}}}"#, "groups is given, but judge is kayenta"),
    ] {
        let overrides: PolicyOverrides = serde_json::from_str(wrong).unwrap();
        let error = Policy::default().with(&overrides).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
