use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use haldane_store::UnixNanos;

use super::recovery::{Recovered, Repair};
use super::writer::{Append, Syncer};
use super::*;
use crate::request::{Encoding, Request, Signal};

/// Small, so that each byte of a log can be tried.
const BLOCK: usize = 64;

fn limits(dir: &Path) -> LogLimits {
    LogLimits { dir: dir.to_owned(), block_bytes: BLOCK, segment_bytes_max: 1 << 20, backlog_bytes_max: 1 << 30 }
}

fn append(text: &str) -> Append<String> {
    let request = Request { signal: Signal::Logs, encoding: Encoding::Json, body: Bytes::copy_from_slice(text.as_bytes()) };
    Append { request, received: UnixNanos::new(7), carried: text.to_owned() }
}

type Delivered = Arc<Mutex<Vec<(u64, String)>>>;

fn open(limits: LogLimits, repair: Repair, syncer: Syncer) -> (Log<String>, Vec<Record>, Delivered) {
    let (records, recovered) = read_all(&limits.dir, repair).unwrap();
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let sink = delivered.clone();
    let deliver = move |sequence, _, text| sink.lock().unwrap().push((sequence, text));
    (Log::open(limits, recovered, syncer, deliver).unwrap(), records, delivered)
}

fn read_all(dir: &Path, repair: Repair) -> Result<(Vec<Record>, Recovered), RecoveryError> {
    let mut recovery = Recovery::open(dir, repair)?;
    let mut all = Vec::new();
    while let Some(records) = recovery.next_segment()? {
        all.extend(records);
    }
    Ok((all, recovery.finish()))
}

fn bodies(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.request.body.to_vec()).unwrap()).collect()
}

/// A log of four records, each a group of its own, as one segment's bytes and name.
async fn four_records() -> (Vec<u8>, String) {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(limits(dir.path()), Repair::TornTail, Syncer::default());
    for text in ["one", "two", "three", "four"] {
        log.append(append(text)).await.unwrap();
    }
    let segment = log.close().pop().unwrap();
    (std::fs::read(&segment.path).unwrap(), segment.path.file_name().unwrap().to_str().unwrap().to_owned())
}

/// Where the header ends, and each record when every one is a group.
fn ends_of<const N: usize>(texts: [&str; N]) -> Vec<usize> {
    let mut ends = vec![segment::HEADER_BYTES];
    ends.extend(texts.iter().scan(segment::HEADER_BYTES, |end, text| {
        *end = end.next_multiple_of(BLOCK) + record::HEADER_BYTES + text.len();
        Some(*end)
    }));
    ends
}

#[tokio::test]
async fn what_is_appended_is_delivered_in_order_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _, delivered) = open(limits(dir.path()), Repair::TornTail, Syncer::default());
    let texts: Vec<String> = (0..50).map(|n| format!("record {n}")).collect();
    let answers = futures::future::join_all(texts.iter().map(|text| log.append(append(text)))).await;
    let sequences: Vec<u64> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(sequences, (1..=50).collect::<Vec<_>>());
    drop(log);
    assert_eq!(*delivered.lock().unwrap(), (1..).zip(texts.clone()).collect::<Vec<_>>());
    let (log, records, _) = open(limits(dir.path()), Repair::TornTail, Syncer::default());
    assert_eq!(bodies(&records), texts);
    assert_eq!(
        (records[3].request.signal, records[3].request.encoding, records[3].received),
        (Signal::Logs, Encoding::Json, UnixNanos::new(7))
    );
    assert_eq!(log.append(append("more")).await.unwrap(), 51);
}

