//! SQL over the PostgreSQL wire, asked by real clients: psql, psycopg, asyncpg; and the queries of all dashboards.

use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use haldane_store::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::clients::installed;
use crate::traffic::Traffic;
use crate::world::{World, repository};

/// A service with a good version and a bad one that was rolled back.
async fn shop(settings: &[(&str, &str)]) -> (World, String) {
    let world = World::start_with(settings).await;
    Traffic { service: "payment", version: "1.4.0", minutes: 4, requests: 2_000, fails_each: 0 }.send(&world).await;
    Traffic { service: "payment", version: "1.5.0", minutes: 4, requests: 2_000, fails_each: 5 }.send(&world).await;
    let start = json!({
        "service": "payment", "environment": "shop", "started_at": SystemClock.now().minus(Duration::from_secs(300)).to_rfc3339(),
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
    });
    let id = world.start_rollout(&start).await;
    world.verdict_when(&id, |verdict| verdict["final"] == true).await;
    (world, id)
}

/// Runs the Python program; each line that it prints is a document.
fn python(arguments: &[&str], input: &str) -> Vec<Value> {
    let mut process = Command::new(installed("python/bin/python"))
        .arg(repository("tests/clients/python/sql.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn psql(world: &World, sql: &str) -> String {
    let (host, port) = world.sql.rsplit_once(':').unwrap();
    let output = Command::new("psql")
        .args(["--no-psqlrc", "-A", "-t", "-h", host, "-p", port, "-U", "anybody", "-d", "haldane", "-c", sql])
        .env("PGPASSWORD", "x")
        .output()
        .expect("psql is installed; on Debian it is in postgresql-client");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_read_and_can_do_nothing_else() {
    let (world, _) = shop(&[]).await;
    let told = python(&["clients", &world.sql, "anybody", ""], "");
    let of = |name: &str| told.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} is missing in {told:#?}"));
    let sums = |answer: &Value| (answer[0][0].clone(), answer[0][1].to_string().replace('"', ""), answer[0][3].clone());
    for client in ["psycopg text", "psycopg binary", "asyncpg"] {
        assert_eq!(sums(&of(client)["answer"]), (json!("payment"), "4000".to_owned(), json!(true)), "{:?}", of(client));
    }
    assert_eq!(of("psycopg text parameters")["answer"], json!(vec!["payment"; 8]), "a statement that is prepared after some runs too");
    assert_eq!(of("psycopg binary parameters")["answer"], json!(vec!["payment"; 8]));
    assert_eq!(of("asyncpg parameters")["answer"][0][0], "payment");
    assert!(of("psycopg text catalog")["answer"][0].as_i64().unwrap() >= 13, "{:?}", of("psycopg text catalog"));
    for refused in told.iter().filter(|one| one["name"].as_str().unwrap().starts_with("refused ")) {
        assert!(refused["error"].is_string(), "this was not refused: {refused}");
    }
    for (statement, code) in [
        ("DELETE FROM red", "25006"),
        ("COPY red TO '/tmp/x'", "25006"),
        ("EXPLAIN ANALYZE SELECT 1", "25006"),
        ("SELECT * FROM red a, red b", "0A000"),
        ("SELECT * FROM generate_series(1, 1000000)", "54000"),
        ("SELECT 1; DROP TABLE red", "25006"),
        ("SET TIMEZONE = 'Asia/Tokyo'", "0A000"),
        ("EXPLAIN (ANALYZE) SELECT 1", "25006"),
        (&format!("SELECT {}1", "1+".repeat(26)), "54001"),
    ] {
        assert_eq!(of(&format!("refused {statement}"))["error"], code, "{:?}", of(&format!("refused {statement}")));
    }
    for stopped in ["timeout", "cancel"] {
        let one = of(stopped);
        assert_eq!(one["error"], "57014", "{one}");
        assert!(one["seconds"].as_f64().unwrap() < 15.0, "{one}");
    }
    assert_eq!(of("after cancel")["answer"], json!([1]));
    assert_eq!(of("ping")["answer"], json!([0, 0]), "an empty query is answered as one");
    assert_eq!(of("two statements")["answer"], 1, "{:?}", of("two statements"));
    assert_eq!(
        of("asyncpg cursor")["answer"],
        json!(vec![[true, true]; 3]),
        "a named portal has a form of its own: {:?}",
        of("asyncpg cursor")
    );
    assert!(told.iter().all(|one| one["name"] != "asyncpg" || one["error"].is_null()), "{told:#?}");
    for view in told.iter().filter(|one| one["name"].as_str().unwrap().starts_with("view ")) {
        assert!(view["answer"].is_number(), "{view}");
    }
    assert!(of("version")["answer"][0].as_str().unwrap().starts_with("PostgreSQL 15"));
    assert!(of("long list")["answer"].is_array(), "{:?}", of("long list"));
    assert!(psql(&world, "SELECT canary_version, state FROM haldane.rollouts").contains("1.5.0|rolled_back"));
    assert!(psql(&world, "\\dv haldane.*").contains("rollouts"), "{}", psql(&world, "\\dv haldane.*"));
    let metrics = world.get("/metrics").await.unwrap();
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("haldane_sql_queries_total{outcome=\"timeout\"} 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_read_opens_the_door_and_is_never_sent() {
    let world = World::start().await;
    let made = async |name: &str, scopes: Value, token: Option<&str>| {
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/v1/tokens", world.api)).json(&json!({"name": name, "scopes": scopes}));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        request.send().await.unwrap().json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
    };
    let admin = made("admin", json!(["operate"]), None).await;
    let viewer = made("grafana", json!(["read"]), Some(&admin)).await;
    let sender = made("sender", json!(["ingest"]), Some(&admin)).await;
    let ask = |user: &str, password: &str| {
        let (host, port) = world.sql.rsplit_once(':').unwrap();
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "-A", "-t", "-h", host, "-p", port, "-U", user, "-d", "haldane", "-c", "SELECT 41 + 1"]);
        let output = psql.env("PGPASSWORD", password).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    assert_eq!(ask("grafana", &viewer).1, "42");
    assert_eq!(ask("admin", &admin).1, "42", "who may operate may read");
    for (user, password) in [("grafana", admin.as_str()), ("grafana", ""), ("sender", &sender), ("nobody", &viewer)] {
        assert!(!ask(user, password).0, "{user}");
    }
    let asked = world.get("/metrics").await;
    assert!(asked.is_err(), "reading needs a token from now on");
    let told = python(&["stranger", &world.sql], "");
    assert_eq!((&told[0]["rows"], &told[0]["name"]), (&json!(0), &json!("stranger")), "nothing runs before a login");
    let mut process = Command::new(installed("python/bin/python"))
        .arg(repository("tests/clients/python/sql.py"))
        .args(["hold", &world.sql, "grafana", &viewer])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("[1]"));
    let client = reqwest::Client::new();
    let revoked = client.delete(format!("{}/v1/tokens/grafana", world.api)).bearer_auth(&admin).send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    process.stdin.take().unwrap().write_all(b"\n").unwrap();
    let after = lines.next().unwrap().unwrap();
    assert!(after.contains("28000"), "a connection that is open ends with its token: {after}");
    process.wait().unwrap();
    let wrong = ask("grafana", "wrong").2;
    assert!(!wrong.contains("wrong\"") && !wrong.contains(&viewer), "{wrong}");
}

/// Panels that have nothing to show here: no rollout runs, nobody is told, no gauge of utilisation comes in, no call changed.
const EMPTY: [&str; 10] =
    ["Rolling out now", "Age of the data", "Utilisation", "differently", "told", "trace", "Rolled back", "Ended otherwise", "Log", "log"];

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_all_dashboards_are_answered_with_what_panels_need() {
    let (world, id) = shop(&[]).await;
    let now = SystemClock.now();
    let (from, to) = (now.minus(Duration::from_secs(3600)).to_rfc3339(), now.to_rfc3339());
    let rollout = format!("rollout={id}");
    let listed = Command::new("node")
        .arg(repository("dashboards/queries.mjs"))
        .args(["--from", &from, "--to", &to, "--var", &rollout, "--var", "service=payment", "--var", "environment=shop"])
        .args(["--var", "check=error_rate", "--var", "version=1.5.0", "--var", "metric=orders"])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let queries = String::from_utf8(listed.stdout).unwrap();
    let answers = python(&["panels", &world.sql, "grafana", ""], &queries);
    assert_eq!(answers.len(), queries.lines().count());
    assert!(answers.len() > 50);
    let mut empty = Vec::new();
    for answer in &answers {
        assert_eq!(answer["error"], Value::Null, "{answer}");
        let columns = answer["columns"].as_array().unwrap();
        if answer["format"] == "time_series" {
            // timestamptz, or seconds as a number
            let is_time = |column: &Value| column[0] == "time" && [1184, 1114, 701, 20].contains(&column[1].as_i64().unwrap());
            assert!(columns.iter().any(is_time), "{answer}");
        }
        let panel = answer["panel"].to_string();
        if answer["rows"] == 0 && !EMPTY.iter().any(|known| panel.contains(known)) {
            empty.push(format!("{} {panel} {}", answer["dashboard"], answer["ref"]));
        }
    }
    let shown = answers.len() - empty.len();
    assert!(shown * 10 > answers.len() * 7, "too many panels are empty: {empty:#?}");
}

/// Runs a program that asks; each line that it prints is a document.
fn told(command: &mut Command, input: &str) -> Vec<Value> {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn pgx(world: &World, queries: &Value) -> Vec<Value> {
    let url = format!("postgres://anybody:x@{}/haldane?sslmode=disable", world.sql);
    told(Command::new(installed("go/bin/pgx")).arg(url), &queries.to_string())
}

fn jdbc(world: &World, queries: &str) -> Vec<Value> {
    let mut java = Command::new("java");
    java.arg("-cp").arg(installed("java/postgresql.jar")).arg(repository("tests/clients/java/Sql.java"));
    told(java.args([&world.sql, "anybody", ""]), queries)
}

#[tokio::test(flavor = "multi_thread")]
async fn pgx_gets_the_same_answer_in_all_of_its_modes() {
    let (world, _) = shop(&[]).await;
    let (from, to) = (json!({"time": "2020-01-01T00:00:00Z"}), json!({"time": "2200-01-01T00:00:00Z"}));
    let values = json!(["x", 7, 0.5, true]);
    let questions = [
        (
            json!({"sql": "SELECT service_name, sum(requests) AS requests, sum(errors) > 0 AS failed FROM red GROUP BY 1"}),
            json!([["payment", 4000, true]]),
        ),
        (json!({"sql": "SELECT canary_version, state FROM haldane.rollouts"}), json!([["1.5.0", "rolled_back"]])),
        (
            json!({"sql": "SELECT service_name FROM red WHERE service_name = $1 AND requests >= $2 LIMIT 1", "args": ["payment", 1]}),
            json!([["payment"]]),
        ),
        (json!({"sql": "SELECT sum(requests) AS n FROM red WHERE service_name IN ($1, $2)", "args": ["payment", "x"]}), json!([[4000]])),
        (
            json!({"sql": "SELECT sum(requests) AS n FROM red WHERE service_name = ANY($1::text[])", "args": [["payment", "x"]]}),
            json!([[4000]]),
        ),
        (json!({"sql": "SELECT sum(requests) AS n FROM red WHERE time BETWEEN $1 AND $2", "args": [from, to]}), json!([[4000]])),
        (
            json!({"sql": "SELECT $1::text AS t, $2::bigint AS n, $3::double precision AS f, $4::boolean AS b", "args": values}),
            json!([values]),
        ),
    ];
    let asked: Vec<&Value> = questions.iter().map(|(question, _)| question).collect();
    let answers = pgx(&world, &json!(asked));
    for (question, answer) in &questions {
        let modes: Vec<&Value> = answers.iter().filter(|one| one["sql"] == question["sql"]).collect();
        assert_eq!(modes.len(), if question["args"].is_null() { 7 } else { 6 }, "{question}");
        for one in modes.iter().filter(|one| one["mode"] != "grafana") {
            assert_eq!(&one["rows"], answer, "{one}");
        }
    }
    let grafana = answers.iter().find(|one| one["mode"] == "grafana").unwrap();
    assert_eq!(grafana["rows"], json!([["payment", "4000", "t"]]), "Grafana reads text: {grafana}");
    assert_eq!(grafana["columns"][1]["oid"], 20);
    let refused = pgx(&world, &json!([{"sql": "DELETE FROM red"}]));
    assert!(refused.iter().all(|one| one["code"] == "25006"), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_types_is_told_them_and_errors_have_their_codes() {
    let (world, _) = shop(&[]).await;
    let by_types = |told: &Value| ["prepared", "described", "described each time", "database/sql"].iter().any(|mode| told["mode"] == *mode);
    for (question, answer) in [
        (json!({"sql": "SELECT service_name FROM red LIMIT $1 OFFSET $2", "args": [1, 0]}), json!([["payment"]])),
        (json!({"sql": "SELECT sum(requests) AS n FROM red WHERE service_name = ANY($1)", "args": [["payment"]]}), json!([[4000]])),
        (json!({"sql": "SELECT CASE WHEN $1 THEN 'a' ELSE 'b' END AS c", "args": [true]}), json!([["a"]])),
        (json!({"sql": "SELECT $1 AS a", "args": ["x"]}), json!([["x"]])),
    ] {
        let answers: Vec<Value> = pgx(&world, &json!([question])).into_iter().filter(by_types).collect();
        assert_eq!(answers.len(), 4, "{question}");
        for one in answers {
            assert_eq!(one["rows"], answer, "{one}");
        }
    }
    for (sql, code) in [
        ("SELECT 1; SELECT 2", "42601"),
        ("SELECT 1 AS a; DROP TABLE red", "42601"),
        ("SELECT nothing FROM red", "42703"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELEC 1", "42601"),
    ] {
        let answers = pgx(&world, &json!([{ "sql": sql }]));
        let prepared = answers.iter().find(|one| one["mode"] == "prepared").unwrap();
        assert_eq!(prepared["code"], code, "{prepared}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc_asks_in_all_modes_and_finds_the_views() {
    let (world, _) = shop(&[]).await;
    let queries = concat!(
        "SELECT service_name, sum(requests) AS requests, sum(errors) > 0 AS failed FROM red GROUP BY 1\n",
        "SELECT service_name FROM red WHERE service_name = ? AND requests >= ? LIMIT 1\tstring:payment\tlong:1\n",
        "SELECT sum(requests) AS n FROM red WHERE time > ?\ttimestamp:2020-01-01T00:00:00Z\n",
        "SELECT requests > 0 AS some FROM red LIMIT 7\n",
        "DELETE FROM red\n",
    );
    let answers = jdbc(&world, queries);
    for mode in ["extended", "extendedForPrepared", "simple", "portal"] {
        let of: Vec<&Value> = answers.iter().filter(|one| one["mode"] == mode).collect();
        let [sums, picked, since, seven, refused] = of[..] else { panic!("{mode}: {answers:#?}") };
        assert_eq!(sums["answer"], json!([{"service_name": "payment", "requests": 4000, "failed": true}]), "{mode}");
        assert_eq!(picked["answer"], json!([{"service_name": "payment"}]), "{mode}: {picked}");
        assert_eq!(since["answer"], json!([{"n": 4000}]), "{mode}: {since}");
        assert_eq!(seven["answer"].as_array().map(Vec::len), Some(7), "{mode}: a portal gives all of its rows");
        assert_eq!(refused["code"], "25006", "{mode}");
    }
    let of = |name: &str| answers.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {answers:#?}"));
    assert_eq!(
        (&of("valid")["answer"], &of("isolation")["answer"], &of("read only")["answer"]),
        (&json!(true), &json!(2), &json!([{"one": 1}]))
    );
    let views = of("tables")["answer"].as_array().unwrap();
    assert!(views.len() >= 14 && views.iter().all(|view| view["TABLE_TYPE"] == "VIEW"), "{views:#?}");
    assert!(views.iter().any(|view| view["TABLE_NAME"] == "rollouts"));
    let columns = of("columns")["answer"].as_array().unwrap();
    let kind = |name: &str| columns.iter().find(|one| one["COLUMN_NAME"] == name).map(|one| one["TYPE_NAME"].clone());
    assert_eq!((kind("time"), kind("requests")), (Some(json!("timestamptz")), Some(json!("int8"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres_reads_with_types_of_its_own() {
    let (world, id) = shop(&[]).await;
    let (host, port) = world.sql.rsplit_once(':').unwrap();
    let url = format!("host={host} port={port} user=anybody password=x dbname=haldane");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let an_hour_ago = SystemClock.now().minus(Duration::from_secs(3_600));
    let since = std::time::UNIX_EPOCH + Duration::from_nanos(u64::try_from(an_hour_ago.as_nanos()).unwrap());
    let sql = "SELECT service_name, sum(requests) AS requests, min(time) AS first FROM red WHERE time > $1 AND service_name = $2 GROUP BY 1 LIMIT $3";
    let rows = client.query(sql, &[&since, &"payment", &10_i64]).await.unwrap();
    assert_eq!((rows.len(), rows[0].get::<_, &str>(0), rows[0].get::<_, i64>("requests")), (1, "payment", 4_000));
    assert!(rows[0].get::<_, std::time::SystemTime>("first") > since);
    let scores = client.query("SELECT name, score FROM check_groups WHERE rollout_id = $1 ORDER BY name", &[&id]).await.unwrap();
    let names: Vec<&str> = scores.iter().map(|row| row.get(0)).collect();
    assert!(names.contains(&"errors") && names.contains(&"latency"), "{names:?}");
    assert!(scores.iter().all(|row| row.get::<_, Option<f64>>(1).is_none_or(|score| (0.0..=100.0).contains(&score))));
    let refused = client.execute("DELETE FROM red", &[]).await.unwrap_err();
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("25006"));
    drop(client);
    connection.await.unwrap().unwrap();
}
