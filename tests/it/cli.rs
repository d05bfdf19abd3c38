//! The command line by its outside: what it prints, and its exit codes.

mod fake;

use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use serde_json::{Value, json};

use crate::traffic::Traffic;
use crate::world::{World, until};
use fake::{Reply, Server, verdict};

const BASELINE: [&str; 4] = ["--service", "payment", "--environment", "shop"];
const SELECTORS: [&str; 4] = ["--baseline", "service.version=1.4.0", "--canary", "service.version=1.5.0"];

/// Runs the binary; `url` is where it looks for a server.
fn haldane(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HALDANE_")) {
        command.env_remove(name);
    }
    command.env("HALDANE_URL", url).env("COLUMNS", "100").args(arguments).output().unwrap()
}

fn gate(url: &str, more: &[&str]) -> Output {
    haldane(url, &[&["gate"][..], &BASELINE, &SELECTORS, more].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// That it failed with one line that says what to do.
fn refused(output: &Output, hint: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(hint), "{hint}: {text}");
    assert!(output.stdout.is_empty());
    assert!(text.starts_with("error: ") || text.lines().count() == 1, "{text}");
}

#[test]
fn a_token_is_made_with_the_settings_that_let_it_in() {
    let text = stdout(&haldane("", &["token", "create", "--name", "shop", "--scope", "ingest", "--scope", "read"]));
    let token = text.split_once("Bearer ").unwrap().1.split('`').next().unwrap();
    assert!(token.len() == 64 && token.bytes().all(|digit| digit.is_ascii_hexdigit()), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("haldane.toml");
    std::fs::write(&file, &text).unwrap();
    let config = haldane::Config::load(Some(&file), &haldane::config::Flags::default()).unwrap();
    assert_eq!((config.tokens.len(), config.tokens[0].name.as_str()), (1, "shop"));
    assert_eq!(config.tokens[0].sha256, haldane_store::access::TokenDigest::of(token));
    refused(&haldane("", &["token", "create", "--name", "a b"]), "name has 1 to 64");
}

/// Ten samples a cohort of one metric; the canary of the second case is three times the baseline.
fn case_table(file: &std::path::Path) {
    let mut columns: [Vec<String>; 7] = Default::default();
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for (case, label, factor) in [("calm", "aa", 1.0), ("broken", "ab", 3.0)] {
        for (cohort, factor) in [("baseline", 1.0), ("canary", factor)] {
            for at in 0..10_i32 {
                let row = [case, "made-up", label, "latency", "latency_ms", "increase", cohort];
                columns.iter_mut().zip(row).for_each(|(column, text)| column.push(text.to_owned()));
                times.push(i64::from(at));
                values.push(factor * (20.0 + f64::from(at * 7 % 5)));
            }
        }
    }
    let names = ["case_id", "dataset", "label", "metric", "kind", "direction", "cohort"];
    let text = |column: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(column)) };
    let mut all: Vec<(&str, ArrayRef)> = names.into_iter().zip(columns.map(text)).collect();
    all.push(("timestamp", Arc::new(Int64Array::from(times))));
    all.push(("value", Arc::new(Float64Array::from(values))));
    write(file, &RecordBatch::try_from_iter(all).unwrap());
}

