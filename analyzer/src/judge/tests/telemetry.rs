//! Faults that no request shows: in what is logged and in what is called.

use std::sync::Arc;

use haldane_store::UnixNanos;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::*;
use super::world::World;
use crate::policy::{CheckOverride, Policy, PolicyOverrides};

/// A share of the requests of each cohort after which something is seen.
type Shares = [f64; 2];

fn world(seed: u64) -> World {
    World { seed, windows: 60, history_windows: 60, instances: [4, 4], ..World::default() }
}

/// Errors of a type that are logged in that share of the requests, by all instances.
fn logged(evidence: &mut Evidence, error_type: &str, shares: Shares) {
    let mut dice = StdRng::seed_from_u64(evidence.seed + 17);
    let sightings = evidence.cells.iter().filter_map(|cell| {
        let share = shares[usize::from(cell.cohort == Role::Canary)];
        let count = (0..cell.requests).filter(|_| dice.random::<f64>() < share).count() as u64;
        (count > 0).then(|| ErrorCount {
            at: cell.at,
            cohort: cell.cohort,
            operation: cell.operation.clone(),
            instance: cell.instance.clone(),
            fingerprint: format!("f-{error_type}").into(),
            source: "log".into(),
            error_type: error_type.into(),
            message: "caught".into(),
            count,
            trace: Some("t1".into()),
        })
    });
    let sightings: Vec<ErrorCount> = sightings.collect();
    evidence.errors.extend(sightings);
}

/// So many calls for each request.
fn called(evidence: &mut Evidence, name: &str, shares: Shares, failing: Shares) {
    let (kind, name): (Arc<str>, Arc<str>) = ("CLIENT".into(), name.into());
    let mut dice = StdRng::seed_from_u64(evidence.seed + 23);
    let calls: Vec<CallCount> = evidence
        .cells
        .iter()
        .map(|cell| {
            let role = usize::from(cell.cohort == Role::Canary);
            // Four chances for each request: as many calls on average, and not always the same.
            let chances = (0..4 * cell.requests).filter(|_| dice.random::<f64>() < shares[role] / 4.0);
            let count = chances.count() as u64;
            let errors = (0..count).filter(|_| dice.random::<f64>() < failing[role]).count() as u64;
            CallCount {
                at: cell.at,
                cohort: cell.cohort,
                instance: cell.instance.clone(),
                kind: kind.clone(),
                name: name.clone(),
                count,
                errors,
            }
        })
        .collect();
    evidence.calls.extend(calls);
}

fn comparison(judgement: &Judgement, kind: CheckKind) -> &Comparison {
    judgement.comparisons.iter().find(|one| one.kind == kind).unwrap()
}

fn changes(judgement: &Judgement) -> Vec<(ChangeKind, &str)> {
    judgement.changes.iter().map(|change| (change.kind, &*change.name)).collect()
}

#[test]
fn an_error_that_is_caught_and_logged_more_often_is_found_and_named() {
    for seed in 1..=3 {
        let mut evidence = world(seed).evidence();
        logged(&mut evidence, "Usual", [0.02; 2]);
        logged(&mut evidence, "CacheMiss", [0.01, 0.05]);
        let judgement = judge(&Policy::default(), &evidence);
        let Decision::Rollback { worst, .. } = &judgement.decision else { panic!("{judgement:?}") };
        assert_eq!(worst.comparison, "log_errors");
        assert!(worst.reason.contains("most of them") || worst.reason.contains("by CacheMiss"), "{}", worst.reason);
        let named = judgement.culprits.iter().find(|culprit| culprit.kind == CulpritKind::Error).unwrap();
        assert_eq!(&*named.error.as_ref().unwrap().error_type, "CacheMiss");
        assert_eq!(named.traces, [Arc::from("t1")]);
    }
}

