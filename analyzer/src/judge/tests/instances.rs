//! What single instances do: trouble of one of them, and slowness while they are new.

use std::time::Duration;

use haldane_store::{ExponentialHistogram, UnixNanos};

use super::super::*;
use super::world::{START, World, up_to};
use crate::policy::Policy;

/// Eight instances a cohort, one request in a hundred fails.
fn service() -> World {
    let mut world = World { instances: [8, 8], windows: 60, history_windows: 60, ..World::default() };
    world.operations.iter_mut().for_each(|operation| operation.errors = [0.01; 2]);
    world
}

fn window(at: UnixNanos) -> i64 {
    at.since(UnixNanos::from_seconds(START)).as_secs().try_into().map_or(0, |seconds: i64| seconds / 10)
}

/// One instance of the canary fails for one request in five in these windows.
fn with_trouble(windows: std::ops::Range<i64>) -> Evidence {
    let mut evidence = service().evidence();
    evidence.cells.change(|cell| {
        if cell.cohort == Role::Canary && &*cell.instance == "new-0" && windows.contains(&window(cell.at)) {
            cell.errors = cell.requests / 5;
        }
    });
    evidence
}

fn looks(evidence: &Evidence) -> Vec<Judgement> {
    (1..=60).map(|windows| judge(&Policy::default(), &up_to(evidence, windows))).collect()
}

fn is_rollback(judgement: &Judgement) -> bool {
    matches!(judgement.decision, Decision::Rollback { .. })
}

#[test]
fn a_minute_of_trouble_of_one_instance_is_no_fault_of_the_version() {
    for from in [0, 1, 6] {
        assert!(!looks(&with_trouble(from..from + 6)).iter().any(is_rollback), "from window {from}");
    }
}

#[test]
fn an_instance_whose_trouble_lasts_is_rolled_back_and_named() {
    let looks = looks(&with_trouble(0..60));
    let first = looks.iter().position(is_rollback).expect("four minutes are enough");
    assert!((18..40).contains(&first), "after {first} windows");
    assert!(looks[first].culprits.iter().any(|culprit| culprit.kind == CulpritKind::Instance && &*culprit.name == "new-0"));
}

/// Every duration twice as long.
fn doubled(durations: &ExponentialHistogram) -> ExponentialHistogram {
    let step = 1 << durations.scale();
    ExponentialHistogram::from_parts(durations.scale(), durations.zero_count(), durations.offset() + step, durations.counts().to_vec())
}

/// The canary's instances are slow for two minutes; those of the baseline were too, where one of them was replaced five minutes before.
fn with_slow_starts(in_baseline_too: bool) -> Evidence {
    let mut evidence = service().evidence();
    let started_at = evidence.started_at;
    let replaced = started_at.minus(Duration::from_secs(300));
    evidence.cells.change(|cell| {
        let born = match cell.cohort {
            Role::Canary => started_at,
            Role::Baseline if &*cell.instance == "old-0" && cell.at >= replaced => {
                cell.instance = "old-8".into();
                replaced
            }
            Role::Baseline => return,
        };
        let is_slow = cell.cohort == Role::Canary || in_baseline_too;
        if is_slow && cell.at < born.plus(Duration::from_secs(120)) {
            cell.durations = doubled(&cell.durations);
        }
    });
    evidence
}

#[test]
fn slowness_of_new_instances_counts_unless_the_baseline_has_it_too() {
    let known = looks(&with_slow_starts(true));
    assert!(!known.iter().any(is_rollback));
    let latency = known[59].comparisons.iter().find(|one| one.kind == CheckKind::Latency).unwrap();
    assert!(latency.reason.ends_with("which are slow in the baseline too"), "{}", latency.reason);
    assert!(looks(&with_slow_starts(false)).iter().any(is_rollback));
}
