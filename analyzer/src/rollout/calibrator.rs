//! Replays the services' pasts, one after the other, for as long as the server runs.
//!
//! Always holds: it takes a tenth of one processor at most, in the long run, and judging never waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::clock::SharedClock;
use haldane_store::ledger::{Ledger, LedgerError};
use haldane_store::{Classified, Environment, Fault, ServiceName, UnixNanos};
use tokio_util::sync::CancellationToken;

use super::detect::services;
use super::model::ServiceSummary;
use crate::query::{Engine, QueryError};
use crate::rehearsal::{self, Calibrations, Past, PastError, PastQuestion};

/// The loop.
#[derive(Debug)]
pub(super) struct Calibrator {
    pub(super) every: Duration,
    /// How long after its end a window is taken as complete.
    pub(super) lateness: Duration,
    /// How much of a past is learnt from.
    pub(super) history: Duration,
    pub(super) calibrations: Calibrations,
    pub(super) ledger: Ledger,
    pub(super) engine: Engine,
    pub(super) clock: SharedClock,
}

/// This much of a past is compared: as long as a rollout lasts at most.
const LENGTH: Duration = Duration::from_secs(3600);
/// How often is looked whether a service is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A service that has been silent for longer is left alone.
const SILENT: Duration = Duration::from_secs(600);
/// Rests so many times as long as a replay took.
const REST: u32 = 9;

/// Why a round was not made.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("cannot list the services")]
    Services(#[from] QueryError),
    #[error("cannot write a run down")]
    Ledger(#[from] LedgerError),
    #[error("a replay panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Classified for RoundError {
    fn fault(&self) -> Fault {
        match self {
            Self::Services(error) => error.fault(),
            Self::Ledger(error) => error.fault(),
            Self::Panicked(_) => Fault::Bug,
        }
    }
}

impl Calibrator {
    /// What earlier runs of the program found out.
    pub(super) async fn load(&self) {
        if let Err(error) = self.calibrations.load(&self.ledger).await {
            tracing::error!(%error, "cannot read the A/A runs: the judge is not calibrated by them");
        }
    }

    /// Goes on until told to stop. What fails is logged and tried again after the usual time.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        if self.every.is_zero() {
            return;
        }
        let mut tried: BTreeMap<(String, String), UnixNanos> = BTreeMap::new();
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY.min(self.every))).await.is_some() {
            if let Err(error) = self.round(&mut tried, stop).await {
                tracing::error!(%error, "cannot replay the past of services");
            }
        }
    }

    async fn round(&self, tried: &mut BTreeMap<(String, String), UnixNanos>, stop: &CancellationToken) -> Result<(), RoundError> {
        let now = self.clock.now();
        let known = services(&self.engine, now).await?;
        tried.retain(|place, _| known.iter().any(|service| place_of(service) == *place));
        for service in known {
            let place = place_of(&service);
            let last = tried.get(&place).copied().or_else(|| self.calibrations.of(&place.0, &place.1).map(|known| known.until));
            if stop.is_cancelled() || last.is_some_and(|last| self.clock.now().since(last) < self.every) {
                continue;
            }
            tried.insert(place.clone(), self.clock.now());
            match self.past_of(&service).await {
                Ok(Some(past)) => self.replay(&place, past, stop).await?,
                Ok(None) | Err(PastError::Short { .. }) => {}
                Err(error) => tracing::warn!(%error, service = place.0, "cannot replay the past of a service"),
            }
        }
        Ok(())
    }

    /// Of the version that serves most; none when nothing serves, or under names that no rollout can have.
    async fn past_of(&self, service: &ServiceSummary) -> Result<Option<Past>, PastError> {
        let until = self.clock.now().minus(self.lateness);
        let serving = service.versions.iter().filter(|version| version.requests > 0 && until.since(version.last_seen) < SILENT);
        let names = (ServiceName::parse(&service.service), Environment::parse(&service.environment));
        let (Some(version), (Ok(name), Ok(environment))) = (serving.max_by_key(|version| version.requests), names) else { return Ok(None) };
        let version = Some(version.version.as_str()).filter(|version| !version.is_empty());
        let question = PastQuestion { service: &name, environment: &environment, version, until, length: LENGTH, history: self.history };
        rehearsal::read(&self.engine, &question).await.map(Some)
    }

    async fn replay(&self, place: &(String, String), past: Past, stop: &CancellationToken) -> Result<(), RoundError> {
        let seed = u64::try_from(self.clock.now().as_seconds()).unwrap_or(0);
        let stopped = stop.clone();
        let replaying = tokio::task::spawn_blocking(move || rehearsal::replay(&past, seed, |took| rest(took * REST, &stopped)));
        let Some(Some(run)) = stop.run_until_cancelled(replaying).await.transpose()? else { return Ok(()) };
        let rollbacks = run.replays.iter().filter(|replay| replay.rolled_back).count();
        tracing::debug!(service = place.0, environment = place.1, replays = run.replays.len(), rollbacks, "replayed the past of a service");
        Ok(self.calibrations.add(&self.ledger, place, run).await?)
    }
}

/// Whether the whole time passed without a stop.
fn rest(time: Duration, stop: &CancellationToken) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    let end = std::time::Instant::now() + time;
    while !stop.is_cancelled() {
        match end.checked_duration_since(std::time::Instant::now()) {
            Some(left) => std::thread::sleep(left.min(SLICE)),
            None => return true,
        }
    }
    false
}

fn place_of(service: &ServiceSummary) -> (String, String) {
    (service.service.clone(), service.environment.clone())
}
