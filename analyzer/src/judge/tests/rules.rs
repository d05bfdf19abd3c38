//! Kayenta's judge in a policy, and what a wrong routing does to ours.

use super::super::*;
use super::world::{World, up_to};
use crate::policy::{JudgeName, KayentaOverrides, Policy, PolicyOverrides};

fn world() -> World {
    World { windows: 180, history_windows: 30, instances: [4, 4], ..World::default() }
}

fn with(overrides: PolicyOverrides) -> Policy {
    Policy::default().with(&PolicyOverrides { max_duration_seconds: Some(1_800), ..overrides }).unwrap()
}

fn kayenta() -> Policy {
    with(PolicyOverrides { judge: Some(JudgeName::Kayenta), ..PolicyOverrides::default() })
}

fn share(share: f64) -> Policy {
    with(PolicyOverrides { canary_share: Some(share), ..PolicyOverrides::default() })
}

#[test]
fn kayenta_looks_at_intervals_and_promotes_at_the_end_only() {
    let (evidence, policy) = (world().evidence(), kayenta());
    let at = |windows: i64| judge(&policy, &up_to(&evidence, windows));
    let Decision::Continue { doubts, eta } = at(29).decision else { panic!("before the first look") };
    assert_eq!(
        (doubts.first, eta.unwrap().as_secs()),
        (Doubt::Scheduled { seen: None, left: std::time::Duration::from_secs(1_510) }, 1_510)
    );
    let midway = at(60);
    assert!(
        matches!(&midway.decision, Decision::Continue { doubts, .. } if matches!(doubts.first, Doubt::Scheduled { seen: Some(_), .. }))
    );
    assert_eq!(midway.score, Some(100.0), "{midway:?}");
    let end = at(180);
    let Decision::Promote { proofs } = &end.decision else { panic!("{end:?}") };
    assert_eq!(proofs.first.reason, "Kayenta's score is 100 of 100 after 30 min");
    let names: Vec<&str> = end.comparisons.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["error_rate", "latency_p50", "latency_p95", "latency_p99"]);
    assert!(end.comparisons.iter().all(|one| one.finding == Finding::NotWorse && one.baseline.value.is_some()));
}

#[test]
fn kayenta_rolls_back_at_the_first_interval_that_fails_and_says_by_what() {
    let mut world = world();
    world.operations.iter_mut().for_each(|operation| (operation.errors[1], operation.slower) = (0.06, 1.5));
    let (evidence, policy) = (world.evidence(), kayenta());
    assert!(matches!(judge(&policy, &up_to(&evidence, 29)).decision, Decision::Continue { .. }), "it has not looked");
    for windows in [30, 45, 180] {
        let judgement = judge(&policy, &up_to(&evidence, windows));
        let Decision::Rollback { worst, .. } = &judgement.decision else { panic!("{judgement:?}") };
        assert!(
            worst.reason.starts_with("Kayenta's score is 0.00 of 100 after 5 min: error_rate High, latency_p50 High"),
            "{}",
            worst.reason
        );
    }
}

#[test]
fn kayenta_does_not_decide_on_nothing() {
    let mut evidence = world().evidence();
    evidence.cells.retain(|cell| cell.cohort == Role::Baseline);
    let judgement = judge(&kayenta(), &evidence);
    let Decision::Inconclusive { because } = &judgement.decision else { panic!("{judgement:?}") };
    assert_eq!(because.first, Doubt::NoData { cohort: "canary" });
    let rare = KayentaOverrides { interval_seconds: Some(30), marginal: Some(90.0), ..KayentaOverrides::default() };
    let mistakes = PolicyOverrides { judge: Some(JudgeName::Kayenta), kayenta: Some(rare.clone()), ..PolicyOverrides::default() };
    assert_eq!(Policy::default().with(&mistakes).unwrap_err().mistakes.len(), 2, "the interval, and pass below marginal");
    let other = PolicyOverrides { kayenta: Some(rare), ..PolicyOverrides::default() };
    assert!(Policy::default().with(&other).unwrap_err().to_string().contains("judge is not kayenta"));
}

#[test]
fn a_share_that_is_not_the_configured_one_is_told_within_two_minutes() {
    for seed in 1..=5 {
        let evidence = World { seed, split: 0.2, ..world() }.evidence();
        let judgement = judge(&share(0.1), &up_to(&evidence, 12));
        let Decision::Continue { doubts, .. } = &judgement.decision else { panic!("{judgement:?}") };
        let Doubt::Misrouted { reason } = &doubts.first else { panic!("{doubts:?}") };
        assert!(reason.starts_with("the canary gets ") && reason.ends_with("of the requests, 10.0 % are configured"), "{reason}");
        let right = judge(&share(0.2), &evidence);
        assert!(matches!(right.decision, Decision::Promote { .. }), "{:?}", right.decision);
        assert!(right.comparisons.iter().any(|one| one.kind == CheckKind::SampleRatio && one.finding == Finding::NotWorse));
    }
}

#[test]
fn a_wrong_routing_is_never_rolled_back_and_never_promoted() {
    let mut world = World { split: 0.3, ..world() };
    let good = judge(&share(0.1), &world.evidence());
    assert!(matches!(good.decision, Decision::Inconclusive { .. }), "{good:?}");
    world.operations.iter_mut().for_each(|operation| operation.errors[1] = 0.1);
    let bad = judge(&share(0.1), &up_to(&world.evidence(), 30));
    let Decision::Inconclusive { because } = &bad.decision else { panic!("{bad:?}") };
    assert!(matches!(because.first, Doubt::Misrouted { .. }) && matches!(because.rest[0], Doubt::Suspicious { .. }), "{because:?}");
    let unsaid = judge(&Policy::default(), &up_to(&world.evidence(), 30));
    assert!(matches!(unsaid.decision, Decision::Rollback { .. }), "without a configured share there is nothing to hold it to");
    assert!(unsaid.comparisons.iter().all(|one| one.kind != CheckKind::SampleRatio));
}
