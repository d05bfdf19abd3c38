//! A disk that is full or may not be written.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::{Book, Fate};
use super::load::Load;
use super::proof::{Findings, Source, look, prove};
use super::server::{Launch, Server};
use super::tmpfs::SmallDisk;
use crate::world::DEADLINE;

/// Said where a test cannot mount; a limit on the size of files is tested everywhere.
const NO_MOUNT: &str = "cannot mount a small disk here: tested with a limit on the size of files only";

fn quick(launch: Launch) -> Launch {
    launch
        .set("HALDANE_COLLECTOR__RAW_FLUSH_AGE_MS", 200)
        .set("HALDANE_COLLECTOR__ROLLUP_FLUSH_AGE_MS", 200)
        .set("HALDANE_COLLECTOR__BATCH_AGE_MS", 50)
        .set("HALDANE_COLLECTOR__WAL__SEGMENT_BYTES_MAX", 200_000)
}

/// Waits until so many more parcels have had this fate.
pub(super) async fn more(book: &Book, fate: Fate, count: usize) {
    let (start, before) = (Instant::now(), book.count(fate));
    while book.count(fate) < before + count {
        assert!(start.elapsed() < DEADLINE, "{} of {count} more were {fate:?}", book.count(fate) - before);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The disk gets full under load, stays so, and gets room again.
async fn story(launch: &Launch, fill: impl Fn(&Server), make_room: impl Fn(&Server)) {
    let book = Arc::new(Book::default());
    let (mut server, _) = launch.start().await;
    let load = Load::start(&server, &book, 1);
    more(&book, Fate::Acknowledged, 50).await;
    fill(&server);
    more(&book, Fate::Refused, 60).await;
    server.wait_until_said(&["ERROR", "the log cannot be written"]).await;
    server.wait_until_said(&["ERROR", "cannot flush; rows stay in memory and in the log"]).await;
    load.end().await;
    // Readers go on.
    prove(&Source::Running(&server), &book).await;
    assert_eq!(server.readiness().await, Some(200));

    make_room(&server);
    let load = Load::start(&server, &book, 2);
    more(&book, Fate::Acknowledged, 50).await;
    load.end().await;
    assert_eq!(book.count(Fate::Unanswered), 0);
    assert!(server.is_running() && server.has_said(&["the log can be written again"]));
    prove(&Source::Running(&server), &book).await;
    assert!(server.stop().await.success());
    prove(&Source::Files(launch), &book).await;
    let (server, _) = launch.start().await;
    prove(&Source::Running(&server), &book).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_for_now_and_takes_in_again_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(48) else { return eprintln!("{NO_MOUNT}") };
    let launch = quick(Launch::on(&disk.data()).inside(&disk.prefix()));
    story(&launch, |_| disk.fill(), |_| disk.make_room()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_refuse_for_now_and_take_in_again_once_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let ignores_the_signal = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"].map(str::to_owned);
    let launch = quick(Launch::on(&dir.path().join("data")).inside(&ignores_the_signal));
    let limit = |server: &Server, soft: &str| {
        let status = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &format!("--fsize={soft}:")]).status().unwrap();
        assert!(status.success());
    };
    story(&launch, |server| limit(server, "0"), |server| limit(server, "unlimited")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_full_disk_is_refused_in_plain_words_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(48) else { return eprintln!("{NO_MOUNT}") };
    let launch = quick(Launch::on(&disk.data()).inside(&disk.prefix()));
    let book = Arc::new(Book::default());
    let (mut server, _) = launch.start().await;
    let load = Load::start(&server, &book, 1);
    more(&book, Fate::Acknowledged, 50).await;
    disk.fill();
    more(&book, Fate::Refused, 20).await;
    server.kill();
    load.end().await;
    // What was being written when it was killed may have left room.
    disk.fill();

    let refused = launch.refused();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("No space left on device") && text.contains(disk.data().to_str().unwrap()), "{text}");
    disk.make_room();
    let (server, _) = launch.start().await;
    let found = look(&Source::Running(&server), &book, None).await;
    // What was refused last may be there: the kill came before it was cut off.
    assert_eq!(Findings { unwanted: Vec::new(), ..found }, Findings::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_may_not_be_written_is_refused_by_name_and_can_be_read() {
    let nowhere = Launch::on("/dev/null/data".as_ref()).refused();
    let text = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert_eq!(nowhere.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot lock the data folder /dev/null/data: Not a directory"), "{text}");

    let Some(disk) = SmallDisk::mount(48) else { return eprintln!("{NO_MOUNT}") };
    let launch = quick(Launch::on(&disk.data()).inside(&disk.prefix()));
    let book = Arc::new(Book::default());
    let (mut server, _) = launch.start().await;
    let load = Load::start(&server, &book, 1);
    more(&book, Fate::Acknowledged, 50).await;
    server.kill();
    load.end().await;
    assert!(disk.run("mount -o remount,ro .").status.success());
    let refused = launch.refused();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot lock the data folder") && text.contains("Read-only file system"), "{text}");
    prove(&Source::Files(&launch), &book).await;
}