#[test]
fn recorded_cases_are_judged_and_rates_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (file, index) = (dir.path().join("cases.parquet"), dir.path().join("cases.csv"));
    case_table(&file);
    std::fs::write(&index, "case_id,design\ncalm,halves\nbroken,before_fault\n").unwrap();
    let cases = ["judge", "--cases", file.to_str().unwrap()];
    let told = |more: &[&str]| stdout(&haldane("", &[&cases[..], more].concat()));
    for judge in ["default", "kayenta"] {
        let answer: Value =
            serde_json::from_str(&told(&["--cases-index", index.to_str().unwrap(), "--looks", "10", "--json", "--judge", judge])).unwrap();
        let decisions: Vec<_> =
            answer["cases"].as_array().unwrap().iter().map(|case| (case["case_id"].clone(), case["decision"].clone())).collect();
        assert_eq!(decisions, [(json!("calm"), json!("continue")), (json!("broken"), json!("rollback"))], "{judge}");
        assert_eq!((&answer["overall"]["false_positives"], &answer["overall"]["detected"]), (&json!(0), &json!(1)));
        assert_eq!((&answer["designs"]["halves"]["aa"], &answer["mean_over_datasets"]["detection_rate"]), (&json!(1), &json!(1.0)));
    }
    assert!(told(&[]).ends_with("mean over data sets, one look: 0.0 % false positives, 100.0 % detected\n"), "{}", told(&[]));
    refused(&haldane("", &["judge"]), "say what to judge");
    refused(&haldane("", &["judge", "--cases", index.to_str().unwrap()]), "cannot read cases from");
}

/// Twenty minutes of 10 s windows of two instances a cohort; the canary of the second case fails five times as often from the fifth minute on.
fn counts_table(file: &std::path::Path) {
    let mut texts: [Vec<String>; 5] = Default::default();
    let mut numbers: [Vec<i64>; 3] = Default::default();
    for (case, label) in [("calm", "aa"), ("broken", "ab")] {
        for (window, cohort, instance) in (0..120_i64)
            .flat_map(|window| ["baseline", "canary"].into_iter().flat_map(move |cohort| (0..2).map(move |at| (window, cohort, at))))
        {
            let row = [case, "made-up", label, cohort, &format!("{cohort}-{instance}")];
            texts.iter_mut().zip(row).for_each(|(column, text)| column.push(text.to_owned()));
            let fails = label == "ab" && cohort == "canary" && window >= 30;
            let errors = if fails { 10 } else { (window * 7 + instance * 5) % 5 };
            numbers.iter_mut().zip([window * 10_000, 200, errors]).for_each(|(column, number)| column.push(number));
        }
    }
    let text = |column: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(column)) };
    let number = |column: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(column)) };
    let mut all: Vec<(&str, ArrayRef)> = ["case_id", "dataset", "label", "cohort", "instance"].into_iter().zip(texts.map(text)).collect();
    all.extend(["timestamp", "requests", "errors"].into_iter().zip(numbers.map(number)));
    write(file, &RecordBatch::try_from_iter(all).unwrap());
}

fn write(file: &std::path::Path, rows: &RecordBatch) {
    let mut writer = parquet::arrow::ArrowWriter::try_new(std::fs::File::create(file).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

#[test]
fn windowed_counts_are_judged_as_a_rollout_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, index, policy) = (path("counts.parquet"), path("cases.csv"), path("policy.yaml"));
    counts_table(file.as_ref());
    std::fs::write(&index, "case_id,onset_ms\nbroken,300000\n").unwrap();
    std::fs::write(&policy, "checks:\n  - name: error_rate\nmin_duration_seconds: 600\n").unwrap();
    let cases = ["judge", "--cases", &file, "--cases-index", &index, "--policy", &policy, "--looks", "120", "--json"];
    let answer: Value = serde_json::from_str(&stdout(&haldane("", &cases))).unwrap();
    let [calm, broken] = [&answer["cases"][0], &answer["cases"][1]];
    assert_eq!((&calm["decision"], &calm["promoted"]), (&json!("promote"), &json!(true)), "{answer}");
    assert_eq!((&broken["decision"], &broken["metric"]), (&json!("rollback"), &json!("error_rate")), "{answer}");
    assert!(broken["reason"].as_str().unwrap().starts_with("errors "), "{broken}");
    let delay = broken["delay_seconds"].as_f64().unwrap();
    assert!((10.0..600.0).contains(&delay) && answer["overall"]["median_delay_seconds"] == json!(delay), "{broken}");
    let kayenta: Value = serde_json::from_str(&stdout(&haldane("", &[&cases[..], &["--judge", "kayenta"]].concat()))).unwrap();
    assert_eq!(kayenta["cases"][1]["decision"], json!("rollback"), "{kayenta}");
    std::fs::write(&policy, "alpha: 2\nbeta: 0.1\n").unwrap();
    refused(&haldane("", &cases), "alpha is 2, it has to lie between");
    std::fs::write(&policy, "alfa: 0.1\n").unwrap();
    refused(&haldane("", &cases), "cannot take the policy from");
}

