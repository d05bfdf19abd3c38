use haldane_analyzer::cohort::{ChangedAttribute, Impact, NewError, NewMessage, UsersMet};
use haldane_store::UnixNanos;

use super::*;

/// A verdict as ARCHITECTURE.md shows it, with names that try to break out.
fn verdict() -> Verdict {
    serde_json::from_value(serde_json::json!({
        "rollout_id": "01", "sequence": 7, "service": "payment", "environment": "shop", "strategy": "canary",
        "decision": "rollback", "final": true, "status": "failed", "score": 0,
        "reason": "errors on POST /pay 24 × baseline", "reasons": ["errors on POST /pay 24 × baseline", "one | new error"],
        "baseline": {"selector": {"service.version": "1.4.0"}, "requests": 1_234_567, "instances": 3},
        "canary": {"selector": {"service.version": "1.5.0"}, "requests": 100, "instances": 2},
        "baseline_source": "preceding",
        "risk": {"e_value": 1300.0, "anytime_p": 0.0008, "alpha": 0.01}, "promotion": {"e_value": 0.1, "beta": 0.05},
        "checks": [
            {"name": "error_rate", "outcome": "regressed", "required": true, "unit": "1",
             "baseline": {"value": 0.004_444, "events": 4, "requests": 900}, "canary": {"value": 0.12, "events": 12, "requests": 100},
             "effect": {"measure": "rate_ratio", "estimate": 24.0, "low": 9.0, "high": 61.0, "level": 0.99}, "e_value": 1300.0,
             "reason": "worse"},
            {"name": "latency_p99", "outcome": "undecided", "unit": "s", "baseline": {"value": 0.1204}, "canary": {"value": null}}],
        "culprits": [
            {"kind": "error", "name": "f00d", "check": "new_errors", "e_value": 900.0, "excess": 11.5, "share": 0.97,
             "error_type": "Stripe`Secret`Missing", "message": "<b>no secret</b>\n# gotcha", "trace_ids": ["abc"], "reason": "only *here*"}],
        "started_at": "2026-11-20T21:00:00Z", "data_until": "2026-11-20T21:10:00Z", "decided_at": "2026-11-20T21:10:05Z", "seed": 42
    }))
    .unwrap()
}

#[test]
fn the_report_says_what_why_and_what_next() {
    insta::assert_snapshot!(markdown(&verdict(), None));
}

#[test]
fn text_from_telemetry_cannot_change_the_form() {
    let report = markdown(&verdict(), None);
    assert!(!report.lines().any(|line| line.starts_with("# gotcha")), "{report}");
    assert!(report.contains("``Stripe`Secret`Missing``") && report.contains("one \\| new error"), "{report}");
}

#[test]
fn the_story_says_who_met_it_what_differs_and_what_to_do() {
    let story = Story {
        impact: Impact {
            users: Some(UsersMet { served: 1_200, met: 35 }),
            failing_since: Some(UnixNanos::from_seconds(1_800_000_000)),
            attributes: vec![ChangedAttribute { key: "region".into(), baseline: vec![], canary: vec!["eu|1".into()] }],
            new_errors: vec![NewError {
                source: "exception".into(),
                error_type: "StripeSecretMissing".into(),
                message: "no STRIPE_KEY".into(),
                count: 11,
                trace_id: "abc".into(),
            }],
            new_messages: Some(vec![NewMessage {
                severity: "WARN".into(),
                message: "<b>retry <num></b>".into(),
                count: 40,
                trace_id: String::new(),
            }]),
        },
        requests_affected: 1_234,
        share_of_requests: 0.012_3,
        missing_settings: vec!["STRIPE_KEY".into()],
        time_to_detect: Some(Duration::from_secs(95)),
        time_to_recover: Some(Duration::from_secs(9_000)),
        next_steps: vec!["Roll the canary back.".into(), "Set STRIPE_KEY where the canary runs.".into()],
    };
    let report = markdown(&verdict(), Some(&Ok(story)));
    let (from, until) = (report.find("## Who met it").unwrap(), report.find("Rollout `01`").unwrap());
    insta::assert_snapshot!(&report[from..until]);
    let unknown = markdown(&verdict(), Some(&Err("reading took more than 15 s".into())));
    assert!(unknown.contains("## Who met it, and what differs\n\nreading took"), "{unknown}");
}

#[test]
fn numbers_keep_three_digits() {
    for (value, text) in
        [(0.0, "0"), (24.0, "24"), (0.4444, "0.444"), (1234.5, "1234"), (12.34, "12.3"), (0.000_05, "0.00005"), (100.0, "100")]
    {
        assert_eq!(digits(value), text);
    }
    assert_eq!((count(1_234_567).as_str(), count(999).as_str()), ("1,234,567", "999"));
}
