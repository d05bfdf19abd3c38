//! Waiting for a decision: long polls that survive short outages of the server.

use std::time::Duration;

use haldane_analyzer::verdict::{Verdict, VerdictDecision};
use haldane_api::http::show_span;
use tokio::time::{Instant, sleep};

use super::client::{Client, ClientError};
use super::out;

/// Longest that one request waits on the server.
const POLL: Duration = Duration::from_secs(30);
/// First pause after a failed request; doubled until [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause between requests to a server that is away.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Asks until `request` is answered, refused for good, or the time is over; says once that the server is away.
pub(crate) async fn persist<T, F>(until: Instant, mut request: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut pause = PAUSE_MIN;
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let left = until.saturating_duration_since(Instant::now());
        if !error.is_temporary() || left.is_zero() {
            return Err(error);
        }
        if pause == PAUSE_MIN {
            out::note(&format!("haldane: {error}; trying again for {}", show_span(left)));
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits until the verdict is decided or the time is over. Each verdict that differs from the one before goes to `changed`.
pub(crate) async fn watch(
    client: &Client,
    id: &str,
    until: Instant,
    mut changed: impl FnMut(&Verdict) -> std::io::Result<()>,
) -> Result<Verdict, super::CliError> {
    let mut verdict = persist(until, || client.verdict(id, None, Duration::ZERO)).await?;
    changed(&verdict)?;
    while !is_decided(&verdict) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let asked = Instant::now();
        let known = verdict.sequence;
        let next = persist(until, || client.verdict(id, Some(known), left.min(POLL))).await?;
        let same = next.sequence == known && next.is_final == verdict.is_final;
        if !same {
            changed(&next)?;
        }
        verdict = next;
        // A server that stops answers at once; it must not be asked in a tight loop.
        if same && asked.elapsed() < PAUSE_MIN {
            sleep(PAUSE_MIN.min(left)).await;
        }
    }
    Ok(verdict)
}

/// Whether waiting on is of no use.
pub(crate) fn is_decided(verdict: &Verdict) -> bool {
    match verdict.decision {
        VerdictDecision::Promote | VerdictDecision::Rollback => true,
        VerdictDecision::Continue | VerdictDecision::Inconclusive => verdict.is_final,
    }
}