#[test]
fn requests_that_fail_are_said_before_what_is_logged_of_them() {
    let mut world = world(1);
    world.operations.iter_mut().for_each(|operation| operation.errors[1] = 0.05);
    let mut evidence = world.evidence();
    logged(&mut evidence, "Broken", [0.001, 0.5]);
    let judgement = judge(&Policy::default(), &evidence);
    let Decision::Rollback { worst, others } = &judgement.decision else { panic!("{judgement:?}") };
    assert_eq!(worst.comparison, "error_rate");
    assert!(others.iter().any(|other| other.comparison == "log_errors"), "{others:?}");
    assert_eq!(judgement.culprits[0].comparison, "error_rate");
}

#[test]
fn what_both_log_alike_is_no_harm() {
    for seed in 1..=3 {
        let mut evidence = World { burst: 3.0, error_spread: 0.2, ..world(seed) }.evidence();
        logged(&mut evidence, "Usual", [0.05; 2]);
        logged(&mut evidence, "Rare", [0.0005; 2]);
        let judgement = judge(&Policy::default(), &evidence);
        assert!(!matches!(judgement.decision, Decision::Rollback { .. }), "{judgement:?}");
        assert!(comparison(&judgement, CheckKind::LogErrors).ln_e < 2.0);
    }
}

#[test]
fn a_changed_mix_of_operations_logs_and_calls_otherwise_and_is_no_harm() {
    for (seed, named) in [(1, true), (2, false), (3, true), (4, false)] {
        let mut world = world(seed);
        (world.operations[0].share, world.operations[1].share) = ([0.9, 0.3], [0.1, 0.7]);
        let mut evidence = world.evidence();
        // Only paying logs and calls.
        let quiet = Evidence { cells: evidence.cells.iter().filter(|cell| &**cell.operation == "POST /pay").collect(), ..evidence.clone() };
        let mut paying = quiet;
        logged(&mut paying, "Usual", [0.05; 2]);
        called(&mut paying, "GET bank", [1.0; 2], [0.05; 2]);
        evidence.errors = paying.errors;
        evidence.calls = paying.calls;
        if !named {
            evidence.errors.iter_mut().for_each(|error| error.operation = "a function of its own".into());
        }
        let judgement = judge(&Policy::default(), &evidence);
        assert!(!matches!(judgement.decision, Decision::Rollback { .. }), "{judgement:?}");
        assert!(comparison(&judgement, CheckKind::LogErrors).ln_e < 2.0 && judgement.changes.is_empty(), "{:?}", judgement.changes);
    }
}

#[test]
fn many_lines_for_a_failure_and_few_instances_with_much_to_do_are_no_harm() {
    for seed in 1..=5 {
        let mut evidence = World { instances: [8, 1], ..world(seed) }.evidence();
        logged(&mut evidence, "Stack", [0.01; 2]);
        evidence.errors.iter_mut().for_each(|error| error.count *= 50);
        let judgement = judge(&Policy::default(), &evidence);
        assert!(!matches!(judgement.decision, Decision::Rollback { .. }), "{judgement:?}");
        assert!(comparison(&judgement, CheckKind::LogErrors).ln_e < 3.0, "{:?}", comparison(&judgement, CheckKind::LogErrors));
    }
}

#[test]
fn one_incident_that_logs_a_thousand_lines_is_one_incident() {
    let mut evidence = world(1).evidence();
    let cell =
        evidence.cells.iter().find(|cell| cell.cohort == Role::Canary && cell.at.since(evidence.started_at).as_secs() > 200).unwrap();
    let flood = ErrorCount {
        at: cell.at,
        cohort: Role::Canary,
        operation: cell.operation.clone(),
        instance: cell.instance.clone(),
        fingerprint: "f".into(),
        source: "log".into(),
        error_type: "Flood".into(),
        message: "m".into(),
        count: 100_000,
        trace: None,
    };
    evidence.errors.push(flood);
    let judgement = judge(&Policy::default(), &evidence);
    assert!(!matches!(judgement.decision, Decision::Rollback { .. }), "{judgement:?}");
}

