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
use payload::{Payload, Signal};
use server::Server;

/// Spans in a request.
const BATCH: usize = 1_000;
const RUNS: u64 = 5;
/// Of two builds.
const PAIRS: u64 = 15;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|one| one == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        say(&format!("machine: {}", machine()));
        if wanted("cost") {
            cost().await;
        }
        if wanted("against") {
            against().await;
        }
        if wanted("files") {
            files().await;
        }
        if wanted("signals") {
            signals().await;
        }
        if wanted("peers") {
            peers().await;
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
    payload_of(Signal::Traces, spans, seed)
}

fn payload_of(signal: Signal, records: usize, seed: u64) -> Payload {
    let now = SystemClock.now().as_nanos();
    Payload::new(signal, records, seed, u64::try_from(now).expect("after 1970"))
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What fixed work took.
struct Cost {
    cpu_us: f64,
    rate: f64,
    bytes: f64,
    peak_mib: f64,
}

const COLUMNS: &str = "CPU us/record   records/s   B/record   peak MiB   (medians)";

impl Cost {
    /// Processor time until all of it is committed.
    async fn of(server: Server, wire: Wire, mut payload: Payload, requests: u64) -> Self {
        if wire.is_slow_to_make() {
            payload.make_ready(wire, requests);
        }
        let before = server.cpu();
        let (table, batch) = (payload.signal.table(), payload.records() as u64);
        let crowd = Crowd { connections: 4, in_flight: 2 };
        let outcome = load::closed_loop(&server, wire, payload, crowd, Until::Requests(requests)).await;
        assert_eq!((outcome.acknowledged, outcome.refused_for_good), (requests, 0), "{outcome:?}");
        let records = requests * batch;
        server.wait_for(table, records);
        let (rows, bytes) = server.committed(table);
        assert_eq!(rows, records, "each is there once");
        let cpu_us = (server.cpu() - before).as_secs_f64() * 1e6 / records as f64;
        let cost = Self {
            cpu_us,
            rate: records as f64 / outcome.took.as_secs_f64(),
            bytes: bytes as f64 / rows as f64,
            peak_mib: server.peak_mib(),
        };
        server.kill();
        cost
    }

    fn say_median(name: &str, costs: &[Self]) {
        let of = |figure: fn(&Self) -> f64| median(costs.iter().map(figure).collect());
        let (cpu, rate, bytes, peak) = (of(|cost| cost.cpu_us), of(|cost| cost.rate), of(|cost| cost.bytes), of(|cost| cost.peak_mib));
        say(&format!("  {name:18} {cpu:14.2} {rate:11.0} {bytes:10.1} {peak:9.0}"));
    }
}

/// By the way a request comes.
async fn cost() {
    say(&format!(
        "cost: {BATCH} spans of {:.0} bytes a request, 4 connections with 2 in flight, {RUNS} runs",
        payload(BATCH, 1).bytes_per_record()
    ));
    say(&format!("  wire               {COLUMNS}"));
    for wire in Wire::ALL {
        let mut costs = Vec::new();
        for run in 0..RUNS {
            costs.push(Cost::of(Server::start(&folder()), wire, payload(BATCH, run), requests(wire, 1_000)).await);
        }
        Cost::say_median(wire.name(), &costs);
    }
}

/// Of JSON fewer than of the rest: making it takes the sender many times what reading it takes.
fn requests(wire: Wire, usual: u64) -> u64 {
    if wire == Wire::HttpJson { usual / 5 } else { usual }
}

/// Beside another build of the same program, in turn, over gRPC or what `WIRE` names: what a change does to the processor time of a span.
async fn against() {
    let Some(build) = std::env::var_os("BASELINE").map(PathBuf::from).filter(|build| build.exists()) else {
        say("against: left out; BASELINE names no other build of haldane");
        return;
    };
    let asked = std::env::var_os("WIRE").unwrap_or_else(|| Wire::Grpc.name().into());
    let wire = Wire::ALL.into_iter().find(|wire| asked == wire.name()).expect("WIRE is a name that `cost` prints");
    let (name, build_name) = (wire.name(), build.display());
    say(&format!("against {build_name}: {BATCH} spans a request over {name}, 4 connections with 2 in flight, {PAIRS} pairs"));
    say(&format!("  build              {COLUMNS}"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..PAIRS {
        ours.push(Cost::of(Server::start(&folder()), wire, payload(BATCH, run), requests(wire, 400)).await);
        let _ = std::fs::remove_dir_all(folder());
        let other = Server::start_build(&folder(), &build, &[]);
        theirs.push(Cost::of(other, wire, payload(BATCH, run), requests(wire, 400)).await);
    }
    Cost::say_median("this", &ours);
    Cost::say_median("the other", &theirs);
    let mut ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours.cpu_us / theirs.cpu_us).collect();
    ratios.sort_by(f64::total_cmp);
    let (low, middle, high) = (ratios[ratios.len() / 4], ratios[ratios.len() / 2], ratios[ratios.len() * 3 / 4]);
    say(&format!("  ratio of processor time, pair by pair: {middle:.2} in the middle, half of the pairs from {low:.2} to {high:.2}"));
}

/// Bytes in files as they are first written, and once they are joined.
async fn files() {
    const UPKEEP: &str = "HALDANE_COLLECTOR__UPKEEP__EVERY_SECONDS";
    let build = PathBuf::from(env!("CARGO_BIN_EXE_haldane"));
    let _ = std::fs::remove_dir_all(folder());
    let server = Server::start_build(&folder(), &build, &[(UPKEEP, "0")]);
    let crowd = Crowd { connections: 4, in_flight: 2 };
    let outcome = load::closed_loop(&server, Wire::Grpc, payload(BATCH, 1), crowd, Until::Requests(1_000)).await;
    let spans = outcome.acknowledged * BATCH as u64;
    server.wait_for("spans", spans);
    let (rows, first) = server.committed("spans");
    server.kill();
    let server = Server::start_build(&folder(), &build, &[(UPKEEP, "1")]);
    server.wait_for_files("spans", 1);
    let (joined_rows, joined) = server.committed("spans");
    assert_eq!((rows, joined_rows), (spans, spans), "each span is there once");
    let per_span = |bytes: u64| bytes as f64 / rows as f64;
    say(&format!("files: {:.1} B/span as first written, {:.1} joined", per_span(first), per_span(joined)));
}

/// By what a request holds.
async fn signals() {
    say(&format!("signals: {BATCH} records a request over gRPC, 4 connections with 2 in flight, {RUNS} runs"));
    say(&format!("  records            {COLUMNS}"));
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        let mut costs = Vec::new();
        for run in 0..RUNS {
            costs.push(Cost::of(Server::start(&folder()), Wire::Grpc, payload_of(signal, BATCH, run), 600).await);
        }
        Cost::say_median(signal.records(), &costs);
        say(&format!("    of {:.0} bytes", payload_of(signal, BATCH, 1).bytes_per_record()));
    }
}

/// Beside another program that makes Parquet of OTLP, in turn, over what both speak.
async fn peers() {
    let Some(program) = std::env::var_os("OTLP2PARQUET").map(PathBuf::from).filter(|program| program.exists()) else {
        say("peers: left out; OTLP2PARQUET names no program (benches/ingest/peers.sh installs it)");
        return;
    };
    say(&format!(
        "peers: {BATCH} spans a request over HTTP, 4 connections with 2 in flight, {RUNS} runs; the peer acknowledges what is in memory only"
    ));
    say(&format!("  program            {COLUMNS}"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        ours.push(Cost::of(Server::start(&folder()), Wire::HttpProtobuf, payload(BATCH, run), 600).await);
        let Some(peer) = Server::start_peer(&folder(), &program) else {
            say("  the peer does not start");
            return;
        };
        theirs.push(Cost::of(peer, Wire::HttpProtobuf, payload(BATCH, run), 600).await);
    }
    Cost::say_median("haldane", &ours);
    Cost::say_median("otlp2parquet", &theirs);
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu_us).collect());
    say(&format!("  ratio of processor time: {:.1}", cpu(&theirs) / cpu(&ours)));
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
        "sustained 60 s: {:.0} spans/s, CPU {cpu:.2} us/span, {:.1} B/span, peak {:.0} MiB, refused {}",
        spans as f64 / outcome.took.as_secs_f64(),
        bytes as f64 / rows as f64,
        server.peak_mib(),
        outcome.refused_retryable,
    ));
}

/// Acknowledgements at a steady rate.
async fn latency() {
    const SECONDS: u64 = 30;
    for (rate, batch) in [(20_000, 512), (100_000, 512)] {
        let server = Server::start(&folder());
        let mut payload = payload(batch, 1);
        // Or a request would wait until the sender has made the next one.
        payload.make_ready(Wire::Grpc, rate * SECONDS / batch as u64 + 1);
        let outcome = load::open_loop(&server, payload, rate as f64, Duration::from_secs(SECONDS)).await;
        let at = |q: f64| percentile(&outcome, q);
        say(&format!(
            "latency at {rate} spans/s of {batch}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, refused {}, peak {:.0} MiB",
            at(0.5),
            at(0.99),
            at(1.0),
            outcome.refused_retryable + outcome.refused_for_good,
            server.peak_mib(),
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
            "{} connections with {} in flight: {:.0} spans/s acknowledged and committed, refused {} for now and {} for good, p99 {:.0} ms, peak {:.0} MiB",
            crowd.connections,
            crowd.in_flight,
            rates[rates.len() - 1],
            outcome.refused_retryable,
            outcome.refused_for_good,
            percentile(&outcome, 0.99),
            server.peak_mib(),
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
