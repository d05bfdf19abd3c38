//! A service's own past, judged as if it were a rollout: once with nothing changed, to see how often the judge would be wrong (an A/A
//! test), and before a release with faults put in, to see what it would find.
//!
//! Always holds: both cohorts of a rehearsal are the same version, dealt out by instance; all chance comes from a seed.

mod calibrations;
mod deal;
mod past;
mod plan;
mod replay;
mod table;
mod walk;

pub use calibrations::{Calibrated, Calibrations};
pub use past::PastError;
pub use plan::{FaultPlan, Plan, PlanError, PlanRequest, PlannedFault, Tried};

pub(crate) use past::{Past, PastQuestion, read};
pub(crate) use plan::plan;
pub(crate) use replay::replay;
pub(crate) use table::CalibrationTable;

#[cfg(test)]
mod tests;
