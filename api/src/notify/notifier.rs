//! Moves what happened from the trail into the outbox, and from there to the receivers.

use std::time::Duration;

use futures::StreamExt as _;
use haldane_analyzer::Rollouts;
use haldane_analyzer::rollout::{Event, EventDetails, EventFilter, EventKind, FindError, HALDANE, entry_of};
use haldane_store::UnixNanos;
use haldane_store::ledger::notifications::{DEAD, DELIVERED, DUE, REPEATING};
use haldane_store::ledger::{NotificationRow, TrailEntry};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::config::NotifyConfig;
use super::note::Note;
use super::outbox::{GONE, Notifications, NotifyError, new_id, place};
use super::receiver::Target;
use super::send::Outcome;
use crate::error::chain;

/// What the notifier is called among the readers of the trail.
const CURSOR: &str = "notifier";
/// Events that are moved at once.
const EVENTS_AT_ONCE: u32 = 200;
/// Notifications of one receiver that are under way at once.
const SENT_AT_ONCE: usize = 4;
/// Another process may have added something, and rings no bell here.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// First pause after a failure; doubled each time.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// A receiver that forgets is told again so often.
const REPEAT_EVERY: Duration = Duration::from_secs(60);

/// The loops that move and send.
#[derive(Debug, Clone)]
pub struct Notifier {
    notifications: Notifications,
    rollouts: Rollouts,
    give_up_after: Duration,
}

impl Notifier {
    /// A notifier for the outbox.
    pub fn new(config: &NotifyConfig, notifications: Notifications, rollouts: Rollouts) -> Self {
        Self { notifications, rollouts, give_up_after: Duration::from_secs(config.retry_hours * 3600) }
    }

    /// Goes on until told to stop. What fails is logged and tried again.
    ///
    /// # Errors
    /// When the place in the trail cannot be found at the start.
    pub async fn run(self, stop: CancellationToken) -> Result<(), NotifyError> {
        self.settle_in().await?;
        let mut loops = JoinSet::new();
        let (mover, token) = (self.clone(), stop.clone());
        loops.spawn(async move { mover.move_until(&token).await });
        for target in &*self.notifications.targets {
            let (sender, token, target) = (self.clone(), stop.clone(), target.clone());
            loops.spawn(async move { sender.send_until(&target, &token).await });
        }
        loops.join_all().await;
        Ok(())
    }

    /// What happened before notifications existed is told to nobody; what waits for a receiver that is no more is given up.
    async fn settle_in(&self) -> Result<(), NotifyError> {
        let ledger = &self.notifications.ledger;
        if ledger.cursor(CURSOR).await?.is_none() {
            ledger.move_cursor(CURSOR, self.rollouts.events_end().await?, &[]).await?;
        }
        for receiver in ledger.awaited_receivers().await? {
            if self.notifications.targets.iter().any(|target| target.name == receiver) {
                continue;
            }
            loop {
                let rows = ledger.due_notifications(&receiver, UnixNanos::new(i64::MAX), 100).await?;
                if rows.is_empty() {
                    break;
                }
                for row in rows {
                    self.bury(row, "the settings have no such receiver any more".to_owned()).await?;
                }
            }
        }
        Ok(())
    }

