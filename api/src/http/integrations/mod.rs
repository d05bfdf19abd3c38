//! The contracts of tools that deploy. Their first question starts a rollout, later ones are answered with its verdict.
//!
//! Always holds: what a tool asks again and again starts one rollout; a tool that moves on to another version ends the one it asked for
//! before; what is not known is never a yes.

pub(super) mod argo;
pub(super) mod flagger;
pub(super) mod kayenta;

pub(super) mod prometheus;

use std::time::Duration;

use axum::response::Response;
use haldane_analyzer::rollout::{Rollout, RolloutFilter, StartError, StartRollout};
use haldane_analyzer::verdict::Verdict;

use super::Doors;
use super::rollouts::{find_problem, read_problem, start_problem};
use crate::error::{Problem, chain};

/// The key in a rollout's metadata under which its tool stands.
const TOOL: &str = "orchestrator";
/// The key under which stands what the tool calls the version.
const CHECKSUM: &str = "checksum";

/// An error body that is a tool's own, and no problem document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Foreign;

/// Leaves a body as it is, whatever its status.
fn foreign(mut response: Response) -> Response {
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

/// Finds the rollout that a tool asks about, or starts it. One that ended counts for `remembered`: a question that comes later is about a new attempt.
async fn standing(
    doors: &Doors,
    mut request: StartRollout,
    tool: &str,
    (remembered, asked): (Duration, Asked),
) -> Result<Standing, Problem> {
    request.metadata.insert(TOOL.to_owned(), tool.to_owned());
    let filter = RolloutFilter {
        service: Some(request.service.to_string()),
        environment: Some(request.environment.to_string()),
        limit: 1,
        ..RolloutFilter::default()
    };
    let newest = doors.rollouts.list(&filter).await.map_err(|error| read_problem(&error))?.rollouts.into_iter().next();
    if let Some(rollout) = newest.filter(|rollout| is_asked_for(rollout, &request) && counts(doors, rollout, remembered)) {
        return known(doors, rollout).await;
    }
    if asked == Asked::Find {
        return Ok(Standing::NotYet { reason: "no rollout of this version is known".to_owned() });
    }
    let running = match doors.rollouts.start(request.clone()).await {
        Ok(started) => return known(doors, started.rollout).await,
        Err(StartError::Conflict { running, .. }) => running,
        Err(error @ StartError::UnknownService { .. }) => return Ok(Standing::NotYet { reason: chain(&error) }),
        Err(error) => return Err(start_problem(&error)),
    };
    let other = doors.rollouts.get(&running).await.map_err(|error| find_problem(&error))?;
    if other.metadata.get(TOOL).is_none_or(|by| by != tool) {
        return Ok(Standing::NotYet { reason: format!("another rollout of this service is live: {running}") });
    }
    // The tool has moved on. If the other one ended meanwhile, so much the better.
    let _ = doors.rollouts.cancel(&running, tool, &format!("{tool} went on to {}", request.canary)).await;
    match doors.rollouts.start(request).await {
        Ok(started) => known(doors, started.rollout).await,
        Err(error @ StartError::Conflict { .. }) => Ok(Standing::NotYet { reason: chain(&error) }),
        Err(error) => Err(start_problem(&error)),
    }
}

fn is_asked_for(rollout: &Rollout, request: &StartRollout) -> bool {
    rollout.baseline == request.baseline
        && rollout.canary == request.canary
        && rollout.metadata.get(CHECKSUM) == request.metadata.get(CHECKSUM)
        && rollout.metadata.get(TOOL) == request.metadata.get(TOOL)
}

fn counts(doors: &Doors, rollout: &Rollout, remembered: Duration) -> bool {
    rollout.ended_at.is_none_or(|ended| doors.rollouts.now().since(ended) < remembered)
}

async fn known(doors: &Doors, rollout: Rollout) -> Result<Standing, Problem> {
    let verdict = doors.rollouts.verdict(&rollout.id).await.map_err(|error| find_problem(&error))?;
    Ok(Standing::Known { rollout: Box::new(rollout), verdict: Box::new(verdict) })
}

#[cfg(test)]
mod tests;