/// The length of the second record has zeros for its first two bytes, and these end a block, for one length of the first or another.
#[test]
fn a_length_that_begins_with_zeros_at_the_end_of_a_block_is_no_filling() {
    for first_bytes in 0..BLOCK {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, salt, segment) = segment::create(dir.path(), 1, BLOCK).unwrap();
        let bodies = [first_bytes, (1 << 16) + record::PREFIX_BYTES - record::HEADER_BYTES, 5].map(|bytes| "x".repeat(bytes));
        let requests = bodies.each_ref().map(|body| append(body).request);
        let headers: Vec<_> =
            (1..).zip(&requests).map(|(sequence, request)| record::header_of(salt, sequence, 1, UnixNanos::new(7), request)).collect();
        file.append(headers.iter().zip(&requests).flat_map(|(header, request)| [&header[..], &request.body])).unwrap();
        let fourth = append("the next group").request;
        file.append([&record::header_of(salt, 4, 4, UnixNanos::new(7), &fourth)[..], &fourth.body].into_iter()).unwrap();
        let contents = reader::read(&std::fs::read(&segment.path).unwrap().into(), 1);
        assert!(contents.broken.is_none(), "behind {first_bytes} bytes: {:?}", contents.broken);
        assert_eq!(contents.records.len(), 4);
    }
}

