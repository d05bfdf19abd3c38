//! Rollouts: starting and finding them, judging those that run, and telling who waits.
//!
//! Always holds: a service and environment have one live rollout at most; a verdict is written down before anybody is told of it;
//! a failure to compute leaves the rollout as it was.

mod asked;
mod calibrator;
mod config;
mod consequence;
mod deployments;
mod desk;
mod detect;
mod error;
mod figures;
mod grounds;
mod lately;
mod markers;
mod memory;
mod model;
mod probes;
mod record;
mod schedule;
mod stages;
mod standing;
mod story;
mod trail;

pub use asked::{AnalysisError, AnalysisRequest};
pub use config::AnalyzerConfig;
pub use deployments::DeploymentFigures;
pub use desk::Rollouts;
pub use error::{AdvanceError, CancelError, FindError, ReadError, StartError};
pub use figures::{Figures, LiveFigures, OutboxFigures, RolloutFigures, RoundFigures};
pub use grounds::{EvidenceError, Grounds};
pub use lately::{MinuteLately, VersionLately, minutes_lately, versions_lately};
pub use markers::{Marker, MarkerKind};
pub use model::{
    Origin, PersonalDecision, Rollout, RolloutFilter, RolloutId, RolloutIdError, RolloutPage, RolloutState, ServiceSummary, StartRollout,
    Started, Strategy, VerdictFilter, VersionSummary,
};
pub use probes::Prober;
pub use schedule::Scheduler;
pub use stages::{Advance, Approval, STAGES_MAX, Stage};
pub use story::Story;
pub use trail::{Event, EventDetails, EventFilter, EventKind, EventPlace, HALDANE, entry_of};
