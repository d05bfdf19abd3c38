//! What a report's page shows beside the verdict, from where it is kept: the trail, earlier verdicts, the evidence, traces.
//!
//! Always holds: what cannot be had leaves a sentence in its place. Only the rollout and its verdict have to be there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use haldane_analyzer::bundle::Bundle;
use haldane_analyzer::judge::Evidence;
use haldane_analyzer::rollout::{Event, EventFilter, Grounds, RolloutId, VerdictFilter};
use haldane_analyzer::traces::{SoughtTrace, TraceError, logged_stacks, parse_trace_id, read_sought};
use haldane_store::UnixNanos;
use haldane_store::ledger::NotificationRow;
use haldane_store::ledger::notifications::{DUE, REPEATING};

use super::rollouts::find_problem;
use super::{Doors, story};
use crate::error::{Problem, chain};
use crate::pages::history::Point;
use crate::pages::report::{Details, Subject};
use crate::pages::served::{Exhibits, examples, seen_at};
use crate::pages::waterfall::Sampled;

/// Events on a page, the newest.
const EVENTS_SHOWN: u32 = 200;
/// Verdicts in the plot of evidence over time, the newest.
const VERDICTS_SHOWN: u32 = 1_000;
/// Among so many of the newest notifications in one state those of the rollout are looked for.
const WAITING_SOUGHT: u32 = 200;
/// Longest that a page waits for what is read from telemetry; a file may wait longer.
const WITHIN: Duration = Duration::from_secs(3);
const WITHIN_FOR_A_FILE: Duration = Duration::from_secs(15);

/// Spans of a trace begin so long before or after the window that names it, at most.
const AROUND: Duration = Duration::from_secs(120);

/// What a report is about.
pub(super) async fn subject(doors: &Doors, id: &RolloutId, as_file: bool) -> Result<Subject, Problem> {
    let rollout = doors.rollouts.get(id).await.map_err(|error| find_problem(&error))?;
    let verdict = doors.rollouts.verdict(id).await.map_err(|error| find_problem(&error))?;
    Ok(Subject { rollout, verdict, as_file })
}

/// What else its page shows. `trace` is of the canary, and asked for.
pub(super) async fn details(doors: &Doors, subject: &Subject, trace: Option<&str>) -> Details {
    let id = &subject.rollout.id;
    let events = events(doors, id).await;
    let history = history(doors, id).await;
    let waiting = waiting(doors, id).await;
    let evidence = match doors.rollouts.grounds(id).await {
        Ok(Some(grounds)) => read(grounds).await,
        Ok(None) => Err("No evidence is kept: the server has started since the last verdict, or the rollout ended long ago.".to_owned()),
        Err(error) => Err(format!("The evidence cannot be read: {}.", chain(&error))),
    };
    let (exhibits, bundle) = match evidence {
        Ok((exhibits, bundle)) => (Ok(exhibits), Some(bundle)),
        Err(why) => (Err(why), None),
    };
    let (sampled, story) = tokio::join!(
        sampled(doors, subject, (&exhibits, bundle.as_ref().map(|bundle| &bundle.evidence)), trace),
        story::told(doors, &subject.rollout, &subject.verdict, patience(subject.as_file))
    );
    Details { events, waiting, history, exhibits, sampled, story }
}

/// The newest events, in the order of time; nothing where the ledger does not answer.
async fn events(doors: &Doors, id: &RolloutId) -> Vec<Event> {
    let filter = EventFilter { rollout_id: Some(id.clone()), newest_first: true, limit: EVENTS_SHOWN, ..EventFilter::default() };
    let mut events = doors.rollouts.events(&filter).await.unwrap_or_default();
    events.reverse();
    events
}

/// What each verdict said; nothing where the ledger does not answer.
async fn history(doors: &Doors, id: &RolloutId) -> Vec<Point> {
    let filter = VerdictFilter { rollout_id: Some(id.to_string()), service: None, since: None, limit: VERDICTS_SHOWN };
    let verdicts = doors.rollouts.verdicts(&filter).await.unwrap_or_default();
    verdicts.iter().rev().filter_map(Point::of).collect()
}

/// Notifications of the rollout that are not settled.
async fn waiting(doors: &Doors, id: &RolloutId) -> Vec<NotificationRow> {
    let mut found = Vec::new();
    for state in [DUE, REPEATING] {
        found.extend(doors.notifications.list(Some(state), None, WAITING_SOUGHT).await.unwrap_or_default());
    }
    found.retain(|row| row.rollout_id == id.as_str() && (row.state == DUE || !row.last_error.is_empty()));
    found
}

const fn patience(as_file: bool) -> Duration {
    if as_file { WITHIN_FOR_A_FILE } else { WITHIN }
}

/// Reads evidence where it holds up no other request: a large one takes a while.
async fn read(grounds: Grounds) -> Result<(Exhibits, Arc<Bundle>), String> {
    let reading = tokio::task::spawn_blocking(move || {
        let bundle = grounds.bundle().map_err(|error| format!("The evidence cannot be read: {}.", chain(&error)))?;
        Ok((Exhibits::of(&bundle.evidence), bundle))
    });
    reading.await.unwrap_or_else(|_| Err("The evidence could not be read: the server's log says why.".to_owned()))
}

async fn sampled(
    doors: &Doors,
    Subject { rollout, verdict, as_file }: &Subject,
    (exhibits, evidence): (&Result<Exhibits, String>, Option<&Evidence>),
    trace: Option<&str>,
) -> Sampled {
    let asked = trace.and_then(parse_trace_id);
    let examples = examples(verdict, evidence, asked.as_deref());
    let errors = exhibits.iter().flat_map(|found| &found.new_errors.0).filter_map(|error| error.trace.as_deref());
    let of_errors: BTreeSet<String> = errors.map(str::to_owned).collect();
    let wanted: BTreeSet<String> = examples.canary.iter().chain(&examples.baseline).chain(&of_errors).cloned().collect();
    let seen = evidence.map(|evidence| seen_at(evidence, &wanted)).unwrap_or_default();
    let until = UnixNanos::parse_rfc3339(&verdict.data_until).unwrap_or_else(|_| doors.rollouts.now());
    let sought = |trace_id: &String| {
        let (from, until) = seen.get(trace_id).map_or((rollout.started_at, until), |at| (*at, *at));
        SoughtTrace { trace_id: trace_id.clone(), from: from.minus(AROUND), until: until.plus(AROUND) }
    };
    let (wanted, of_errors): (Vec<_>, Vec<_>) = (wanted.iter().map(sought).collect(), of_errors.iter().map(sought).collect());
    let reading = async { Ok((read_sought(&doors.engine, &wanted).await?, logged_stacks(&doors.engine, &of_errors).await?)) };
    let patience = patience(*as_file);
    let read: Result<Result<_, TraceError>, _> = tokio::time::timeout(patience, reading).await;
    let missing = match read {
        Ok(Ok((traces, stacks))) => return Sampled { examples, traces, stacks, missing: None },
        Ok(Err(error)) => format!("{}.", chain(&error)),
        Err(_) => format!("reading it took more than {} s.", patience.as_secs()),
    };
    Sampled { examples, missing: Some(missing), ..Sampled::default() }
}
