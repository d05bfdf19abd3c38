//! What does it cost to take a span in, and what does the server hold out? The real binary on core 0, the sender on core 1, loopback between them.
//!
//! `make bench-ingest`, by hand, built for release. The figures are processor time per span until it lies in a committed table, roll-ups included;
//! wall clock says little on a machine that is shared. Arguments choose scenarios; without any, all run.

mod load;
mod payload;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use haldane_store::{Clock as _, SystemClock};

use load::{Crowd, Outcome, Until, Wire};
use payload::Payload;
use server::Server;

/// Spans in a request.
const BATCH: usize = 1_000;
const RUNS: u64 = 5;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|one| one == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        say(&format!("machine: {}", machine()));
        if wanted("cost") {
            cost().await;
        }
        if wanted("sustained") {
            sustained().await;
        }
        if wanted("latency") {
            latency().await;
        }
        if wanted("overload") {
            overload().await;
        }
        if wanted("restart") {
            restart().await;
        }
    });
}

#[expect(clippy::print_stdout, reason = "a bench prints its result")]
fn say(line: &str) {
    println!("{line}");
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown").trim_start_matches([' ', '\t', ':']);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{model}, load {}", load.trim())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-ingest")
}

fn payload(spans: usize, seed: u64) -> Payload {
    let now = SystemClock.now().as_nanos();
    Payload::new(spans, seed, u64::try_from(now).expect("after 1970"))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Fixed work: processor time until all of it is committed.
async fn cost() {
    say(&format!("cost: {BATCH} spans of {:.0} bytes a request, 4 connections with 2 in flight", payload(BATCH, 1).bytes_per_span()));
    say("  wire                 CPU us/span   spans/s    B/span   peak MB   (medians)");
    for wire in [Wire::Grpc, Wire::GrpcGzip, Wire::GrpcZstd, Wire::HttpProtobuf, Wire::HttpGzip, Wire::HttpJson] {
        let requests = if wire == Wire::HttpJson { 200 } else { 1_000 };
        let mut figures: [Vec<f64>; 4] = Default::default();
        for run in 0..RUNS {
            let server = Server::start(&folder());
            let before = server.cpu();
            let crowd = Crowd { connections: 4, in_flight: 2 };
            let outcome = load::closed_loop(&server, wire, payload(BATCH, run), crowd, Until::Requests(requests)).await;
            assert_eq!((outcome.acknowledged, outcome.refused_for_good), (requests, 0), "{outcome:?}");
            let spans = requests * BATCH as u64;
            server.wait_for("spans", spans);
            server.wait_for("red", 1);
            let (rows, bytes) = server.committed("spans");
            assert_eq!(rows, spans, "each span is there once");
            let cpu = (server.cpu() - before).as_secs_f64() * 1e6 / spans as f64;
            let one = [cpu, spans as f64 / outcome.took.as_secs_f64(), bytes as f64 / rows as f64, server.peak_mb()];
            figures.iter_mut().zip(one).for_each(|(figure, number)| figure.push(number));
            server.kill();
        }
        let [cpu, rate, bytes, peak] = figures.map(median);
        say(&format!("  {:18} {cpu:12.2} {rate:10.0} {bytes:9.1} {peak:9.0}", wire.name()));
    }
}

/// A minute at full rate, with nothing left behind.
async fn sustained() {
    let server = Server::start(&folder());
    let before = server.cpu();
    let crowd = Crowd { connections: 4, in_flight: 4 };
    let outcome = load::closed_loop(&server, Wire::Grpc, payload(BATCH, 1), crowd, Until::Elapsed(Duration::from_secs(60))).await;
    let spans = outcome.acknowledged * BATCH as u64;
    server.wait_for("spans", spans);
    let cpu = (server.cpu() - before).as_secs_f64() * 1e6 / spans as f64;
    let (rows, bytes) = server.committed("spans");
    assert_eq!(rows, spans, "each span is there once");
    say(&format!(
        "sustained 60 s: {:.0} spans/s, CPU {cpu:.2} us/span, {:.1} B/span, peak {:.0} MB, refused {}",
        spans as f64 / outcome.took.as_secs_f64(),
        bytes as f64 / rows as f64,
        server.peak_mb(),
        outcome.refused_retryable,
    ));
}

/// Acknowledgements at a steady rate.
async fn latency() {
    for (rate, batch) in [(20_000.0, 512), (100_000.0, 512)] {
        let server = Server::start(&folder());
        let outcome = load::open_loop(&server, payload(batch, 1), rate, Duration::from_secs(30)).await;
        let at = |q: f64| percentile(&outcome, q);
        say(&format!(
            "latency at {rate:.0} spans/s of {batch}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, refused {}, peak {:.0} MB",
            at(0.5),
            at(0.99),
            at(1.0),
            outcome.refused_retryable + outcome.refused_for_good,
            server.peak_mb(),
        ));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into a list")]
fn percentile(outcome: &Outcome, q: f64) -> f64 {
    let last = outcome.latencies.len().saturating_sub(1);
    outcome.latencies.get((last as f64 * q) as usize).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

/// 256 requests in flight.
async fn overload() {
    let mut rates = Vec::new();
    for crowd in [Crowd { connections: 4, in_flight: 2 }, Crowd { connections: 64, in_flight: 4 }] {
        let server = Server::start(&folder());
        let outcome = load::closed_loop(&server, Wire::Grpc, payload(BATCH, 1), crowd, Until::Elapsed(Duration::from_secs(30))).await;
        let spans = outcome.acknowledged * BATCH as u64;
        rates.push(spans as f64 / outcome.took.as_secs_f64());
        server.wait_for("spans", spans);
        say(&format!(
            "{} connections with {} in flight: {:.0} spans/s acknowledged and committed, refused {} for now and {} for good, p99 {:.0} ms, peak {:.0} MB",
            crowd.connections,
            crowd.in_flight,
            rates[rates.len() - 1],
            outcome.refused_retryable,
            outcome.refused_for_good,
            percentile(&outcome, 0.99),
            server.peak_mb(),
        ));
    }
    say(&format!("overload: {:.0} % of the rate without it", 100.0 * rates[1] / rates[0]));
}

/// Killed under load, then started again.
async fn restart() {
    let server = Server::start(&folder());
    let crowd = Crowd { connections: 4, in_flight: 2 };
    let outcome = load::closed_loop(&server, Wire::Grpc, payload(BATCH, 1), crowd, Until::Requests(600)).await;
    server.kill();
    let start = std::time::Instant::now();
    let server = Server::start_on(&folder());
    let listening = start.elapsed();
    server.wait_for("spans", outcome.acknowledged * BATCH as u64);
    let (rows, _) = server.committed("spans");
    say(&format!(
        "killed after {} spans: listening again after {:.2} s, all in the table after {:.2} s, {} too many",
        outcome.acknowledged * BATCH as u64,
        listening.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        rows - outcome.acknowledged * BATCH as u64,
    ));
}
