//! Rehearsals of seeded worlds.

use std::time::Duration;

use std::sync::Arc;

use haldane_store::{Environment, ServiceName, UnixNanos};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::deal::{Deal, Injected, deal};
use super::past::Past;
use super::plan::{PlanRequest, PlannedFault, tried};
use super::replay::replay;
use crate::judge::tests::world::World;
use crate::judge::{Evidence, Role};
use crate::policy::{Policy, PolicyOverrides};

/// One version's past: both cohorts of a world taken together.
fn past(world: &World) -> Past {
    let mut evidence = world.evidence();
    evidence.cells.change(|cell| cell.cohort = Role::Baseline);
    evidence.errors.iter_mut().for_each(|error| error.cohort = Role::Baseline);
    Past { evidence }
}

fn world() -> World {
    World { instances: [4, 4], windows: 90, history_windows: 60, requests_per_second: 40.0, ..World::default() }
}

fn requests(evidence: &Evidence, role: Role) -> (f64, f64, f64) {
    let cells = evidence.cells.iter().filter(|cell| cell.at >= evidence.started_at && cell.cohort == role);
    cells.fold((0.0, 0.0, 0.0), |(requests, errors, timed), cell| {
        (requests + cell.requests as f64, errors + cell.errors as f64, timed + cell.durations.count() as f64)
    })
}

fn deal_of(share: f64, injected: Injected) -> Deal {
    Deal { share: Some(share), injected, seed: 3 }
}

#[test]
fn the_canary_has_its_share_and_no_past() {
    let past = past(&world());
    for share in [0.05, 0.1, 0.5, 0.9] {
        let dealt = deal(&past, deal_of(share, Injected::Nothing));
        let ((baseline, _, _), (canary, _, timed)) = (requests(&dealt, Role::Baseline), requests(&dealt, Role::Canary));
        assert!((canary / (canary + baseline) - share).abs() < 0.01, "{share}: {canary} and {baseline}");
        assert_eq!(timed, canary);
        assert!(dealt.cells.iter().all(|cell| cell.errors <= cell.requests));
        let names: std::collections::BTreeSet<_> =
            dealt.cells.iter().filter(|cell| cell.cohort == Role::Canary).map(|cell| cell.instance).collect();
        assert!(!dealt.cells.iter().any(|cell| cell.cohort == Role::Baseline && names.contains(cell.instance)));
        assert_eq!(deal(&past, deal_of(share, Injected::Nothing)), dealt, "the same seed deals the same");
    }
}

#[test]
fn one_instance_is_dealt_out_by_request_and_nothing_is_lost() {
    let mut past = past(&world());
    let started_at = past.evidence.started_at;
    past.evidence.cells.retain(|cell| &**cell.instance == "old-0" || cell.at < started_at);
    let whole: f64 = past.evidence.cells.iter().filter(|cell| cell.at >= past.evidence.started_at).map(|cell| cell.requests as f64).sum();
    assert!(whole > 0.0, "the world names its instances so");
    let dealt = deal(&past, deal_of(0.25, Injected::Nothing));
    let ((baseline, _, timed), (canary, _, _)) = (requests(&dealt, Role::Baseline), requests(&dealt, Role::Canary));
    assert_eq!(baseline + canary, whole);
    assert_eq!(timed, baseline);
    assert!((canary / whole - 0.25).abs() < 0.02);
}

#[test]
fn faults_are_as_large_as_they_are_called() {
    let past = past(&world());
    let of = |injected| requests(&deal(&past, deal_of(0.5, injected)), Role::Canary);
    let ((requests, before, _), (_, after, _)) = (of(Injected::Nothing), of(Injected::Errors(4.0)));
    assert!((after / before / 4.0 - 1.0).abs() < 0.25, "{before} and {after} of {requests}");
    let durations = |injected| {
        let dealt = deal(&past, deal_of(0.5, injected));
        let mut all = haldane_store::ExponentialHistogram::new(6);
        dealt.cells.iter().filter(|cell| cell.cohort == Role::Canary).for_each(|cell| cell.durations.add_to(&mut all));
        all.quantile(0.5)
    };
    assert!((durations(Injected::Latency(1.5)) / durations(Injected::Nothing) - 1.5).abs() < 0.02);
}

#[test]
fn a_plan_says_what_will_be_found_and_what_will_not() {
    let past = past(&world());
    let plan = tried(&past, &Policy::default(), 0.5, &CancellationToken::new()).unwrap();
    assert_eq!(plan.false_rollbacks.count, 0);
    assert_eq!(plan.promotions.count, plan.promotions.of);
    assert!((plan.requests_per_second - 40.0).abs() < 2.0, "{}", plan.requests_per_second);
    let found = |fault: fn(&PlannedFault) -> bool, factor: f64| {
        plan.faults.iter().find(|one| fault(&one.fault) && one.factor == factor).unwrap().found
    };
    let five = found(|fault| matches!(fault, PlannedFault::Errors { .. }), 5.0);
    assert_eq!(five.count, five.of, "{five:?}");
    let double = found(|fault| matches!(fault, PlannedFault::Latency), 2.0);
    assert_eq!(double.count, double.of, "{double:?}");
    assert!(plan.detectable_errors.is_some_and(|ratio| (1.3..5.0).contains(&ratio)), "{:?}", plan.detectable_errors);

    let quiet =
        tried(&self::past(&World { requests_per_second: 0.5, ..world() }), &Policy::default(), 0.1, &CancellationToken::new()).unwrap();
    let two = quiet.faults.iter().find(|one| matches!(one.fault, PlannedFault::Errors { .. })).unwrap();
    assert_eq!((two.factor, two.found.count), (2.0, 0), "twice one in two hundred, of three requests a minute");
}

#[test]
fn replays_of_a_steady_past_are_not_rolled_back_and_can_be_stopped() {
    let past = past(&World { error_spread: 0.1, ..world() });
    let run = replay(&past, 1, |_| true).unwrap();
    assert_eq!((run.replays.len(), run.replays.iter().filter(|replay| replay.rolled_back).count()), (11, 0));
    assert!(run.replays.iter().all(|replay| replay.comparisons.iter().any(|one| one.name == "error_rate" && one.budget == 0.004)));
    let back: super::replay::Run = serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap();
    assert_eq!(back, run);
    let mut made = 0;
    let stopped = replay(&past, 1, |_| {
        made += 1;
        made < 2
    });
    assert_eq!((stopped, made), (None, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_planned_is_said() {
    let (_dir, engine) = crate::cohort::tests::engine_over(Vec::new()).await;
    let request = |split: f64, minutes: u64| PlanRequest {
        service: ServiceName::parse("payment").unwrap(),
        environment: Environment::unnamed(),
        split,
        length: Duration::from_secs(60 * minutes),
        policy: PolicyOverrides::default(),
    };
    let text = |request: PlanRequest| {
        let engine = engine.clone();
        async move {
            let turn = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            super::plan(&engine, &request, None, UnixNanos::from_seconds(1_000_000), turn).await.unwrap_err().to_string()
        }
    };
    assert_eq!(text(request(1.0, 30)).await, "split is 100 %, it has to lie between 0.1 % and 99.9 %");
    assert_eq!(text(request(0.1, 600)).await, "for is 36000 s, it has to lie between 1 min and 6 h");
    let short = text(request(0.1, 30)).await;
    assert!(short.contains("has served for 0 min lately, at least 15 min are needed"), "{short}");
}
