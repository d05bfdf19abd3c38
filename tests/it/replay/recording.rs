//! The recorded spans and logs, and how they are cast as two versions of their services.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use haldane_store::UnixNanos;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// What was recorded around one fault.
pub(crate) struct Injection {
    /// `system-MMDD-HHMM-service-fault`.
    pub(crate) fault_id: String,
    spans: Vec<Recorded<Span>>,
    logs: Vec<Recorded<Log>>,
}

struct Recorded<T> {
    phase: Phase,
    trace: i64,
    /// Nanoseconds since the epoch, as recorded.
    at: i64,
    record: Arc<T>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Normal,
    Fault,
}

/// Where a record comes from, and what it belongs to.
pub(crate) struct Origin {
    pub(crate) service: Arc<str>,
    pub(crate) instance: Arc<str>,
    pub(crate) trace: i64,
    pub(crate) span: i64,
}

pub(crate) struct Span {
    pub(crate) origin: Origin,
    pub(crate) parent: i64,
    pub(crate) name: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) duration: i64,
    pub(crate) failed: bool,
}

pub(crate) struct Log {
    pub(crate) origin: Origin,
    pub(crate) severity: Arc<str>,
    pub(crate) body: Arc<str>,
}

/// Who plays the canary.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cast {
    /// What was recorded under the fault; the baseline is what was recorded before.
    Phases,
    /// One half of the normal traces against the other.
    Halves {
        /// Another salt, another split.
        salt: u64,
    },
}

/// The version that a record was sent by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Baseline,
    Canary,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Canary => "canary",
        }
    }
}

/// A recording that is ready to be sent: who, when, what.
pub(crate) struct Scene {
    pub(crate) environment: String,
    pub(crate) start: UnixNanos,
    pub(crate) spans: Vec<Played<Span>>,
    pub(crate) logs: Vec<Played<Log>>,
}

pub(crate) struct Played<T> {
    pub(crate) version: Version,
    pub(crate) at: UnixNanos,
    pub(crate) record: Arc<T>,
}

impl Injection {
    /// The service that the fault was put into.
    pub(crate) fn faulty_service(&self) -> String {
        let parts: Vec<&str> = self.fault_id.split('-').collect();
        parts[3..parts.len() - 1].join("-")
    }

    /// How long the longer phase lasts.
    pub(crate) fn longest_phase(&self) -> Duration {
        let last = |phase| self.spans.iter().filter(|span| span.phase == phase).map(|span| span.at).max();
        let length = |phase| last(phase).zip(self.start_of(phase)).map_or(0, |(last, first)| last - first);
        Duration::from_nanos(u64::try_from(length(Phase::Normal).max(length(Phase::Fault))).unwrap())
    }

    /// Assigns the parts, and moves every phase to begin at `start`.
    pub(crate) fn cast(&self, cast: Cast, environment: String, start: UnixNanos) -> Scene {
        let shift = |phase| self.start_of(phase).map_or(0, |first| start.as_nanos() - first);
        let shifts = BTreeMap::from([Phase::Normal, Phase::Fault].map(|phase| (phase, shift(phase))));
        Scene { environment, start, spans: play(&self.spans, cast, &shifts), logs: play(&self.logs, cast, &shifts) }
    }

    fn start_of(&self, phase: Phase) -> Option<i64> {
        self.spans.iter().filter(|span| span.phase == phase).map(|span| span.at).min()
    }
}

fn play<T>(records: &[Recorded<T>], cast: Cast, shifts: &BTreeMap<Phase, i64>) -> Vec<Played<T>> {
    let version = |recorded: &Recorded<T>| match (cast, recorded.phase) {
        (Cast::Phases, Phase::Normal) => Some(Version::Baseline),
        (Cast::Phases, Phase::Fault) => Some(Version::Canary),
        (Cast::Halves { salt }, Phase::Normal) if mixed(recorded.trace.unsigned_abs(), salt) & 1 == 1 => Some(Version::Canary),
        (Cast::Halves { .. }, Phase::Normal) => Some(Version::Baseline),
        (Cast::Halves { .. }, Phase::Fault) => None,
    };
    let played = records.iter().filter_map(|recorded| {
        let at = UnixNanos::new(recorded.at + shifts[&recorded.phase]);
        Some(Played { version: version(recorded)?, at, record: Arc::clone(&recorded.record) })
    });
    let mut played: Vec<_> = played.collect();
    played.sort_by_key(|part| part.at);
    played
}