#[test]
fn vectors_of_a_file_are_computed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("v.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, r#"{"vectors": [{"id": "tea", "function": "fisher", "input": {"table": [[3, 1], [1, 3]]}}]}"#).unwrap();
    let answer: Value = serde_json::from_str(&stdout(&haldane("", &["judge", "vectors", path]))).unwrap();
    assert_eq!((&answer["results"][0]["id"], answer["results"].as_array().unwrap().len()), (&json!("tea"), 1));
    assert!((answer["results"][0]["result"]["p_value"].as_f64().unwrap() - 0.485_714_285_714).abs() < 1e-9, "{answer}");
    std::fs::write(&file, "[1, 2]").unwrap();
    refused(&haldane("", &["judge", "vectors", path]), "cannot read vectors from");
    refused(&haldane("", &["judge", "vectors", "/nowhere"]), "No such file");
}

#[test]
fn every_command_explains_itself() {
    let mut text = String::new();
    for command in [
        &[][..],
        &["serve"],
        &["demo"],
        &["query"],
        &["rollout"],
        &["rollout", "start"],
        &["rollout", "list"],
        &["rollout", "show"],
        &["rollout", "cancel"],
        &["verdict"],
        &["gate"],
        &["judge"],
        &["judge", "vectors"],
        &["token"],
        &["token", "create"],
        &["completions"],
    ] {
        let output = haldane("", &[command, &["-h"]].concat());
        assert!(output.status.success());
        text += &format!("$ haldane {}\n{}\n", [command, &["-h"]].concat().join(" "), stdout(&output));
    }
    insta::assert_snapshot!("help", text);
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&haldane("", &["completions", shell])).contains("gate"));
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_a_hint() {
    let nowhere = "http://127.0.0.1:1";
    refused(&haldane(nowhere, &["query", "SELECT 1"]), "start one with `haldane serve`, or name another with --url");
    refused(&haldane(nowhere, &["rollout", "list"]), "http://127.0.0.1:1");
    refused(&haldane("127.0.0.1:4380", &["rollout", "list"]), "write it as http://127.0.0.1:4380");
    refused(&haldane(nowhere, &["query", "--data", "/no/such/folder", "SELECT 1"]), "is no data folder");
    refused(&haldane(nowhere, &["verdict"]), "haldane verdict [OPTIONS] <ROLLOUT>");
    refused(&haldane(nowhere, &["verdict", "x", "--wait", "soon"]), "write it as 30s");
    refused(&haldane(nowhere, &["verdikt"]), "verdict");
    refused(&haldane(nowhere, &["gate", "--service", "a", "--baseline", "1.4.0", "--canary", "k=v"]), "write attribute=value");
    refused(&haldane(nowhere, &["serve", "--grpc", "0.0.0.0:0", "--http", "0.0.0.0:0"]), "--allow-remote");
    refused(&haldane(nowhere, &["serve", "--config", "/no/such/file"]), "there is no settings file /no/such/file");
    refused(&haldane(nowhere, &["--log", "haldane=loudly", "rollout", "list"]), "--log");
    refused(&gate(nowhere, &["--wait", "0s"]), "cannot reach a server");
}

