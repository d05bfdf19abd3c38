//! Alert rules: each fires and keeps quiet when it should, has a runbook, and reads metrics that there are.

use std::process::Command;

use crate::world::{World, repository};

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
