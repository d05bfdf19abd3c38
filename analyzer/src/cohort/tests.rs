use std::time::Duration;

use haldane_store::table::{Access, HotRows, TablesConfig};
use haldane_store::{Environment, ServiceName, TableName, Tables, UnixNanos};
use serde_json::{Value, json};

use super::*;
use crate::judge::{Evidence, Role, TraceId};
use crate::query::{Engine, QueryError, QueryLimits};

/// Rows as JSON; columns that are not named are null.
fn batch(table: TableName, rows: &[Value]) -> arrow::record_batch::RecordBatch {
    let mut decoder = arrow::json::ReaderBuilder::new(table.schema()).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap()
}

pub(crate) async fn engine_over(rows: Vec<(TableName, Vec<Value>)>) -> (tempfile::TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let tables = Tables::open(&TablesConfig { dir: dir.path().join("tables"), access: Access::ReadOnly }).await.unwrap();
    let batches = rows.iter().map(|(table, rows)| (*table, batch(*table, rows))).collect();
    tables.publish(HotRows { through: 1, batches });
    (dir, Engine::new(&tables, QueryLimits::default()).unwrap())
}

fn at(second: i64) -> String {
    UnixNanos::from_seconds(1_000_000 + second).to_rfc3339()
}

/// A request of 2^20 ns, the middle of no bucket, in both tables.
fn request(second: i64, version: &str, failed: bool) -> (Value, Value) {
    let place =
        json!({"service_name": "payment", "deployment_environment_name": "shop", "service_version": version, "service_instance_id": "i1"});
    let with = |more: Value| {
        let mut row = place.as_object().unwrap().clone();
        row.extend(more.as_object().unwrap().clone());
        Value::Object(row)
    };
    let status = if failed { "ERROR" } else { "UNSET" };
    let span = with(json!({"time": at(second), "name": "pay", "kind": "SERVER", "http_route": "/pay", "http_request_method": "POST",
        "status_code": status, "duration_ns": 1_048_576, "trace_id": "t1", "resource_attributes": {"tenant": "a"}}));
    let red = with(
        json!({"time": at(second - second % 10), "span_kind": "SERVER", "operation": "POST /pay", "requests": 1, "errors": i64::from(failed),
        "duration_scale": 6, "duration_zero_count": 0, "duration_offset": 1279, "duration_counts": [1],
        "error_trace_id": if failed { json!("t1") } else { json!(null) }, "slow_trace_id": "t1"}),
    );
    (span, red)
}

