//! What happened: the trail as pages for audits, and as a stream for those who want to know at once.
//!
//! Always holds: a stream that was cut goes on after `Last-Event-ID` without a gap; what it sends under an id is in the trail.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use haldane_analyzer::rollout::{Event, EventDetails, EventFilter, EventKind, RolloutId, Rollouts};
use haldane_analyzer::verdict::Verdict;
use haldane_store::UnixNanos;
use haldane_store::ledger::{TrailEntry, TrailRow};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::Doors;
use super::described::EventWord;
use super::extract::{InPath, Params};
use super::rollouts::{find_problem, read_problem, rollout_id};
use crate::error::{Problem, ProblemKind};

/// Events on a page, if the request does not say.
const PAGE_DEFAULT: u32 = 100;
/// Most events on a page.
pub const EVENTS_MAX: u32 = 1_000;
/// Streams that are open at once.
pub(super) const STREAMS_MAX: usize = 256;
/// Another process may add to the trail, and rings no bell here.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// When a reader that was cut off comes back.
const RETRY: Duration = Duration::from_secs(2);
/// Silence that no proxy takes for an end.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An entry of the trail.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventBody {
    /// Counts up from 1, without gaps.
    pub sequence: u64,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What happened, such as `rollout.started` or `verdict.changed`.
    pub kind: String,
    /// Who did it: `haldane` for what happens by itself.
    pub actor: String,
    /// Of which rollout; absent if of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_id: Option<String>,
    /// Of which service; empty if of none.
    pub service: String,
    /// Where; empty if nowhere.
    pub environment: String,
    /// Everything else. The text of it is part of what is hashed.
    #[schema(value_type = Object)]
    pub details: Box<RawValue>,
    /// SHA-256, in hex, over the hash of the entry before (64 zeros before the first) and sequence, time in Unix nanoseconds, kind, actor, rollout_id, service,
    /// environment and details, each as a netstring.
    pub hash: String,
}

/// One page of events.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventListBody {
    /// In the order that was asked for.
    pub events: Vec<EventBody>,
    /// Give this as `cursor` for the next page; none on the last one.
    pub next: Option<u64>,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderWord {
    /// The newest first.
    #[default]
    Desc,
    /// The oldest first.
    Asc,
}

impl From<&Event> for EventBody {
    fn from(event: &Event) -> Self {
        let empty = || RawValue::from_string("{}".to_owned()).unwrap_or_default();
        Self {
            sequence: event.sequence,
            at: event.at.to_rfc3339(),
            kind: event.kind.as_str().to_owned(),
            actor: event.actor.clone(),
            rollout_id: event.rollout_id.as_ref().map(ToString::to_string),
            service: event.service.clone(),
            environment: event.environment.clone(),
            details: RawValue::from_string(event.document.clone()).unwrap_or_else(|_| empty()),
            hash: event.hash.clone(),
        }
    }
}

impl EventBody {
    /// The entry of the trail, to be checked; none where its time is no time.
    pub fn to_row(&self) -> Option<TrailRow> {
        let entry = TrailEntry {
            at: UnixNanos::parse_rfc3339(&self.at).ok()?,
            kind: self.kind.clone(),
            actor: self.actor.clone(),
            rollout_id: self.rollout_id.clone().unwrap_or_default(),
            service: self.service.clone(),
            environment: self.environment.clone(),
            document: self.details.get().to_owned(),
        };
        Some(TrailRow { sequence: self.sequence, entry, hash: self.hash.clone() })
    }

