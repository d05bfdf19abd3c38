//! Alert rules: each fires and keeps quiet when it should, has a runbook, and reads metrics that there are.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::notify::alertmanager::{Alertmanager, free_port};
use crate::notify::receiver::{Receiver, Reply};
use crate::world::{World, repository, until};

#[test]
fn every_rule_fires_keeps_quiet_and_has_a_runbook() {
    let output = Command::new("sh").arg(repository("alerts/check.sh")).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_a_rule_reads_is_told() {
    let world = World::start().await;
    let metrics = world.get("/metrics").await.unwrap();
    let metrics = metrics.as_str().unwrap();
    let read = std::fs::read_to_string(repository("alerts/prometheus/metrics.txt")).unwrap();
    assert!(read.lines().count() > 15);
    for name in read.lines() {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name} is not told");
    }
}

/// Ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The shop of the demo, which releases a version that fails; and where its server answers.
fn shop() -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
    let mut process = command.args(["demo", "--scenario", "errors"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.find_map(|line| Some(line.split_once(" and asks ")?.1.split(' ').next()?.to_owned()));
    // What it says later has to go somewhere.
    std::thread::spawn(move || lines.for_each(drop));
    (Running(process), told.expect("the demo says where its server is"))
}

/// A real Prometheus with the rules of this repository.
fn prometheus(folder: &std::path::Path, haldane: &str, alertmanager: &str) -> Running {
    let targets = |url: &str| json!([{ "targets": [url.trim_start_matches("http://")] }]);
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [repository("alerts/prometheus/*.rules.yaml")],
        "scrape_configs": [{"job_name": "haldane", "honor_labels": true, "static_configs": targets(haldane)}],
        "alerting": {"alertmanagers": [{"static_configs": targets(alertmanager)}]}
    });
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display())).arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
    Running(command.args(["--web.listen-address=127.0.0.1:0", "--log.level=warn"]).stdin(Stdio::null()).spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_in_the_shop_is_alerted_by_prometheus_and_reaches_the_receiver_of_alertmanager() {
    let pager = Receiver::start(&[Reply::Status(200)]);
    let alertmanager = Alertmanager::start(free_port(), tempfile::tempdir().unwrap(), &pager.url, "alertname");
    let (_shop, haldane) = shop();
    let folder = tempfile::tempdir().unwrap();
    let _prometheus = prometheus(folder.path(), &haldane, &alertmanager.url());
    let rollouts = async || reqwest::get(format!("{haldane}/v1/rollouts?state=rolled_back")).await.ok()?.json::<Value>().await.ok();
    until("the shop's release is rolled back", async || {
        rollouts().await.filter(|listed| listed["rollouts"].as_array().is_some_and(|listed| !listed.is_empty()))
    })
    .await;
    let is_it = |alert: &Value| alert["labels"]["alertname"] == "HaldaneRolledBack" && alert["labels"]["service"] == "payment";
    let shown = until("Alertmanager shows it", async || alertmanager.alerts().into_iter().find(is_it)).await;
    assert_eq!((&shown["labels"]["severity"], &shown["labels"]["environment"]), (&json!("critical"), &json!("shop-errors")), "{shown:#}");
    assert!(shown["annotations"]["runbook_url"].as_str().unwrap().ends_with("docs/runbooks/haldane-rolled-back.md"));
    let told = until("it is passed on", async || {
        pager.received().into_iter().flat_map(|one| one.body["alerts"].as_array().cloned().unwrap_or_default()).find(is_it)
    })
    .await;
    assert_eq!(told["status"], "firing");
    assert!(told["annotations"]["summary"].as_str().unwrap().contains("payment in shop-errors was rolled back"), "{told:#}");
}
