use super::*;

fn counts(events: impl IntoIterator<Item = f64>, expected: f64) -> Vec<WindowCount> {
    (0..).zip(events).map(|(window, events)| WindowCount { window, expected, events }).collect()
}

/// By hand: (0, 4), (4, 0), (0, 4): squares 16 each, events 4 each, so 4 raw; two blocks with events against three of the prior: 11/5.
#[test]
fn the_serial_estimate_compares_neighbours() {
    let phi = serial_burstiness(&counts([0.0, 4.0, 0.0, 4.0], 1.0), 1);
    assert!((phi - 2.2).abs() < 1e-12, "{phi}");
}

#[test]
fn one_window_may_hold_a_single_episode() {
    assert_eq!(serial_burstiness(&counts([12.0], 1.0), 1), 12.0);
    assert_eq!(serial_burstiness(&counts([12.0], 1.0), 6), 1.0, "a minute that is not over says nothing about minutes");
}

/// Alternating windows lose and win by the same: in pairs of windows it cancels.
#[test]
fn what_hits_both_arms_at_once_is_no_burst() {
    let shared: Vec<f64> = (0..60).map(|window| if window % 20 < 6 { 50.0 } else { 5.0 }).collect();
    let (canary, baseline) = (counts(shared.iter().copied(), 10.0), counts(shared.iter().map(|events| events * 2.0), 20.0));
    let (phi, information) = paired_burstiness(Arms { canary: &canary, baseline: &baseline }, &[1, 6, 30]);
    assert_eq!(phi, 1.0);
    assert!(information > INFORMATION_ENOUGH);
    assert!(serial_burstiness(&canary, 1) > 2.0, "one arm alone cannot know");
}

#[test]
fn a_minute_long_storm_on_one_side_shows_in_blocks_of_a_minute() {
    let storm = counts((0..60).map(|window| if window / 6 == 4 { 40.0 } else { 4.0 }), 10.0);
    let calm = counts((0..60).map(|_| 4.0), 10.0);
    let arms = Arms { canary: &storm, baseline: &calm };
    let (short, long) = (paired_burstiness(arms, &[1]).0, paired_burstiness(arms, &[1, 6]).0);
    assert!(long > 2.0 * short && long > 10.0, "{short} {long}");
}

/// The DerSimonian-Laird variance of these four is 0.61808 (Q = 61.7706), by an independent program; with the prior the deviation is 0.44489.
#[test]
fn the_spread_agrees_with_an_independent_computation() {
    let groups = [10.0, 20.0, 40.0, 80.0].map(|events| GroupCount { expected: 37.5, events });
    let spread = spread(&groups, 1.0, 0.2);
    assert!((spread.sigma - 0.444_89).abs() < 1e-4, "{spread:?}");
}

#[test]
fn equal_instances_with_many_events_shrink_the_prior() {
    let groups = [GroupCount { expected: 1000.0, events: 1000.0 }; 8];
    let few = [GroupCount { expected: 1.0, events: 1.0 }; 8];
    assert!(spread(&groups, 1.0, 0.2).sigma < 0.13);
    assert!(spread(&few, 1.0, 0.2).sigma > 0.17, "eight instances with an event each say little");
    assert_eq!(spread(&groups[..1], 1.0, 0.2), Spread { sigma: 0.2, weight: 0.0 });
}

#[test]
fn the_concentration_of_equal_shares_is_one_over_their_number() {
    assert!((concentration([5.0; 4].into_iter()) - 0.25).abs() < 1e-12);
    assert_eq!(concentration(std::iter::empty()), 1.0);
}
