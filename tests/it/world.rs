//! The world of a story: the real binary on free ports with a data folder of its own, and what a test asks of it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// How long a story waits for anything before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(100);

/// A row by column.
pub(crate) type Row = Map<String, Value>;

/// A running server; stopped, not asked, when dropped.
pub(crate) struct World {
    process: Child,
    folder: TempDir,
    /// OTLP/gRPC, as `http://host:port`.
    pub(crate) grpc: String,
    /// OTLP/HTTP.
    pub(crate) http: String,
    /// REST.
    pub(crate) api: String,
    /// Address of SQL, without a scheme.
    pub(crate) sql: String,
    client: reqwest::Client,
}

impl World {
    /// Starts the server and waits until it is ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Like [`World::start`], with settings from the environment.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings, reqwest::Client::new()).await
    }

    /// Like [`World::start_with`], with settings that have the API speak TLS under a certificate of this root.
    pub(crate) async fn start_over_tls(settings: &[(&str, &str)], root: &str) -> Self {
        let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_merge([root]).build().unwrap();
        Self::start_in(tempfile::tempdir().unwrap(), settings, client).await
    }

    async fn start_in(folder: TempDir, settings: &[(&str, &str)], client: reqwest::Client) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
        // The settings of whoever runs the tests are not the story's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HALDANE_")) {
            command.env_remove(name);
        }
        let mut process = command
            .env("HALDANE_ANALYZER__JUDGE_EVERY_SECONDS", "1")
            .envs(settings.iter().copied())
            .current_dir(folder.path())
            .arg("serve")
            .arg("--data")
            .arg(folder.path().join("data"))
            .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let addresses = addresses(&mut process);
        let at = |door: &str| addresses.get(door).cloned().unwrap_or_else(|| panic!("no address of {door} in {addresses:?}"));
        let (grpc, http, api, sql) = (at("grpc"), at("http"), at("api"), at("sql"));
        let world = Self { process, folder, grpc, http, api, sql, client };
        until("the server is ready", async || world.get("/readyz").await.ok()).await;
        world
    }

    /// Asks the server to stop, as Ctrl-C does, waits until it has, and hands over its folder.
    pub(crate) async fn stop(mut self) -> StoppedWorld {
        let signal = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(signal.success(), "the server is gone already");
        let status = until("the server stops", async || self.process.try_wait().unwrap()).await;
        assert!(status.success(), "the server ended with {status}");
        let empty = tempfile::tempdir().unwrap();
        StoppedWorld { folder: std::mem::replace(&mut self.folder, empty) }
    }

    /// Kills the server, as a power cut does.
    pub(crate) fn kill(mut self) -> StoppedWorld {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let empty = tempfile::tempdir().unwrap();
        StoppedWorld { folder: std::mem::replace(&mut self.folder, empty) }
    }

    /// Sends one OTLP request to `/v1/traces`, `/v1/metrics` or `/v1/logs`, as gzip'd protobuf; it has to be accepted whole.
    pub(crate) async fn export(&self, path: &str, request: &impl Message) {
        let mut body = GzEncoder::new(Vec::new(), Compression::fast());
        body.write_all(&request.encode_to_vec()).unwrap();
        let request = self.client.post(format!("{}{path}", self.http)).header("content-type", "application/x-protobuf");
        let response = request.header("content-encoding", "gzip").body(body.finish().unwrap()).send().await.unwrap();
        let status = response.status();
        let answer = response.bytes().await.unwrap();
        assert!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&answer));
        assert!(answer.is_empty(), "{path} accepted only a part: {answer:?}");
    }

    /// Where the server keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's process.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Row> {
        let answer = self.post("/v1/query", &json!({ "sql": sql, "limit": 10_000 })).await.unwrap();
        assert_eq!(answer["truncated"], json!(false), "too many rows: {sql}");
        let columns: Vec<&str> = answer["columns"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
        let row = |values: &Value| {
            let values = values.as_array().unwrap().iter().cloned();
            columns.iter().map(|name| (*name).to_owned()).zip(values).collect()
        };
        answer["rows"].as_array().unwrap().iter().map(row).collect()
    }

    /// The one number that a query gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql).await;
        let value = rows.first().and_then(|row| row.values().next()).and_then(Value::as_i64);
        value.unwrap_or_else(|| panic!("{sql} gave no number: {rows:?}"))
    }

    /// Starts a rollout; returns its id.
    pub(crate) async fn start_rollout(&self, rollout: &Value) -> String {
        let answer = self.post("/v1/rollouts", rollout).await.unwrap();
        answer["id"].as_str().unwrap_or_else(|| panic!("no id in {answer}")).to_owned()
    }

    /// The verdict as it is now.
    pub(crate) async fn verdict(&self, rollout: &str) -> Value {
        self.get(&format!("/v1/rollouts/{rollout}/verdict")).await.unwrap()
    }

    /// The first verdict that is final or that `enough` is content with.
    pub(crate) async fn verdict_when(&self, rollout: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let verdict = self.verdict(rollout).await;
            if verdict["final"] == json!(true) || enough(&verdict) {
                return verdict;
            }
            assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for a verdict, the last one is {verdict:#}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A JSON document or a text of the API; the error is its problem document.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        answer(self.client.get(format!("{}{path}", self.api)).send().await).await
    }

    /// Like [`World::get`], with a body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        answer(self.client.post(format!("{}{path}", self.api)).json(body).send().await).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have stopped already; there is nothing to save in either case.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a server left behind.
pub(crate) struct StoppedWorld {
    folder: TempDir,
}

impl StoppedWorld {
    /// Starts a server on what it left behind.
    pub(crate) async fn start_with(self, settings: &[(&str, &str)]) -> World {
        World::start_in(self.folder, settings, reqwest::Client::new()).await
    }

    /// Where the tables are.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// Looks until there is something, and fails after [`DEADLINE`].
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The folder of the repository's test data or programs.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

async fn answer(sent: reqwest::Result<reqwest::Response>) -> Result<Value, String> {
    let response = sent.map_err(|error| format!("{error:?}"))?;
    let (url, status) = (response.url().clone(), response.status());
    let text = response.text().await.map_err(|error| format!("{error:?}"))?;
    if status.is_success() {
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    } else {
        Err(format!("{url} answered {status}: {text}"))
    }
}

/// Reads what the server says until it has named its doors; the rest is passed on, so that it shows when a test fails.
fn addresses(process: &mut Child) -> BTreeMap<&'static str, String> {
    let output = BufReader::new(process.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            eprintln!("{line}");
            let _ = sender.send(line);
        }
    });
    let (start, mut found) = (Instant::now(), BTreeMap::new());
    while found.len() < 4 {
        let line = lines.recv_timeout(DEADLINE.saturating_sub(start.elapsed()));
        let line = line.unwrap_or_else(|_| panic!("the server did not say where it listens, only {found:?}"));
        for (door, before) in [("grpc", "gRPC at "), ("http", "HTTP at "), ("api", "REST at "), ("sql", "PostgreSQL wire at ")] {
            let after = line.split_once(before).map(|(_, after)| after.split([',', ' ']).next().unwrap_or(after));
            found.extend(after.map(|address| (door, address.to_owned())));
        }
    }
    found
}
