//! Why a rollout could not be started, found, read or cancelled.

use haldane_store::ledger::LedgerError;
use haldane_store::{Classified, Fault, UnixNanos};

use super::StartRollout;
use super::model::RolloutId;
use crate::cohort::{GatherError, MetricSqlError};
use crate::policy::PolicyError;
use crate::query::QueryError;

/// Why a rollout was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another one of the same service and environment runs.
    #[error(
        "service {service} already has a rollout in {environment}: {running}; wait for its verdict, or cancel it first with \
         `haldane rollout cancel {running}`"
    )]
    Conflict {
        /// The service.
        service: String,
        /// The environment.
        environment: String,
        /// The rollout that runs.
        running: RolloutId,
    },
    /// An idempotency key names one request.
    #[error("the idempotency key was used before, for rollout {used} of {service} or of other versions: give each change a key of its own")]
    KeyUsed {
        /// The service of that rollout.
        service: String,
        /// The rollout.
        used: RolloutId,
    },
    /// A step gets no more of the traffic than the one before.
    #[error("stages: traffic has to be more from step to step")]
    Stages,
    /// It would hold the service's place until then.
    #[error("started_at is {started_at}, more than a day from now: leave it out where the rollout begins now")]
    Future {
        /// What was given.
        started_at: UnixNanos,
    },
    /// Both selectors pick the same.
    #[error("baseline and canary are both {selector}: they must differ, or there is nothing to compare")]
    SameCohorts {
        /// What both pick.
        selector: String,
    },
    /// No telemetry of that name.
    #[error(
        "no telemetry of service {service} in environment {environment} has come in: check service.name and \
         deployment.environment.name of what it sends, or see GET /v1/services"
    )]
    UnknownService {
        /// The service.
        service: String,
        /// The environment.
        environment: String,
    },
    /// The policy has mistakes.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// SQL of the policy cannot be used.
    #[error(transparent)]
    MetricSql(#[from] MetricSqlError),
    /// The telemetry cannot be read.
    #[error("cannot look for the canary's telemetry")]
    Gather(#[from] GatherError),
    /// The ledger cannot be used.
    #[error("cannot write the rollout down")]
    Ledger(#[from] LedgerError),
}

impl StartError {
    pub(super) fn unknown(request: &StartRollout) -> Self {
        Self::UnknownService { service: request.service.to_string(), environment: request.environment.to_string() }
    }
}

impl Classified for StartError {
    fn fault(&self) -> Fault {
        match self {
            Self::Conflict { .. } | Self::KeyUsed { .. } => Fault::Conflict,
            Self::Stages | Self::Future { .. } | Self::SameCohorts { .. } => Fault::Invalid,
            Self::UnknownService { .. } => Fault::Missing,
            Self::Policy(error) => error.fault(),
            Self::MetricSql(error) => error.fault(),
            Self::Gather(error) => error.fault(),
            Self::Ledger(error) => error.fault(),
        }
    }
}

/// Why a rollout or its verdict was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none of that id.
    #[error("there is no rollout {id}: see GET /v1/rollouts")]
    Unknown {
        /// What was asked for.
        id: RolloutId,
    },
    /// The ledger cannot be read.
    #[error("cannot read the rollout")]
    Ledger(#[from] LedgerError),
}

impl Classified for FindError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unknown { .. } => Fault::Missing,
            Self::Ledger(error) => error.fault(),
        }
    }
}

/// Why a rollout did not go on to its next stage, or was not approved.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// It has ended.
    #[error("the rollout {id} has already ended: {state}")]
    Ended {
        /// Which one.
        id: RolloutId,
        /// How it ended.
        state: &'static str,
    },
    /// It is in its last stage.
    #[error("the rollout {id} has no further stage: it has {stages}, as it was started")]
    LastStage {
        /// Which one.
        id: RolloutId,
        /// How many it has.
        stages: usize,
    },
    /// Its stage is not proven.
    #[error("stage {stage} of the rollout {id} is not proven yet: {reason}; wait for the decision promote, or force it with a reason")]
    Unproven {
        /// Which one.
        id: RolloutId,
        /// The stage, from 1.
        stage: usize,
        /// What its verdict says.
        reason: String,
    },
    /// Others change it all the time.
    #[error("the rollout {id} is being changed by somebody else: try again")]
    Busy {
        /// Which one.
        id: RolloutId,
    },
    /// It cannot be found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The ledger cannot be written.
    #[error("cannot write it down")]
    Ledger(#[from] LedgerError),
}

impl AdvanceError {
    pub(super) fn unknown(id: &RolloutId) -> Self {
        Self::Find(FindError::Unknown { id: id.clone() })
    }
}

impl Classified for AdvanceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Ended { .. } | Self::LastStage { .. } | Self::Unproven { .. } => Fault::Conflict,
            Self::Busy { .. } => Fault::Busy,
            Self::Find(error) => error.fault(),
            Self::Ledger(error) => error.fault(),
        }
    }
}

/// Why a rollout was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// It has ended.
    #[error("the rollout {id} has already ended: {state}")]
    Ended {
        /// Which one.
        id: RolloutId,
        /// How it ended.
        state: &'static str,
    },
    /// It cannot be found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The ledger cannot be written.
    #[error("cannot write the cancellation down")]
    Ledger(#[from] LedgerError),
}

impl Classified for CancelError {
    fn fault(&self) -> Fault {
        match self {
            Self::Ended { .. } => Fault::Conflict,
            Self::Find(error) => error.fault(),
            Self::Ledger(error) => error.fault(),
        }
    }
}

/// Why rollouts or services could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The ledger cannot be read.
    #[error("cannot list the rollouts")]
    Ledger(#[from] LedgerError),
    /// The tables cannot be read.
    #[error("cannot read the tables")]
    Query(#[from] QueryError),
}

impl Classified for ReadError {
    fn fault(&self) -> Fault {
        match self {
            Self::Ledger(error) => error.fault(),
            Self::Query(error) => error.fault(),
        }
    }
}
