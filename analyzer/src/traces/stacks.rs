//! Stack traces that were logged within traces. Those that spans carry come with the traces themselves.

use super::{SoughtTrace, TraceError};
use crate::cohort::{Columns, text};
use crate::query::Engine;

/// Most that are read at once.
const STACKS_MAX: usize = 100;

/// An exception that was logged with its stack trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedStack {
    /// The trace that it was logged in, in lower-case hex.
    pub trace_id: String,
    /// `exception.type`; empty where none is named.
    pub error_type: String,
    /// `exception.stacktrace`.
    pub stack: String,
}

/// The stack traces that were logged in these traces.
///
/// # Errors
/// When the tables cannot be read.
pub async fn logged_stacks(engine: &Engine, sought: &[SoughtTrace]) -> Result<Vec<LoggedStack>, TraceError> {
    if sought.is_empty() {
        return Ok(Vec::new());
    }
    let each: Vec<String> = sought.iter().map(SoughtTrace::condition).collect();
    let sql = format!(
        "SELECT trace_id, exception_type, exception_stacktrace FROM logs
         WHERE ({}) AND exception_stacktrace IS NOT NULL LIMIT {STACKS_MAX}",
        each.join(" OR ")
    );
    let mut found = Vec::new();
    for batch in &engine.sql(&sql).await?.batches {
        let columns = Columns { table: "logs", batch };
        let (traces, types, stacks) =
            (columns.texts("trace_id")?, columns.texts("exception_type")?, columns.texts("exception_stacktrace")?);
        found.extend((0..batch.num_rows()).map(|row| LoggedStack {
            trace_id: text(&traces, row).to_owned(),
            error_type: text(&types, row).to_owned(),
            stack: text(&stacks, row).to_owned(),
        }));
    }
    Ok(found)
}
