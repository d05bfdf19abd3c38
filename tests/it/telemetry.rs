//! What a server tells of itself: to another one, and to itself without end.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, until};

/// The SDK's own settings: as often as a test likes to wait.
const OFTEN: [(&str, &str); 3] =
    [("OTEL_BSP_SCHEDULE_DELAY", "200"), ("OTEL_BLRP_SCHEDULE_DELAY", "200"), ("HALDANE_TELEMETRY__INTERVAL_SECONDS", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_another_one_of_itself() {
    let told = World::start().await;
    let tells = World::start_with(&[&OFTEN[..], &[("HALDANE_TELEMETRY__ENDPOINT", told.grpc.as_str())]].concat()).await;
    tells.get("/v1/services").await.unwrap();
    tells.post("/v1/query", &json!({"sql": "SELECT 1"})).await.unwrap();
    let seen = |sql: &'static str| {
        let told = &told;
        async move || (told.number(sql).await > 0).then_some(())
    };
    until(
        "its requests are spans",
        seen("SELECT count(*) FROM spans WHERE name = 'GET /v1/services' AND kind = 'SERVER' AND http_response_status_code = 200"),
    )
    .await;
    until("its queries are spans", seen("SELECT count(*) FROM spans WHERE name = 'query' AND service_name = 'haldane'")).await;
    until("its rounds are spans", seen("SELECT count(*) FROM spans WHERE name = 'judge_round' AND service_version IS NOT NULL")).await;
    until(
        "its numbers are metrics",
        seen("SELECT count(*) FROM metrics WHERE metric_name = 'haldane_build_info' AND service_name = 'haldane'"),
    )
    .await;
    until("so are sums of histograms", seen("SELECT count(*) FROM metrics WHERE metric_name = 'haldane_sql_query_seconds_count'")).await;
    until(
        "it is judged like any service",
        seen("SELECT count(*) FROM red WHERE service_name = 'haldane' AND operation = 'GET /v1/services'"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_itself_does_not_tell_of_the_telling() {
    let world = World::start_with(&[&OFTEN[..], &[("HALDANE_TELEMETRY__ENDPOINT", "self")]].concat()).await;
    let spans = async || world.number("SELECT count(*) FROM spans WHERE service_name = 'haldane'").await;
    until("it tells", async || (spans().await > 0).then_some(())).await;
    // Each second it judges, flushes its five tables at most a few times, and tells: that is the same whatever it has told before.
    let (before, asked) = (spans().await, Duration::from_secs(5));
    tokio::time::sleep(asked).await;
    let grown = spans().await - before;
    assert!(grown < 400, "{grown} spans in {asked:?}");
    let known = world.rows("SELECT DISTINCT name FROM spans").await;
    // Requests to the API, and what the server does by itself: nothing that comes of taking telemetry in.
    let is_border = |name: &str| {
        name.starts_with("GET /") || ["POST /v1/query", "query", "judge_round", "judge", "flush", "upkeep", "notify"].contains(&name)
    };
    let others: Vec<_> = known.iter().filter(|row| !is_border(row["name"].as_str().unwrap_or_default())).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn an_endpoint_that_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("haldane.toml");
    std::fs::write(&file, "[telemetry]\nendpoint = \"collector:4317\"\ninterval_seconds = 0\n").unwrap();
    let wrong = haldane::Config::load(Some(&file), &haldane::config::Flags::default()).unwrap_err().to_string();
    assert!(wrong.contains("write it as http://collector:4317, or self") && wrong.contains("telemetry.interval_seconds = 0"), "{wrong}");
}
