//! The outbox, to be looked at, tried again and tested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use haldane_analyzer::rollout::{EventDetails, EventKind, EventPlace, FindError, ReadError, RolloutId, entry_of};
use haldane_store::clock::SharedClock;
use haldane_store::ledger::notifications::DEAD;
use haldane_store::ledger::{Ledger, LedgerError, NotificationRow};
use haldane_store::{Classified, Fault, UnixNanos};
use tokio::sync::watch;

use super::config::NotifyConfig;
use super::note::Note;
use super::receiver::Target;
use super::send::{Outcome, Sender};

/// Why notifications could not be set up, listed, tested or tried again.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The settings are wrong.
    #[error("{0}")]
    Settings(String),
    /// The HTTP client could not be made.
    #[error("cannot set up the HTTP client")]
    Client(#[from] reqwest::Error),
    /// No receiver of that name.
    #[error("there is no receiver {name:?} in the settings: {known}")]
    UnknownReceiver {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Nothing of that id to be tried again.
    #[error("there is no dead notification {id:?}: see GET /v1/notifications?state=dead")]
    NotDead {
        /// What was asked for.
        id: String,
    },
    /// The ledger cannot be used.
    #[error("cannot use the outbox")]
    Ledger(#[from] LedgerError),
    /// A rollout cannot be found.
    #[error("cannot read the rollout to tell of")]
    Find(#[from] FindError),
    /// The trail cannot be read.
    #[error("cannot read the trail")]
    Read(#[from] ReadError),
}

impl Classified for NotifyError {
    fn fault(&self) -> Fault {
        match self {
            Self::Settings(_) => Fault::Invalid,
            Self::Client(_) => Fault::Bug,
            Self::UnknownReceiver { .. } | Self::NotDead { .. } => Fault::Missing,
            Self::Ledger(error) => error.fault(),
            Self::Find(error) => error.fault(),
            Self::Read(error) => error.fault(),
        }
    }
}

/// How often receivers were tried, by what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempts {
    /// They took it.
    pub delivered: u64,
    /// It will be tried again.
    pub failed: u64,
    /// It was given up.
    pub dead: u64,
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// A receiver, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverSummary {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// Whether it said that it wants nothing any more.
    pub gone: bool,
}

/// The outbox, to be looked at. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notifications {
    pub(super) ledger: Ledger,
    pub(super) clock: SharedClock,
    pub(super) sender: Sender,
    pub(super) targets: Arc<[Target]>,
    pub(super) public_url: Arc<str>,
    known: Arc<Mutex<Known>>,
    /// Rings when there may be something to send.
    pub(super) wake: watch::Sender<()>,
}

/// What is known of the receivers since the start.
#[derive(Debug, Default)]
struct Known {
    gone: BTreeSet<String>,
    attempts: BTreeMap<String, Attempts>,
}

impl Notifications {
    /// Receivers by the settings.
    ///
    /// # Errors
    /// When the settings are wrong.
    pub fn try_new(config: &NotifyConfig, ledger: Ledger, clock: SharedClock, public_url: &str) -> Result<Self, NotifyError> {
        let targets = config.receivers.iter().map(Target::try_new).collect::<Result<Vec<_>, _>>().map_err(NotifyError::Settings)?;
        let known = Arc::new(Mutex::new(Known::default()));
        let (targets, public_url) = (targets.into(), public_url.into());
        Ok(Self { ledger, clock, sender: Sender::try_new(config)?, targets, public_url, known, wake: watch::Sender::new(()) })
    }

    /// The receivers, as the settings have them.
    pub fn receivers(&self) -> Vec<ReceiverSummary> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |target: &Target| ReceiverSummary {
            name: target.name.clone(),
            kind: target.kind.as_str(),
            gone: known.gone.contains(&target.name),
        };
        self.targets.iter().map(one).collect()
    }

    /// How often each receiver was tried since the start.
    pub fn attempts(&self) -> Vec<(String, Attempts)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |target: &Target| (target.name.clone(), known.attempts.get(&target.name).copied().unwrap_or_default());
        self.targets.iter().map(of).collect()
    }

    /// A page of what is in the outbox, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn list(&self, state: Option<&str>, before: Option<&str>, limit: u32) -> Result<Vec<NotificationRow>, NotifyError> {
        Ok(self.ledger.notifications(state, before, limit).await?)
    }

    /// Tries a dead notification again, or all of them. Gives how many.
    ///
    /// # Errors
    /// When there is none of that id, or the ledger cannot be written.
    pub async fn retry(&self, id: Option<&str>, actor: &str) -> Result<u64, NotifyError> {
        let now = self.clock.now();
        let row = match id {
            Some(id) => Some(self.ledger.notification(id).await?.filter(|row| row.state == DEAD).ok_or_else(|| not_dead(id))?),
            None => None,
        };
        let details = EventDetails {
            receiver: row.as_ref().map(|row| row.receiver.clone()).unwrap_or_default(),
            notification: id.unwrap_or_default().to_owned(),
            ..EventDetails::default()
        };
        let place = row.as_ref().map(place).unwrap_or_default();
        let entry = entry_of(EventKind::NotificationRetried, actor, now, place, &details);
        {
            // First, or a sender that looks in between would bury what was revived.
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            match &row {
                Some(row) => drop(known.gone.remove(&row.receiver)),
                None => known.gone.clear(),
            }
        }
        let revived = self.ledger.revive_notifications(id, now, &[entry]).await?;
        self.wake.send_replace(());
        Ok(revived)
    }

    /// Sends a note that says that it is a test, now and once.
    ///
    /// # Errors
    /// When there is no such receiver.
    pub async fn test(&self, name: &str) -> Result<Tested, NotifyError> {
        let Some(target) = self.targets.iter().find(|target| target.name == name) else {
            let names: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
            let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
            return Err(NotifyError::UnknownReceiver { name: name.chars().take(80).collect(), known });
        };
        let now = self.clock.now();
        let note = Note::test(name, now.to_rfc3339(), &self.public_url);
        let began = Instant::now();
        let outcome = self.sender.deliver(target, target.deliver(&new_id(now), &note, (now, None))).await;
        let error = match outcome {
            Outcome::Delivered => None,
            Outcome::Again { why, .. } | Outcome::Refused { why } => Some(why),
            Outcome::Gone => Some(GONE.to_owned()),
        };
        Ok(Tested { delivered: error.is_none(), error, took: began.elapsed() })
    }

    pub(super) fn is_gone(&self, receiver: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).gone.contains(receiver)
    }

    /// That it wants nothing any more.
    pub(super) fn set_gone(&self, receiver: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).gone.insert(receiver.to_owned());
    }

    pub(super) fn count(&self, receiver: &str, count: impl FnOnce(&mut Attempts)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        count(known.attempts.entry(receiver.to_owned()).or_default());
    }
}

pub(super) const GONE: &str = "it answered 410 Gone: it wants nothing any more";

pub(super) fn place(row: &NotificationRow) -> EventPlace {
    let note: Note = serde_json::from_str(&row.document).unwrap_or_default();
    EventPlace { rollout_id: row.rollout_id.clone(), service: note.service, environment: note.environment }
}

fn not_dead(id: &str) -> NotifyError {
    NotifyError::NotDead { id: id.chars().take(80).collect() }
}

/// A name that no two notifications share, ordered by time.
pub(super) fn new_id(now: UnixNanos) -> String {
    RolloutId::generate(now).to_string()
}
