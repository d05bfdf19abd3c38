//! The tables are open: another engine reads the same rows from the same files.

use serde_json::{Value, json};

use crate::clients::python;
use crate::world::{World, repository, until};

const TABLES: [&str; 5] = ["spans", "logs", "metrics", "red", "errors"];

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_counts_the_same_rows_as_sql() {
    let world = World::start().await;
    for version in ["1.0.0", "1.1.0"] {
        let program =
            python().arg(repository("tests/clients/python/send.py")).args(["--protocol=grpc", "--service=orders", "--environment=test"]);
        program.arg(format!("--endpoint={}", world.grpc)).args(["--version", version, "--requests=100", "--failures=10"]).run();
    }
    // Roll-ups are published with the rows that they sum up, so that all five tables are whole once the last row of these is there.
    until("all that was sent can be read", async || (world.number("SELECT count(*) FROM metrics").await == 20).then_some(())).await;
    let mut counted = Vec::new();
    for table in TABLES {
        let groups = format!(
            "SELECT service_name, service_version, count(*) AS n, count(DISTINCT date) AS days, CAST(min(time) AS BIGINT) AS first \
             FROM {table} GROUP BY 1, 2 ORDER BY 1, 2"
        );
        let rows = world.rows(&groups).await;
        let columns = ["service_name", "service_version", "n", "days", "first"];
        let groups: Vec<Value> = rows.iter().map(|row| columns.map(|column| row[column].clone()).into()).collect();
        assert_eq!(groups.len(), 2, "{table} has rows of both versions");
        counted.push(json!({"table": table, "groups": groups}));
    }

    // The end flushes what is not in files yet.
    let stopped = world.stop().await;
    let program = python().arg(repository("tests/clients/python/count.py")).arg(stopped.data().join("tables")).args(TABLES);
    assert_eq!(program.run(), counted);
}
