//! What users met of a regression, and what differs between two cohorts beside their numbers: read for who asks, from spans and distinct errors.
//!
//! Left out on purpose: any part in a decision. These are for people, and read what is still kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array as _, RecordBatch};
use haldane_store::UnixNanos;
use haldane_store::fault::chain;
use haldane_store::template::template_of;

use super::columns::{Columns, strings, text, unsigned};
use super::gather::{GatherError, Question};
use super::predicate::where_clause;
use super::selector::Selector;
use super::sql::REQUEST_KINDS;
use crate::query::{Engine, instant};

/// So many of the newest spans of a cohort are looked at for its attributes.
const SPANS_READ: usize = 500;
/// An attribute with more values varies by itself.
const VALUES_MAX: usize = 5;
/// Most attributes, and most errors, that are told.
const TOLD_MAX: usize = 20;
/// So many of the newest log records of a cohort are looked at,
const RECORDS_READ: usize = 10_000;
/// and so many kinds, those of the newest records, are told apart.
const KINDS_MAX: usize = 2_000;
/// What only the canary writes is told if the baseline would have written it so often: with fewer it may be chance.
const EXPECTED_MIN: f64 = 10.0;
/// Attributes that name an instance, a process or the selector's own: they differ between any two.
const PLACES: &[&str] = &[
    "service.instance.id",
    "k8s.pod.",
    "k8s.replicaset.",
    "k8s.node.",
    "k8s.container.restart_count",
    "host.",
    "process.",
    "container.id",
    "container.name",
    "faas.instance",
    "cloud.resource_id",
    "telemetry.sdk.",
    "os.",
];

/// What is known beside the verdict.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Impact {
    /// Users or sessions of the canary, where its spans name them.
    pub users: Option<UsersMet>,
    /// When the canary's first failure was, while it was compared.
    pub failing_since: Option<UnixNanos>,
    /// Resource attributes that differ between the cohorts, by key.
    pub attributes: Vec<ChangedAttribute>,
    /// Errors that only the canary has, the most frequent first.
    pub new_errors: Vec<NewError>,
    /// What only the canary logs below `ERROR`, the most frequent first; `None` if that could not be read.
    pub new_messages: Option<Vec<NewMessage>>,
}

/// Users or sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsersMet {
    /// Distinct ones that the canary served.
    pub served: u64,
    /// Those of them that met a failure, or a latency beyond the tolerance.
    pub met: u64,
}

/// A resource attribute that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedAttribute {
    /// Its key.
    pub key: String,
    /// Values in the baseline; none where it lacks the attribute.
    pub baseline: Vec<String>,
    /// Values in the canary.
    pub canary: Vec<String>,
}

/// A distinct error that only the canary has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewError {
    /// `exception`, `log` or `status`.
    pub source: String,
    /// Its type.
    pub error_type: String,
    /// Its message, with what varies replaced.
    pub message: String,
    /// How often it was seen.
    pub count: u64,
    /// One trace in which it happened.
    pub trace_id: String,
}

/// A kind of log record, below `ERROR`, that only the canary writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// As the record says, such as `WARN`; empty if it does not.
    pub severity: String,
    /// With what varies replaced.
    pub message: String,
    /// How often it was seen among the newest records.
    pub count: u64,
    /// One trace in which it was written, if any.
    pub trace_id: String,
}

/// Reads it. A request met the regression when it failed, or took longer than `slower_than_ns`.
pub(crate) async fn impact(engine: &Engine, question: &Question<'_>, slower_than_ns: Option<f64>) -> Result<Impact, GatherError> {
    Ok(Impact {
        users: users(engine, question, slower_than_ns).await?,
        failing_since: failing_since(engine, question).await?,
        attributes: attributes(engine, question).await?,
        new_errors: new_errors(engine, question).await?,
        // Records may be large and many: the rest is worth telling without them.
        new_messages: match new_messages(engine, question).await {
            Ok(messages) => Some(messages),
            Err(error) => {
                tracing::warn!(service = %question.service, error = chain(&error), "cannot read the log records of a rollout for its report");
                None
            }
        },
    })
}

