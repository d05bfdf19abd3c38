//! A real Alertmanager: the alert shows, and reaches its receiver once, whatever happens to either server.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::receiver::{Receiver, Reply};
use super::{decide, receivers, some_telemetry, start};
use crate::world::{World, until};

pub(crate) struct Alertmanager {
    process: Child,
    port: u16,
    folder: TempDir,
}

const BY_ROLLOUT: &str = "rollout_id";

impl Alertmanager {
    /// Passes on what it gets to this address at once, one message for each value of this label.
    pub(crate) fn start(port: u16, folder: TempDir, webhook: &str, group_by: &str) -> Self {
        let config = json!({
            "route": {"receiver": "hook", "group_by": [group_by], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "4h"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": webhook, "send_resolved": false}]}]
        });
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let process = Command::new(program())
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("storage").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--cluster.listen-address=", "--log.level=warn"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, port, folder }
    }

    /// Kills it, and starts another in its place that knows whom it told.
    fn kill_and_start(mut self, webhook: &str) -> Self {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start(self.port, folder, webhook, BY_ROLLOUT)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What `amtool` lists.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let output = Command::new("amtool").args(["alert", "query", "--output=json", "--alertmanager.url", &self.url()]).output().unwrap();
        let alerts: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        alerts.as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Debian's name, or its own.
fn program() -> PathBuf {
    let names = ["prometheus-alertmanager", "alertmanager"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|file| Path::is_file(file));
    found.expect("tests/setup.sh looks that it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_shows_in_alertmanager_and_reaches_its_receiver_once() {
    let pager = Receiver::start(&[Reply::Status(200)]);
    let port = free_port();
    let alertmanager = Alertmanager::start(port, tempfile::tempdir().unwrap(), &pager.url, BY_ROLLOUT);
    // The second replica is down; one is enough.
    let setting = receivers(&[format!(
        "{{name=\"am\", kind=\"alertmanager\", url=\"{}\", more_urls=[\"http://127.0.0.1:1\"], allow_private=true}}",
        alertmanager.url()
    )]);
    let settings = [("HALDANE_NOTIFY__RECEIVERS", setting.as_str())];
    let world = World::start_with(&settings).await;
    some_telemetry(&world).await;
    let id = world.start_rollout(&start("1.5.0")).await;
    decide(&world, &id, "rollback").await;
    let alert = until("the alert shows", async || alertmanager.alerts().into_iter().next()).await;
    let labels = &alert["labels"];
    assert_eq!(
        (&labels["alertname"], &labels["severity"], &labels["rollout_id"]),
        (&json!("HaldaneRollback"), &json!("critical"), &json!(id))
    );
    assert!(alert["annotations"]["description"].as_str().unwrap().contains("rolled back by ann: customers say so"), "{alert:#}");
    until("it is passed on", async || (pager.received().len() == 1).then_some(())).await;
    let listed = world.get("/v1/notifications").await.unwrap();
    assert_eq!(listed["notifications"][0]["state"], "repeating", "an Alertmanager forgets, so it is told again: {listed:#}");

    let world = world.kill().start_with(&settings).await;
    let alertmanager = alertmanager.kill_and_start(&pager.url);
    let second = world.start_rollout(&start("1.6.0")).await;
    decide(&world, &second, "rollback").await;
    until("the second alert is passed on", async || (pager.received().len() >= 2).then_some(())).await;
    let named: Vec<String> = pager.received().iter().map(|one| one.body["commonLabels"]["rollout_id"].to_string()).collect();
    assert_eq!(named, [json!(id).to_string(), json!(second).to_string()], "each was passed on once");
    drop(alertmanager);
}