/// Halves that do not depend on how trace ids were given out (splitmix64).
fn mixed(id: u64, salt: u64) -> u64 {
    let mut x = id.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Scene {
    /// When the last span begins.
    pub(crate) fn end(&self) -> UnixNanos {
        self.spans.iter().map(|span| span.at).max().unwrap_or(self.start)
    }

    /// The services with at least so many requests to both versions.
    pub(crate) fn services_with(&self, requests: usize) -> Vec<String> {
        let mut counts: BTreeMap<(&str, Version), usize> = BTreeMap::new();
        for span in self.spans.iter().filter(|span| &*span.record.kind == "SERVER") {
            *counts.entry((&span.record.origin.service, span.version)).or_default() += 1;
        }
        let enough = |service: &str, version| counts.get(&(service, version)).is_some_and(|count| *count >= requests);
        let services: BTreeSet<&str> = counts.keys().map(|(service, _)| *service).collect();
        let kept = services.into_iter().filter(|name| enough(name, Version::Baseline) && enough(name, Version::Canary));
        kept.map(str::to_owned).collect()
    }
}

/// Reads the injections, by name.
pub(crate) fn read(spans: &Path, logs: &Path) -> Vec<Injection> {
    let mut injections: BTreeMap<Arc<str>, Injection> = BTreeMap::new();
    let mut words = Words::default();
    let new = |id: &str| Injection { fault_id: id.to_owned(), spans: Vec::new(), logs: Vec::new() };
    for batch in batches(spans) {
        for row in Rows::new(&batch, &["start_unix_nano", "duration_ns", "parent_id"], &["name", "kind", "status"], &mut words) {
            let [at, duration, parent] = row.numbers[..] else { unreachable!("three were asked for") };
            let [name, kind, status] = &row.texts[..] else { unreachable!("three were asked for") };
            let span = Span { parent, name: name.clone(), kind: kind.clone(), duration, failed: &**status == "ERROR", origin: row.origin };
            let Some(phase) = row.phase else { continue };
            let recorded = Recorded { phase, trace: span.origin.trace, at, record: Arc::new(span) };
            injections.entry(row.fault_id.clone()).or_insert_with(|| new(&row.fault_id)).spans.push(recorded);
        }
    }
    for batch in batches(logs) {
        for row in Rows::new(&batch, &["timestamp_unix_nano"], &["severity", "body"], &mut words) {
            let log = Log { severity: row.texts[0].clone(), body: row.texts[1].clone(), origin: row.origin };
            let (Some(phase), Some(injection)) = (row.phase, injections.get_mut(&row.fault_id)) else { continue };
            injection.logs.push(Recorded { phase, trace: log.origin.trace, at: row.numbers[0], record: Arc::new(log) });
        }
    }
    injections.into_values().collect()
}

fn batches(path: &Path) -> impl Iterator<Item = RecordBatch> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap)
}

/// Text that comes again and again is kept once.
#[derive(Default)]
struct Words(HashSet<Arc<str>>);

impl Words {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.0.get(text) {
            return Arc::clone(word);
        }
        let word: Arc<str> = text.into();
        self.0.insert(Arc::clone(&word));
        word
    }
}

/// A line of either file.
struct Line {
    fault_id: Arc<str>,
    /// None for a trace that was under way when the fault began.
    phase: Option<Phase>,
    origin: Origin,
    numbers: Vec<i64>,
    texts: Vec<Arc<str>>,
}

/// The lines of a batch, whatever integer and string types it has.
struct Rows<'a> {
    at: std::ops::Range<usize>,
    numbers: Vec<ArrayRef>,
    texts: Vec<ArrayRef>,
    words: &'a mut Words,
}

impl<'a> Rows<'a> {
    fn new(batch: &RecordBatch, numbers: &[&str], texts: &[&str], words: &'a mut Words) -> Self {
        let column =
            |name: &str, kind: &DataType| cast(batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")), kind).unwrap();
        let numbers = ["trace_id", "span_id"].iter().chain(numbers).map(|name| column(name, &DataType::Int64)).collect();
        let texts = ["fault_id", "phase", "service", "instance"].iter().chain(texts).map(|name| column(name, &DataType::Utf8)).collect();
        Self { at: 0..batch.num_rows(), numbers, texts, words }
    }
}

impl Iterator for Rows<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let row = self.at.next()?;
        let numbers: Vec<i64> = self.numbers.iter().map(|column| column.as_primitive::<Int64Type>().value(row)).collect();
        let mut texts: Vec<Arc<str>> = self.texts.iter().map(|column| self.words.get(column.as_string::<i32>().value(row))).collect();
        let own = texts.split_off(4);
        let [fault_id, phase, service, instance] = <[Arc<str>; 4]>::try_from(texts).ok()?;
        let phase = match &*phase {
            "normal" => Some(Phase::Normal),
            "fault" => Some(Phase::Fault),
            _ => None,
        };
        let origin = Origin { service, instance, trace: numbers[0], span: numbers[1] };
        Some(Line { fault_id, phase, origin, numbers: numbers[2..].to_vec(), texts: own })
    }
}
