//! How late are verdicts when many services roll out at once? The real server with its usual settings, live traffic of every service in two versions,
//! and for each window of 10 s the time from when it could be judged first (its end and the wait for late data) to when a verdict had it.
//!
//! `make bench-rollouts ROLLOUTS=200 MINUTES=10 QUERIES=4`, by hand, with the load on the same machine. With queries the same is looked at once more, while so many heavy
//! ones are asked over the PostgreSQL wire all the time.
//!
//! Built for release, two shared cores, 200 rollouts, 2,000 spans a second, load and queries on the same cores:
//!
//! | | minutes | queries | behind, s (median, 99 %, most) | round, s (most) | acknowledged, ms (median, 99 %) | server, cores | peak MB |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | every round reads and judges all | 3 | 0 | 5.4, 15.1, 15.1 | 5.8 | 1.4, 66 | 0.91 | 246 |
//! | a round reads what is new | 3 | 0 | 1.9, 2.6, 2.6 | 2.2 | 1.2, 24 | 0.53 | 297 |
//! | the same, beside a build | 6 | 0 | 2.2, 3.8, 3.8 | 3.5 | 1.0, 20 | 0.48 | 336 |
//! | | 6 | 4 | 4.3, 5.5, 5.5 | 5.2 | 1.4, 22 | 1.91 | 821 |
//!
//! Four heavy queries at all times make verdicts twice as late, and acknowledgements 1.4 times (median) and 1.05 times (99 %) as long, on cores that are full with them. The everyday build, whose libraries are not optimised, was
//! 74 s behind before.
//!
//! `make bench-pages` looks at pages instead: see `pages`.

mod load;
mod pages;
mod queries;
mod server;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use load::{INSTANCES, Load, Services};
use server::Server;
use watch::{LOOK, Watch};

const PER_SECOND: u64 = 10;
const OPERATIONS: u64 = 5;
/// Minutes of the baseline before the rollouts.
const BEFORE: u64 = 10;

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, unsaid: u64| numbers.get(at).copied().unwrap_or(unsaid);
    let of_pages = std::env::args().any(|argument| argument == "pages");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path());
        while !is_ready(&server).await {
            tokio::time::sleep(LOOK).await;
        }
        if of_pages {
            pages::look(&server, number(0, 1_000), number(1, 500)).await;
        } else {
            rollouts(&server, number(0, 200), Duration::from_secs(number(1, 10) * 60), number(2, 0)).await;
        }
    });
}

async fn is_ready(server: &Server) -> bool {
    reqwest::get(format!("{}/readyz", server.at("api"))).await.is_ok_and(|answer| answer.status().is_success())
}

#[expect(clippy::print_stdout, reason = "a bench prints its result")]
async fn rollouts(server: &Server, rollouts: u64, long: Duration, queries: u64) {
    let services = Services { prefix: "service", count: rollouts, per_second: PER_SECOND, operations: OPERATIONS };
    let load = Load { http: server.at("http").to_owned(), client: reqwest::Client::new(), services };
    println!("{rollouts} services of {PER_SECOND} requests a second each, {OPERATIONS} operations, {INSTANCES} and {INSTANCES} instances");
    load.send_past(BEFORE, &["1.4.0"]).await;
    for service in 0..rollouts {
        load.start_rollout(server.at("api"), service, None).await;
    }
    println!(
        "  queries   behind, s (median, 99 %, most)   round, s (median, most)   acknowledged, ms (median, 99 %)   server, cores   peak MB   answered"
    );
    phase(server, &load, long, 0).await;
    if queries > 0 {
        phase(server, &load, long, queries).await;
    }
}

/// Looks for so long, and prints a line.
#[expect(clippy::print_stdout, reason = "a bench prints its result")]
async fn phase(server: &Server, load: &Load, long: Duration, count: u64) {
    let (watch, cpu, began) = (Watch { api: server.at("api").to_owned(), client: load.client.clone() }, server.cpu(), Instant::now());
    let answered = Arc::new(AtomicU64::new(0));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..count {
        asking.spawn(queries::ask(server.at("sql").to_owned(), answered.clone()));
    }
    let (seen, acknowledged) = tokio::join!(watch.look_for(long), load.send_live(long));
    asking.shutdown().await;
    println!(
        "  {count:>7} {:>12.1} {:>6.1} {:>6.1} {:>18.2} {:>6.2} {:>19.1} {:>6.1} {:>21.2} {:>10.0} {:>10}",
        quantile(&seen.behind, 0.5),
        quantile(&seen.behind, 0.99),
        quantile(&seen.behind, 1.0),
        quantile(&seen.rounds, 0.5),
        quantile(&seen.rounds, 1.0),
        quantile(&acknowledged, 0.5),
        quantile(&acknowledged, 0.99),
        (server.cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64(),
        server.peak_mb(),
        answered.load(Ordering::Relaxed),
    );
}

fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
    let index = ((sorted.len().max(1) - 1) as f64 * at).ceil() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
