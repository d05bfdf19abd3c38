//! How often the judge is wrong, and how soon right, by the noise classes of its design. The chance is seeded, so the rates are fixed; the
//! full-size simulation with its bounds is run by hand.

use super::super::*;
use super::world::{World, up_to};
use crate::policy::{CheckOverride, Policy, PolicyOverrides};

/// Rollouts of a class.
const RUNS: u64 = 40;
/// The judge is asked every so many windows.
const EVERY: i64 = 3;

fn errors_only() -> Policy {
    let checks = Some(vec![CheckOverride { name: "error_rate".into(), required: Some(true), weight: Some(1.0), group: None }]);
    Policy::default().with(&PolicyOverrides { checks, ..PolicyOverrides::default() }).unwrap()
}

fn rolled_back(world: &World, policy: &Policy) -> bool {
    let evidence = world.evidence();
    let mut looks = (1..=world.windows / EVERY).map(|look| look * EVERY);
    looks.any(|windows| matches!(judge(policy, &up_to(&evidence, windows)).decision, Decision::Rollback { .. }))
}

/// How many of the runs are rolled back at some look when the canary's error rate is `factor` times the baseline's.
fn rollbacks(world: &World, factor: f64) -> usize {
    let policy = errors_only();
    let worlds = (0..RUNS).map(|seed| {
        let mut world = World { seed: seed + 1, ..world.clone() };
        world.operations.iter_mut().for_each(|operation| operation.errors[1] *= factor);
        world
    });
    worlds.filter(|world| rolled_back(world, &policy)).count()
}

/// One hundred requests a second, one in a hundred fails, eight instances a cohort, no history.
fn service() -> World {
    let mut world = World { with_durations: false, windows: 60, history_windows: 0, instances: [8, 8], ..World::default() };
    world.operations.iter_mut().for_each(|operation| operation.errors = [0.01; 2]);
    world
}

/// The design promises one in a hundred; of forty runs, at most one may be rolled back, and most threefold faults must be.
fn assert_rates(class: &str, world: &World) {
    let (wrong, right) = (rollbacks(world, 1.0), rollbacks(world, 3.0));
    assert!(wrong <= 1, "{class}: {wrong} of {RUNS} good releases rolled back");
    assert!(right >= 30, "{class}: only {right} of {RUNS} bad releases rolled back");
}

#[test]
fn independent_errors() {
    assert_rates("independent", &service());
    assert_rates("one request in ten to the canary", &World { split: 0.1, ..service() });
}

#[test]
fn drift_that_both_versions_share() {
    assert_rates("drift", &World { drift: 0.5, ..service() });
}

#[test]
fn errors_that_come_in_bursts() {
    assert_rates("bursts of three", &World { burst: 3.0, ..service() });
}

#[test]
fn instances_that_differ() {
    assert_rates("spread of 0.2", &World { error_spread: 0.2, ..service() });
    assert_rates("spread of 0.2, few instances", &World { error_spread: 0.2, instances: [3, 2], ..service() });
}

#[test]
fn minutes_of_storm_on_one_instance() {
    assert_rates("storms", &World { storms: 0.01, ..service() });
}

#[test]
fn storms_hide_no_fault_of_the_version() {
    let stormy = World { storms: 0.01, history_windows: 180, windows: 18, ..service() };
    let right = rollbacks(&stormy, 3.0);
    assert!(right >= 30, "only {right} of {RUNS} are found within three minutes");
}

/// A busy instance's storm is told from chance, an idle one's is not: storms must not be cut down in one cohort alone.
#[test]
fn a_cohort_of_idle_instances_does_not_look_worse_for_its_storms() {
    let wrong = rollbacks(&World { storms: 0.05, split: 0.1, history_windows: 180, ..service() }, 1.0);
    assert!(wrong <= 1, "{wrong} of {RUNS} good releases rolled back");
}