#[test]
fn changed_calls_are_named_and_decide_nothing() {
    for seed in 1..=3 {
        let mut evidence = world(seed).evidence();
        called(&mut evidence, "SELECT orders", [1.0, 1.0], [0.0; 2]);
        called(&mut evidence, "GET stock", [1.0, 3.0], [0.0; 2]);
        called(&mut evidence, "GET fraud", [1.0, 0.0], [0.0; 2]);
        called(&mut evidence, "GET api.stripe.com", [0.0, 0.4], [0.0; 2]);
        called(&mut evidence, "GET cache", [0.9, 0.2], [0.0; 2]);
        called(&mut evidence, "GET prices", [1.0, 1.0], [0.01, 0.2]);
        let judgement = judge(&Policy::default(), &evidence);
        assert!(!matches!(judgement.decision, Decision::Rollback { .. }), "{judgement:?}");
        let mut seen = changes(&judgement);
        seen.sort_by_key(|(_, name)| *name);
        let expected = [
            (ChangeKind::NewCall, "GET api.stripe.com"),
            (ChangeKind::FewerCalls, "GET cache"),
            (ChangeKind::MissingCall, "GET fraud"),
            (ChangeKind::FailingCalls, "GET prices"),
            (ChangeKind::MoreCalls, "GET stock"),
        ];
        assert_eq!(seen, expected);
        let new = judgement.changes.iter().find(|change| change.kind == ChangeKind::NewCall).unwrap();
        assert!(
            new.reason.starts_with("GET api.stripe.com: 0.4") && new.reason.ends_with("times a request, and never by the baseline"),
            "{}",
            new.reason
        );
        assert!(comparison(&judgement, CheckKind::Calls).reason.ends_with("; and 4 more"));
    }
}

#[test]
fn a_policy_may_give_changed_calls_a_weight() {
    let mut evidence = world(2).evidence();
    called(&mut evidence, "GET fraud", [1.0, 0.0], [0.0; 2]);
    let check = |name: &str, weight: f64| CheckOverride { name: name.into(), weight: Some(weight), ..CheckOverride::default() };
    let checks = Some(vec![check("error_rate", 0.5), check("calls", 0.5)]);
    let policy = Policy::default().with(&PolicyOverrides { checks, ..PolicyOverrides::default() }).unwrap();
    let judgement = judge(&policy, &evidence);
    let Decision::Rollback { worst, .. } = &judgement.decision else { panic!("{judgement:?}") };
    assert!(worst.reason.starts_with("calls changed: GET fraud: never, and "), "{}", worst.reason);
}

#[test]
fn calls_that_are_as_many_are_no_change() {
    for seed in 1..=5 {
        let mut evidence = World { drift: 0.3, ..world(seed) }.evidence();
        called(&mut evidence, "SELECT orders", [2.3; 2], [0.02; 2]);
        called(&mut evidence, "GET rare", [0.001; 2], [0.1; 2]);
        let judgement = judge(&Policy::default(), &evidence);
        assert!(judgement.changes.is_empty(), "{:?}", judgement.changes);
        assert_eq!(comparison(&judgement, CheckKind::Calls).finding, Finding::NotWorse);
    }
}

#[test]
fn an_instance_that_only_logs_counts_too() {
    let mut evidence = world(1).evidence();
    logged(&mut evidence, "Usual", [0.01; 2]);
    logged(&mut evidence, "Broken", [0.0, 0.08]);
    // The logs come from a sidecar with a name of its own, at times when nothing is served too.
    evidence.errors.iter_mut().for_each(|error| error.instance = "sidecar".into());
    evidence.errors.push(ErrorCount { at: UnixNanos::new(0), ..evidence.errors[0].clone() });
    let judgement = judge(&Policy::default(), &evidence);
    assert!(comparison(&judgement, CheckKind::LogErrors).ln_e > 5.0);
}
