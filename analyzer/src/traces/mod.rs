//! Traces as they were sent, whole: for people, and for the tools that draw them.
//!
//! Always holds: an answer has at most the rows that the engine gives; where that cuts a trace off, it is said.

mod columns;
mod find;
mod stacks;

use std::time::Duration;

use haldane_store::{Classified, Fault, UnixNanos};

pub use find::{Call, TraceSearch, calls, find_traces, operations, services};
pub use stacks::{LoggedStack, logged_stacks};

use crate::cohort::GatherError;
use crate::query::{Engine, QueryError, instant, literal};

/// A trace may have begun or ended so much outside of the time that is asked about.
const AROUND: Duration = Duration::from_secs(3600);

/// Spans of one trace, the earliest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Lower-case hex.
    pub trace_id: String,
    /// Never empty.
    pub spans: Vec<TraceSpan>,
    /// Whether some of its spans may be missing, for there were too many to read.
    pub may_lack_spans: bool,
}

/// One span.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSpan {
    /// Lower-case hex.
    pub span_id: String,
    /// Of the span that caused it; empty for the first.
    pub parent_span_id: String,
    /// Its name.
    pub name: String,
    /// `SERVER`, `CLIENT`, `INTERNAL`, `PRODUCER`, `CONSUMER`, `UNSPECIFIED`.
    pub kind: String,
    /// `UNSET`, `OK` or `ERROR`.
    pub status_code: String,
    /// What the sender says of its status.
    pub status_message: String,
    /// When it began.
    pub start: UnixNanos,
    /// How long it took.
    pub duration: Duration,
    /// `service.name`.
    pub service: String,
    /// The instrumentation that made it.
    pub scope: String,
    /// Its attributes, by key.
    pub attributes: Vec<Attribute>,
    /// Those of its resource.
    pub resource: Vec<Attribute>,
    /// What happened in it, in the order in which it was sent.
    pub events: Vec<SpanEvent>,
    /// The spans of other traces that it names.
    pub links: Vec<SpanLink>,
}

/// An attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its key.
    pub key: String,
    /// What it says.
    pub value: AttributeValue,
}

/// What an attribute says. A value that is neither text nor has a column of its own comes as JSON text.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
}

/// Something that happened in a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    /// When.
    pub at: UnixNanos,
    /// What.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

/// Another span that a span names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanLink {
    /// Its trace.
    pub trace_id: String,
    /// The span.
    pub span_id: String,
}

/// Why traces could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The tables did not answer.
    #[error("cannot read the traces")]
    Query(#[from] QueryError),
    /// They have other columns than expected.
    #[error("cannot understand the rows of the traces")]
    Columns(#[from] GatherError),
}

impl Classified for TraceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Query(error) => error.fault(),
            Self::Columns(error) => error.fault(),
        }
    }
}

/// A trace id as the tables have it: 32 digits in lower case. Tools leave out zeros in front.
pub fn parse_trace_id(text: &str) -> Option<String> {
    let digits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| format!("{:0>32}", text.to_ascii_lowercase()))
}

/// A trace that is sought, and when its spans began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoughtTrace {
    /// Lower-case hex.
    pub trace_id: String,
    /// At this time or later,
    pub from: UnixNanos,
    /// and at this or earlier.
    pub until: UnixNanos,
}

impl SoughtTrace {
    fn condition(&self) -> String {
        format!("(trace_id = {} AND time >= {} AND time <= {})", literal(&self.trace_id), instant(self.from), instant(self.until))
    }
}

/// The traces of these ids that there are, the one that began last first. With `within`, only what lies about that time is read.
///
/// # Errors
/// When the tables cannot be read.
pub async fn read_traces(engine: &Engine, ids: &[String], within: Option<(UnixNanos, UnixNanos)>) -> Result<Vec<Trace>, TraceError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ids.iter().map(|id| literal(id)).collect();
    let time =
        within.map(|(from, until)| format!(" AND time >= {} AND time <= {}", instant(from.minus(AROUND)), instant(until.plus(AROUND))));
    traces_where(engine, &format!("trace_id IN ({}){}", ids.join(", "), time.unwrap_or_default())).await
}

/// Those of the sought traces that there are, the one that began last first. Costs the less the shorter the times are: no more than they is read.
///
/// # Errors
/// When the tables cannot be read.
pub async fn read_sought(engine: &Engine, sought: &[SoughtTrace]) -> Result<Vec<Trace>, TraceError> {
    if sought.is_empty() {
        return Ok(Vec::new());
    }
    let each: Vec<String> = sought.iter().map(SoughtTrace::condition).collect();
    traces_where(engine, &each.join(" OR ")).await
}

async fn traces_where(engine: &Engine, condition: &str) -> Result<Vec<Trace>, TraceError> {
    let sql = format!("SELECT * FROM spans WHERE {condition}");
    let answer = engine.sql(&sql).await?;
    let mut traces: Vec<Trace> = Vec::new();
    for batch in &answer.batches {
        for (trace_id, span) in columns::spans(batch)? {
            match traces.iter_mut().find(|trace| trace.trace_id == trace_id) {
                Some(trace) => trace.spans.push(span),
                None => traces.push(Trace { trace_id, spans: vec![span], may_lack_spans: answer.truncated }),
            }
        }
    }
    for trace in &mut traces {
        trace.spans.sort_by(|a, b| (a.start, &a.span_id).cmp(&(b.start, &b.span_id)));
    }
    let began = |trace: &Trace| trace.spans.first().map(|span| span.start);
    traces.sort_by(|a, b| began(b).cmp(&began(a)).then(a.trace_id.cmp(&b.trace_id)));
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_brought_to_the_form_of_the_tables() {
        assert_eq!(parse_trace_id("ABC").unwrap(), format!("{}abc", "0".repeat(29)));
        assert_eq!(parse_trace_id(""), None);
        assert_eq!(parse_trace_id("x"), None);
        assert_eq!(parse_trace_id(&"0".repeat(33)), None);
        assert_eq!(parse_trace_id("é"), None);
    }
}
