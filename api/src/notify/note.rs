//! What is told: one event of the trail, with what a person needs to act on it. Built once, kept in the outbox, the same in every attempt.

use std::collections::BTreeMap;

use haldane_analyzer::rollout::{Event, EventKind, Rollout};
use haldane_analyzer::verdict::{CulpritKind, Verdict};
use serde::{Deserialize, Serialize};

use crate::report::next_step;

/// Culprits that are told of.
const CULPRITS_MAX: usize = 3;
/// Changes that are told of.
const CHANGES_MAX: usize = 5;
/// Traces of a culprit.
const TRACES_MAX: usize = 3;

/// How much it matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know: a start, a promotion.
    #[default]
    Info,
    /// Somebody has to decide.
    Warning,
    /// Users are hurt: a rollback.
    Critical,
}

impl Severity {
    /// The word in settings, labels and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What is told. Its fields are what templates may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// What happened, such as `rollout.rolled_back`.
    pub event: String,
    /// Its place in the trail; 0 for a test.
    pub sequence: u64,
    /// When (RFC 3339).
    pub at: String,
    /// How much it matters.
    pub severity: Severity,
    /// The rollout.
    pub rollout_id: String,
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// What picks the version that is known, such as `service.version=1.4.0`.
    pub baseline: String,
    /// What picks the version that is judged.
    pub canary: String,
    /// How it is rolled out.
    pub strategy: String,
    /// Where the rollout stands now.
    pub state: String,
    /// The decision of its verdict.
    pub decision: String,
    /// Why, in one sentence with numbers.
    pub reason: String,
    /// Who did it.
    pub actor: String,
    /// From when on both were compared (RFC 3339).
    pub started_at: String,
    /// Where the harm is, the worst first; at most three.
    pub culprits: Vec<NoteCulprit>,
    /// What the canary does differently; at most five.
    pub changes: Vec<String>,
    /// What to do.
    pub next_step: String,
    /// What the caller wanted to find again.
    pub metadata: BTreeMap<String, String>,
    /// The report for people.
    pub report_url: String,
    /// The verdict for tools.
    pub verdict_url: String,
}

/// Where the harm is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoteCulprit {
    /// `operation`, `instance` or `error`.
    pub kind: String,
    /// Its name; the type of an error.
    pub name: String,
    /// One sentence with numbers.
    pub reason: String,
    /// The message of the error, if one is behind it.
    pub message: String,
    /// Traces to look at.
    pub trace_ids: Vec<String>,
}

impl Note {
    /// Whether anybody can be told of such an event.
    pub fn is_told(kind: EventKind) -> bool {
        match kind {
            EventKind::RolloutStarted | EventKind::StageProven | EventKind::ApprovalAwaited => true,
            EventKind::VerdictChanged
            | EventKind::StageStarted
            | EventKind::RolloutApproved
            | EventKind::DeploymentRecorded
            | EventKind::NotificationDelivered
            | EventKind::NotificationFailed
            | EventKind::NotificationRetried
            | EventKind::PolicyChanged
            | EventKind::TokenCreated
            | EventKind::TokenRevoked => false,
            EventKind::RolloutPromoted
            | EventKind::RolloutRolledBack
            | EventKind::RolloutInconclusive
            | EventKind::RolloutCancelled
            | EventKind::RolloutExpired => true,
        }
    }

    /// How much such an event matters.
    pub fn severity_of(kind: EventKind) -> Severity {
        match kind {
            EventKind::RolloutRolledBack => Severity::Critical,
            EventKind::RolloutInconclusive | EventKind::RolloutExpired | EventKind::ApprovalAwaited => Severity::Warning,
            EventKind::RolloutStarted
            | EventKind::StageProven
            | EventKind::StageStarted
            | EventKind::RolloutApproved
            | EventKind::DeploymentRecorded
            | EventKind::RolloutPromoted
            | EventKind::RolloutCancelled
            | EventKind::VerdictChanged
            | EventKind::NotificationDelivered
            | EventKind::NotificationFailed
            | EventKind::NotificationRetried
            | EventKind::PolicyChanged
            | EventKind::TokenCreated
            | EventKind::TokenRevoked => Severity::Info,
        }
    }

