//! Far too much at once: memory stays bounded, refusals ask to try again, and nothing that was acknowledged is lost.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;
use serde_json::Value as Json;

use crate::world::{World, until};

const SENDERS: usize = 256;
const FLOOD: Duration = Duration::from_secs(6);
const RECORDS: usize = 400;
/// The everyday build, whose program alone takes over 100 MiB and which is slow to let go of bodies, was measured at 416 MiB here (1,081 before hot rows had
/// a limit); this bound tells of a leak on top of that. Built for release the peak is looked at by `make bench-ingest SCENARIO=overload`.
const PEAK_MIB_MAX: u64 = 560;

/// About two megabytes of log records.
fn large() -> Vec<u8> {
    // Of today: a day past the retention is removed as soon as upkeep looks at it.
    let now = u64::try_from(SystemClock.now().as_nanos()).unwrap();
    let record = |at: usize| LogRecord {
        time_unix_nano: now,
        body: Some(AnyValue { value: Some(Value::StringValue(format!("{at}{}", "x".repeat(5_000)))) }),
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: (0..RECORDS).map(record).collect(), ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// Under a hundred kilobytes that become more than the limit.
fn bomb() -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..70).for_each(|_| packed.write_all(&zeros).unwrap());
    packed.finish().unwrap()
}

fn peak_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_large_bodies_and_bombs_is_bounded_and_passes() {
    let world = World::start().await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (large, bomb) = (bytes(large()), bytes(bomb()));
    let end = Instant::now() + FLOOD;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (acknowledged, url) = (acknowledged.clone(), format!("{}/v1/logs", world.http));
        let bombs = sender % 8 == 0;
        let body = if bombs { bomb.clone() } else { large.clone() };
        let client = reqwest::Client::new();
        senders.spawn(async move {
            while Instant::now() < end {
                let request = client.post(&url).header("content-type", "application/x-protobuf").body((*body).clone());
                let request = if bombs { request.header("content-encoding", "gzip") } else { request };
                let response = request.send().await.unwrap();
                match response.status().as_u16() {
                    200 if !bombs => _ = acknowledged.fetch_add(1, Ordering::Relaxed),
                    413 if bombs => (),
                    503 => assert_eq!(response.headers()["retry-after"], "1"),
                    other => panic!("{other}: {:?}", response.bytes().await),
                }
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
    let peak = peak_mib(world.process_id());
    let requests = acknowledged.load(Ordering::Relaxed);
    eprintln!("peak {peak} MiB, {requests} requests of {RECORDS} records acknowledged");
    assert!(requests > 0);
    assert!(peak <= PEAK_MIB_MAX, "the server took {peak} MiB");
    let small = ExportLogsServiceRequest::decode(&large[..]).map(|mut request| {
        request.resource_logs[0].scope_logs[0].log_records.truncate(1);
        request
    });
    world.export("/v1/logs", &small.unwrap()).await;
    let expected = i64::try_from(requests).unwrap() * i64::try_from(RECORDS).unwrap() + 1;
    until("all acknowledged records are there", async || (world.number("SELECT count(*) FROM logs").await == expected).then_some(())).await;
    until("nothing is in flight", async || {
        let Ok(Json::String(text)) = world.get("/metrics").await else { panic!("no metrics") };
        text.lines().any(|line| line == "haldane_collector_bytes_in_flight 0").then_some(())
    })
    .await;
}

fn bytes(body: Vec<u8>) -> Arc<Vec<u8>> {
    Arc::new(body)
}
