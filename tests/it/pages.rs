//! Pages as a browser gets them: what telemetry says stays text, nothing else is allowed to run, and a browser can show a token.

use serde_json::json;

use crate::traffic::Traffic;
use crate::world::World;

/// A service that would take over a page that trusts it.
pub(crate) const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&";

async fn page(world: &World, path: &str) -> (u16, reqwest::header::HeaderMap, String) {
    let request = reqwest::Client::new().get(format!("{}{path}", world.api)).header("accept", "text/html");
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_what_runs_and_what_telemetry_says_is_text() {
    let world = World::start().await;
    let (status, _, empty) = page(&world, "/").await;
    assert!(status == 200 && empty.contains("No telemetry has come in yet"), "{empty}");
    for version in ["1.4.0", "1.5.0"] {
        Traffic { service: HOSTILE, version, minutes: 1, requests: 100, fails_each: 10 }.send(&world).await;
    }
    let start = json!({
        "service": HOSTILE, "environment": "shop", "metadata": {"note": HOSTILE},
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
    });
    let id = world.start_rollout(&start).await;
    let service = "/services/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%22'%26?environment=shop";
    for path in ["/", &format!("/rollouts/{id}"), &format!("/v1/rollouts/{id}/report"), service] {
        let (status, headers, text) = page(&world, path).await;
        assert_eq!(status, 200, "{path}: {text}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("script-src 'self'") && !policy.contains("script-src 'unsafe"),
            "{policy}"
        );
        assert!(text.contains("&lt;img src=x") && !text.contains("<img"), "{path}: {text}");
        assert_eq!(text.matches("<script").count(), 1, "{path}");
    }
    let (_, _, versions) = page(&world, service).await;
    assert!(versions.contains("\">100</td><td class=\"number\">10 (10.00 %)</td>") && versions.contains(" ms</td>"), "{versions}");
    let (_, _, report) = page(&world, &format!("/rollouts/{id}")).await;
    assert!(report.contains(&format!("data-events=\"/v1/rollouts/{id}/events\"")) && report.contains("value=\"rollback\""), "{report}");
    let (_, _, file) = page(&world, &format!("/rollouts/{id}?file=true")).await;
    assert!(!file.contains("<script") && !file.contains("<form") && !file.contains("<nav"), "a file follows nothing and decides nothing");
    let command = |arguments: &[&str]| {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_haldane")).args(arguments).args(["--url", &world.api]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("r.html");
    command(&["report", &id, "--html", written.to_str().unwrap()]);
    assert!(!std::fs::read_to_string(&written).unwrap().contains("<script"));
    assert!(command(&["report", &id]).starts_with("# \\<img src=x"), "{}", command(&["report", &id]));
    assert!(command(&["report", &id, "--json"]).contains("\"next_steps\""));
    let (status, _, wrong) = page(&world, "/rollouts/x").await;
    assert!(status == 404 && wrong.contains("there is no rollout") && wrong.contains("href=\"/\""), "{wrong}");
    let (_, headers, script) = page(&world, "/assets/live.js").await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/javascript") && script.contains("EventSource"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_asked_for_the_token_as_a_password() {
    let world = World::start().await;
    let made = world.post("/v1/tokens", &json!({"name": "ann", "scopes": ["operate"]})).await.unwrap();
    let (status, headers, _) = page(&world, "/").await;
    assert_eq!(status, 401);
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
    let request = reqwest::Client::new().get(format!("{}/", world.api)).basic_auth("ann", made["token"].as_str());
    assert_eq!(request.send().await.unwrap().status(), 200);
}
