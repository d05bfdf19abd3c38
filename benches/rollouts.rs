//! How late are verdicts when many services roll out at once? The real server with its usual settings, live traffic of every service in two versions,
//! and for each window of 10 s the time from when it could be judged first (its end and the wait for late data) to when a verdict had it.
//!
//! `make bench-rollouts ROLLOUTS=200 MINUTES=10 QUERIES=4`, by hand, with the load on the same machine. With queries the same is looked at once more, while so many heavy
//! ones are asked over the PostgreSQL wire all the time.
//!
//! Two shared cores, everyday build (libraries unoptimised), 200 rollouts, 2,000 spans a second, load and queries on the same cores, 3 minutes each:
//!
//! | queries | behind, s (median, 99 %) | round, s (median) | acknowledged, ms (median, 99 %) | peak MB |
//! | --- | --- | --- | --- | --- |
//! | 0 | 74, 104 | 46 | 5.8, 1,311 | 297 |
//! | 4 | 132, 152 | 93 | 7.1, 1,820 | 637 |
//!
//! Both cores are taken in either case. Built for release it has not been measured yet; the goal, 10 s behind, is for that.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use haldane_store::UnixNanos;
use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

/// Requests of one service in a second, both versions together.
const PER_SECOND: u64 = 10;
const OPERATIONS: u64 = 5;
/// Of each version.
const INSTANCES: u64 = 3;
/// Minutes of the baseline before the rollouts.
const BEFORE: u64 = 10;
/// What the server waits for late data, as it is by default.
const LATENESS: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(10);
/// Services in one request of the load.
const SERVICES_A_REQUEST: u64 = 20;
/// Between two looks at `/metrics`.
const LOOK: Duration = Duration::from_millis(500);

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let [rollouts, minutes, queries] = [(0, 200), (1, 10), (2, 0)].map(|(at, unsaid)| numbers.get(at).copied().unwrap_or(unsaid));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(rollouts, Duration::from_secs(minutes * 60), queries));
}

#[expect(clippy::print_stdout, reason = "a bench prints its result")]
async fn run(rollouts: u64, long: Duration, queries: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let load = Load { http: server.at("http").to_owned(), client: reqwest::Client::new(), services: rollouts };
    println!("{rollouts} services of {PER_SECOND} requests a second each, {OPERATIONS} operations, {INSTANCES} and {INSTANCES} instances");
    let ready =
        async || load.client.get(format!("{}/readyz", server.at("api"))).send().await.is_ok_and(|answer| answer.status().is_success());
    while !ready().await {
        tokio::time::sleep(LOOK).await;
    }
    load.send_past().await;
    for service in 0..rollouts {
        load.start_rollout(server.at("api"), service).await;
    }
    println!(
        "  queries   behind, s (median, 99 %, most)   round, s (median, most)   acknowledged, ms (median, 99 %)   server, cores   peak MB   answered"
    );
    phase(&server, &load, long, 0).await;
    if queries > 0 {
        phase(&server, &load, long, queries).await;
    }
}