async fn users(engine: &Engine, question: &Question<'_>, slower_than_ns: Option<f64>) -> Result<Option<UsersMet>, GatherError> {
    let chosen = where_clause(question.service, question.environment, question.canary).spans;
    let slow = slower_than_ns.filter(|limit| limit.is_finite()).map(|limit| format!(" OR duration_ns > {limit:.0}")).unwrap_or_default();
    let sql = format!(
        "SELECT CAST(count(DISTINCT who) AS BIGINT) AS served, CAST(count(DISTINCT CASE WHEN met THEN who END) AS BIGINT) AS met FROM (
           SELECT coalesce(enduser_id, user_id, session_id, resource_attributes['session.id']) AS who,
           (status_code = 'ERROR' OR (kind = 'SERVER' AND coalesce(http_response_status_code, 0) >= 500){slow}) AS met
           FROM spans WHERE {chosen} AND {} AND kind IN {REQUEST_KINDS}) WHERE who IS NOT NULL",
        range(question)
    );
    let answer = engine.sql(&sql).await?;
    let Some(batch) = answer.batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let columns = Columns { table: "spans", batch };
    let met = UsersMet { served: unsigned(&columns.longs("served")?, 0), met: unsigned(&columns.longs("met")?, 0) };
    Ok((met.served > 0).then_some(met))
}

async fn failing_since(engine: &Engine, question: &Question<'_>) -> Result<Option<UnixNanos>, GatherError> {
    let chosen = where_clause(question.service, question.environment, question.canary).spans;
    let sql = format!(
        "SELECT min(time) AS time FROM spans WHERE {chosen} AND {} AND kind IN {REQUEST_KINDS}
         AND (status_code = 'ERROR' OR (kind = 'SERVER' AND coalesce(http_response_status_code, 0) >= 500))",
        range(question)
    );
    super::columns::first_time(&engine.sql(&sql).await?.batches)
}

type Values = BTreeMap<String, BTreeSet<String>>;

async fn attributes(engine: &Engine, question: &Question<'_>) -> Result<Vec<ChangedAttribute>, GatherError> {
    let (baseline, canary) = (values(engine, question, question.baseline).await?, values(engine, question, question.canary).await?);
    if baseline.is_empty() || canary.is_empty() {
        return Ok(Vec::new());
    }
    let keys: BTreeSet<&String> = baseline.keys().chain(canary.keys()).collect();
    let of = |values: &Values, key: &str| -> BTreeSet<String> { values.get(key).cloned().unwrap_or_default() };
    let chosen = |key: &str| question.baseline.matchers().contains_key(key) || question.canary.matchers().contains_key(key);
    let differs = keys.into_iter().filter(|key| !chosen(key) && !PLACES.iter().any(|place| key.starts_with(place))).filter_map(|key| {
        let (before, after) = (of(&baseline, key), of(&canary, key));
        let few = before.len() <= VALUES_MAX && after.len() <= VALUES_MAX;
        (few && before.is_disjoint(&after)).then(|| ChangedAttribute {
            key: key.clone(),
            baseline: before.into_iter().collect(),
            canary: after.into_iter().collect(),
        })
    });
    Ok(differs.take(TOLD_MAX).collect())
}

/// The values of each resource attribute of a cohort, those that have a column included.
async fn values(engine: &Engine, question: &Question<'_>, selector: &Selector) -> Result<Values, GatherError> {
    let chosen = where_clause(question.service, question.environment, selector).spans;
    let columns = haldane_store::schema::RESOURCE_COLUMNS;
    let names: Vec<&str> = columns.iter().map(|column| column.column).collect();
    let from = question.from();
    let sql = format!(
        "SELECT resource_attributes, {} FROM spans WHERE {chosen} AND time >= {} AND time < {} ORDER BY time DESC LIMIT {SPANS_READ}",
        names.join(", "),
        instant(from),
        instant(question.until)
    );
    let mut found = Values::new();
    for batch in engine.sql(&sql).await?.batches {
        read_values(&batch, &mut found)?;
    }
    Ok(found)
}

fn read_values(batch: &RecordBatch, found: &mut Values) -> Result<(), GatherError> {
    let columns = Columns { table: "spans", batch };
    for column in haldane_store::schema::RESOURCE_COLUMNS {
        let Ok(values) = columns.texts(column.column) else { continue };
        for value in values.iter().flatten().filter(|value| !value.is_empty()) {
            found.entry(column.key.to_owned()).or_default().insert(value.to_owned());
        }
    }
    let maps = columns.map("resource_attributes")?;
    for row in (0..maps.len()).filter(|row| !maps.is_null(*row)) {
        let entries = maps.value(row);
        let (Some(keys), Some(values)) = (strings(entries.column(0)), strings(entries.column(1))) else { continue };
        for entry in 0..entries.len() {
            found.entry(keys.value(entry).to_owned()).or_default().insert(text(values, entry).to_owned());
        }
    }
    Ok(())
}

