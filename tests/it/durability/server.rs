//! The real binary on a folder that outlives it: started, killed, stopped, and asked offline.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::DEADLINE;

/// Between two looks at something that is a matter of milliseconds.
const LOOK: Duration = Duration::from_millis(10);

/// How a server is started.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    data: PathBuf,
    settings: Vec<(&'static str, String)>,
    /// Stands before the binary, such as `nsenter …`.
    prefix: Vec<String>,
}

impl Launch {
    pub(super) fn on(data: &Path) -> Self {
        Self { data: data.to_owned(), settings: Vec::new(), prefix: Vec::new() }
    }

    pub(super) fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.settings.push((name, value.to_string()));
        self
    }

    pub(super) fn inside(mut self, prefix: &[String]) -> Self {
        self.prefix = prefix.to_vec();
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.prefix.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_haldane")]).chain(arguments.iter().copied());
        let mut command = Command::new(words.next().unwrap());
        // The settings of whoever runs the tests are not the story's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HALDANE_")) {
            command.env_remove(name);
        }
        command.env("HALDANE_ANALYZER__DETECT_VERSIONS", "false").envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.args(words).stdin(Stdio::null());
        command
    }

    fn serve(&self) -> Command {
        let data = self.data.to_str().unwrap();
        self.command(&[
            "serve",
            "--data",
            data,
            "--grpc",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--sql",
            "127.0.0.1:0",
        ])
    }

    /// Begins to start and is killed after so long, wherever it is by then.
    pub(super) fn start_and_kill(&self, after: Duration) {
        let mut process = self.serve().stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// What a server says that is expected to refuse to start.
    pub(super) fn refused(&self) -> Output {
        let process = self.serve().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that serves after all would be waited for without end.
        let id = process.id();
        let (sender, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            if ended.recv_timeout(crate::world::DEADLINE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
            }
        });
        let output = process.wait_with_output().unwrap();
        drop(sender);
        output
    }

    /// Starts, and waits until it has named its ports.
    pub(super) async fn begin(&self) -> Server {
        let started = Instant::now();
        let mut process = self.serve().stderr(Stdio::piped()).spawn().unwrap();
        let said = listen(&mut process);
        let mut server =
            Server { process, said, grpc: String::new(), http: String::new(), api: String::new(), started, client: reqwest::Client::new() };
        server.wait_for_ports().await;
        server
    }

    /// Starts, and waits until it is ready; says how long that took.
    pub(super) async fn start(&self) -> (Server, Duration) {
        let mut server = self.begin().await;
        let took = server.wait_until_ready().await;
        (server, took)
    }

    /// The answer of `haldane query --data`: no server is running.
    pub(super) fn query_offline(&self, sql: &str) -> Value {
        let data = self.data.to_str().unwrap();
        let output = self.command(&["query", "--data", data, "--format", "json", "--limit", "10000", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A running server; killed when dropped.
pub(super) struct Server {
    process: Child,
    said: Arc<Mutex<Vec<String>>>,
    pub(super) grpc: String,
    pub(super) http: String,
    pub(super) api: String,
    started: Instant,
    client: reqwest::Client,
}

impl Server {
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has written so far that contains all of these.
    pub(super) fn has_said(&self, words: &[&str]) -> bool {
        self.said.lock().unwrap().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// How many of its lines so far contain all of these.
    pub(super) fn times_said(&self, words: &[&str]) -> usize {
        self.said.lock().unwrap().iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    pub(super) async fn wait_until_said(&self, words: &[&str]) {
        let start = Instant::now();
        while !self.has_said(words) {
            assert!(start.elapsed() < DEADLINE, "it did not say {words:?}: {:#?}", self.said.lock().unwrap());
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// How much memory it took at most, in KiB.
    pub(super) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(super) async fn readiness(&self) -> Option<u16> {
        let answer = self.client.get(format!("{}/readyz", self.api)).timeout(Duration::from_secs(5)).send().await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// Answers how long it took from the start of the process.
    pub(super) async fn wait_until_ready(&mut self) -> Duration {
        while self.readiness().await != Some(200) {
            assert!(self.is_running(), "it ended: {:#?}", self.said.lock().unwrap());
            assert!(self.started.elapsed() < DEADLINE, "it did not get ready: {:#?}", self.said.lock().unwrap());
            tokio::time::sleep(LOOK).await;
        }
        self.started.elapsed()
    }

    /// `{"columns": […], "rows": [[…]], "truncated": false}`
    pub(super) async fn query(&self, sql: &str) -> Value {
        let body = json!({ "sql": sql, "limit": 10_000 });
        let answer = self.client.post(format!("{}/v1/query", self.api)).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{sql} answered {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// As Ctrl-C does; answers how it ended.
    pub(super) async fn stop(&mut self) -> ExitStatus {
        let signal = Command::new("kill").args(["-INT", &self.pid().to_string()]).status().unwrap();
        assert!(signal.success(), "the server is gone already");
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "it did not stop: {:#?}", self.said.lock().unwrap());
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn wait_for_ports(&mut self) {
        loop {
            let lines = self.said.lock().unwrap().clone();
            let find = |before: &str| {
                let after = lines.iter().find_map(|line| line.split_once(before)).map(|(_, after)| after);
                after.and_then(|after| after.split([',', ' ']).next()).map(str::to_owned)
            };
            if let (Some(grpc), Some(http), Some(api)) = (find("gRPC at "), find("HTTP at "), find("REST at ")) {
                (self.grpc, self.http, self.api) = (grpc, http, api);
                return;
            }
            assert!(self.is_running(), "it ended: {lines:#?}");
            assert!(self.started.elapsed() < DEADLINE, "it did not name its ports: {lines:#?}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to save in either case.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("the server had said:\n{}", said.join("\n"));
        }
    }
}

/// Keeps what the process writes.
fn listen(process: &mut Child) -> Arc<Mutex<Vec<String>>> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let (output, kept) = (BufReader::new(process.stderr.take().unwrap()), said.clone());
    std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
    said
}