/// Looks for so long, and prints a line.
#[expect(clippy::print_stdout, reason = "a bench prints its result")]
async fn phase(server: &Server, load: &Load, long: Duration, queries: u64) {
    let (watch, cpu, began) = (Watch { api: server.at("api").to_owned(), client: load.client.clone() }, server.cpu(), Instant::now());
    let answered = Arc::new(AtomicU64::new(0));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..queries {
        asking.spawn(ask(server.at("sql").to_owned(), answered.clone()));
    }
    let (seen, acknowledged) = tokio::join!(watch.look_for(long), load.send_live(long));
    asking.shutdown().await;
    println!(
        "  {queries:>7} {:>12.1} {:>6.1} {:>6.1} {:>18.2} {:>6.2} {:>19.1} {:>6.1} {:>21.2} {:>10.0} {:>10}",
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

/// Asks heavy questions until it is dropped.
async fn ask(address: String, answered: Arc<AtomicU64>) {
    let quantile = "duration_quantile(0.99, duration_scale, duration_zero_count, duration_offset, duration_counts)";
    let questions = [
        format!("SELECT service_name, operation, service_instance_id, sum(requests), {quantile} FROM red GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 100"),
        "SELECT a.service_name, b.name, count(*), max(a.duration_ns) FROM spans a JOIN spans b ON a.trace_id = b.trace_id GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 100"
            .to_owned(),
    ];
    let url = format!(
        "host={} port={} user=anybody dbname=haldane",
        address.split(':').next().unwrap_or_default(),
        address.split(':').nth(1).unwrap_or_default()
    );
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("the SQL door is open");
    let connection = async { drop(connection.await) };
    let asking = async {
        for question in questions.iter().cycle() {
            // One that takes too long is refused: that is what the limits are for.
            if client.simple_query(question).await.is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    tokio::join!(connection, asking);
}

/// What is sent.
struct Load {
    http: String,
    client: reqwest::Client,
    services: u64,
}

impl Load {
    /// What the baseline served before, a minute a request.
    async fn send_past(&self) {
        let now = SystemClock.now();
        for minute in (1..=BEFORE).rev() {
            for seconds in 0..60_u64 {
                let at = now.minus(Duration::from_secs(minute * 60 - seconds));
                self.send_second(at, &["1.4.0"]).await;
            }
        }
    }

    /// Each second what is served in it; returns how long each acknowledgement took, in milliseconds.
    async fn send_live(&self, until: Duration) -> Vec<f64> {
        let (began, from, mut acknowledged) = (Instant::now(), SystemClock.now(), Vec::new());
        let mut second = Duration::ZERO;
        while second < until {
            acknowledged.extend(self.send_second(from.plus(second), &["1.4.0", "1.5.0"]).await);
            second += Duration::from_secs(1);
            tokio::time::sleep(second.saturating_sub(began.elapsed())).await;
        }
        acknowledged
    }

    async fn send_second(&self, at: UnixNanos, versions: &[&str]) -> Vec<f64> {
        let mut acknowledged = Vec::new();
        for first in (0..self.services).step_by(usize::try_from(SERVICES_A_REQUEST).expect("it is small")) {
            let services = first..self.services.min(first + SERVICES_A_REQUEST);
            let resource_spans = services.flat_map(|service| second_of(service, at, versions)).collect();
            let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
            let request = self.client.post(format!("{}/v1/traces", self.http)).header("content-type", "application/x-protobuf");
            let sent = Instant::now();
            let answer = request.body(body).send().await.expect("the server answers");
            assert!(answer.status().is_success(), "the load was refused: {}", answer.status());
            acknowledged.push(sent.elapsed().as_secs_f64() * 1e3);
        }
        acknowledged
    }

    async fn start_rollout(&self, api: &str, service: u64) {
        let rollout = serde_json::json!({
            "service": name(service), "environment": "bench",
            "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"},
            // None of them ends while the bench looks.
            "policy": {"min_duration_seconds": 7_200, "max_duration_seconds": 14_400},
        });
        let answer = self.client.post(format!("{api}/v1/rollouts")).json(&rollout).send().await.expect("the server answers");
        assert!(answer.status().is_success(), "a rollout was refused: {}", answer.status());
    }
}

fn name(service: u64) -> String {
    format!("service-{service:03}")
}

/// One second of a service: its requests in turn to its versions, instances and operations.
fn second_of(service: u64, at: UnixNanos, versions: &[&str]) -> Vec<ResourceSpans> {
    let second = u64::try_from(at.as_nanos() / 1_000_000_000).expect("after 1970");
    let of = versions.len() as u64 * INSTANCES;
    let mut by_instance: HashMap<u64, Vec<Span>> = HashMap::new();
    for number in 0..PER_SECOND {
        let turn = second * PER_SECOND + number;
        by_instance.entry(turn % of).or_default().push(request(service, turn, at.plus(Duration::from_millis(number * 1000 / PER_SECOND))));
    }
    let resource = |instance: u64| {
        let version = versions[usize::try_from(instance / INSTANCES).expect("it is small")];
        let attributes = vec![
            text("service.name", name(service)),
            text("service.version", version.to_owned()),
            text("service.instance.id", format!("{version}-{}", instance % INSTANCES)),
            text("deployment.environment.name", "bench".to_owned()),
        ];
        Resource { attributes, ..Resource::default() }
    };
    let one = |(instance, spans): (u64, Vec<Span>)| ResourceSpans {
        resource: Some(resource(instance)),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    by_instance.into_iter().map(one).collect()
}

fn request(service: u64, turn: u64, at: UnixNanos) -> Span {
    let lasted = Duration::from_micros(20_000 + turn * 7_919 % 10_000);
    let nanos = |at: UnixNanos| u64::try_from(at.as_nanos()).expect("after 1970");
    // In an order that looks like chance.
    let dice = (turn ^ service).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Span {
        trace_id: [(service + 1).to_be_bytes(), (turn + 1).to_be_bytes()].concat(),
        span_id: (turn + 1).to_be_bytes().to_vec(),
        name: format!("GET /{}", dice % OPERATIONS),
        kind: 2,
        start_time_unix_nano: nanos(at),
        end_time_unix_nano: nanos(at.plus(lasted)),
        status: Some(Status { code: if dice.is_multiple_of(100) { 2 } else { 0 }, ..Status::default() }),
        ..Span::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value)) }), ..KeyValue::default() }
}

