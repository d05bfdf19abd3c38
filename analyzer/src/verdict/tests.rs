use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::{ExponentialHistogram, UnixNanos};
use serde_json::{Value, json};

use super::*;
use crate::judge::{Calibration, Cell, Cells, ComparisonCalibration, Evidence, Pairing, Role, judge};
use crate::policy::Policy;

const START: UnixNanos = UnixNanos::from_seconds(1_800_000_000);

fn subject(ended: bool) -> VerdictSubject {
    VerdictSubject {
        rollout_id: "r1".into(),
        sequence: 7,
        service: "payment".into(),
        environment: "shop".into(),
        strategy: "canary".into(),
        baseline_selector: BTreeMap::from([("service.version".into(), "1.4.0".into())]),
        canary_selector: BTreeMap::from([("service.version".into(), "1.5.0".into())]),
        stage: None,
        approval: None,
        gave_up: false,
        ended,
        decided_at: START.plus(Duration::from_secs(305)),
    }
}

fn cell(window: u32, cohort: Role, requests: u64, errors: u64) -> Cell {
    let mut durations = ExponentialHistogram::new(6);
    (0..requests).for_each(|request| durations.record(1e7 * (1.0 + request as f64 / 50.0)));
    Cell {
        at: START.plus(Duration::from_secs(10) * window),
        cohort,
        operation: "POST /pay".into(),
        instance: format!("{cohort:?}").into(),
        requests,
        errors,
        durations,
        error_trace: (errors > 0).then(|| format!("trace-{window}").into()),
        slow_trace: None,
    }
}

/// Errors of each cohort in a window of a hundred canary and nine hundred baseline requests, over 30 windows.
fn evidence(canary_errors: u64) -> Evidence {
    let cells = (0..30).flat_map(|window| [cell(window, Role::Baseline, 900, 4), cell(window, Role::Canary, 100, canary_errors)]);
    let until = START.plus(Duration::from_secs(300));
    Evidence { cells: cells.collect(), ..Evidence::new(42, Pairing::Concurrent, Duration::from_secs(10), START, until) }
}

fn verdict(evidence: &Evidence, ended: bool) -> Verdict {
    let policy = Policy::default();
    write(&subject(ended), &policy, evidence, &judge(&policy, evidence))
}

fn assert_all_numbers(value: &Value, path: &str) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| assert_all_numbers(field, &format!("{path}.{name}"))),
        Value::Array(items) => items.iter().for_each(|item| assert_all_numbers(item, path)),
        Value::Number(number) => assert!(number.as_f64().is_some_and(f64::is_finite), "{path}: {number}"),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn a_rollback_says_what_where_and_how_surely() {
    let verdict = verdict(&evidence(12), false);
    assert_eq!(
        (verdict.decision, verdict.status, verdict.is_final, verdict.score),
        (VerdictDecision::Rollback, VerdictStatus::Failed, true, 0)
    );
    assert!(verdict.reason.starts_with("errors on POST /pay 27 × baseline (99 % interval "), "{}", verdict.reason);
    assert!(verdict.reason.ends_with("): 360 of 3,000 against 120 of 27,000"), "{}", verdict.reason);
    assert!(verdict.risk.e_value >= 100.0 && verdict.risk.anytime_p <= 0.01, "{:?}", verdict.risk);
    assert_eq!((verdict.baseline.requests, verdict.canary.requests, verdict.poll_after_seconds), (27_000, 3_000, 0));
    let culprit = &verdict.culprits[0];
    assert_eq!((culprit.kind, culprit.name.as_str(), culprit.share), (CulpritKind::Operation, "POST /pay", 1.0));
    assert_eq!(culprit.trace_ids.len(), 5);
    assert_eq!(verdict.started_at, "2027-01-15T08:00:00Z");
}

#[test]
fn the_document_reads_back_and_holds_only_numbers() {
    let mut empty = evidence(0);
    empty.cells = Cells::default();
    for evidence in [evidence(12), evidence(0), evidence(1), empty] {
        for ended in [false, true] {
            let verdict = verdict(&evidence, ended);
            let text = serde_json::to_string(&verdict).unwrap();
            assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
            assert_all_numbers(&serde_json::from_str(&text).unwrap(), "verdict");
            assert_eq!(verdict.inconclusive_because.is_some(), verdict.decision == VerdictDecision::Inconclusive);
        }
    }
}

