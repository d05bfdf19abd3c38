//! What a rollout is, and what is asked of the rollouts.

use std::collections::BTreeMap;
use std::fmt;

use haldane_store::{Environment, ServiceName, UnixNanos};

use super::stages::{Approval, Stage};
use crate::cohort::Selector;
use crate::policy::PolicyOverrides;

/// The name of a rollout: a time-ordered UUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolloutId(String);

impl RolloutId {
    /// A new one, ordered by the given instant.
    pub fn generate(now: UnixNanos) -> Self {
        let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
        let nanos = u32::try_from(now.as_nanos().rem_euclid(1_000_000_000)).expect("a remainder below 10^9");
        Self(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)).to_string())
    }

    /// Checks the text of an id.
    ///
    /// # Errors
    /// When it is not a UUID.
    pub fn parse(text: &str) -> Result<Self, RolloutIdError> {
        uuid::Uuid::try_parse(text).map(|id| Self(id.to_string())).map_err(|_| RolloutIdError { text: text.to_owned() })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no rollout id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a rollout id: take one from the list of rollouts")]
pub struct RolloutIdError {
    text: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant),+ }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in JSON, on the command line and in the ledger.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The variant of this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.as_str() == word)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use words;

// Closed lists of words that JSON, the command line and the ledger share.
words!(
    /// How a version is rolled out.
    Strategy {
        /// A part of the traffic goes to the canary while the baseline goes on.
        Canary = "canary",
        /// All traffic is switched at once.
        BlueGreen = "blue-green",
        /// Instances are replaced one after the other.
        Rolling = "rolling",
    }
);
words!(
    /// Where a rollout stands in its life.
    RolloutState {
        /// Known, not judged yet.
        Pending = "pending",
        /// Being judged.
        Running = "running",
        /// Ended well.
        Promoted = "promoted",
        /// Ended badly.
        RolledBack = "rolled_back",
        /// Ended undecided.
        Inconclusive = "inconclusive",
        /// Ended by a person, or replaced by another.
        Cancelled = "cancelled",
        /// Ended because no telemetry of the canary ever came.
        Expired = "expired",
    }
);
words!(
    /// Who started a rollout.
    Origin {
        /// Somebody asked for it.
        Requested = "requested",
        /// Haldane saw a new version.
        Detected = "detected",
    }
);

impl RolloutState {
    /// Whether the rollout has ended.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Promoted | Self::RolledBack | Self::Inconclusive | Self::Cancelled | Self::Expired => true,
        }
    }
}

/// One change of one service in one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Its name.
    pub id: RolloutId,
    /// The service that changes.
    pub service: ServiceName,
    /// Where.
    pub environment: Environment,
    /// Picks the version that is known.
    pub baseline: Selector,
    /// Picks the version that is judged.
    pub canary: Selector,
    /// How it is rolled out.
    pub strategy: Strategy,
    /// Where it stands.
    pub state: RolloutState,
    /// Why it is there, when it has ended.
    pub state_reason: String,
    /// Who started it.
    pub origin: Origin,
    /// When it was asked for.
    pub created_at: UnixNanos,
    /// Windows from here on are compared.
    pub started_at: UnixNanos,
    /// When it ended.
    pub ended_at: Option<UnixNanos>,
    /// What differs from the default policy.
    pub policy: PolicyOverrides,
    /// The policy of the folder that it began with, as `name@version`; empty without one.
    pub policy_name: String,
    /// The steps on its way; none if it has one only.
    pub stages: Vec<Stage>,
    /// Which of them it is in, from 0.
    pub stage: usize,
    /// When that one began, if it is not the first.
    pub stage_started_at: Option<UnixNanos>,
    /// That a person agrees to its promotion.
    pub approval: Option<Approval>,
    /// What the caller wants to find again, such as a commit or a build's address.
    pub metadata: BTreeMap<String, String>,
}

/// A rollout to start. The same request again finds the one that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRollout {
    /// The service that changes.
    pub service: ServiceName,
    /// Where.
    pub environment: Environment,
    /// Picks the version that is known.
    pub baseline: Selector,
    /// Picks the version that is judged.
    pub canary: Selector,
    /// How it is rolled out.
    pub strategy: Strategy,
    /// From when on windows are compared; when the canary was first seen in the last hour if not given, else now.
    pub started_at: Option<UnixNanos>,
    /// What differs from the default policy.
    pub policy: PolicyOverrides,
    /// The steps on its way, each with a verdict of its own; none for one only.
    pub stages: Vec<Stage>,
    /// What the caller wants to find again.
    pub metadata: BTreeMap<String, String>,
    /// The same key finds the same rollout, even one that has ended.
    pub idempotency_key: Option<String>,
    /// Who asks for it.
    pub actor: String,
}

/// What a person decided, over the judge's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalDecision {
    /// Whether to promote; else to roll back.
    pub promote: bool,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What starting did.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The rollout.
    pub rollout: Rollout,
    /// Whether it is new; `false` when the same request had started it before.
    pub created: bool,
}

/// Which rollouts to list, the newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RolloutFilter {
    /// Only of this service.
    pub service: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only in this state.
    pub state: Option<RolloutState>,
    /// At most so many; 1 to 500.
    pub limit: u32,
    /// Go on after this one, the last of the page before.
    pub after: Option<RolloutId>,
}

/// One page of rollouts.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutPage {
    /// The newest first.
    pub rollouts: Vec<Rollout>,
    /// Where the next page goes on; none on the last one.
    pub next: Option<RolloutId>,
}

/// Which verdicts to read, the newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VerdictFilter {
    /// Only of this rollout.
    pub rollout_id: Option<String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only written since.
    pub since: Option<UnixNanos>,
    /// At most so many.
    pub limit: u32,
}

/// A service that has sent telemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSummary {
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`, `default` where none is named.
    pub environment: String,
    /// Its versions of the last day, the one with most requests first.
    pub versions: Vec<VersionSummary>,
}

/// A version of a service that has sent telemetry.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionSummary {
    /// `service.version`; empty where none is named.
    pub version: String,
    /// Requests in the last day.
    pub requests: u64,
    /// Instances in the last day.
    pub instances: u64,
    /// When it was first seen in the last day.
    pub first_seen: UnixNanos,
    /// When it was last seen.
    pub last_seen: UnixNanos,
}