    /// What else there is to say of it, as far as this version knows.
    pub fn known_details(&self) -> EventDetails {
        serde_json::from_str(self.details.get()).unwrap_or_default()
    }
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditParams {
    /// Only of this rollout.
    rollout: Option<String>,
    /// Only of this service.
    service: Option<String>,
    /// Only in this environment.
    environment: Option<String>,
    /// Only of this kind, such as `rollout.rolled_back`.
    #[param(value_type = Option<EventWord>, inline)]
    kind: Option<String>,
    /// `desc`, the newest first, if left out; or `asc`.
    #[param(inline)]
    order: Option<OrderWord>,
    /// At most so many; 1 to 1,000, 100 if left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<u64>,
}

/// Lists what happened, who did it and when. Entries are never changed or removed, and chained by hash: `haldane audit verify` checks the chain.
#[utoipa::path(
    get, path = "/v1/audit", tag = "operation", operation_id = "listAudit", params(AuditParams),
    responses(
        (status = 200, description = "One page", body = EventListBody),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no rollout of this id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn audit(State(doors): State<Doors>, Params(params): Params<AuditParams>) -> Result<Json<EventListBody>, Problem> {
    let limit = params.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=EVENTS_MAX).contains(&limit) {
        return Err(Problem::invalid(format!("limit: {limit} does not lie between 1 and {EVENTS_MAX}")));
    }
    let known = || EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let kind = params.kind.map(|word| {
        let start: String = word.chars().take(40).collect();
        EventKind::parse(&word).ok_or_else(|| Problem::invalid(format!("kind: {start:?} is none of {}", known())))
    });
    let filter = EventFilter {
        rollout_id: params.rollout.as_deref().map(rollout_id).transpose()?,
        service: params.service,
        environment: params.environment,
        kind: kind.transpose()?,
        after: sequence("cursor", params.cursor)?,
        newest_first: params.order.unwrap_or_default() == OrderWord::Desc,
        limit,
    };
    let events = doors.rollouts.events(&filter).await.map_err(|error| read_problem(&error))?;
    let next = events.last().filter(|_| events.len() == limit as usize).map(|event| event.sequence);
    Ok(Json(EventListBody { events: events.iter().map(EventBody::from).collect(), next }))
}

/// One event of a stream, as its lines `id`, `event` and `data` have it.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"id": "7", "event": "rollout.started", "data": "{\"sequence\":7}"}))]
#[expect(dead_code, reason = "it describes the stream, which axum writes")]
pub(super) struct StreamedEvent {
    /// The sequence number; absent where nothing goes on after it.
    id: Option<String>,
    /// The kind, such as `rollout.started`, or `verdict`.
    event: Option<String>,
    /// The entry of the trail, or the verdict, as JSON.
    data: String,
}

/// Where a stream begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamParams {
    /// Begin after this sequence number; `Last-Event-ID` beats it.
    after: Option<u64>,
}

