//! Holds what the tables have against what the senders know.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::book::{Book, Fate};
use super::parcel::{Kind, Parcel, Sums, service_of};
use super::server::{Launch, Server};

/// Rows of what was acknowledged are there after this long at the latest.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);
/// Parcels that one query asks for: an answer has at most 10,000 rows.
const PAGE: u64 = 8_000;

/// Who is asked.
pub(super) enum Source<'a> {
    Running(&'a Server),
    /// The files alone.
    Files(&'a Launch),
}

impl Source<'_> {
    async fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let answer = match self {
            Source::Running(server) => server.query(sql).await,
            Source::Files(launch) => launch.query_offline(sql),
        };
        assert_eq!(answer["truncated"], Value::Bool(false), "too many rows: {sql}");
        answer["rows"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect()
    }
}

/// What is wrong; empty lists if nothing is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Acknowledged and not there.
    pub(super) lost: Vec<Parcel>,
    /// There in part.
    pub(super) torn: Vec<(Parcel, u64)>,
    /// There with a record more than once.
    pub(super) doubled: Vec<(Parcel, u64)>,
    /// Refused and there all the same. Allowed where a kill came right then.
    pub(super) unwanted: Vec<Parcel>,
    /// What the roll-ups say, where that is not what the spans say.
    pub(super) sums: Vec<String>,
}

/// Looks at the parcels of one round, or at all.
pub(super) async fn look(source: &Source<'_>, book: &Book, round: Option<u32>) -> Findings {
    let mut findings = Findings::default();
    let found = counts(source, book, round).await;
    let mut there = Vec::new();
    for (parcel, fate) in book.parcels(round) {
        let (records, distinct) = found.get(&parcel.number).copied().unwrap_or_default();
        if records > 0 {
            there.push(parcel);
        }
        match (records, fate) {
            (0, Fate::Acknowledged) => findings.lost.push(parcel),
            (0, Fate::Unanswered | Fate::Refused) => {}
            _ if records > distinct => findings.doubled.push((parcel, records)),
            _ if records != parcel.records() => findings.torn.push((parcel, records)),
            (_, Fate::Refused) => findings.unwanted.push(parcel),
            (_, Fate::Acknowledged | Fate::Unanswered) => {}
        }
    }
    findings.sums = roll_ups(source, &there, round).await;
    findings
}

/// That nothing is wrong, and that no refused parcel is there either. What was acknowledged just now has a moment to become rows.
pub(super) async fn prove(source: &Source<'_>, book: &Book) {
    assert!(book.count(Fate::Acknowledged) > 0, "nothing was acknowledged, so nothing is proved");
    let start = Instant::now();
    loop {
        let findings = look(source, book, None).await;
        if findings.lost.is_empty() || start.elapsed() > VISIBLE_WITHIN {
            return assert_eq!(findings, Findings::default());
        }
    }
}

/// Records, and distinct records, by the parcel's number.
async fn counts(source: &Source<'_>, book: &Book, round: Option<u32>) -> BTreeMap<u64, (u64, u64)> {
    let parcels = book.parcels(round);
    let (Some((first, _)), Some((last, _))) = (parcels.first(), parcels.last()) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for from in (first.number..=last.number).step_by(usize::try_from(PAGE).unwrap()) {
        let to = from + PAGE;
        for (table, id, prefix, record) in [
            ("spans", "trace_id", "fafafafafafafafa", "span_id"),
            ("logs", "trace_id", "fafafafafafafafa", "span_id"),
            ("metrics", "metric_name", "", "value_int"),
        ] {
            let sql = format!(
                "SELECT {id}, count(*), count(DISTINCT {record}) FROM {table} \
                 WHERE {id} >= '{prefix}{from:016x}' AND {id} < '{prefix}{to:016x}'{} GROUP BY {id}",
                of_round(" AND", round)
            );
            for row in source.rows(&sql).await {
                let number = u64::from_str_radix(&row[0].as_str().unwrap()[prefix.len()..], 16).unwrap();
                let before = found.insert(number, (row[1].as_u64().unwrap(), row[2].as_u64().unwrap()));
                assert_eq!(before, None, "{number} is in two tables");
            }
        }
    }
    found
}

/// Holds `red` against SQL on `spans` and against what was sent, and `errors` against what was sent.
async fn roll_ups(source: &Source<'_>, there: &[Parcel], round: Option<u32>) -> Vec<String> {
    let mut wrong = Vec::new();
    let of_round = of_round(" WHERE", round);
    let red = source
        .rows(&format!(
            "SELECT service_name, operation, span_kind, sum(requests), sum(errors), sum(duration_sum_ns) \
             FROM red{of_round} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ))
        .await;
    let spans = source
        .rows(&format!(
            "SELECT service_name, name, kind, count(*), count(*) FILTER (WHERE status_code = 'ERROR'), sum(duration_ns) \
             FROM spans{of_round} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ))
        .await;
    for (red, spans) in red.iter().zip(&spans).filter(|(red, spans)| red != spans) {
        wrong.push(format!("red has {red:?}, spans make {spans:?}"));
    }
    if red.len() != spans.len() {
        wrong.push(format!("red has {} operations, spans have {}", red.len(), spans.len()));
    }
    let served = || red.iter().filter(|row| row[2] == "SERVER");
    let sum = |column: usize| served().map(|row| row[column].as_u64().unwrap()).sum::<u64>();
    let sums = Sums { requests: sum(3), errors: sum(4), duration_ns: sum(5) };
    let sent = there.iter().map(|parcel| parcel.sums()).fold(Sums::default(), |all, one| Sums {
        requests: all.requests + one.requests,
        errors: all.errors + one.errors,
        duration_ns: all.duration_ns + one.duration_ns,
    });
    if sums != sent {
        wrong.push(format!("red has {sums:?}, sent were {sent:?}"));
    }
    let sql = format!("SELECT coalesce(sum(count), 0) FROM errors WHERE source = 'exception'{}", of_round.replace("WHERE", "AND"));
    let errors = source.rows(&sql).await[0][0].as_u64().unwrap();
    let exceptions: u64 = there.iter().filter(|parcel| parcel.kind() == Kind::FailingSpans).map(|parcel| parcel.exceptions()).sum();
    if errors != exceptions {
        wrong.push(format!("errors has {errors}, sent were {exceptions}"));
    }
    wrong
}

fn of_round(and: &str, round: Option<u32>) -> String {
    round.map_or_else(String::new, |round| format!("{and} service_name = '{}'", service_of(round)))
}
