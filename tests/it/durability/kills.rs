//! SIGKILL at any moment: under load, while files are written and committed, when a segment of the log ends, and during the replay of the kill before.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::{Book, Fate};
use super::load::Load;
use super::proof::{Findings, Source, look};
use super::server::Launch;

/// Kills in the everyday tests; `KILLS=200` asks for more.
const KILLS: u32 = 20;
/// Then a new folder is begun, so that one does not grow without end.
const KILLS_A_FOLDER: u32 = 20;
/// All of it is looked at after so many kills, and in between what was sent last.
const WHOLE_LOOK_EACH: u32 = 5;

/// SplitMix64: the same seed gives the same moments.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
}

/// What a campaign of kills came to.
#[derive(Debug, Default)]
struct Tally {
    under_load: u32,
    while_starting: u32,
    acknowledged: usize,
    unanswered: usize,
    starts: Vec<Duration>,
    looks: u32,
    /// Starts that found rows in the log that the tables lacked.
    replays: u32,
    /// Starts that found the log end in half a record.
    torn_tails: u32,
    /// Rounds of upkeep that joined files of a table.
    joined: usize,
    /// Parquet files that were written and never committed.
    orphans: usize,
}

impl Tally {
    fn kills(&self) -> u32 {
        self.under_load + self.while_starting
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_after_kills_at_any_moment() {
    let wanted = number_from_environment("KILLS").unwrap_or(KILLS);
    let seed = number_from_environment("SEED").unwrap_or(1);
    let (begun, mut tally, mut chance) = (Instant::now(), Tally::default(), Chance(u64::from(seed)));
    let mut folder = 0;
    while tally.kills() < wanted {
        let upto = wanted.min(tally.kills() + KILLS_A_FOLDER);
        one_folder(folder, upto, &mut tally, &mut chance).await;
        folder += 1;
    }
    tally.starts.sort();
    let start = |share: usize| tally.starts[(tally.starts.len() - 1) * share / 100];
    eprintln!(
        "{} kills ({} under load, {} while starting) in {:.0} s, seed {seed}: {} requests acknowledged, {} unanswered; \
         0 lost, 0 doubled, 0 torn in {} looks; {} starts replayed, {} torn tails, {} tables had files joined, {} files written but not committed; start to ready: median {:?}, 95 % {:?}, slowest {:?}",
        tally.kills(),
        tally.under_load,
        tally.while_starting,
        begun.elapsed().as_secs_f64(),
        tally.acknowledged,
        tally.unanswered,
        tally.looks,
        tally.replays,
        tally.torn_tails,
        tally.joined,
        tally.orphans,
        start(50),
        start(95),
        start(100),
    );
}

/// Kills a server on one folder again and again; then stops it as one should, and looks at the files alone.
async fn one_folder(number: u32, kills: u32, tally: &mut Tally, chance: &mut Chance) {
    let dir = tempfile::tempdir().unwrap();
    // In every other folder rows stay in memory and in the log for long, so that there is much to replay.
    let age_ms = if number.is_multiple_of(2) { 200 } else { 3_000 };
    let launch = Launch::on(&dir.path().join("data"))
        .set("HALDANE_COLLECTOR__RAW_FLUSH_AGE_MS", age_ms)
        .set("HALDANE_COLLECTOR__ROLLUP_FLUSH_AGE_MS", age_ms / 2)
        .set("HALDANE_COLLECTOR__BATCH_AGE_MS", 50)
        .set("HALDANE_COLLECTOR__WAL__SEGMENT_BYTES_MAX", 200_000)
        // Files are joined and checkpoints written in the middle of it all; what the load sends is older than any retention.
        .set("HALDANE_COLLECTOR__UPKEEP__RAW_DAYS", 0)
        .set("HALDANE_COLLECTOR__UPKEEP__ROLLUP_DAYS", 0)
        .set("HALDANE_COLLECTOR__UPKEEP__EVERY_SECONDS", 1)
        .set("HALDANE_COLLECTOR__UPKEEP__SMALL_FILES_MIN", 2)
        .set("HALDANE_COLLECTOR__UPKEEP__CHECKPOINT_COMMITS", 5);
    let (book, mut round, mut usual_start) = (Arc::new(Book::default()), 0_u32, Duration::from_millis(500));
    while tally.kills() < kills {
        if chance.below(3) == 0 {
            // From before the folder is locked to after the replay.
            let most = u64::try_from(usual_start.as_millis()).unwrap() + 20;
            launch.start_and_kill(chance.millis(0..most));
            tally.while_starting += 1;
            continue;
        }
        let (mut server, took) = launch.start().await;
        (usual_start, round) = (took, round + 1);
        tally.starts.push(took);
        tally.replays += u32::from(server.has_said(&["brought back what the tables lacked"]));
        tally.torn_tails += u32::from(server.has_said(&["dropped the torn tail"]));
        let of = if round.is_multiple_of(WHOLE_LOOK_EACH) { None } else { Some(round - 1) };
        check(&Source::Running(&server), &book, of, tally).await;
        let load = Load::start(&server, &book, round);
        // Every third is long enough for a round of upkeep or two.
        let until = if chance.below(3) == 0 { 900..2_500 } else { 5..900 };
        tokio::time::sleep(chance.millis(until)).await;
        tally.joined += server.times_said(&["kept the table in shape"]);
        server.kill();
        load.end().await;
        tally.under_load += 1;
    }
    check(&Source::Files(&launch), &book, Some(round), tally).await;
    let (mut server, took) = launch.start().await;
    tally.starts.push(took);
    check(&Source::Running(&server), &book, None, tally).await;
    assert!(server.stop().await.success());
    check(&Source::Files(&launch), &book, None, tally).await;
    tally.orphans += orphans(&dir.path().join("data/tables"));
    tally.acknowledged += book.count(Fate::Acknowledged);
    tally.unanswered += book.count(Fate::Unanswered);
    assert!(book.count(Fate::Acknowledged) > 20 && book.count(Fate::Refused) == 0, "{} refused", book.count(Fate::Refused));
}

/// Parquet files that no commit names.
fn orphans(tables: &Path) -> usize {
    let (mut parquet, mut commits) = (Vec::new(), String::new());
    let mut folders = vec![tables.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(OsStr::to_str) {
                _ if path.is_dir() => folders.push(path),
                Some("json") => commits += &std::fs::read_to_string(path).unwrap(),
                Some("parquet") => parquet.push(path.file_name().unwrap().to_str().unwrap().to_owned()),
                Some(_) | None => {}
            }
        }
    }
    parquet.iter().filter(|name| !name.contains("checkpoint") && !commits.contains(name.as_str())).count()
}

async fn check(source: &Source<'_>, book: &Book, round: Option<u32>, tally: &mut Tally) {
    assert_eq!(look(source, book, round).await, Findings::default(), "after {} kills", tally.kills());
    tally.looks += 1;
}

pub(super) fn number_from_environment(name: &str) -> Option<u32> {
    let (_, value) = std::env::vars_os().find(|(one, _)| one == name)?;
    Some(value.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} has to be a number: {value:?}")))
}
