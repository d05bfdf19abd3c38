//! Tells people and tools what happened to rollouts: Alertmanager, Slack, PagerDuty, Teams and webhooks.
//!
//! The notifier reads the trail. What a receiver wants to know goes into the outbox in the ledger, in the same step in which the
//! notifier moves on, and stays there until the receiver has it or it is given up. Always holds: nothing that is due is lost by a
//! restart; every attempt carries the same id, so a receiver that knows ids is told once; a receiver that hangs holds up no other.

mod address;
mod config;
mod message;
mod note;
mod notifier;
mod outbox;
mod receiver;
mod send;

pub use config::{NotifyConfig, ReceiverConfig, ReceiverKind, Secret};
pub use note::{Note, NoteCulprit, Severity};
pub use notifier::Notifier;
pub use outbox::{Attempts, Notifications, NotifyError, ReceiverSummary, Tested};
