//! The OpenTelemetry SDKs of other languages: what they send comes back from SQL field by field, and gets the right verdict.
//!
//! `tests/setup.sh` installs them. The programs in `tests/clients` print every record that they exported.

mod row;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haldane_store::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::world::{Row, World, repository, until};

const SERVICE: &str = "orders";
const ENVIRONMENT: &str = "test";

/// Records that one run of a program sends at least: requests with their spans, logs of every form, points of every type.
const RECORDS_MIN: [(&str, usize); 3] = [("spans", 200), ("logs", 20), ("metrics", 10)];

#[tokio::test(flavor = "multi_thread")]
async fn python_over_grpc() {
    let program = python().arg(repository("tests/clients/python/send.py")).arg("--protocol=grpc");
    let world = World::start().await;
    two_versions(&world, &program.arg(format!("--endpoint={}", world.grpc)), "LookupError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_over_http_protobuf() {
    let program = python().arg(repository("tests/clients/python/send.py")).args(["--protocol=http/protobuf", "--temporality=delta"]);
    let world = World::start().await;
    two_versions(&world, &program.arg(format!("--endpoint={}", world.http)), "LookupError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_over_http_json() {
    let program = node().arg(repository("tests/clients/node/send.cjs")).arg("--protocol=http/json");
    let world = World::start().await;
    two_versions(&world, &program.arg(format!("--endpoint={}", world.http)), "RangeError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_over_http_protobuf() {
    let program = node().arg(repository("tests/clients/node/send.cjs")).args(["--protocol=http/protobuf", "--temporality=delta"]);
    let world = World::start().await;
    two_versions(&world, &program.arg(format!("--endpoint={}", world.http)), "RangeError").await;
}

/// A known version of which one request in fifty fails, and a new one of which one in four does, with compressed requests.
async fn two_versions(world: &World, program: &Program, error_type: &str) {
    // Both serve in the same minute, however long the programs take, and in whole windows: what the judge sees is the same each time.
    let start = SystemClock.now().minus(Duration::from_secs(100)).bucket(Duration::from_secs(10)).as_nanos().to_string();
    let run = |version: &str, failures: &str, compression: &str| {
        let program = program.clone().args(["--service", SERVICE, "--environment", ENVIRONMENT, "--requests=400"]);
        program.args(["--version", version, "--failures", failures, "--compression", compression, "--start", &start]).run()
    };
    for (version, sent) in [("1.0.0", run("1.0.0", "50", "none")), ("1.1.0", run("1.1.0", "4", "gzip"))] {
        for (table, least) in RECORDS_MIN {
            let sent: Vec<Row> =
                sent.iter().filter(|line| line["signal"] == json!(table.trim_end_matches('s'))).map(row::expected).collect();
            assert!(sent.len() >= least, "{version} sent {} {table}", sent.len());
            let stored = rows_of(world, table, version, sent.len()).await;
            row::assert_same(table, sent, stored);
        }
    }

    let rollout = json!({
        "service": SERVICE, "environment": ENVIRONMENT,
        "baseline": {"service.version": "1.0.0"}, "canary": {"service.version": "1.1.0"},
    });
    let rollout = world.start_rollout(&rollout).await;
    let verdict = world.verdict_when(&rollout, |_| false).await;
    assert_eq!(verdict["decision"], json!("rollback"), "{verdict:#}");
    let requests = |cohort: &str| verdict[cohort]["requests"].as_u64().unwrap();
    assert_eq!((requests("baseline"), requests("canary")), (400, 400), "{verdict:#}");
    let culprit = |kind: &str, key: &str, value: &str| {
        let culprits = verdict["culprits"].as_array().unwrap();
        culprits.iter().any(|culprit| culprit["kind"] == json!(kind) && culprit[key] == json!(value))
    };
    assert!(culprit("operation", "name", "POST /orders/{id}"), "{verdict:#}");
    assert!(culprit("operation", "error_type", error_type) || culprit("error", "error_type", error_type), "{verdict:#}");
}

/// The rows of a version, once there are as many as were sent.
async fn rows_of(world: &World, table: &str, version: &str, count: usize) -> Vec<Row> {
    let of_version = format!("FROM {table} WHERE service_name = '{SERVICE}' AND service_version = '{version}'");
    until(&format!("{count} {table} of {version}"), async || {
        let there = world.number(&format!("SELECT count(*) {of_version}")).await;
        (there >= i64::try_from(count).unwrap()).then_some(())
    })
    .await;
    world.rows(&format!("SELECT * {of_version}")).await
}

/// A command that can be run again with other arguments.
#[derive(Clone)]
pub(crate) struct Program {
    words: Vec<String>,
    modules: Option<PathBuf>,
}

/// The interpreter with the packages of `tests/clients/python`.
pub(crate) fn python() -> Program {
    Program { words: vec![installed("python/bin/python").display().to_string()], modules: None }
}

/// The interpreter with the packages of `tests/clients/node`.
pub(crate) fn node() -> Program {
    Program { words: vec!["node".to_owned()], modules: Some(installed("node/node_modules")) }
}

impl Program {
    pub(crate) fn arg(self, word: impl AsRef<Path>) -> Self {
        self.args([word])
    }

    pub(crate) fn args(mut self, words: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_ref().display().to_string()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).envs(self.modules.iter().map(|path| ("NODE_PATH", path)));
        command
    }

    /// Starts it; its output is there to be read.
    pub(crate) fn start(&self) -> Child {
        self.command().stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{}: {error}", self.words[0]))
    }

    /// Runs to the end; each line of the output is a JSON document.
    pub(crate) fn run(&self) -> Vec<Value> {
        let output = self.command().output().unwrap_or_else(|error| panic!("{}: {error}", self.words[0]));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?} ended with {}: {errors}", self.words, output.status);
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// A file of what `tests/setup.sh` installed: in `$HALDANE_TEST_CLIENTS`, or `clients` in cargo's target folder.
pub(crate) fn installed(path: &str) -> PathBuf {
    let folder = std::env::var_os("HALDANE_TEST_CLIENTS").map(PathBuf::from).unwrap_or_else(|| {
        let profile = Path::new(env!("CARGO_BIN_EXE_haldane")).parent().unwrap();
        profile.parent().unwrap().join("clients")
    });
    let file = folder.join(path);
    assert!(file.exists(), "{} is missing: run tests/setup.sh, as `make test` does", file.display());
    file
}