/// What is seen of the verdicts, by `/metrics`.
struct Watch {
    api: String,
    client: reqwest::Client,
}

/// In seconds.
#[derive(Default)]
struct Seen {
    behind: Vec<f64>,
    rounds: Vec<f64>,
}

impl Watch {
    async fn look_for(&self, long: Duration) -> Seen {
        let (began, mut seen) = (Instant::now(), Seen::default());
        // By service: up to when its verdict has seen all data.
        let mut known: HashMap<String, f64> = HashMap::new();
        while began.elapsed() < long {
            let text =
                self.client.get(format!("{}/metrics", self.api)).send().await.expect("the server answers").text().await.expect("a text");
            let now = SystemClock.now().as_nanos() as f64 / 1e9;
            seen.rounds.extend(text.lines().find_map(|line| line.strip_prefix("haldane_judge_round_seconds ")?.parse::<f64>().ok()));
            for line in text.lines().filter(|line| line.starts_with("haldane_rollout_data_age_seconds{")) {
                let (labels, age) = line.rsplit_once(' ').expect("a series has a value");
                let until = now - age.parse::<f64>().expect("a number");
                let window = (until / WINDOW.as_secs_f64()).round();
                if let Some(before) = known.insert(labels.to_owned(), window)
                    && window > before
                {
                    // Of several windows that came at once the first was the latest.
                    seen.behind.push(now - (before + 1.0) * WINDOW.as_secs_f64() - LATENESS.as_secs_f64());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        seen
    }
}

fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
    let index = ((sorted.len().max(1) - 1) as f64 * at).ceil() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The real server, and what the system says of it.
struct Server {
    process: Child,
    doors: HashMap<&'static str, String>,
}

impl Server {
    fn start(folder: &std::path::Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_haldane"))
            .args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0", "--data"])
            .arg(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let (sender, told) = mpsc::channel();
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| sender.send(line).unwrap_or_default()));
        let mut doors = HashMap::new();
        while doors.len() < 3 {
            let line = told.recv_timeout(Duration::from_secs(60)).expect("the server says where it listens");
            for (door, before) in [("http", "HTTP at "), ("api", "REST at "), ("sql", "wire at ")] {
                let after = line.split_once(before).map(|(_, after)| after.split([',', ' ']).next().unwrap_or(after).to_owned());
                doors.extend(after.map(|address| (door, address)));
            }
        }
        // What it says later has to go somewhere.
        std::thread::spawn(move || told.iter().for_each(drop));
        Self { process, doors }
    }

    fn at(&self, door: &str) -> &str {
        &self.doors[door]
    }

    fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        // Linux counts in hundredths of a second.
        Duration::from_secs_f64([11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum::<f64>() / 100.0)
    }

    fn peak_mb(&self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    }

    fn read(&self, what: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.process.id())).expect("the server runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