    async fn move_until(&self, stop: &CancellationToken) {
        let mut bell = self.rollouts.event_bell();
        while !stop.is_cancelled() {
            bell.mark_unchanged();
            match self.move_some().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(error = chain(&error), "cannot put notifications into the outbox"),
            }
            tokio::select! {
                _ = bell.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Moves what has happened since the last time; says whether there may be more.
    async fn move_some(&self) -> Result<bool, NotifyError> {
        let ledger = &self.notifications.ledger;
        let after = ledger.cursor(CURSOR).await?.unwrap_or(0);
        let events = self.rollouts.events(&EventFilter { after: Some(after), limit: EVENTS_AT_ONCE, ..EventFilter::default() }).await?;
        let Some(last) = events.last().map(|event| event.sequence) else { return Ok(false) };
        let mut rows = Vec::new();
        for event in &events {
            rows.extend(self.rows_of(event).await?);
        }
        ledger.move_cursor(CURSOR, last, &rows).await?;
        if !rows.is_empty() {
            self.notifications.wake.send_replace(());
        }
        Ok(true)
    }

    async fn rows_of(&self, event: &Event) -> Result<Vec<NotificationRow>, NotifyError> {
        let wanting = self.notifications.targets.iter().filter(|target| target.wants(event.kind, &event.service, &event.environment));
        let wanting: Vec<&Target> = wanting.collect();
        let (Some(id), false) = (&event.rollout_id, wanting.is_empty()) else { return Ok(Vec::new()) };
        let (rollout, verdict) = match (self.rollouts.get(id).await, self.rollouts.verdict(id).await) {
            (Ok(rollout), Ok(verdict)) => (rollout, verdict),
            (Err(FindError::Unknown { .. }), _) => return Ok(Vec::new()),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        let note = Note::new(event, &rollout, &verdict, &self.notifications.public_url);
        let document = serde_json::to_string(&note).unwrap_or_default();
        let now = self.notifications.clock.now();
        let row = |target: &Target| NotificationRow {
            id: new_id(now),
            receiver: target.name.clone(),
            event: event.sequence,
            rollout_id: id.to_string(),
            state: DUE.to_owned(),
            created_at: now,
            due_at: now,
            attempts: 0,
            last_error: String::new(),
            document: document.clone(),
        };
        Ok(wanting.into_iter().map(row).collect())
    }

    async fn send_until(&self, target: &Target, stop: &CancellationToken) {
        let mut wake = self.notifications.wake.subscribe();
        while !stop.is_cancelled() {
            wake.mark_unchanged();
            let pause = match self.send_some(target, stop).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error = chain(&error), receiver = target.name, "cannot read or write the outbox");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                _ = wake.changed() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Sends what is due; gives how long nothing more will be.
    async fn send_some(&self, target: &Target, stop: &CancellationToken) -> Result<Duration, NotifyError> {
        let Notifications { ledger, clock, .. } = &self.notifications;
        loop {
            let due = ledger.due_notifications(&target.name, clock.now(), 50).await?;
            if due.is_empty() || stop.is_cancelled() {
                break;
            }
            // What is under way when the server stops is sent to its end: the receiver may have it already.
            let sent = futures::stream::iter(due).map(|row| self.attempt(target, row)).buffer_unordered(SENT_AT_ONCE);
            let failed = sent.filter_map(|settled| async move { settled.err() }).collect::<Vec<_>>().await;
            if let Some(error) = failed.into_iter().next() {
                return Err(error);
            }
        }
        let next = ledger.next_due(&target.name).await?;
        let left = next.map_or(LOOK_EVERY, |due| clock.real(due.since(clock.now())));
        Ok(left.clamp(Duration::from_millis(10), LOOK_EVERY))
    }

    async fn attempt(&self, target: &Target, row: NotificationRow) -> Result<(), NotifyError> {
        let Notifications { clock, sender, .. } = &self.notifications;
        if self.notifications.is_gone(&target.name) {
            return self.bury(row, GONE.to_owned()).await;
        }
        let note: Note = serde_json::from_str(&row.document).unwrap_or_default();
        let repeats_until = target.repeats_until(UnixNanos::parse_rfc3339(&note.at).unwrap_or(row.created_at));
        let outcome = sender.deliver(target, target.deliver(&row.id, &note, clock.now())).await;
        let now = clock.now();
        match outcome {
            Outcome::Delivered => self.delivered(row, repeats_until, now).await,
            // An alert that is over need not be repeated.
            Outcome::Again { .. } if row.state == REPEATING && repeats_until.is_none_or(|until| until <= now) => {
                self.settle(NotificationRow { state: DELIVERED.to_owned(), ..row }, None).await
            }
            Outcome::Again { why, .. } if now.since(row.created_at) >= self.give_up_after => self.bury(row, why).await,
            Outcome::Again { why, after } => {
                self.notifications.count(&row.receiver, |attempts| attempts.failed += 1);
                let attempts = row.attempts.saturating_add(1);
                let pause = pause(&row.id, attempts).max(after.unwrap_or_default());
                tracing::warn!(receiver = target.name, notification = row.id, attempts, why, "a receiver was not told; it is tried again");
                self.settle(NotificationRow { due_at: now.plus(pause), attempts, last_error: why, ..row }, None).await
            }
            Outcome::Refused { why } => self.bury(row, why).await,
            Outcome::Gone => {
                self.notifications.set_gone(&target.name);
                self.bury(row, GONE.to_owned()).await
            }
        }
    }

    async fn delivered(&self, row: NotificationRow, repeats_until: Option<UnixNanos>, now: UnixNanos) -> Result<(), NotifyError> {
        let first = row.state == DUE;
        let attempts = row.attempts.saturating_add(u32::from(first));
        self.notifications.count(&row.receiver, |attempts| attempts.delivered += 1);
        let next = now.plus(REPEAT_EVERY);
        let again = repeats_until.is_some_and(|until| next < until);
        let state = if again { REPEATING } else { DELIVERED }.to_owned();
        let row = NotificationRow { state, due_at: next, attempts, last_error: String::new(), ..row };
        let entry = first.then(|| told(EventKind::NotificationDelivered, &row, now));
        self.settle(row, entry).await
    }

    /// Gives it up; it can be tried again by hand.
    async fn bury(&self, row: NotificationRow, why: String) -> Result<(), NotifyError> {
        self.notifications.count(&row.receiver, |attempts| attempts.dead += 1);
        tracing::error!(receiver = row.receiver, notification = row.id, why, "a receiver was not told, and is not tried again by itself");
        let attempts = row.attempts.saturating_add(1);
        let row = NotificationRow { state: DEAD.to_owned(), attempts, last_error: why, ..row };
        let entry = told(EventKind::NotificationFailed, &row, self.notifications.clock.now());
        self.settle(row, Some(entry)).await
    }

    async fn settle(&self, row: NotificationRow, entry: Option<TrailEntry>) -> Result<(), NotifyError> {
        Ok(self.notifications.ledger.settle_notification(&row, entry.as_slice()).await?)
    }
}

fn told(kind: EventKind, row: &NotificationRow, at: UnixNanos) -> TrailEntry {
    let details = EventDetails {
        receiver: row.receiver.clone(),
        notification: row.id.clone(),
        attempts: Some(row.attempts),
        reason: row.last_error.clone(),
        ..EventDetails::default()
    };
    entry_of(kind, HALDANE, at, place(row), &details)
}

/// How long to wait after so many failures: half of it fixed, half by chance, so that many do not come back at once. The chance comes from the id.
fn pause(id: &str, attempts: u32) -> Duration {
    let whole = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1).min(20))).min(PAUSE_MAX);
    // FNV-1a, 32 bits: Fowler, Noll, Vo.
    let hash =
        id.bytes().chain(attempts.to_le_bytes()).fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    whole.mul_f64(0.5 + 0.5 * f64::from(hash) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let of = |attempts| pause("a", attempts);
        for attempts in 1..40 {
            let whole = PAUSE_MIN.mul_f64(2_f64.powi(i32::try_from(attempts).unwrap() - 1)).min(PAUSE_MAX);
            assert!(of(attempts) >= whole / 2 && of(attempts) <= whole, "{attempts}: {:?}", of(attempts));
        }
        assert_ne!(pause("a", 3), pause("b", 3));
    }
}
