//! Evidence that makes no sense: a clear outcome, never a panic, never a promotion.

use proptest::prelude::*;

use super::super::*;
use super::world::World;
use crate::policy::Policy;
use haldane_store::{ExponentialHistogram, UnixNanos};

/// Counts that no service has: nothing, everything, more errors than requests, histograms that do not add up.
fn corrupt(cell: &mut Cell, how: u8, number: u64) {
    match how {
        0 => cell.requests = 0,
        1 => cell.errors = number,
        2 => cell.requests = number,
        3 => cell.durations = ExponentialHistogram::from_parts(6, number, i32::MAX, vec![number; 3]),
        4 => cell.durations = ExponentialHistogram::from_parts(-10, 0, i32::MIN, vec![1, number]),
        5 => cell.durations = ExponentialHistogram::new(20),
        6 => cell.instance = "".into(),
        _ => cell.at = cell.at.minus(std::time::Duration::from_secs(number)),
    }
}

fn promotes(evidence: &Evidence) -> bool {
    matches!(judge(&Policy::default(), evidence).decision, Decision::Promote { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn corrupted_cells_never_panic(
        seed in 0_u64..50,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8, prop_oneof![Just(u64::MAX), Just(0), 0_u64..1000, any::<u64>()]), 0..40),
    ) {
        let mut evidence = World { seed, windows: 6, history_windows: 3, ..World::default() }.evidence();
        let mut cells: Vec<Cell> = evidence.cells.iter().map(|cell| cell.to_cell()).collect();
        for (place, how, number) in damage {
            corrupt(place.get_mut(&mut cells), how, number);
        }
        evidence.cells = cells.into_iter().collect();
        let judgement = judge(&Policy::default(), &evidence);
        prop_assert!(!judgement.ln_risk.is_nan() && !judgement.ln_promotion.is_nan());
        prop_assert!(!matches!(judgement.decision, Decision::Promote { .. }), "a minute is too early to promote");
    }
}

#[test]
fn an_arm_without_requests_is_never_promoted() {
    let world = World { windows: 60, ..World::default() };
    let evidence = world.evidence();
    assert!(promotes(&evidence), "with both arms it is");
    for missing in [Role::Baseline, Role::Canary] {
        let cells = evidence.cells.iter().filter(|cell| cell.cohort != missing).collect();
        assert!(!promotes(&Evidence { cells, ..evidence.clone() }), "{missing:?}");
    }
    assert!(!promotes(&Evidence { cells: Cells::default(), ..evidence }));
}

#[test]
fn a_canary_that_fell_silent_is_not_promoted() {
    let mut evidence = World { windows: 120, ..World::default() }.evidence();
    let half = evidence.started_at.plus(evidence.window * 20);
    evidence.cells.retain(|cell| cell.cohort == Role::Baseline || cell.at < half);
    assert!(!promotes(&evidence));
}

#[test]
fn a_canary_of_which_is_said_that_it_serves_nothing_is_silent_too() {
    let mut evidence = World { windows: 120, ..World::default() }.evidence();
    let half = evidence.started_at.plus(evidence.window * 20);
    evidence.cells.change(|cell| {
        if cell.cohort == Role::Canary && cell.at >= half {
            *cell = Cell { instance: "idle".into(), requests: 0, errors: 0, durations: ExponentialHistogram::new(6), ..cell.clone() };
        }
    });
    let judgement = judge(&Policy::default(), &evidence);
    let Decision::Continue { doubts, .. } = judgement.decision else { panic!("{:?}", judgement.decision) };
    assert!(doubts.iter().any(|doubt| matches!(doubt, Doubt::Silent { .. })), "{doubts:?}");
    assert_eq!(judgement.canary.instances, 3, "one that served nothing does not count");
}

#[test]
fn windows_at_both_ends_of_time_are_no_panic() {
    let mut evidence = World { windows: 6, ..World::default() }.evidence();
    let first = evidence.cells.iter().map(|cell| cell.at).min().unwrap();
    let (started, last) = (evidence.started_at, evidence.until.minus(evidence.window));
    evidence.cells.change(|cell| match (cell.at, cell.instance.ends_with('0')) {
        (_, true) => cell.at = UnixNanos::new(i64::MIN),
        // These begin behind the first ones, so they are known to be young once, and end further away than a number reaches.
        (at, false) if at == first || at == started => cell.at = UnixNanos::new(i64::MIN + 1),
        (at, false) if at == last => cell.at = UnixNanos::new(i64::MAX - 1),
        (_, false) => {}
    });
    evidence.window = std::time::Duration::from_nanos(1);
    evidence.until = UnixNanos::new(i64::MAX);
    let judgement = judge(&Policy::default(), &evidence);
    assert!(!judgement.ln_risk.is_nan());
}
