//! The description of the API, held against the real server by a fuzzer that knows nothing else of it.

use serde_json::json;

use crate::clients::installed;
use crate::traffic::Traffic;
use crate::world::World;

/// Everything that the description allows is accepted, everything that it does not allow is refused, every answer is described, and nothing is an
/// error of the server. What the schema cannot say is in `tests/clients/python/schemathesis.toml`.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let world = World::start().await;
    for version in ["1.4.0", "1.5.0"] {
        Traffic { service: "payment", version, minutes: 5, requests: 600, fails_each: 100 }.send(&world).await;
    }
    // Without a token it would make one, and be shut out by it.
    let made = world.post("/v1/tokens", &json!({"name": "fuzzer", "scopes": ["operate"]})).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(installed("python/bin/schemathesis"));
    command
        .current_dir(folder.path())
        .args(["--no-color", "--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/python/schemathesis.toml"), "run"])
        .args([&format!("{}/openapi.json", world.api), "--url", &world.api])
        .args(["--header", &format!("Authorization: Bearer {}", made["token"].as_str().unwrap())])
        // One worker: Python's parser of its own source, which the fuzzer uses, counts its depth wrongly when threads parse at once.
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "1", "--workers", "1"]);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
