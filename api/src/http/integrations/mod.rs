//! The contracts of tools that deploy. Their first question starts a rollout, later ones are answered with its verdict.
//!
//! Always holds: what a tool asks again and again starts one rollout; a tool that moves on to another version ends the one it asked for
//! before; what is not known is never a yes.

pub(super) mod argo;
pub(super) mod flagger;
pub(super) mod kayenta;

pub(super) mod prometheus;

use std::sync::PoisonError;
use std::time::Duration;

use axum::response::Response;
use haldane_analyzer::rollout::{Rollout, RolloutFilter, RolloutId, RolloutState, StartError, StartRollout};
use haldane_analyzer::verdict::Verdict;
use haldane_store::UnixNanos;

use super::Doors;
use super::rollouts::{find_problem, read_problem, start_problem};
use crate::error::{Problem, chain};

/// The key in a rollout's metadata under which its tool stands.
const TOOL: &str = "orchestrator";
/// The key under which stands what the tool calls the version.
const CHECKSUM: &str = "checksum";
/// The key under which stands where the tool has it from: another version from the same place takes its place.
const PLACE: &str = "flagger.canary";
/// Among so many of the newest rollouts of a service its own is looked for.
const LOOKED_THROUGH: u32 = 50;
/// Where one is not surely of the same version, it counts so long after its end.
const UNSURE: Duration = Duration::from_secs(600);
/// A rollout that is asked about more often than this is not taken away by another question of the same tool.
const ASKED_LATELY: Duration = Duration::from_secs(60);

/// An error body that is a tool's own, and no problem document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Foreign;

/// Leaves a body as it is, whatever its status.
pub(super) fn foreign(mut response: Response) -> Response {
    response.extensions_mut().insert(Foreign);
    response
}

/// What is known of what a tool asks about.
enum Standing {
    /// A rollout and its verdict.
    Known { rollout: Box<Rollout>, verdict: Box<Verdict> },
    /// None could be started yet.
    NotYet { reason: String },
}

/// Whether a question may start a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Find,
    FindOrStart,
}

/// How long what ended counts: a question that comes later is about a new attempt.
#[derive(Debug, Clone, Copy)]
struct Memory {
    long: Duration,
    /// The tool said then that its attempt was over: what ended until then counts no longer.
    closed_at: Option<UnixNanos>,
}

/// Finds the rollout that a tool asks about, or starts it. One that ended counts as long as `memory` says.
async fn standing(doors: &Doors, mut request: StartRollout, tool: &str, (memory, asked): (Memory, Asked)) -> Result<Standing, Problem> {
    request.metadata.insert(TOOL.to_owned(), tool.to_owned());
    match doors.rollouts.check(&request).await {
        Ok(_) => {}
        Err(error @ StartError::UnknownService { .. }) => return Ok(Standing::NotYet { reason: chain(&error) }),
        Err(error) => return Err(start_problem(&error)),
    }
    let filter = RolloutFilter {
        service: Some(request.service.to_string()),
        environment: Some(request.environment.to_string()),
        limit: LOOKED_THROUGH,
        ..RolloutFilter::default()
    };
    let newest = doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))?.rollouts;
    let own = newest.iter().find(|rollout| is_asked_for(rollout, &request) && counts(doors, rollout, &request, memory));
    // What gave way to another rollout of the tool is asked for anew.
    if let Some(rollout) = own.filter(|rollout| rollout.state != RolloutState::Cancelled) {
        doors.ask(&rollout.id);
        return known(doors, rollout.clone()).await;
    }
    if asked == Asked::Find {
        return Ok(Standing::NotYet { reason: "no rollout of this version is known".to_owned() });
    }
    let live = newest.into_iter().find(|rollout| !rollout.state.is_final() && rollout.metadata.get(TOOL).is_some_and(|by| by == tool));
    if let Some(live) = live {
        // The same selectors, but another version by its checksum: starting would find the old one.
        let moved_on = live.metadata.contains_key(PLACE) && live.metadata.get(PLACE) == request.metadata.get(PLACE);
        if !moved_on && doors.is_asked_about(&live.id) {
            return Ok(Standing::NotYet { reason: format!("another rollout of this service is live, and asked about: {}", live.id) });
        }
        // If it ended meanwhile, so much the better.
        let _ = doors.rollouts.cancel(&live.id, tool, &format!("{tool} went on to {}", request.canary)).await;
    }
    match doors.rollouts.start(request).await {
        Ok(started) => {
            doors.ask(&started.rollout.id);
            known(doors, started.rollout).await
        }
        Err(error @ (StartError::UnknownService { .. } | StartError::Conflict { .. })) => Ok(Standing::NotYet { reason: chain(&error) }),
        Err(error) => Err(start_problem(&error)),
    }
}

/// Started by the tool, by a person, or by itself, of what the tool asks about.
fn is_asked_for(rollout: &Rollout, request: &StartRollout) -> bool {
    let agrees = |key: &str| rollout.metadata.get(key).is_none_or(|said| Some(said) == request.metadata.get(key));
    // One that is held to something else than the tool says is not the one that it means, unless it has ended.
    let as_asked = rollout.ended_at.is_some() || request.policy.are_in_force_with(&rollout.policy);
    rollout.baseline == request.baseline && rollout.canary == request.canary && as_asked && agrees(CHECKSUM) && agrees(TOOL)
}

/// Without a checksum nobody knows whether what ended a while ago was the same version.
fn counts(doors: &Doors, rollout: &Rollout, request: &StartRollout, memory: Memory) -> bool {
    let surely = request.metadata.get(CHECKSUM).is_none_or(|checksum| rollout.metadata.get(CHECKSUM) == Some(checksum));
    let by_version = !request.metadata.contains_key(PLACE);
    let remembered = if surely && (by_version || request.metadata.contains_key(CHECKSUM)) { memory.long } else { memory.long.min(UNSURE) };
    let over = |ended: UnixNanos| memory.closed_at.is_some_and(|closed| ended <= closed);
    rollout.ended_at.is_none_or(|ended| doors.rollouts.now().since(ended) < remembered && !over(ended))
}

impl Doors {
    /// Notes that a tool asks about a rollout.
    fn ask(&self, id: &RolloutId) {
        let now = self.rollouts.now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|_, at| now.since(*at) < ASKED_LATELY);
        asked.insert(id.clone(), now);
    }

    /// Whether a tool has asked about a rollout lately, and so will again; after a start each may have.
    fn is_asked_about(&self, id: &RolloutId) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let last = asked.get(id).copied().unwrap_or(self.opened_at);
        self.rollouts.now().since(last) < ASKED_LATELY
    }
}

async fn known(doors: &Doors, rollout: Rollout) -> Result<Standing, Problem> {
    let verdict = doors.rollouts.verdict(&rollout.id).await.map_err(|error| find_problem(&error))?;
    Ok(Standing::Known { rollout: Box::new(rollout), verdict: Box::new(verdict) })
}

#[cfg(test)]
mod tests;
