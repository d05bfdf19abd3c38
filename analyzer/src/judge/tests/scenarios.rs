//! Releases as stories: what must be rolled back, what must not, and what has to be named.

use super::super::*;
use super::world::{Operation, World, up_to};
use crate::policy::Policy;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// A tenth of the traffic goes to the canary; ten minutes of history, ten of rollout.
fn shop(seed: u64) -> World {
    World { seed, split: 0.1, instances: [3, 2], windows: 60, history_windows: 60, ..World::default() }
}

/// The judgement at the first look, one each 10 s, that is not to go on; else the last one.
fn outcome(world: &World) -> Judgement {
    let (evidence, policy) = (world.evidence(), Policy::default());
    let mut judgements = (1..=world.windows).map(|windows| judge(&policy, &up_to(&evidence, windows)));
    let first = judgements.find(|judgement| !matches!(judgement.decision, Decision::Continue { .. }));
    first.unwrap_or_else(|| judge(&policy, &evidence))
}

fn is_rollback(judgement: &Judgement) -> bool {
    matches!(judgement.decision, Decision::Rollback { .. })
}

fn is_promotion(judgement: &Judgement) -> bool {
    matches!(judgement.decision, Decision::Promote { .. })
}

fn names(judgement: &Judgement, kind: CulpritKind, name: &str) -> bool {
    judgement.culprits.iter().any(|culprit| culprit.kind == kind && &*culprit.name == name)
}

#[test]
fn errors_in_one_operation_are_rolled_back_and_named() {
    for seed in SEEDS {
        let mut world = shop(seed);
        world.operations[1].errors[1] = 0.12;
        let judgement = outcome(&world);
        assert!(is_rollback(&judgement), "{judgement:?}");
        assert!(names(&judgement, CulpritKind::Operation, "POST /pay"), "{:?}", judgement.culprits);
        let Decision::Rollback { worst, .. } = &judgement.decision else { unreachable!("checked above") };
        assert!(worst.reason.starts_with("errors on POST /pay ") && worst.reason.contains("2 instances"), "{}", worst.reason);
        let culprit = judgement.culprits.iter().find(|culprit| culprit.kind == CulpritKind::Operation).unwrap();
        assert!(!culprit.traces.is_empty() && culprit.share > 0.5, "{culprit:?}");
    }
}

#[test]
fn one_slow_operation_is_rolled_back_and_named() {
    for seed in SEEDS {
        let mut world = shop(seed);
        world.operations[1].slower = 1.4;
        let judgement = outcome(&world);
        assert!(is_rollback(&judgement), "{judgement:?}");
        assert!(names(&judgement, CulpritKind::Operation, "POST /pay"), "{:?}", judgement.culprits);
    }
}

#[test]
fn a_rare_error_that_is_new_is_rolled_back_and_named() {
    for seed in SEEDS {
        let judgement = outcome(&World { new_error: 0.003, ..shop(seed) });
        assert!(is_rollback(&judgement), "{judgement:?}");
        assert!(names(&judgement, CulpritKind::Error, "f00d"), "{:?}", judgement.culprits);
    }
}

#[test]
fn a_canary_that_gets_more_of_the_slow_operation_is_not_rolled_back() {
    for seed in SEEDS {
        let mut world = shop(seed);
        world.operations[1] = Operation { median_ms: 400.0, errors: [0.05; 2], share: [0.1, 0.6], ..world.operations[1].clone() };
        world.operations[0].share = [0.9, 0.4];
        let judgement = outcome(&world);
        assert!(!is_rollback(&judgement), "{judgement:?}");
    }
}

#[test]
fn a_slow_instance_in_both_cohorts_is_not_rolled_back() {
    for seed in SEEDS {
        let judgement = outcome(&World { slow_instance: 4.0, ..shop(seed) });
        assert!(!is_rollback(&judgement), "{judgement:?}");
    }
}

#[test]
fn without_a_baseline_beside_it_the_canary_is_held_to_what_ran_before() {
    for seed in SEEDS {
        let good = World { pairing: Pairing::Preceding, ..shop(seed) };
        assert!(is_promotion(&outcome(&good)), "seed {seed}");
        let mut bad = good.clone();
        bad.operations[1].errors[1] = 0.12;
        let judgement = outcome(&bad);
        assert!(is_rollback(&judgement), "{judgement:?}");
    }
}

#[test]
fn a_clean_release_is_promoted() {
    for instances in [[1, 1], [3, 3]] {
        let promoted = (1..=20).filter(|seed| is_promotion(&outcome(&World { seed: *seed, instances, windows: 60, ..World::default() })));
        let promoted = promoted.count();
        assert!(promoted >= 17, "{promoted} of 20 with {instances:?} instances, half an hour's traffic of 50 requests a second each");
    }
}

#[test]
fn the_same_evidence_gives_the_same_judgement() {
    let evidence = World { storms: 0.1, ..shop(1) }.evidence();
    let backwards = Evidence { cells: evidence.cells.iter().rev().collect(), ..evidence.clone() };
    let [judged, again, otherwise] =
        [&evidence, &evidence, &backwards].map(|evidence| format!("{:?}", judge(&Policy::default(), evidence)));
    assert_eq!(judged, again);
    assert_eq!(judged, otherwise, "whatever order cells come in");
}