async fn new_errors(engine: &Engine, question: &Question<'_>) -> Result<Vec<NewError>, GatherError> {
    let of = |selector| where_clause(question.service, question.environment, selector).rollups;
    let (baseline, canary) = (of(question.baseline), of(question.canary));
    let (from, until, started) = (instant(question.from()), instant(question.until), instant(question.started_at));
    let sql = format!(
        "SELECT fingerprint, max(source) AS source, max(error_type) AS error_type, max(message) AS message, max(trace_id) AS trace_id,
         CAST(sum(count) AS BIGINT) AS count FROM errors WHERE {canary} AND time >= {started} AND time < {until} AND fingerprint NOT IN
         (SELECT fingerprint FROM errors WHERE {baseline} AND time >= {from} AND time < {until} AND fingerprint IS NOT NULL)
         GROUP BY fingerprint ORDER BY count DESC, fingerprint LIMIT {TOLD_MAX}"
    );
    let mut errors = Vec::new();
    for batch in engine.sql(&sql).await?.batches {
        let columns = Columns { table: "errors", batch: &batch };
        let texts = ["source", "error_type", "message", "trace_id"].map(|name| columns.texts(name));
        let [sources, types, messages, traces] = texts;
        let (sources, types, messages, traces, counts) = (sources?, types?, messages?, traces?, columns.longs("count")?);
        errors.extend((0..batch.num_rows()).map(|row| NewError {
            source: text(&sources, row).to_owned(),
            error_type: text(&types, row).to_owned(),
            message: text(&messages, row).to_owned(),
            count: unsigned(&counts, row),
            trace_id: text(&traces, row).to_owned(),
        }));
    }
    Ok(errors)
}

/// The kinds of log records below `ERROR` among the newest of a cohort, and how many records were looked at.
#[derive(Debug, Default)]
struct Written {
    kinds: HashMap<(String, String), (u64, String)>,
    records: u64,
}

impl Written {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), GatherError> {
        let columns = Columns { table: "logs", batch };
        let (severities, bodies, traces) = (columns.texts("severity_text")?, columns.texts("body")?, columns.texts("trace_id")?);
        for row in 0..batch.num_rows() {
            self.records += 1;
            let kind = (text(&severities, row).to_owned(), template_of(text(&bodies, row)));
            if self.kinds.len() < KINDS_MAX || self.kinds.contains_key(&kind) {
                let known = self.kinds.entry(kind).or_insert_with(|| (0, text(&traces, row).to_owned()));
                known.0 += 1;
            }
        }
        Ok(())
    }
}

async fn written(engine: &Engine, question: &Question<'_>, selector: &Selector, since: UnixNanos) -> Result<Written, GatherError> {
    let chosen = where_clause(question.service, question.environment, selector).spans;
    let sql = format!(
        "SELECT severity_text, body, trace_id FROM (SELECT severity_text, substr(body, 1, 512) AS body, trace_id, time FROM logs WHERE {chosen} AND time >= {} AND time < {} AND coalesce(severity_number, 0) < 17
         AND body IS NOT NULL) ORDER BY time DESC LIMIT {RECORDS_READ}",
        instant(since),
        instant(question.until)
    );
    let mut written = Written::default();
    engine.each(&sql, |batch| written.add(batch)).await?;
    Ok(written)
}

async fn new_messages(engine: &Engine, question: &Question<'_>) -> Result<Vec<NewMessage>, GatherError> {
    let canary = written(engine, question, question.canary, question.started_at).await?;
    if canary.records == 0 {
        return Ok(Vec::new());
    }
    let baseline = written(engine, question, question.baseline, question.from()).await?;
    // Where kinds were left out, nobody knows what is new.
    let known = |kind: &(String, String)| baseline.kinds.contains_key(kind) || baseline.kinds.len() >= KINDS_MAX;
    let share = baseline.records as f64 / canary.records as f64;
    let new = canary.kinds.into_iter().filter(|(kind, (count, _))| !known(kind) && *count as f64 * share >= EXPECTED_MIN);
    let mut told: Vec<NewMessage> =
        new.map(|((severity, message), (count, trace_id))| NewMessage { severity, message, count, trace_id }).collect();
    told.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.message.cmp(&b.message)));
    told.truncate(TOLD_MAX);
    Ok(told)
}

fn range(question: &Question<'_>) -> String {
    format!("time >= {} AND time < {}", instant(question.started_at), instant(question.until))
}
