//! A data folder that goes away under a running server, and one that two servers want.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::{Book, Fate};
use super::disk::more;
use super::load::{IN_FLIGHT, Load};
use super::proof::{Source, prove};
use super::server::Launch;

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_is_carried_away_is_not_written_elsewhere_and_goes_on_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (home, away) = (dir.path().join("data"), dir.path().join("away"));
    let launch = Launch::on(&home).set("HALDANE_COLLECTOR__RAW_FLUSH_AGE_MS", 300).set("HALDANE_COLLECTOR__ROLLUP_FLUSH_AGE_MS", 300);
    let book = Arc::new(Book::default());
    let (mut server, _) = launch.start().await;
    let load = Load::start(&server, &book, 1);
    more(&book, Fate::Acknowledged, 30).await;
    std::fs::rename(&home, &away).unwrap();
    refused_from_now_on(&book).await;
    server.wait_until_said(&["ERROR", "the log cannot be written"]).await;
    server.wait_until_said(&["ERROR", "cannot flush", "the folder of the tables is away"]).await;
    assert!(!home.exists(), "something was written where the folder was");

    std::fs::rename(&away, &home).unwrap();
    more(&book, Fate::Acknowledged, 30).await;
    load.end().await;
    assert_eq!(book.count(Fate::Unanswered), 0);
    prove(&Source::Running(&server), &book).await;
    assert!(server.stop().await.success());
    prove(&Source::Files(&launch), &book).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_is_removed_ends_the_intake_but_not_the_process_and_the_next_start_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("data");
    let launch = Launch::on(&home).set("HALDANE_COLLECTOR__DRAIN_SECONDS", 1);
    let book = Arc::new(Book::default());
    let (mut server, _) = launch.start().await;
    let load = Load::start(&server, &book, 1);
    more(&book, Fate::Acknowledged, 30).await;
    let removed = Instant::now();
    while let Err(error) = std::fs::remove_dir_all(&home) {
        // A file was made in it meanwhile.
        assert!(removed.elapsed() < Duration::from_secs(10), "{error}");
    }
    refused_from_now_on(&book).await;
    load.end().await;
    assert_eq!((server.is_running(), server.readiness().await), (true, Some(200)));
    assert!(server.has_said(&["ERROR", "the log cannot be written"]));
    assert_eq!(server.stop().await.code(), Some(2));
    assert!(!home.join("tables").exists());

    let (server, _) = launch.start().await;
    let book = Arc::new(Book::default());
    let load = Load::start(&server, &book, 1);
    more(&book, Fate::Acknowledged, 10).await;
    load.end().await;
    prove(&Source::Running(&server), &book).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_data_folder_is_refused_and_told_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::on(&dir.path().join("data"));
    let book = Arc::new(Book::default());
    let (first, _) = launch.start().await;
    let load = Load::start(&first, &book, 1);
    let second = launch.refused();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{text}");
    let line = text.lines().last().unwrap();
    assert!(line.contains("is in use by another haldane") && line.contains(&first.api) && line.contains("--data"), "{text}");
    more(&book, Fate::Acknowledged, 10).await;
    load.end().await;
    prove(&Source::Running(&first), &book).await;
}

/// No more is acknowledged than what was under way.
async fn refused_from_now_on(book: &Book) {
    let before = book.count(Fate::Acknowledged);
    more(book, Fate::Refused, 60).await;
    assert!(book.count(Fate::Acknowledged) <= before + IN_FLIGHT, "{} more were acknowledged", book.count(Fate::Acknowledged) - before);
}
