//! Looking for traces, and for what they are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::UnixNanos;

use super::{AROUND, Trace, TraceError, read_traces};
use crate::cohort::{Columns, spans_condition, text, unsigned};
use crate::query::{Engine, instant, literal};

/// Names that are listed of one kind.
const NAMES_MAX: usize = 5_000;

/// What a trace has to have: one span that is all of this.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSearch {
    /// `service.name`.
    pub service: String,
    /// The span's name.
    pub operation: Option<String>,
    /// Attributes of the span or its resource. `error`, `span.kind` and `otel.status_code` are taken as tools mean them.
    pub tags: BTreeMap<String, String>,
    /// It took at least this.
    pub min_duration: Option<Duration>,
    /// It took at most this.
    pub max_duration: Option<Duration>,
    /// It began at this time or later,
    pub from: UnixNanos,
    /// and before this.
    pub until: UnixNanos,
    /// Most traces.
    pub limit: usize,
}

/// A service that calls another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who calls.
    pub parent: String,
    /// Who is called.
    pub child: String,
    /// How often.
    pub count: u64,
}

/// The traces that are looked for, the latest first.
///
/// # Errors
/// When the tables cannot be read.
pub async fn find_traces(engine: &Engine, search: &TraceSearch) -> Result<Vec<Trace>, TraceError> {
    let sql = format!(
        "SELECT trace_id AS name FROM spans WHERE {} GROUP BY trace_id ORDER BY max(time) DESC, trace_id LIMIT {}",
        conditions(search),
        search.limit
    );
    let ids = names(engine, &sql).await?;
    read_traces(engine, &ids, Some((search.from, search.until))).await
}

fn conditions(search: &TraceSearch) -> String {
    let mut all = vec![
        format!("service_name = {}", literal(&search.service)),
        format!("time >= {}", instant(search.from)),
        format!("time <= {}", instant(search.until)),
    ];
    all.extend(search.operation.as_ref().map(|operation| format!("name = {}", literal(operation))));
    all.extend(search.min_duration.map(|least| format!("duration_ns >= {}", least.as_nanos())));
    all.extend(search.max_duration.map(|most| format!("duration_ns <= {}", most.as_nanos())));
    all.extend(search.tags.iter().map(|(key, value)| tag(key, value)));
    all.join(" AND ")
}

fn tag(key: &str, value: &str) -> String {
    match (key, value) {
        ("error", "true") => "status_code = 'ERROR'".to_owned(),
        ("error", "false") => "status_code <> 'ERROR'".to_owned(),
        ("span.kind", kind) => format!("kind = {}", literal(&kind.to_ascii_uppercase())),
        ("otel.status_code", code) => format!("status_code = {}", literal(&code.to_ascii_uppercase())),
        (key, value) => spans_condition(key, value),
    }
}

/// The services that sent spans since then, by name.
///
/// # Errors
/// When the tables cannot be read.
pub async fn services(engine: &Engine, since: UnixNanos) -> Result<Vec<String>, TraceError> {
    let sql = format!(
        "SELECT DISTINCT service_name AS name FROM red WHERE time >= {} AND service_name IS NOT NULL ORDER BY 1 LIMIT {NAMES_MAX}",
        instant(since)
    );
    names(engine, &sql).await
}

/// The names of a service's spans since then.
///
/// # Errors
/// When the tables cannot be read.
pub async fn operations(engine: &Engine, service: &str, since: UnixNanos) -> Result<Vec<String>, TraceError> {
    let sql = format!(
        "SELECT DISTINCT name FROM spans WHERE service_name = {} AND time >= {} ORDER BY 1 LIMIT {NAMES_MAX}",
        literal(service),
        instant(since)
    );
    names(engine, &sql).await
}

/// Which services called which, by the spans that began in this time.
///
/// # Errors
/// When the tables cannot be read.
pub async fn calls(engine: &Engine, from: UnixNanos, until: UnixNanos) -> Result<Vec<Call>, TraceError> {
    let sql = format!(
        "SELECT p.service_name AS parent, c.service_name AS child, count(*) AS calls
         FROM (SELECT trace_id, parent_span_id, service_name FROM spans WHERE time >= {from} AND time <= {until} AND parent_span_id <> '') c
         JOIN (SELECT trace_id, span_id, service_name FROM spans WHERE time >= {earlier} AND time <= {until}) p
         ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id
         WHERE p.service_name <> c.service_name GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {NAMES_MAX}",
        from = instant(from),
        until = instant(until),
        earlier = instant(from.minus(AROUND)),
    );
    let mut found = Vec::new();
    for batch in &engine.sql(&sql).await?.batches {
        let columns = Columns { table: "spans", batch };
        let (parents, children, counts) = (columns.texts("parent")?, columns.texts("child")?, columns.longs("calls")?);
        found.extend((0..batch.num_rows()).map(|row| Call {
            parent: text(&parents, row).to_owned(),
            child: text(&children, row).to_owned(),
            count: unsigned(&counts, row),
        }));
    }
    Ok(found)
}

/// The texts of a column `name`.
async fn names(engine: &Engine, sql: &str) -> Result<Vec<String>, TraceError> {
    let mut names = Vec::new();
    for batch in &engine.sql(sql).await?.batches {
        let found = Columns { table: "spans", batch }.texts("name")?;
        names.extend(found.iter().flatten().map(str::to_owned));
    }
    Ok(names)
}