    /// What to tell of an event; `public_url` is where people reach this server.
    pub fn new(event: &Event, rollout: &Rollout, verdict: &Verdict, public_url: &str) -> Self {
        let details = event.details();
        let picked = |matchers: &BTreeMap<String, String>| {
            matchers.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
        };
        let own = format!("{}/v1/rollouts/{}", public_url.trim_end_matches('/'), rollout.id);
        let judged = event.kind.is_end() || matches!(event.kind, EventKind::StageProven | EventKind::ApprovalAwaited);
        let reason = if details.reason.is_empty() { verdict.reason.clone() } else { details.reason };
        Self {
            event: event.kind.as_str().to_owned(),
            sequence: event.sequence,
            at: event.at.to_rfc3339(),
            severity: Self::severity_of(event.kind),
            rollout_id: rollout.id.to_string(),
            service: rollout.service.to_string(),
            environment: rollout.environment.to_string(),
            baseline: picked(rollout.baseline.matchers()),
            canary: picked(rollout.canary.matchers()),
            strategy: rollout.strategy.as_str().to_owned(),
            state: rollout.state.as_str().to_owned(),
            decision: if judged { verdict.decision.as_str().to_owned() } else { String::new() },
            reason: if judged { reason } else { String::new() },
            actor: event.actor.clone(),
            started_at: rollout.started_at.to_rfc3339(),
            culprits: verdict.culprits.iter().filter(|_| judged).take(CULPRITS_MAX).map(culprit).collect(),
            changes: verdict.changes.iter().filter(|_| judged).take(CHANGES_MAX).map(|change| change.reason.clone()).collect(),
            next_step: if judged { next_step(verdict).to_owned() } else { String::new() },
            metadata: rollout.metadata.clone(),
            report_url: format!("{own}/report"),
            verdict_url: format!("{own}/verdict"),
        }
    }

    /// A note that says that it is a test, as severe as can be.
    pub fn test(receiver: &str, at: String, public_url: &str) -> Self {
        let url = public_url.trim_end_matches('/').to_owned();
        Self {
            event: EventKind::RolloutRolledBack.as_str().to_owned(),
            at: at.clone(),
            severity: Severity::Critical,
            rollout_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            service: "haldane-test".to_owned(),
            environment: "test".to_owned(),
            baseline: "service.version=1.0.0".to_owned(),
            canary: "service.version=1.0.1".to_owned(),
            strategy: "canary".to_owned(),
            state: "rolled_back".to_owned(),
            decision: "rollback".to_owned(),
            reason: format!("this is a test of the receiver {receiver}: nothing was rolled back"),
            actor: "haldane".to_owned(),
            started_at: at,
            next_step: "Nothing: it works.".to_owned(),
            report_url: url.clone(),
            verdict_url: url,
            ..Self::default()
        }
    }

    /// In a few words: what happened to which service where.
    pub fn title(&self) -> String {
        let happened = match EventKind::parse(&self.event) {
            Some(EventKind::RolloutStarted) => "rollout started",
            Some(EventKind::RolloutPromoted) => "promoted",
            Some(EventKind::RolloutRolledBack) => "roll back",
            Some(EventKind::RolloutInconclusive) => "inconclusive",
            Some(EventKind::RolloutCancelled) => "rollout cancelled",
            Some(EventKind::RolloutExpired) => "rollout expired",
            Some(EventKind::StageProven) => "stage proven, the next one may begin",
            Some(EventKind::ApprovalAwaited) => "waits for approval",
            Some(
                EventKind::VerdictChanged
                | EventKind::StageStarted
                | EventKind::RolloutApproved
                | EventKind::DeploymentRecorded
                | EventKind::NotificationDelivered
                | EventKind::NotificationFailed
                | EventKind::NotificationRetried
                | EventKind::PolicyChanged
                | EventKind::TokenCreated
                | EventKind::TokenRevoked,
            )
            | None => self.event.as_str(),
        };
        format!("{} in {}: {happened}", self.service, self.environment)
    }
}

fn culprit(culprit: &haldane_analyzer::verdict::CulpritVerdict) -> NoteCulprit {
    let (kind, name) = match culprit.kind {
        CulpritKind::Operation => ("operation", &culprit.name),
        CulpritKind::Instance => ("instance", &culprit.name),
        CulpritKind::Error => ("error", culprit.error_type.as_ref().unwrap_or(&culprit.name)),
    };
    NoteCulprit {
        kind: kind.to_owned(),
        name: name.clone(),
        reason: culprit.reason.clone(),
        message: culprit.message.clone().unwrap_or_default(),
        trace_ids: culprit.trace_ids.iter().take(TRACES_MAX).cloned().collect(),
    }
}
