//! Moves what happened from the trail into the outbox, and from there to the receivers.

use std::time::Duration;

use futures::StreamExt as _;
use haldane_analyzer::Rollouts;
use haldane_analyzer::rollout::{Event, EventDetails, EventFilter, EventKind, FindError, HALDANE, entry_of};
use haldane_store::ledger::notifications::{DEAD, DELIVERED, DUE, REPEATING};
use haldane_store::ledger::{NotificationRow, TrailEntry};
use haldane_store::name::hash_of;
use haldane_store::{Classified as _, Fault, UnixNanos};
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
    /// How long an attempt may take.
    lease: Duration,
}

impl Notifier {
    /// A notifier for the outbox.
    pub fn new(config: &NotifyConfig, notifications: Notifications, rollouts: Rollouts) -> Self {
        // A delivery is two requests at most.
        let lease = Duration::from_secs(2 * config.timeout_seconds + 5);
        Self { notifications, rollouts, give_up_after: Duration::from_secs(config.retry_hours * 3600), lease }
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
            match self.rows_of(event).await {
                Ok(made) => rows.extend(made),
                // One that cannot be read must not keep all others from being told.
                Err(error) if error.fault() == Fault::Bug => {
                    tracing::error!(error = chain(&error), event = event.sequence, "nobody is told of an event: it cannot be read");
                }
                Err(error) => return Err(error),
            }
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
            repeat_until: None,
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
            let sent = futures::stream::iter(due).map(|row| self.attempt(target, row, stop)).buffer_unordered(SENT_AT_ONCE);
            let failed = sent.filter_map(|settled| async move { settled.err() }).collect::<Vec<_>>().await;
            if let Some(error) = failed.into_iter().next() {
                return Err(error);
            }
        }
        let next = ledger.next_due(&target.name).await?;
        let left = next.map_or(LOOK_EVERY, |due| clock.real(due.since(clock.now())));
        Ok(left.clamp(Duration::from_millis(10), LOOK_EVERY))
    }

    #[tracing::instrument(name = "notify", level = "debug", skip_all, fields(receiver = %row.receiver))]
    async fn attempt(&self, target: &Target, row: NotificationRow, stop: &CancellationToken) -> Result<(), NotifyError> {
        let Notifications { clock, sender, ledger, .. } = &self.notifications;
        // What has not been begun when the server stops is left to the next start.
        if stop.is_cancelled() {
            return Ok(());
        }
        if self.notifications.is_gone(&target.name) {
            return match row.state == REPEATING {
                true => self.missed_a_repeat(row, GONE.to_owned()).await,
                false => self.bury(row, GONE.to_owned()).await,
            };
        }
        // If what came of it cannot be written down, it is not sent again and again.
        if !ledger.claim_notification(&row.id, clock.now().plus(self.lease)).await? {
            return Ok(());
        }
        let note: Note = serde_json::from_str(&row.document).unwrap_or_default();
        // An alert fires for its time from the first delivery on, however late that is.
        let repeat_until = row.repeat_until.or_else(|| target.repeats_until(clock.now()));
        let row = NotificationRow { repeat_until, ..row };
        let outcome = sender.deliver(target, target.deliver(&row.id, &note, (clock.now(), repeat_until))).await;
        match (outcome, row.state == REPEATING) {
            (Outcome::Delivered, _) => self.delivered(row).await,
            (Outcome::Again { why, .. } | Outcome::Refused { why }, true) => self.missed_a_repeat(row, why).await,
            (Outcome::Gone, true) => self.missed_a_repeat(row, GONE.to_owned()).await,
            (Outcome::Again { why, .. }, false) if clock.now().since(row.created_at) >= self.give_up_after => self.bury(row, why).await,
            (Outcome::Again { why, after }, false) => {
                self.notifications.count(&row.receiver, |attempts| attempts.failed += 1);
                let attempts = row.attempts.saturating_add(1);
                let pause = pause(&row.id, attempts).max(after.unwrap_or_default());
                tracing::warn!(receiver = target.name, notification = row.id, attempts, why, "a receiver was not told; it is tried again");
                let row = NotificationRow { due_at: clock.now().plus(pause), attempts, last_error: why, repeat_until: None, ..row };
                self.settle(row, None).await
            }
            (Outcome::Refused { why }, false) => self.bury(row, why).await,
            (Outcome::Gone, false) => {
                self.notifications.set_gone(&target.name);
                self.bury(row, GONE.to_owned()).await
            }
        }
    }

    async fn delivered(&self, row: NotificationRow) -> Result<(), NotifyError> {
        let (first, now) = (row.state == DUE, self.notifications.clock.now());
        let attempts = row.attempts.saturating_add(u32::from(first));
        self.notifications.count(&row.receiver, |attempts| attempts.delivered += 1);
        let row = self.repeated(NotificationRow { attempts, last_error: String::new(), ..row });
        let entry = first.then(|| told(EventKind::NotificationDelivered, &row, now));
        self.settle(row, entry).await
    }

    /// The receiver was told before; it is told again in a minute, as it would have been.
    async fn missed_a_repeat(&self, row: NotificationRow, why: String) -> Result<(), NotifyError> {
        self.notifications.count(&row.receiver, |attempts| attempts.failed += 1);
        let row = self.repeated(NotificationRow { last_error: why, ..row });
        self.settle(row, None).await
    }

    /// Due again in a while, or done if it is over by then.
    fn repeated(&self, row: NotificationRow) -> NotificationRow {
        let next = self.notifications.clock.now().plus(REPEAT_EVERY);
        let again = row.repeat_until.is_some_and(|until| next < until);
        NotificationRow { state: if again { REPEATING } else { DELIVERED }.to_owned(), due_at: next, ..row }
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
    let hash = hash_of(id.bytes().chain(attempts.to_le_bytes()));
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