#[tokio::test]
async fn a_log_cut_at_any_byte_gives_back_the_whole_records_before() {
    let (bytes, name) = four_records().await;
    let ends = ends_of(["one", "two", "three", "four"]);
    assert_eq!(ends[4].next_multiple_of(BLOCK), bytes.len());
    for cut in 0..=bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(&name), &bytes[..cut]).unwrap();
        let whole = ends[1..].iter().filter(|end| **end <= cut).count();
        let (records, _) = read_all(dir.path(), Repair::Nothing).unwrap();
        assert_eq!(bodies(&records), ["one", "two", "three", "four"][..whole], "cut at {cut}");
        // And the log goes on behind it, and is whole again.
        let (log, ..) = open(limits(dir.path()), Repair::TornTail, Syncer::default());
        assert_eq!(log.append(append("next")).await.unwrap(), whole as u64 + 1);
        drop(log);
        let (records, _) = read_all(dir.path(), Repair::Nothing).unwrap();
        assert_eq!(records.len(), whole + 1, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_log_flipped_at_any_byte_is_reported_with_its_place() {
    let (bytes, name) = four_records().await;
    let ends = ends_of(["one", "two", "three", "four"]);
    let last = ends[3].next_multiple_of(BLOCK);
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let dir = tempfile::tempdir().unwrap();
            let mut flipped = bytes.clone();
            flipped[at] ^= bit;
            std::fs::write(dir.path().join(&name), &flipped).unwrap();
            let read = read_all(dir.path(), Repair::Nothing);
            if ends.iter().any(|end| (*end..end.next_multiple_of(BLOCK)).contains(&at)) {
                assert_eq!(read.unwrap().0.len(), 4, "nothing is lost with what fills a block: flipped at {at}");
                continue;
            }
            if at >= last {
                // Nothing was made durable behind it: it cannot be told from a torn tail.
                assert_eq!(bodies(&read.unwrap().0), ["one", "two", "three"], "flipped at {at}");
                continue;
            }
            match read {
                Err(RecoveryError::Damaged { at: place, path, .. }) => {
                    assert!(place <= at && path.ends_with(&name), "flipped at {at}, reported at {place}");
                }
                other => panic!("flipped at {at}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_group_that_was_never_durable_may_be_torn_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(limits(dir.path()), Repair::TornTail, Syncer::default());
    log.append(append("durable")).await.unwrap();
    drop(log);
    let path = dir.path().join("00000000000000000001.wal");
    let mut bytes = std::fs::read(&path).unwrap();
    let torn = bytes.len();
    let salt = segment::check_header(&bytes, 1).unwrap().salt;
    for sequence in [2, 3] {
        let request = append("unacknowledged").request;
        bytes.extend_from_slice(&record::header_of(salt, sequence, 2, UnixNanos::new(7), &request));
        bytes.extend_from_slice(&request.body);
    }
    bytes[torn + 40] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(bodies(&read_all(dir.path(), Repair::Nothing).unwrap().0), ["durable"]);
}

/// A sender that knows the format and guesses the sequences puts records into a body, at each block that the body may reach.
#[tokio::test]
async fn a_record_inside_a_body_is_never_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(limits(dir.path()), Repair::TornTail, Syncer::default());
    log.append(append("durable")).await.unwrap();
    let forged = |sequence: u64| {
        let request = append("forged").request;
        let mut record = record::header_of(record::Salt(0), sequence, sequence, UnixNanos::new(7), &request).to_vec();
        record.extend_from_slice(&request.body);
        record.resize(BLOCK, 0);
        record
    };
    // The body begins behind its record's header, so a block is full of it after so many bytes.
    let mut body = vec![b'x'; BLOCK - record::HEADER_BYTES];
    (2..6).for_each(|sequence| body.extend(forged(sequence)));
    let request = Request { signal: Signal::Logs, encoding: Encoding::Json, body: body.into() };
    log.append(Append { request, received: UnixNanos::new(7), carried: String::new() }).await.unwrap();
    drop(log);
    let path = dir.path().join("00000000000000000001.wal");
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(read_all(dir.path(), Repair::Nothing).unwrap().0.len(), 2);
    let torn = whole.len() - 5 * BLOCK;
    for at in torn..torn + record::HEADER_BYTES {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(bodies(&read_all(dir.path(), Repair::Nothing).unwrap().0), ["durable"], "torn at {at}");
    }
}

#[tokio::test]
async fn damage_is_moved_aside_only_when_asked_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let small = LogLimits { segment_bytes_max: 1, ..limits(dir.path()) };
    let (log, ..) = open(small.clone(), Repair::TornTail, Syncer::default());
    for text in ["one", "two", "three"] {
        log.append(append(text)).await.unwrap();
    }
    drop(log);
    let path = dir.path().join("00000000000000000002.wal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[BLOCK + record::HEADER_BYTES] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(read_all(dir.path(), Repair::TornTail), Err(RecoveryError::Damaged { at: BLOCK, .. })));
    let (log, records, _) = open(small, Repair::Damage, Syncer::default());
    assert_eq!(bodies(&records), ["one", "three"]);
    assert_eq!(std::fs::read(dir.path().join("00000000000000000002.wal.damaged")).unwrap(), bytes);
    assert_eq!(log.append(append("four")).await.unwrap(), 4);
    drop(log);
    assert_eq!(bodies(&read_all(dir.path(), Repair::TornTail).unwrap().0), ["one", "three", "four"]);
}

#[tokio::test]
async fn a_missing_segment_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(LogLimits { segment_bytes_max: 1, ..limits(dir.path()) }, Repair::TornTail, Syncer::default());
    for text in ["one", "two", "three"] {
        log.append(append(text)).await.unwrap();
    }
    drop(log);
    std::fs::remove_file(dir.path().join("00000000000000000002.wal")).unwrap();
    assert!(matches!(read_all(dir.path(), Repair::TornTail), Err(RecoveryError::Gap { expected: 2, .. })));
}

#[tokio::test]
async fn a_failed_sync_is_not_acknowledged_and_the_log_goes_on_in_a_new_segment() {
    let dir = tempfile::tempdir().unwrap();
    let syncer = Syncer::default();
    let (log, _, delivered) = open(limits(dir.path()), Repair::TornTail, syncer.clone());
    log.append(append("kept")).await.unwrap();
    syncer.fails.store(true, Ordering::SeqCst);
    assert!(matches!(log.append(append("lost")).await, Err(AppendError::Disk(_))));
    syncer.fails.store(false, Ordering::SeqCst);
    assert!(matches!(log.append(append("too soon")).await, Err(AppendError::Disk(_))));
    std::thread::sleep(std::time::Duration::from_millis(1_050));
    assert_eq!(log.append(append("after")).await.unwrap(), 2);
    assert_eq!(log.close().len(), 2);
    assert_eq!(*delivered.lock().unwrap(), [(1, "kept".to_owned()), (2, "after".to_owned())]);
    assert_eq!(bodies(&read_all(dir.path(), Repair::Nothing).unwrap().0), ["kept", "after"]);
}

#[tokio::test]
async fn segments_that_all_tables_have_are_removed_and_the_backlog_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let small = LogLimits { segment_bytes_max: 1, backlog_bytes_max: 8 * BLOCK as u64, ..limits(dir.path()) };
    let (log, ..) = open(small, Repair::TornTail, Syncer::default());
    for text in ["one", "two", "three", "four"] {
        log.append(append(text)).await.unwrap();
    }
    assert!(matches!(log.append(append(&"x".repeat(60))).await, Err(AppendError::Backlog { .. })));
    log.release(2);
    let left = log.close();
    assert_eq!(left.iter().map(|segment| segment.first).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(log.backlog_bytes(), left.iter().map(|segment| segment.bytes).sum::<u64>());
    assert!(matches!(log.append(append("late")).await, Err(AppendError::Closed)));
    writer::remove(&left).unwrap();
    assert_eq!(read_all(dir.path(), Repair::Nothing).unwrap().1, Recovered { segments: Vec::new(), next: 1 });
}

/// A log of three segments with two records each, by name.
async fn three_segments() -> Vec<(String, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(LogLimits { segment_bytes_max: 2 * BLOCK as u64 + 1, ..limits(dir.path()) }, Repair::TornTail, Syncer::default());
    for text in ["one", "two", "san", "yon", "fem", "sex"] {
        log.append(append(text)).await.unwrap();
    }
    let segments = log.close();
    assert_eq!(segments.iter().map(|segment| segment.first).collect::<Vec<_>>(), [1, 3, 5]);
    let named = |path: &Path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap());
    segments.iter().map(|segment| named(&segment.path)).collect()
}