fn question<'a>(service: &'a ServiceName, environment: &'a Environment, cohorts: &'a (Selector, Selector)) -> Question<'a> {
    Question {
        service,
        environment,
        baseline: &cohorts.0,
        canary: &cohorts.1,
        started_at: UnixNanos::from_seconds(1_000_100),
        until: UnixNanos::from_seconds(1_000_200),
        history: Duration::from_secs(50),
        seed: 7,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_rollups_give_the_same_evidence() {
    let requests =
        [(101, "1", false), (102, "1", true), (105, "2", false), (118, "2", true), (60, "1", false), (10, "1", false), (99, "2", false)];
    let (spans, red): (Vec<_>, Vec<_>) = requests.iter().map(|(second, version, failed)| request(*second, version, *failed)).unzip();
    let (_dir, engine) = engine_over(vec![(TableName::Spans, spans), (TableName::Red, red)]).await;
    let (service, environment) = (ServiceName::parse("payment").unwrap(), Environment::parse("shop").unwrap());
    let rollups = (Selector::version("1").unwrap(), Selector::version("2").unwrap());
    let spans = (Selector::parse("service.version=1,tenant=a").unwrap(), Selector::parse("service.version=2,tenant=a").unwrap());

    let fast = gather(&engine, &question(&service, &environment, &rollups)).await.unwrap();
    let slow = gather(&engine, &question(&service, &environment, &spans)).await.unwrap();
    assert_eq!(fast, slow);
    let seen: Vec<_> = fast.cells.iter().map(|cell| (cell.at.as_seconds() - 1_000_000, cell.cohort, cell.requests, cell.errors)).collect();
    let expected = [(60, Role::Baseline, 1, 0), (100, Role::Baseline, 2, 1), (100, Role::Canary, 1, 0), (110, Role::Canary, 1, 1)];
    assert_eq!(seen, expected, "history of the baseline only, whole windows, both cohorts");
    assert_eq!(fast.cells.iter().nth(1).unwrap().error_trace, Some(&TraceId::Text("t1".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_together_is_what_is_read_alone() {
    let place = |row: &Value, service: &str, environment: &str, lane: &str| {
        let mut row = row.as_object().unwrap().clone();
        row.insert("service_name".into(), service.into());
        row.insert("deployment_environment_name".into(), if environment == "default" { Value::Null } else { environment.into() });
        row.insert("cohort_attributes".into(), json!({"k8s.deployment.name": lane}));
        Value::Object(row)
    };
    let (mut red, mut errors) = (Vec::new(), Vec::new());
    for (number, service) in ["cart", "payment", "it's"].into_iter().enumerate() {
        for (second, version, environment) in
            [(60, "1", "shop"), (101, "1", "shop"), (102, "2", "shop"), (118, "2", "default"), (150, "2", "shop")]
        {
            let (_, row) = request(second, version, number == 1);
            red.push(place(&row, service, environment, if second > 110 { "b" } else { "a" }));
            let mut call = row.as_object().unwrap().clone();
            call.extend([("span_kind".to_owned(), json!("CLIENT")), ("requests".to_owned(), json!(number + 2))]);
            red.push(place(&Value::Object(call), service, environment, "a"));
            let error = json!({"time": at(second - second % 10), "service_version": version, "operation": "POST /pay", "fingerprint": "f", "source": "exception",
                "error_type": "Boom", "message": "m", "count": second, "trace_id": "t9"});
            errors.push(place(&error, service, environment, "a"));
        }
    }
    let (_dir, engine) = engine_over(vec![(TableName::Red, red), (TableName::Errors, errors)]).await;
    let versions = (Selector::version("1").unwrap(), Selector::version("2").unwrap());
    let lanes = (Selector::parse("k8s.deployment.name=a").unwrap(), Selector::parse("k8s.deployment.name=b,service.version=2").unwrap());
    let service = |name: &str| ServiceName::parse(name).unwrap();
    let places = [
        (service("payment"), Environment::parse("shop").unwrap(), &versions),
        (service("it's"), Environment::parse("shop").unwrap(), &lanes),
        (service("payment"), Environment::unnamed(), &versions),
        (service("nobody"), Environment::unnamed(), &versions),
    ];
    let questions: Vec<Question<'_>> =
        places.iter().map(|(service, environment, cohorts)| question(service, environment, cohorts)).collect();
    assert!(questions.iter().all(can_share));
    let anew: Vec<_> = questions.iter().map(|question| (question.clone(), None)).collect();
    let together = gather_together(&engine, &anew).await.unwrap();
    for (question, together) in questions.iter().zip(together) {
        assert_eq!(together.unwrap().join(question, None).unwrap().evidence, gather(&engine, question).await.unwrap(), "{question:?}");
    }
    let seen = gather(&engine, &questions[1]).await.unwrap();
    assert!(seen.cells.len() == 3 && seen.errors.len() > 1 && seen.calls.len() > 1, "{seen:?}");
    let apart = (Selector::parse("tenant=a").unwrap(), versions.1.clone());
    assert!(!can_share(&question(&places[0].0, &places[0].1, &apart)), "spans are read alone");
}

/// Requests, calls and errors of both versions each second for ten minutes.
fn ten_minutes() -> Vec<(TableName, Vec<Value>)> {
    let (mut red, mut errors) = (Vec::new(), Vec::new());
    for second in 0..600 {
        let version = if second % 3 == 0 { "2" } else { "1" };
        let (_, row) = request(second, version, second % 7 == 0);
        let mut call = row.as_object().unwrap().clone();
        call.insert("span_kind".to_owned(), json!("CLIENT"));
        red.extend([row, Value::Object(call)]);
        errors.push(
            json!({"time": at(second - second % 10), "service_name": "payment", "deployment_environment_name": "shop", "service_version": version,
            "service_instance_id": "i1", "operation": "POST /pay", "fingerprint": format!("f{}", second % 4), "source": "exception", "error_type": "Boom",
            "message": "m", "count": 1, "trace_id": "t9"}),
        );
    }
    vec![(TableName::Red, red), (TableName::Errors, errors)]
}

#[tokio::test(flavor = "multi_thread")]
async fn going_on_from_an_earlier_reading_finds_what_a_whole_one_finds() {
    let (_dir, engine) = engine_over(ten_minutes()).await;
    let (service, environment) = (ServiceName::parse("payment").unwrap(), Environment::parse("shop").unwrap());
    let cohorts = (Selector::version("1").unwrap(), Selector::version("2").unwrap());
    let until = |second: i64| Question { until: UnixNanos::from_seconds(1_000_000 + second), ..question(&service, &environment, &cohorts) };
    let mut known = gather_on(&engine, &until(100), None).await.unwrap();
    let mut went_on = 0;
    for second in [110, 120, 180, 190, 400, 410, 600] {
        let question = until(second);
        let whole = gather(&engine, &question).await.unwrap();
        let earlier = Earlier { evidence: &known.evidence, keys: &known.keys };
        let together = gather_together(&engine, &[(question.clone(), Some(earlier))]).await.unwrap().remove(0);
        let together = together.unwrap().join(&question, Some(earlier)).unwrap();
        let alone = gather_on(&engine, &question, Some(earlier)).await.unwrap();
        assert!(whole.cells.len() > 5 && whole.errors.len() > 5 && whole.calls.len() > 5);
        assert_eq!((&together.evidence, &alone.evidence), (&whole, &whole), "up to {second} s");
        assert_eq!(alone.is_whole, together.is_whole);
        went_on += i32::from(!alone.is_whole);
        known = alone;
    }
    assert_eq!(went_on, 5, "only the first two are too young to have anything settled");
    let later = Question { started_at: UnixNanos::from_seconds(1_000_300), ..until(600) };
    let earlier = Earlier { evidence: &known.evidence, keys: &known.keys };
    let next_stage = gather_on(&engine, &later, Some(earlier)).await.unwrap();
    assert!(next_stage.is_whole && next_stage.evidence == gather(&engine, &later).await.unwrap(), "another stage is another question");
}

#[tokio::test(flavor = "multi_thread")]
async fn going_on_reads_the_last_minute_again_and_nothing_before() {
    let (service, environment) = (ServiceName::parse("payment").unwrap(), Environment::parse("shop").unwrap());
    let cohorts = (Selector::version("1").unwrap(), Selector::version("2").unwrap());
    let until = |second: i64| Question { until: UnixNanos::from_seconds(1_000_000 + second), ..question(&service, &environment, &cohorts) };
    let (_dir, engine) = engine_over(ten_minutes()).await;
    let known = gather_on(&engine, &until(300), None).await.unwrap();
    // Whatever stood in the tables before is no longer there; in the last minute there is more.
    let mut late: Vec<(TableName, Vec<Value>)> = ten_minutes();
    late[0].1.retain(|row| row["time"].as_str().unwrap() >= at(240).as_str());
    late[0].1.push(request(245, "2", true).1);
    let (_dir, engine) = engine_over(late).await;
    let earlier = Earlier { evidence: &known.evidence, keys: &known.keys };
    let on = gather_on(&engine, &until(310), Some(earlier)).await.unwrap();
    let requests = |evidence: &Evidence| evidence.cells.iter().map(|cell| cell.requests).sum::<u64>();
    assert_eq!(requests(&on.evidence), requests(&known.evidence) + 10 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_add_up_and_the_first_sight_is_a_window() {
    let error = |second: i64| {
        json!({"time": at(second), "service_name": "payment", "service_version": "2", "operation": "POST /pay",
        "fingerprint": "f", "source": "exception", "error_type": "Boom", "message": "m", "count": 2, "trace_id": "t9"})
    };
    let (_, red) = request(118, "2", true);
    let (_dir, engine) = engine_over(vec![(TableName::Errors, vec![error(110), error(110)]), (TableName::Red, vec![red])]).await;
    let (service, environment) = (ServiceName::parse("payment").unwrap(), Environment::unnamed());
    let cohorts = (Selector::version("1").unwrap(), Selector::version("2").unwrap());
    let evidence = gather(&engine, &question(&service, &environment, &cohorts)).await.unwrap();
    assert_eq!((evidence.errors.len(), evidence.errors[0].count), (1, 4));
    let shop = Environment::parse("shop").unwrap();
    let seen = first_seen(&engine, &service, &shop, &cohorts.1, UnixNanos::from_seconds(0)).await.unwrap();
    assert_eq!(seen, Some(UnixNanos::from_seconds(1_000_110)));
    assert_eq!(first_seen(&engine, &service, &shop, &cohorts.0, UnixNanos::from_seconds(0)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_that_writes_is_refused_and_rows_are_bounded() {
    let (_dir, engine) = engine_over(vec![]).await;
    for sql in ["DROP TABLE spans", "INSERT INTO red SELECT * FROM red", "CREATE TABLE x AS SELECT 1", "COPY red TO '/tmp/x'", "SET a = 1"]
    {
        assert!(matches!(engine.sql(sql).await, Err(QueryError::Refused { .. })), "{sql}");
    }
    assert!(matches!(engine.sql("SELECT nothing FROM spans").await, Err(QueryError::Refused { .. })));
    let many = engine.sql("SELECT * FROM generate_series(1, 20000)").await.unwrap();
    assert!(many.truncated);
    assert_eq!(many.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 10_000);
}
