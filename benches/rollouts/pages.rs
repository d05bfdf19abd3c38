//! How soon pages show something, in a real browser, with many rollouts and with many operations.
//!
//! Built for release, two shared cores on which the server judges 1,000 rollouts and the browser runs, first content in ms (median and most of seven), whole page:
//! the start page with 1,000 live rollouts 240 and 636, 666 ms; a report of 500 operations 232 and 400, 1,375 ms; a usual report 192 and 496, 943 ms; a service of
//! 500 operations 124 and 228, 634 ms. Each sends its head first. Before the start page did, it took 1,228 and 1,488 (the goal is 1,000), a service's 916 and 1,072.

use std::process::Command;
use std::time::Duration;

use haldane_store::clock::{Clock as _, SystemClock};

use crate::load::{Load, Services};
use crate::server::Server;

/// Each page is opened so many times.
const TIMES: &str = "7";
/// The minutes that the report with many operations is about, and as many before.
const MINUTES: u64 = 5;

/// Opens pages and prints what `pages.cjs time` says of each.
#[expect(clippy::print_stdout, reason = "a bench prints its result")]
pub(crate) async fn look(server: &Server, rollouts: u64, operations: u64) {
    let api = server.at("api").to_owned();
    let load = |prefix, count, per_second, operations| Load {
        http: server.at("http").to_owned(),
        client: reqwest::Client::new(),
        services: Services { prefix, count, per_second, operations },
    };
    let many = load("service", rollouts, 10, 5);
    many.send_past(1, &["1.4.0"]).await;
    let mut ids = Vec::new();
    for service in 0..rollouts {
        ids.push(many.start_rollout(&api, service, None).await);
    }
    let wide = load("wide", 1, operations * 2, operations);
    let half = Duration::from_secs(MINUTES * 60);
    wide.send_past(2 * MINUTES, &["1.4.0", "1.5.0"]).await;
    let report = wide.start_rollout(&api, 0, Some(SystemClock.now().minus(half))).await;
    // All of them are judged meanwhile.
    many.send_live(Duration::from_secs(60)).await;
    println!("{rollouts} live rollouts, a report of {operations} operations; {TIMES} times each: median and most, in ms");
    let paths =
        ["/".to_owned(), format!("/rollouts/{report}"), format!("/rollouts/{}", ids[0]), "/services/wide-000?environment=bench".to_owned()];
    let repository = env!("CARGO_MANIFEST_DIR");
    // Where `make clients` puts them.
    let modules = format!("{}/../clients/node/node_modules", env!("CARGO_TARGET_TMPDIR"));
    let status = Command::new("node")
        .arg(format!("{repository}/tests/clients/node/pages.cjs"))
        .args(["time", &api, TIMES])
        .args(&paths)
        .env("NODE_PATH", modules)
        .status()
        .expect("Node is installed");
    assert!(status.success(), "the browser failed; `make clients` installs what it needs");
}
