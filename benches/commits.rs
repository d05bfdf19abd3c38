//! Do commits, planning and a start stay as fast as at first when a table has had a hundred thousand commits? One row of `spans` a commit, upkeep
//! after each few hundred, as a server does it.
//!
//! `make bench-commits COMMITS=100000`, by hand: a line each tenth of the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use datafusion::prelude::SessionContext;
use haldane_store::table::{Access, Effort, HotRows, TablesConfig, UpkeepConfig};
use haldane_store::{Clock as _, SystemClock, TableName, Tables, UnixNanos};

const TABLE: TableName = TableName::Spans;
/// Commits between two rounds of upkeep: a server that flushes every few seconds has fewer.
const UPKEEP_EACH: u64 = 200;
/// Plans whose median is told.
const PLANS: usize = 21;

fn main() {
    let commits = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(100_000_u64);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(commits));
}

#[expect(clippy::print_stdout, reason = "a bench prints its result")]
async fn run(commits: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let config = TablesConfig { dir: dir.path().to_owned(), access: Access::ReadWrite };
    let tables = Tables::open(&config).await.expect("new tables");
    // Nothing has been out of the table for the usual hour, so that files and log are cleaned up in the minutes of the bench too.
    let upkeep = UpkeepConfig { grace_seconds: 5, ..UpkeepConfig::default() };
    let now = SystemClock.now();
    println!("  commits   commit ms (median, 99 %)   upkeep ms (slowest)   plan ms (median)   open ms   files of the log");
    let (mut took, mut slowest) = (Vec::new(), Duration::ZERO);
    for through in 1..=commits {
        tables.publish(HotRows { through, batches: vec![(TABLE, row(now, through))] });
        let start = Instant::now();
        tables.flush(TABLE, "bench").await.expect("a commit");
        took.push(start.elapsed());
        if through.is_multiple_of(UPKEEP_EACH) {
            let start = Instant::now();
            tables.upkeep(TABLE, &upkeep, Effort::Whole, SystemClock.now()).await.expect("upkeep");
            slowest = slowest.max(start.elapsed());
        }
        if through.is_multiple_of((commits / 10).max(1)) {
            took.sort();
            let plan = plan(&tables).await;
            let start = Instant::now();
            let reader = TablesConfig { access: Access::ReadOnly, ..config.clone() };
            drop(Tables::open(&reader).await.expect("the tables"));
            println!(
                "{through:9} {:16.2} {:9.2} {:21.0} {:18.2} {:9.1} {:18}",
                ms(took[took.len() / 2]),
                ms(took[took.len() * 99 / 100]),
                ms(slowest),
                ms(plan),
                ms(start.elapsed()),
                std::fs::read_dir(dir.path().join("spans/_delta_log")).expect("the log").count(),
            );
            (took, slowest) = (Vec::new(), Duration::ZERO);
        }
    }
}

/// A row with little more than what every one has.
fn row(now: UnixNanos, number: u64) -> RecordBatch {
    let micros = now.as_micros() + i64::try_from(number).unwrap_or(0);
    let schema = TABLE.schema();
    let column = |field: &Arc<arrow::datatypes::Field>| -> ArrayRef {
        match field.name().as_str() {
            "date" => Arc::new(Date32Array::from(vec![now.as_days()])),
            "time" => Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC")),
            "service_name" => Arc::new(StringArray::from(vec!["checkout"])),
            _ => new_null_array(field.data_type(), 1),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema, columns).expect("all columns")
}

/// How long it takes until a query is ready to run.
async fn plan(tables: &Tables) -> Duration {
    let mut took = Vec::new();
    for _ in 0..PLANS {
        let session = SessionContext::new();
        session.register_table("spans", tables.provider(TABLE)).expect("a new session");
        let start = Instant::now();
        let query = session.sql("SELECT count(*) FROM spans WHERE service_name = 'checkout'").await.expect("it parses");
        query.create_physical_plan().await.expect("a plan");
        took.push(start.elapsed());
    }
    took.sort();
    took[PLANS / 2]
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