/// Sends what happens from now on, as server-sent events: `event` is the kind, `id` the sequence number, `data` the entry.
#[utoipa::path(
    get, path = "/v1/events", tag = "rollouts", operation_id = "streamEvents",
    params(StreamParams, ("Last-Event-ID" = Option<u64>, Header, nullable = false, description = "Goes on after the event of this id")),
    responses(
        (status = 200, description = "The stream", body = StreamedEvent, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many streams are open", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream_all(
    State(doors): State<Doors>,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<Response, Problem> {
    let seat = seat(&doors)?;
    let after = match last_event_id(&headers)?.or(sequence("after", params.after)?) {
        Some(after) => after,
        None => doors.rollouts.events_end().await.map_err(|error| read_problem(&error))?,
    };
    let mut follower = Follower::new(&doors, None, after, seat);
    // Who is cut off before anything happened comes back with this.
    follower.waiting.push_back(SseEvent::default().id(after.to_string()).retry(RETRY));
    Ok(answer(follower))
}

/// Sends what happens to a rollout, from its start on, as server-sent events, and ends with it. `event: verdict` carries each new verdict and has no `id`.
///
/// Who comes back after the end is answered with 204, which tells an EventSource to stop.
#[utoipa::path(
    get, path = "/v1/rollouts/{id}/events", tag = "rollouts", operation_id = "streamRolloutEvents",
    params(
        ("id" = String, Path, description = "The rollout"), StreamParams,
        ("Last-Event-ID" = Option<u64>, Header, nullable = false, description = "Goes on after the event of this id")
    ),
    responses(
        (status = 200, description = "The stream", body = StreamedEvent, content_type = "text/event-stream"),
        (status = 204, description = "The rollout has ended, and all of it was sent before"),
        (status = 400, description = "A parameter is wrong: the detail says which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no rollout of this id", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many streams are open", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not available at the moment", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream_rollout(
    State(doors): State<Doors>,
    InPath(id): InPath,
    headers: HeaderMap,
    Params(params): Params<StreamParams>,
) -> Result<Response, Problem> {
    let seat = seat(&doors)?;
    let id = rollout_id(&id)?;
    let rollout = doors.rollouts.get(&id).await.map_err(|error| find_problem(&error))?;
    let after = last_event_id(&headers)?.or(sequence("after", params.after)?).unwrap_or(0);
    if rollout.state.is_final() {
        let filter = EventFilter { rollout_id: Some(id.clone()), after: Some(after), limit: EVENTS_MAX, ..EventFilter::default() };
        let left = doors.rollouts.events(&filter).await.map_err(|error| read_problem(&error))?;
        if left.is_empty() && after > 0 {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    Ok(answer(Follower::new(&doors, Some(id), after, seat)))
}

fn seat(doors: &Doors) -> Result<OwnedSemaphorePermit, Problem> {
    let full = |_| {
        let detail = format!("{STREAMS_MAX} event streams are open, which is the most: try again later, or poll");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, ProblemKind::Busy, detail)
    };
    doors.streams.clone().try_acquire_owned().map_err(full)
}

/// Sequence numbers are those of the ledger: 63 bits.
pub(super) fn sequence(parameter: &str, number: Option<u64>) -> Result<Option<u64>, Problem> {
    match number {
        Some(number) if i64::try_from(number).is_err() => Err(Problem::invalid(format!("{parameter}: {number} is no sequence number"))),
        known => Ok(known),
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value
        .to_str()
        .unwrap_or_default()
        .trim()
        .parse()
        .map_err(|_| Problem::invalid("Last-Event-ID: take the id of the last event that you had"))?;
    sequence("Last-Event-ID", Some(number))
}

fn answer(follower: Follower) -> Response {
    let stream = Sse::new(follower.stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here"));
    // Proxies that collect answers before they pass them on are asked not to.
    ([("x-accel-buffering", "no")], stream).into_response()
}

/// Reads along as the trail grows.
struct Follower {
    rollouts: Rollouts,
    stop: CancellationToken,
    of: Option<RolloutId>,
    after: u64,
    /// The sequence of the verdict that was sent last.
    verdict: Option<u64>,
    waiting: VecDeque<SseEvent>,
    ended: bool,
    _seat: OwnedSemaphorePermit,
}

impl Follower {
    fn new(doors: &Doors, of: Option<RolloutId>, after: u64, seat: OwnedSemaphorePermit) -> Self {
        let (rollouts, stop) = (doors.rollouts.clone(), doors.stop.clone());
        Self { rollouts, stop, of, after, verdict: None, waiting: VecDeque::new(), ended: false, _seat: seat }
    }

    fn stream(self) -> impl Stream<Item = Result<SseEvent, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            loop {
                if let Some(event) = follower.waiting.pop_front() {
                    return Some((Ok(event), follower));
                }
                if follower.ended || follower.stop.is_cancelled() {
                    return None;
                }
                follower.look().await;
            }
        })
    }

    /// Waits until there is something to send, or a while.
    async fn look(&mut self) {
        let mut bell = self.rollouts.event_bell();
        // Asked before the events are read: else an end between the two would never be sent.
        let is_over = match &self.of {
            Some(id) => self.rollouts.get(id).await.map_or(true, |rollout| rollout.state.is_final()),
            None => false,
        };
        let filter = EventFilter { rollout_id: self.of.clone(), after: Some(self.after), limit: 100, ..EventFilter::default() };
        let Ok(events) = self.rollouts.events(&filter).await else {
            // The reader comes back with the id of its last event.
            self.ended = true;
            return;
        };
        if let Some(last) = events.last() {
            self.after = last.sequence;
        }
        // The end may lie before where the reader begins.
        let ends = if events.is_empty() { is_over } else { self.of.is_some() && events.iter().any(|event| event.kind.is_end()) };
        self.waiting.extend(events.iter().map(sse));
        if ends || events.is_empty() {
            self.look_at_verdict().await;
        }
        // What follows an end, such as that somebody was told of it, is for the audit.
        self.ended |= ends;
        if self.waiting.is_empty() {
            let known = self.verdict.unwrap_or(0);
            let judged = async {
                match &self.of {
                    Some(id) => drop(self.rollouts.wait(id, known, LOOK_EVERY).await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = bell.changed() => {}
                () = judged => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    async fn look_at_verdict(&mut self) {
        let Some(id) = &self.of else { return };
        let Ok(verdict) = self.rollouts.verdict(id).await else { return };
        if self.verdict != Some(verdict.sequence) {
            self.verdict = Some(verdict.sequence);
            self.waiting.push_back(sse_verdict(&verdict));
        }
    }
}

fn sse(event: &Event) -> SseEvent {
    let data = serde_json::to_string(&EventBody::from(event)).unwrap_or_default();
    SseEvent::default().id(event.sequence.to_string()).event(event.kind.as_str()).data(data)
}

fn sse_verdict(verdict: &Verdict) -> SseEvent {
    SseEvent::default().event("verdict").data(serde_json::to_string(verdict).unwrap_or_default())
}

#[cfg(test)]
mod tests;