#[test]
fn the_fields_are_those_that_were_promised() {
    let document = serde_json::to_value(verdict(&evidence(12), false)).unwrap();
    let promised = [
        "approval",
        "baseline",
        "baseline_source",
        "calibration",
        "canary",
        "changes",
        "checks",
        "culprits",
        "data_until",
        "decided_at",
        "decision",
        "environment",
        "final",
        "groups",
        "inconclusive_because",
        "policy",
        "poll_after_seconds",
        "progress",
        "promotion",
        "reason",
        "reasons",
        "risk",
        "rollout_id",
        "score",
        "seed",
        "sequence",
        "service",
        "stage",
        "started_at",
        "status",
        "strategy",
    ];
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), promised);
    let names: Vec<&str> = document["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["error_rate", "latency_p50", "latency_p95", "latency_p99", "throughput", "new_errors", "log_errors", "calls"]);
    assert_eq!(document["checks"][0]["outcome"], json!("regressed"));
    assert_eq!(document["checks"][0]["effect"]["measure"], json!("rate_ratio"));
    assert_eq!(document["checks"][0]["noise"]["tau_source"], json!("prior"));
}

#[test]
fn a_check_that_was_wrong_too_often_counts_less_and_says_so() {
    let known = |discount: f64| Calibration {
        from: START,
        until: START,
        replays: 220,
        rollbacks: 9,
        comparisons: vec![ComparisonCalibration { name: "error_rate".into(), alarms: 9, stated: 0.004, phi: 1.0, tau: 0.1, discount }],
    };
    let judged = |calibration| verdict(&Evidence { calibration, ..evidence(3) }, false);
    let (plain, kept, discounted) = (judged(None), judged(Some(known(0.0))), judged(Some(known(7.0_f64.ln()))));
    assert_eq!((kept.checks.clone(), kept.decision), (plain.checks.clone(), plain.decision), "one that kept its word counts in full");
    let ratio = plain.checks[0].e_value / discounted.checks[0].e_value;
    assert!((ratio / 7.0 - 1.0).abs() < 1e-4, "{ratio}");
    let said = "; counts 7.0 times less, for it was wrong in 9 of 220 replays of this service's past";
    assert!(discounted.checks[0].reason.ends_with(said), "{}", discounted.checks[0].reason);
    let shown = discounted.calibration.unwrap();
    assert_eq!((shown.false_rollback_rate, shown.checks[0].discount, shown.checks[0].stated_rate), (0.0409091, 7.0, 0.004));
}

#[test]
fn an_older_document_still_reads() {
    let old = json!({
        "rollout_id": "r1", "sequence": 1, "service": "payment", "environment": "shop", "strategy": "canary",
        "decision": "continue", "final": false, "status": "running",
        "baseline": {"requests": 900}, "canary": {}, "risk": {"e_value": 1.0}, "promotion": {},
        "checks": [{"name": "error_rate", "outcome": "undecided", "baseline": {}, "canary": {}, "of_a_later_version": 1}],
        "started_at": "2027-01-15T08:00:00Z", "data_until": "2027-01-15T08:00:10Z", "decided_at": "2027-01-15T08:00:12Z",
    });
    let verdict: Verdict = serde_json::from_value(old).unwrap();
    assert_eq!(
        (verdict.decision, verdict.checks[0].outcome, verdict.baseline.requests),
        (VerdictDecision::Continue, Outcome::Undecided, 900)
    );
}

#[test]
fn what_is_undecided_when_the_rollout_ends_is_inconclusive() {
    let mut early = evidence(1);
    early.until = START.plus(Duration::from_secs(20));
    let until = early.until;
    early.cells.retain(|cell| cell.at < until);
    let open = verdict(&early, false);
    assert_eq!((open.decision, open.is_final, open.poll_after_seconds > 0), (VerdictDecision::Continue, false, true));
    assert!((1..=99).contains(&open.score));
    let over = verdict(&early, true);
    assert_eq!((over.decision, over.status, over.is_final), (VerdictDecision::Inconclusive, VerdictStatus::Inconclusive, true));
}

#[test]
fn without_data_the_verdict_says_so() {
    let mut nothing = evidence(0);
    nothing.cells = Cells::default();
    let verdict = verdict(&nothing, false);
    assert_eq!((verdict.decision, verdict.reason.as_str()), (VerdictDecision::Continue, "no requests of the baseline yet"));
    assert!(verdict.checks.iter().all(|check| check.outcome == Outcome::NoData), "{:?}", verdict.checks);
}
