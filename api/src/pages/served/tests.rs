use std::time::Duration;

use haldane_analyzer::judge::{Cell, ErrorCount};
use haldane_store::UnixNanos;

use super::*;

fn cell(cohort: Role, operation: &str, instance: &str, (requests, errors): (u64, u64), millis: f64) -> Cell {
    let mut cell = Cell::new(UnixNanos::from_seconds(100), cohort, operation.into(), instance.into());
    (cell.requests, cell.errors) = (requests, errors);
    (0..requests).for_each(|number| cell.durations.record(millis * 1e6 * (1.0 + 0.001 * (number % 10) as f64)));
    cell.slow_trace = Some(slow_trace(operation, instance).into());
    cell
}

/// An id as traces have it.
fn slow_trace(operation: &str, instance: &str) -> String {
    format!("{:0>32}", format!("{operation}{instance}").bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn evidence() -> Evidence {
    let at = UnixNanos::from_seconds;
    let mut evidence = Evidence::new(1, Pairing::Concurrent, Duration::from_secs(10), at(100), at(200));
    let mut cells = vec![
        cell(Role::Baseline, "pay", "b", (1_000, 10), 20.0),
        cell(Role::Baseline, "list", "b", (1_000, 0), 20.0),
        cell(Role::Canary, "pay", "c1", (100, 31), 20.0),
        cell(Role::Canary, "pay", "c2", (100, 1), 20.0),
        cell(Role::Canary, "list", "c2", (100, 0), 80.0),
        cell(Role::Canary, "new", "c2", (500, 0), 80.0),
    ];
    let mut earlier = cell(Role::Baseline, "pay", "b", (9_000, 9_000), 20.0);
    earlier.at = at(50);
    cells.insert(0, earlier);
    evidence.cells = cells.into_iter().collect();
    evidence
}

#[test]
fn the_worst_comes_first_and_chance_counts_for_nothing() {
    let found = Exhibits::of(&evidence());
    let rows: Vec<(&str, f64)> = found.operations.rows.iter().map(|row| (&*row.name, row.harmed.round())).collect();
    assert_eq!(rows, [("list", 100.0), ("pay", 30.0), ("new", 0.0)], "slow requests, failed ones beyond 1 %, nothing to compare with");
    assert_eq!((found.baseline.requests, found.baseline.errors, found.canary.requests), (2_000, 10, 800), "history is left out");
    let rows: Vec<(&str, f64)> = found.instances.rows.iter().map(|row| (&*row.name, row.harmed.round())).collect();
    assert_eq!(rows, [("c2", 100.0), ("c1", 30.0)]);
}

#[test]
fn an_error_that_the_baseline_had_at_any_time_is_told_only_where_it_is_far_more_frequent() {
    let mut evidence = evidence();
    let error = |cohort: Role, fingerprint: &str, count: u64| ErrorCount {
        at: UnixNanos::from_seconds(if cohort == Role::Baseline { 10 } else { 110 }),
        cohort,
        operation: "pay".into(),
        instance: "i".into(),
        fingerprint: fingerprint.into(),
        source: "exception".into(),
        error_type: "E".into(),
        message: "m".into(),
        count,
        trace: Some("t".into()),
    };
    evidence.errors =
        vec![error(Role::Baseline, "old", 1), error(Role::Canary, "old", 9), error(Role::Canary, "new", 2), error(Role::Canary, "new", 3)];
    let (errors, of) = Exhibits::of(&evidence).new_errors;
    assert_eq!((errors.len(), of, errors[0].count), (2, 2, 5), "the new one first, then the one that is far more frequent");
    assert!(errors[0].expected == 0.0 && errors[1].expected < 0.1 && errors[1].count == 9);
    evidence.errors[1].count = 2;
    assert_eq!(Exhibits::of(&evidence).new_errors.1, 1, "two may be chance");
}

#[test]
fn a_trace_stands_beside_one_of_the_same_operation() {
    let (evidence, verdict) = (evidence(), verdict());
    let of = |asked: Option<&str>| examples(&verdict, Some(&evidence), asked);
    assert_eq!((of(None).operation.as_str(), of(None).baseline.len()), ("new", 0), "the busiest one, which the baseline lacks");
    let asked = of(Some(&slow_trace("pay", "c1")));
    assert_eq!((asked.operation.as_str(), asked.baseline), ("pay", vec![slow_trace("pay", "b")]));
    assert_eq!(examples(&verdict, None, None), Examples::default());
}

fn verdict() -> haldane_analyzer::Verdict {
    let side = serde_json::json!({"selector": {}, "requests": 0, "instances": 0});
    serde_json::from_value(serde_json::json!({
        "rollout_id": "r", "sequence": 1, "service": "s", "environment": "e", "strategy": "canary", "decision": "continue", "final": false,
        "status": "running", "baseline": side, "canary": side, "risk": {}, "promotion": {}, "started_at": "", "data_until": "", "decided_at": "",
    }))
    .unwrap()
}
