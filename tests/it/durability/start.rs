//! Starting on a long log: the ports answer at once, and memory stays within bounds.

use std::time::{Duration, Instant};

use prost::Message as _;

use super::book::{Book, Fate};
use super::disk::more;
use super::kills::number_from_environment;
use super::load::Load;
use super::parcel::{Export, Parcel};
use super::server::{Launch, Server};

/// Mebibytes of log in the everyday tests; `LOG_MB=500` asks for more.
const LOG_MIB: u32 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_is_read_back_senders_and_readers_are_asked_to_try_again() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = u64::from(number_from_environment("LOG_MB").unwrap_or(LOG_MIB)) << 20;
    let launch = Launch::on(&dir.path().join("data"));
    let keeps_all = launch
        .clone()
        .set("HALDANE_COLLECTOR__RAW_FLUSH_AGE_MS", 3_600_000)
        .set("HALDANE_COLLECTOR__ROLLUP_FLUSH_AGE_MS", 3_600_000)
        .set("HALDANE_COLLECTOR__FLUSH_BYTES_MAX", 1_u64 << 40);
    let (mut server, _) = keeps_all.start().await;
    let spans = fill(&server, wanted).await;
    server.kill();

    let started = Instant::now();
    let mut server = launch.begin().await;
    assert_eq!(server.readiness().await, Some(503));
    let listening = started.elapsed();
    let client = reqwest::Client::new();
    let early = client.get(format!("{}/v1/services", server.api)).send().await.unwrap();
    assert_eq!((early.status().as_u16(), early.text().await.unwrap().contains("the log is being read back")), (503, true));
    let book = std::sync::Arc::new(Book::default());
    let load = Load::start(&server, &book, 1);
    more(&book, Fate::Refused, 1).await;
    let ready = server.wait_until_ready().await;
    more(&book, Fate::Acknowledged, 6).await;
    load.end().await;
    let answer = server.query("SELECT count(*) FROM spans WHERE service_name = 'round-0'").await;
    assert_eq!(answer["rows"][0][0].as_u64(), Some(spans));
    eprintln!(
        "{} MiB of log, {spans} spans: answers after {listening:?}, ready after {ready:?}, {} MiB at most; meanwhile {} requests refused, {} cut off",
        wanted >> 20,
        server.peak_memory_kib() >> 10,
        book.count(Fate::Refused),
        book.count(Fate::Unanswered),
    );
    // A start takes some tenths of a second by itself; the machine may be busy.
    assert!(listening < Duration::from_secs(5), "{listening:?}");
}

/// Sends the same spans until the log has so many bytes; answers how many spans that were.
async fn fill(server: &Server, bytes: u64) -> u64 {
    let large = (0..).map(|number| Parcel { number: number * 4, round: 0 }).find(|parcel| parcel.records() > 1_000).unwrap();
    let Export::Traces(request) = large.export() else { unreachable!("its number is a multiple of four") };
    let body = request.encode_to_vec();
    let (client, mut sent) = (reqwest::Client::new(), 0);
    while sent * (body.len() as u64) < bytes {
        let post = client.post(format!("{}/v1/traces", server.http)).header("content-type", "application/x-protobuf");
        let answer = post.body(body.clone()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        sent += 1;
    }
    sent * large.records()
}
