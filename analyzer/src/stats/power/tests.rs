use super::*;

/// F12's table: 242 events in all, evenly split traffic, margin 25 %: 161 against 81 are twice as many.
#[test]
fn what_can_be_detected_agrees_with_the_published_table() {
    for (events, ratio) in [(1565.0, 1.5), (242.0, 2.0), (76.0, 3.0), (35.0, 5.0)] {
        let traffic =
            Traffic { split: 1.0, baseline_events: events / (1.0 + ratio), null: 1.25_f64.ln(), noise: Noise::NONE, cost: MIXTURE };
        let found = traffic.detectable_ratio(100_f64.ln()).unwrap();
        assert!((found / ratio - 1.0).abs() < 0.1, "{found} for {ratio}");
        let growth = traffic.growth_needed(ratio.ln(), 100_f64.ln()).unwrap();
        assert!((growth - 1.0).abs() < 0.3, "{growth} times the traffic for {ratio}");
    }
}

#[test]
fn what_the_spread_between_instances_hides_is_never_promised() {
    let traffic = Traffic { split: 1.0, baseline_events: 1e9, null: 0.0, noise: Noise { phi: 1.0, tau: 0.3 }, cost: MIXTURE };
    assert_eq!(traffic.growth_needed(0.5, 100_f64.ln()), None);
    assert!(traffic.detectable_ratio(100_f64.ln()).unwrap().ln() > 3.0 * 0.3);
}

#[test]
fn more_traffic_detects_less() {
    let traffic =
        |events: f64, cost: f64| Traffic { split: 0.1, baseline_events: events, null: 0.2, noise: Noise { phi: 1.5, tau: 0.1 }, cost };
    let at = |events: f64| traffic(events, MIXTURE).detectable_ratio(6.0);
    assert_eq!(at(0.0), at(0.1), "half an event at least");
    assert!(traffic(100.0, MIXTURE + 1.0).detectable_ratio(6.0) > at(100.0), "what another comparison has is missing here");
    assert!(at(1000.0).unwrap() < at(100.0).unwrap());
}