#[test]
fn the_gate_ends_with_the_code_of_the_decision() {
    for (decision, last, code) in [
        ("promote", true, 0),
        ("rollback", true, 1),
        ("rollback", false, 1),
        ("inconclusive", true, 3),
        ("continue", true, 3),
        ("continue", false, 4),
        ("inconclusive", false, 4),
    ] {
        let server =
            Server::start(vec![Reply::Rollout, Reply::Verdict(verdict(1, "continue", false)), Reply::Verdict(verdict(2, decision, last))]);
        let output = gate(&server.url, &["--wait", "1s"]);
        assert_eq!(output.status.code(), Some(code), "{decision} {last}: {}{}", stdout(&output), stderr(&output));
        let lines = stdout(&output);
        assert!(lines.contains("verdict 1: undecided yet") && lines.contains("verdict 2: "), "{lines}");
        assert_eq!(stderr(&output).contains("the rollout goes on"), code == 4);

        let server = Server::start(vec![Reply::Verdict(verdict(2, decision, last))]);
        let output = haldane(&server.url, &["verdict", "0193", "--json"]);
        assert_eq!(output.status.code(), Some(code));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&json["decision"], &json["final"]), (&json!(decision), &json!(last)));
    }
}

#[test]
fn the_gate_outlives_an_outage_but_not_a_refusal() {
    let server = Server::start(vec![
        Reply::HangUp,
        Reply::Status(503),
        Reply::Rollout,
        Reply::Verdict(verdict(1, "continue", false)),
        Reply::HangUp,
        Reply::Status(502),
        Reply::HangUp,
        Reply::Verdict(verdict(2, "promote", true)),
    ]);
    let output = gate(&server.url, &["--wait", "1m", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["sequence"], json!(2));
    assert_eq!(stderr(&output).matches("trying again for").count(), 2, "{}", stderr(&output));

    let refusal = Server::start(vec![Reply::Problem(409, "another rollout is live: 0194")]);
    refused(&gate(&refusal.url, &["--wait", "1m"]), "another rollout is live: 0194");
    let vanished = Server::start(vec![Reply::Rollout, Reply::Problem(404, "there is no rollout 0193")]);
    let output = gate(&vanished.url, &["--wait", "1m", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).ends_with("haldane: there is no rollout 0193\n"));
    let stranger = Server::start(vec![Reply::Text("<html>Welcome to nginx!</html>")]);
    refused(&haldane(&stranger.url, &["rollout", "list"]), "not as Haldane does");
    let stranger = Server::start(vec![Reply::Text("<html>Welcome to nginx!</html>")]);
    refused(&haldane(&stranger.url, &["query", "SELECT 1"]), "not as Haldane does");
}

fn the_trail_is_shown_and_checked(world: &World) {
    let listed = stdout(&haldane(&world.api, &["audit", "list", "--kind", "rollout.rolled_back"]));
    assert!(listed.contains("ann") && listed.contains("customers report wrong totals"), "{listed}");
    let whole = haldane(&world.api, &["audit", "verify"]);
    assert!(whole.status.success() && stderr(&whole).contains("are as they were written"), "{}", stderr(&whole));
    let last = stdout(&whole).trim().to_owned();
    assert!(haldane(&world.api, &["audit", "verify", "--expect", &last]).status.success());
    let alter = |sql: &str| {
        let script = "import sqlite3, sys\nledger = sqlite3.connect(sys.argv[1])\nledger.execute(sys.argv[2])\nledger.commit()";
        let ledger = world.data().join("ledger.db");
        assert!(Command::new("python3").args(["-c", script]).arg(ledger).arg(sql).status().unwrap().success());
    };
    alter("DELETE FROM trail WHERE sequence = (SELECT MAX(sequence) FROM trail)");
    assert!(haldane(&world.api, &["audit", "verify"]).status.success(), "a chain that was cut off is a chain");
    refused(&haldane(&world.api, &["audit", "verify", "--expect", &last]), "it was cut off, or written anew");
    alter("UPDATE trail SET actor = 'eve' WHERE sequence = 2");
    refused(&haldane(&world.api, &["audit", "verify"]), "entry 2 of the trail was altered");
    alter("DELETE FROM trail WHERE sequence = 1");
    refused(&haldane(&world.api, &["audit", "verify"]), "entry 1 is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_gets_from_telemetry_to_a_decision() {
    let world = World::start().await;
    refused(&gate(&world.api, &["--wait", "1m"]), "no telemetry of service payment");
    refused(&haldane(&world.api, &["verdict", "--service", "payment"]), "there is no rollout of payment");
    for (version, fails_each) in [("1.4.0", 200), ("1.5.0", 8)] {
        Traffic { service: "payment", version, minutes: 10, requests: 3_000, fails_each }.send(&world).await;
    }
    let output = gate(&world.api, &["--wait", "2m", "--meta", "commit=3f2a91c"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(text.starts_with("started rollout ") && text.contains("payment in shop: roll back"), "{text}");
    assert!(text.contains("culprit: operation POST /pay"), "{text}");

    let again = haldane(&world.api, &[&["verdict"][..], &BASELINE].concat());
    assert_eq!(again.status.code(), Some(1));
    let list: Value =
        serde_json::from_slice(&haldane(&world.api, &["rollout", "list", "--state", "rolled_back", "--json"]).stdout).unwrap();
    assert_eq!((list[0]["state"].as_str(), &list[0]["metadata"]["commit"]), (Some("rolled_back"), &json!("3f2a91c")));
    let id = list[0]["id"].as_str().unwrap().to_owned();
    assert!(stdout(&haldane(&world.api, &["rollout", "show", &id])).contains("state        rolled_back"));
    refused(&haldane(&world.api, &["rollout", "cancel", &id]), "already ended");

    let sql = "SELECT service_version, count(*) AS n FROM spans GROUP BY 1 ORDER BY 1";
    assert_eq!(stdout(&haldane(&world.api, &["query", sql, "--format", "csv"])), "service_version,n\n1.4.0,3000\n1.5.0,3000\n");
    let json: Value = serde_json::from_slice(&haldane(&world.api, &["query", sql, "--format", "json", "--limit", "1"]).stdout).unwrap();
    assert_eq!((&json["rows"], &json["truncated"]), (&json!([["1.4.0", 3000]]), &json!(true)));
    refused(&haldane(&world.api, &["query", "DROP TABLE spans"]), "cannot run this SQL");
    let endless = "SELECT count(*) FROM generate_series(1, 20000000) a, generate_series(1, 20000000) b WHERE a.value * b.value < 0";
    refused(&haldane(&world.api, &["query", endless]), "joins every row with every row");

    refused(&haldane("", &["query", sql, "--data", world.data().to_str().unwrap()]), "is in use by another haldane");
    let stopped = world.stop().await;
    let folder = stopped.data();
    let offline = haldane("", &["query", sql, "--data", folder.to_str().unwrap()]);
    assert!(stdout(&offline).contains("| 1.5.0           | 3000 |"), "{}{}", stdout(&offline), stderr(&offline));
    let gone = gate("http://127.0.0.1:1", &["--wait", "1s"]);
    assert_eq!(gone.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_started_found_shown_and_cancelled() {
    let world = World::start().await;
    Traffic { service: "payment", version: "1.4.0", minutes: 1, requests: 10, fails_each: 0 }.send(&world).await;
    let start = [&["rollout", "start"][..], &BASELINE, &SELECTORS, &["--idempotency-key", "job 7"]].concat();
    let first = haldane(&world.api, &start);
    assert!(stdout(&first).contains("canary       service.version=1.5.0"), "{}{}", stdout(&first), stderr(&first));
    let again = haldane(&world.api, &start);
    assert!(stdout(&again) == stdout(&first) || stdout(&again).contains("running"));
    assert!(stderr(&again).contains("had started this rollout before"));
    let other =
        [&["rollout", "start"][..], &BASELINE, &["--baseline", "service.version=1.4.0", "--canary", "service.version=1.6.0"]].concat();
    refused(&haldane(&world.api, &other), "already has a rollout in shop");
    refused(&haldane(&world.api, &[&other[..], &["--idempotency-key", "job 7"]].concat()), "idempotency key was used before");

    let undecided = haldane(&world.api, &["verdict", "--service", "payment", "--wait", "1s"]);
    assert_eq!(undecided.status.code(), Some(4), "{}", stdout(&undecided));
    let table = stdout(&haldane(&world.api, &["rollout", "list"]));
    let id = table.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    refused(&haldane(&world.api, &["rollout", "rollback", &id, "--reason", " "]), "reason: needs 1 to");
    let cancelled = haldane(&world.api, &["rollout", "cancel", &id, "--reason", "wrong build"]);
    assert!(stdout(&cancelled).contains("cancelled: wrong build"), "{}", stdout(&cancelled));
    assert_eq!(haldane(&world.api, &["verdict", &id]).status.code(), Some(3));
    let next = haldane(&world.api, &other);
    assert!(next.status.success());

    let id = stdout(&next).lines().next().unwrap().trim_start_matches("rollout ").to_owned();
    let waits = Command::new(env!("CARGO_BIN_EXE_haldane"))
        .env("HALDANE_URL", &world.api)
        .args(["verdict", &id, "--wait", "1m"])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let decided = haldane(&world.api, &["rollout", "rollback", &id, "--reason", "customers report wrong totals", "--actor", "ann"]);
    assert!(
        stdout(&decided).contains("rolled_back: rolled back by ann: customers report wrong totals"),
        "{}{}",
        stdout(&decided),
        stderr(&decided)
    );
    let told = waits.unwrap().wait_with_output().unwrap();
    assert_eq!(told.status.code(), Some(1), "who waits is told");
    assert!(String::from_utf8(told.stdout).unwrap().contains("rolled back by ann: customers report wrong totals"));
    refused(&haldane(&world.api, &["rollout", "promote", &id, "--reason", "no"]), "already ended");
    let figures = stdout(&haldane(&world.api, &["dora", "--service", "payment"]));
    assert!(figures.contains("SERVICE") && figures.contains("100 %"), "{figures}");
    the_trail_is_shown_and_checked(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let world = World::start().await;
    Traffic { service: "payment", version: "1.5.0", minutes: 1, requests: 10, fails_each: 0 }.send(&world).await;
    let well = haldane(&world.api, &["doctor"]);
    assert_eq!(well.status.code(), Some(0), "{}", stdout(&well));
    let told = stdout(&well);
    for part in
        ["ok       server: it answers", "10 records were taken since the start", "what came in the last hour says all that verdicts need"]
    {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert_eq!(stdout(&haldane(&world.api, &["health"])), "ready\n");
    Traffic { service: "unnamed", version: "", minutes: 1, requests: 10, fails_each: 0 }.send(&world).await;
    let visible = async || (world.number("SELECT count(*) FROM red WHERE service_name = 'unnamed'").await > 0).then_some(());
    until("it is visible", visible).await;
    let findings: Value = serde_json::from_str(&stdout(&haldane(&world.api, &["doctor", "--json"]))).unwrap();
    let versions = findings.as_array().unwrap().iter().find(|one| one["about"] == "versions").unwrap();
    assert!(
        versions["level"] == "warning" && versions["text"].as_str().unwrap().starts_with("unnamed send no service.version"),
        "{versions}"
    );

    let api = world.api.clone();
    world.stop().await;
    let broken = haldane(&api, &["doctor"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(stdout(&broken).starts_with("BROKEN   server: cannot reach a server at"), "{}", stdout(&broken));
    refused(&haldane(&api, &["health"]), "start one with `haldane serve`");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("haldane.toml");
    std::fs::write(&file, "dta = \"x\"\n").unwrap();
    assert!(stdout(&haldane(&api, &["doctor", "--config", file.to_str().unwrap()])).contains("BROKEN   settings: "));
}