fn put(segments: &[(String, Vec<u8>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    segments.iter().for_each(|(name, bytes)| std::fs::write(dir.path().join(name), bytes).unwrap());
    dir
}

#[tokio::test]
async fn a_segment_before_the_last_that_is_cut_or_flipped_at_any_byte_is_reported() {
    let segments = three_segments().await;
    let ends = ends_of(["one", "two"]);
    for which in [0, 1] {
        let (name, bytes) = &segments[which];
        let damages = (0..bytes.len()).flat_map(|at| [(at, None), (at, Some(0x01)), (at, Some(0x80))]);
        for (at, flip) in damages {
            let mut broken = segments.clone();
            match flip {
                Some(bit) => broken[which].1[at] ^= bit,
                None => broken[which].1.truncate(at),
            }
            let dir = put(&broken);
            let filling = ends.iter().any(|end| (*end..end.next_multiple_of(BLOCK)).contains(&at));
            match read_all(dir.path(), Repair::TornTail) {
                Err(RecoveryError::Damaged { at: place, path, .. }) => {
                    assert!(place <= at && path.ends_with(name), "segment {which}, {flip:?} at {at}, reported at {place}");
                }
                // Cut between two records it looks whole, but what follows lies behind a gap.
                Err(RecoveryError::Gap { .. }) => {
                    assert!(flip.is_none() && (filling || at % BLOCK == 0), "segment {which}, {flip:?} at {at}");
                }
                // Nothing is lost with what fills a block.
                Ok((records, _)) => assert!(filling && records.len() == 6, "segment {which}, {flip:?} at {at}"),
                Err(other) => panic!("segment {which}, {flip:?} at {at}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_last_of_several_segments_may_be_torn_at_any_byte() {
    let segments = three_segments().await;
    let length = segments[2].1.len();
    for cut in 0..=length {
        let mut torn = segments.clone();
        torn[2].1.truncate(cut);
        let dir = put(&torn);
        let (log, records, _) = open(limits(dir.path()), Repair::TornTail, Syncer::default());
        let ends = ends_of(["fem", "sex"]);
        let whole = 4 + usize::from(cut >= ends[1]) + usize::from(cut >= ends[2]);
        assert_eq!(bodies(&records), ["one", "two", "san", "yon", "fem", "sex"][..whole], "cut at {cut}");
        assert_eq!(log.append(append("next")).await.unwrap(), whole as u64 + 1);
        drop(log);
        assert_eq!(read_all(dir.path(), Repair::Nothing).unwrap().0.len(), whole + 1);
    }
}

#[tokio::test]
async fn a_slow_disk_makes_answers_late_but_one_sync_does_for_all_that_wait() {
    let dir = tempfile::tempdir().unwrap();
    let syncer = Syncer::default();
    syncer.delay_ms.store(50, Ordering::SeqCst);
    let (log, _, delivered) = open(limits(dir.path()), Repair::TornTail, syncer.clone());
    let texts: Vec<String> = (0..200).map(|n| format!("record {n}")).collect();
    let answers = futures::future::join_all(texts.iter().map(|text| log.append(append(text)))).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    let calls = syncer.calls.load(Ordering::SeqCst);
    assert!(calls <= 4, "{calls} syncs for 200 requests at once");
    assert_eq!(delivered.lock().unwrap().len(), 200);
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_folder_that_was_carried_away_until_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let (home, away) = (root.path().join("log"), root.path().join("away"));
    let (log, ..) = open(limits(&home), Repair::TornTail, Syncer::default());
    log.append(append("kept")).await.unwrap();
    std::fs::rename(&home, &away).unwrap();
    assert!(matches!(log.append(append("refused")).await, Err(AppendError::Disk(_))));
    log.release(1);
    std::fs::rename(&away, &home).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while log.append(append("after")).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the log did not go on");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    drop(log);
    assert_eq!(bodies(&read_all(&home, Repair::Nothing).unwrap().0), ["kept", "after"]);
}

#[tokio::test]
async fn nothing_is_acknowledged_into_a_folder_that_was_removed() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("log");
    let (log, ..) = open(limits(&home), Repair::TornTail, Syncer::default());
    log.append(append("gone with it")).await.unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    assert!(matches!(log.append(append("refused")).await, Err(AppendError::Disk(_))));
    drop(log);
    assert!(!home.exists());
}

#[tokio::test]
async fn a_segment_that_cannot_be_removed_is_kept_with_all_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (log, ..) = open(LogLimits { segment_bytes_max: 1, ..limits(dir.path()) }, Repair::TornTail, Syncer::default());
    for text in ["one", "two", "three"] {
        log.append(append(text)).await.unwrap();
    }
    // A folder of its name cannot be removed as a file.
    let first = dir.path().join("00000000000000000001.wal");
    let aside = dir.path().join("aside");
    std::fs::rename(&first, &aside).unwrap();
    std::fs::create_dir(&first).unwrap();
    log.release(2);
    // A release is carried out behind the group it shares, after that group's answers: the answer to a second one comes later still.
    for text in ["four", "five"] {
        log.append(append(text)).await.unwrap();
    }
    assert!(dir.path().join("00000000000000000002.wal").exists());
    std::fs::remove_dir(&first).unwrap();
    std::fs::rename(&aside, &first).unwrap();
    log.release(2);
    assert_eq!(log.close().iter().map(|segment| segment.first).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(bodies(&read_all(dir.path(), Repair::Nothing).unwrap().0), ["three", "four", "five"]);
}

#[tokio::test]
async fn a_segment_of_another_version_is_told_by_its_version() {
    let dir = tempfile::tempdir().unwrap();
    for (version, behind) in [(1_u32, &[][..]), (2, &4_096_u32.to_le_bytes())] {
        let mut header = [b"HALDWAL\0".as_slice(), &version.to_le_bytes(), &7_u64.to_le_bytes(), behind].concat();
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        header.extend_from_slice(&[9; 40]);
        std::fs::write(dir.path().join("00000000000000000007.wal"), header).unwrap();
        let refused = read_all(dir.path(), Repair::TornTail).unwrap_err();
        assert!(refused.to_string().contains(&format!("format version {version}, this haldane knows 3")), "{refused}");
    }
}
