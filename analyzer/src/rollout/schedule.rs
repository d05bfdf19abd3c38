//! Judges every live rollout again and again, and looks for new versions.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use haldane_store::clock::SharedClock;
use haldane_store::fault::chain;
use haldane_store::ledger::{Ending, Ledger, LedgerError};
use haldane_store::name::hash_of;
use haldane_store::schema::BUCKET_SECONDS;
use haldane_store::{Classified, Fault, UnixNanos};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::calibrator::Calibrator;
use super::desk::{Judged, Rollouts};
use super::detect::Detector;
use super::error::ReadError;
use super::figures::Figures;
use super::model::{Origin, Rollout, RolloutId, RolloutState, Strategy};
use super::probes::{Prober, Probes};
use super::stages::WAIT_MAX;
use super::trail::{EventDetails, EventKind, EventPlace, HALDANE, entry_of};
use crate::bundle::Bundle;
use crate::cohort::{GatherError, Question, TOGETHER_MAX, add_samples, can_share, gather, gather_together};
use crate::judge::{Evidence, Pairing, Role};
use crate::policy::{Policy, PolicyChange, PolicyError};
use crate::query::Engine;
use crate::rehearsal::Calibrations;
use crate::verdict::{Verdict, VerdictDecision, VerdictSubject};

/// Settings of the analyzer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyzerConfig {
    /// How often running rollouts are judged, in seconds.
    pub judge_every_seconds: u64,
    /// How long after its end a window is taken as complete, in seconds; exporters hold data back for some seconds.
    pub lateness_seconds: u64,
    /// How much of the baseline before a rollout is learnt from, in seconds.
    pub history_seconds: u64,
    /// Whether a new `service.version` opens a rollout by itself.
    pub detect_versions: bool,
    /// Services for which it does not.
    pub detect_except: Vec<String>,
    /// How often the judge is tried on the past of each service, in seconds; 0 for never.
    pub calibrate_every_seconds: u64,
    /// Hosts that a policy's probes may ask, such as `*.shop.svc.cluster.local`; none if empty.
    pub probe_hosts: Vec<String>,
}

impl Default for AnalyzerConfig {
    fn default() -> Self {
        Self {
            judge_every_seconds: 5,
            lateness_seconds: 15,
            history_seconds: 1800,
            detect_versions: true,
            detect_except: Vec::new(),
            calibrate_every_seconds: 3600,
            probe_hosts: Vec::new(),
        }
    }
}

/// So many rollouts are judged at once: each may hold some hundred megabytes of evidence.
const JUDGED_AT_ONCE: usize = 2;

/// Why a rollout was not judged this time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JudgeError {
    /// Its evidence cannot be read.
    #[error("cannot gather evidence")]
    Gather(#[from] GatherError),
    /// Its verdict cannot be written.
    #[error("cannot write the verdict down")]
    Ledger(#[from] LedgerError),
    /// The judge panicked.
    #[error("the judge panicked")]
    Panicked(#[from] tokio::task::JoinError),
    /// Its policy no longer holds.
    #[error("the rollout's policy is not valid any more")]
    Policy(#[from] PolicyError),
}

impl Classified for JudgeError {
    fn fault(&self) -> Fault {
        match self {
            Self::Gather(error) => error.fault(),
            Self::Ledger(error) => error.fault(),
            Self::Policy(_) | Self::Panicked(_) => Fault::Bug,
        }
    }
}

/// The loop that judges.
#[derive(Debug)]
pub struct Scheduler {
    config: AnalyzerConfig,
    desk: Rollouts,
    ledger: Ledger,
    engine: Engine,
    clock: SharedClock,
    calibrations: Calibrations,
    /// Too large to be read with others.
    large: Mutex<HashSet<RolloutId>>,
    /// Proven, and waiting for a person or for the next stage.
    awaiting: Mutex<HashSet<RolloutId>>,
    probes: Probes,
    figures: Figures,
}

/// Evidence that was read with that of others.
struct Reading {
    at: UnixNanos,
    evidence: Evidence,
}

impl Scheduler {
    /// A scheduler over the same ledger and tables as `desk`.
    pub fn new(config: AnalyzerConfig, desk: Rollouts, ledger: Ledger, engine: Engine, clock: SharedClock) -> Self {
        let (probes, figures) = (Probes::new(config.probe_hosts.clone()), Figures::new(clock.clone()));
        Self {
            config,
            desk,
            ledger,
            engine,
            clock,
            calibrations: Calibrations::default(),
            large: Mutex::default(),
            awaiting: Mutex::default(),
            probes,
            figures,
        }
    }

    /// With somebody who asks the addresses of policies; without, none is asked.
    #[must_use]
    pub fn with_prober(mut self, prober: Arc<dyn Prober>) -> Self {
        self.probes.ask_with(prober);
        self
    }

    /// What is known of how often the judge is wrong.
    pub fn calibrations(&self) -> Calibrations {
        self.calibrations.clone()
    }

    /// What is rolling out, and how the judging goes.
    pub fn figures(&self) -> Figures {
        self.figures.clone()
    }

    fn calibrator(&self) -> Calibrator {
        Calibrator {
            every: Duration::from_secs(self.config.calibrate_every_seconds),
            lateness: Duration::from_secs(self.config.lateness_seconds),
            history: Duration::from_secs(self.config.history_seconds),
            calibrations: self.calibrations.clone(),
            ledger: self.ledger.clone(),
            engine: self.engine.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Judges until told to stop. What fails is logged and tried again at the next turn.
    ///
    /// # Errors
    /// When the versions seen so far cannot be read at the start.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), ReadError> {
        let mut detector = Detector::load(&self.ledger).await?;
        let calibrator = self.calibrator();
        calibrator.load().await;
        // A panic while replaying is a fault of one round; one while judging ends the server.
        tokio::join!(self.judge_until(&mut detector, &stop), calibrator.run(&stop));
        Ok(())
    }

    async fn judge_until(&self, detector: &mut Detector, stop: &CancellationToken) {
        let since_start = self.clock.now();
        loop {
            let began = Instant::now();
            match self.turn(detector, stop).await {
                Ok(()) => self.figures.look(&self.desk, began, since_start).await,
                Err(error) => {
                    self.figures.failed();
                    tracing::error!(error = chain(&error), "cannot list the rollouts to judge");
                }
            }
            let pause = self.clock.real(Duration::from_secs(self.config.judge_every_seconds)).max(Duration::from_millis(50));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    #[tracing::instrument(name = "judge_round", level = "debug", skip_all)]
    async fn turn(&self, detector: &mut Detector, stop: &CancellationToken) -> Result<(), LedgerError> {
        self.look_at_policies().await;
        if self.config.detect_versions {
            match detector.look(&self.desk, &self.ledger, &self.config.detect_except).await {
                Ok(opened) => opened.iter().for_each(|what| tracing::info!(rollout = %what, "new version: opened a rollout")),
                Err(error) => tracing::error!(error = chain(&error), "cannot look for new versions"),
            }
        }
        let live = self.desk.live().await?;
        self.probes.keep(&live);
        self.awaiting().retain(|id| live.iter().any(|rollout| rollout.id == *id));
        self.large().retain(|id| live.iter().any(|rollout| rollout.id == *id));
        let (mut shared, alone): (Vec<_>, Vec<_>) = live.iter().partition(|rollout| self.can_share(rollout));
        // Neighbours in the tables' order are read together.
        shared.sort_by(|a, b| (&a.service, &a.environment).cmp(&(&b.service, &b.environment)));
        for group in shared.chunks(TOGETHER_MAX) {
            self.judge_together(group, stop).await;
        }
        self.judge_each(alone.into_iter().map(|rollout| (rollout, None)), stop).await;
        Ok(())
    }

    fn can_share(&self, rollout: &Rollout) -> bool {
        !self.large().contains(&rollout.id) && can_share(&self.question(rollout, rollout.started_at))
    }

    /// Of what waits for somebody, everything is judged meanwhile.
    fn judged_to(&self, rollout: &Rollout) -> UnixNanos {
        let waits = self.awaiting().contains(&rollout.id);
        if waits { rollout.judged_to().plus(WAIT_MAX) } else { rollout.judged_to() }
    }

    fn awaiting(&self) -> MutexGuard<'_, HashSet<RolloutId>> {
        self.awaiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn large(&self) -> MutexGuard<'_, HashSet<RolloutId>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges rollouts whose evidence is read in one go.
    async fn judge_together(&self, rollouts: &[&Rollout], stop: &CancellationToken) {
        if stop.is_cancelled() {
            return;
        }
        let at = self.clock.now();
        let questions: Vec<Question<'_>> = rollouts.iter().map(|rollout| self.question(rollout, at)).collect();
        match gather_together(&self.engine, &questions).await {
            Ok(evidence) => {
                let too_large = rollouts.iter().zip(&evidence).filter(|(_, evidence)| evidence.is_none());
                self.large().extend(too_large.map(|(rollout, _)| rollout.id.clone()));
                let read = evidence.into_iter().map(|evidence| evidence.map(|evidence| Reading { at, evidence }));
                self.judge_each(rollouts.iter().copied().zip(read), stop).await;
            }
            // By itself each has its own deadline, and its own error.
            Err(error) => {
                tracing::warn!(rollouts = rollouts.len(), error = chain(&error), "cannot read the evidence of several rollouts together");
                self.judge_each(rollouts.iter().map(|rollout| (*rollout, None)), stop).await;
            }
        }
    }

    /// Judges rollouts, those without evidence on what is read for them alone. One whose numbers take long to read does not hold up the others.
    async fn judge_each<'a>(&self, rollouts: impl Iterator<Item = (&'a Rollout, Option<Reading>)>, stop: &CancellationToken) {
        let judging = futures::stream::iter(rollouts).for_each_concurrent(JUDGED_AT_ONCE, |(rollout, read)| async move {
            // With many rollouts a turn takes long; what is left of it is done after the next start.
            if stop.is_cancelled() {
                return;
            }
            if let Err(error) = self.judge_once(rollout, read).await {
                self.figures.failed();
                tracing::error!(rollout = %rollout.id, error = chain(&error), "cannot judge");
            }
        });
        judging.await;
    }

    /// What is asked of the tables for a rollout now.
    fn question<'a>(&self, rollout: &'a Rollout, now: UnixNanos) -> Question<'a> {
        Question {
            service: &rollout.service,
            environment: &rollout.environment,
            baseline: &rollout.baseline,
            canary: &rollout.canary,
            started_at: rollout.judged_from(),
            until: self.watermark(now).min(self.judged_to(rollout).bucket(window())).max(rollout.judged_from()),
            history: Duration::from_secs(self.config.history_seconds),
            seed: seed_of(rollout),
        }
    }

    /// Takes over policy files that changed, and tells the trail.
    async fn look_at_policies(&self) {
        let (changes, mistakes) = self.desk.policies().look();
        mistakes.iter().for_each(|mistake| tracing::error!(%mistake, "a policy is not taken over: what it said before stays in force"));
        let entry = |change: &PolicyChange| {
            let version = change.version.as_deref().unwrap_or("gone");
            tracing::info!(policy = change.name, version, "a policy changed");
            let details = EventDetails { policy: format!("{}@{version}", change.name), ..EventDetails::default() };
            entry_of(EventKind::PolicyChanged, HALDANE, self.clock.now(), EventPlace::default(), &details)
        };
        let entries: Vec<_> = changes.iter().map(entry).collect();
        if let (false, Err(error)) = (entries.is_empty(), self.ledger.add_to_trail(&entries).await) {
            tracing::error!(error = chain(&error), "cannot write down that a policy changed");
        }
    }

    /// Judges one rollout on what is in the tables now.
    #[tracing::instrument(name = "judge", level = "debug", skip_all, fields(rollout = %rollout.id, service = %rollout.service))]
    async fn judge_once(&self, rollout: &Rollout, read: Option<Reading>) -> Result<(), JudgeError> {
        let mut overrides = rollout.policy_now();
        let policy = Policy::default().with(&overrides)?;
        let now = self.clock.now();
        let end = rollout.judged_from().plus(policy.max_duration());
        let waits = self.awaiting().contains(&rollout.id);
        if waits {
            // What is proven is watched for as long as it waits for somebody, and ends by harm or by nobody coming.
            overrides.max_duration_seconds = Some((policy.max_duration() + WAIT_MAX).as_secs());
        }
        let read_at = read.as_ref().map_or(now, |read| read.at);
        let question = self.question(rollout, read_at);
        let mut evidence = match read {
            Some(read) => read.evidence,
            None => gather(&self.engine, &question).await?,
        };
        add_samples(&self.engine, &question, &policy.sampled(), &mut evidence).await?;
        self.probes.ask(rollout, &policy, now, &mut evidence).await;
        evidence.pairing = pairing(rollout, &evidence);
        evidence.calibration = self.calibrations.of(rollout.service.as_str(), rollout.environment.as_str());
        let previous = self.desk.verdict(&rollout.id).await.ok().filter(|verdict| verdict.sequence > 0);
        let subject = VerdictSubject {
            rollout_id: rollout.id.as_str().to_owned(),
            sequence: previous.as_ref().map_or(1, |verdict| verdict.sequence + 1),
            service: rollout.service.to_string(),
            environment: rollout.environment.to_string(),
            strategy: rollout.strategy.as_str().to_owned(),
            baseline_selector: rollout.baseline.matchers().clone(),
            canary_selector: rollout.canary.matchers().clone(),
            stage: rollout.stage_now(),
            approval: rollout.approval_now(),
            ended: !waits && self.watermark(read_at) >= end,
            gave_up: now >= end.plus(WAIT_MAX),
            decided_at: now,
        };
        let (bundle, verdict) = tokio::task::spawn_blocking(move || Bundle::new(subject, overrides, evidence)).await??;
        if verdict.awaits_somebody() {
            self.awaiting().insert(rollout.id.clone());
        } else {
            self.awaiting().remove(&rollout.id);
        }
        if rollout.state == RolloutState::Pending {
            self.desk.mark_running(&rollout.id).await?;
        }
        if previous.as_ref().is_some_and(|previous| says_the_same(previous, &verdict)) {
            return Ok(());
        }
        let ending = ending(&verdict, &bundle.evidence, now);
        if let Some(ending) = &ending {
            tracing::info!(rollout = %rollout.id, service = %rollout.service, state = %ending.state, reason = %verdict.reason, "rollout ended");
        }
        let judged = Judged { verdict: Arc::new(verdict), evidence: file_of(&bundle, rollout) };
        Ok(self.desk.record(rollout, previous.as_ref(), judged, ending).await?)
    }

    fn watermark(&self, now: UnixNanos) -> UnixNanos {
        now.minus(Duration::from_secs(self.config.lateness_seconds)).bucket(window())
    }
}

/// A verdict counts without it too.
fn file_of(bundle: &Bundle, rollout: &Rollout) -> Option<Bytes> {
    match bundle.write() {
        Ok(file) => Some(file.into()),
        Err(error) => {
            tracing::warn!(rollout = %rollout.id, error = chain(&error), "the evidence is not kept");
            None
        }
    }
}

fn window() -> Duration {
    Duration::from_secs(BUCKET_SECONDS)
}

/// All chance in a rollout's judgements comes from its id. 32 bits, so that every JSON reader keeps it.
fn seed_of(rollout: &Rollout) -> u64 {
    u64::from(hash_of(rollout.id.as_str().bytes()))
}

/// What the canary is compared with.
///
/// When the baseline serves in less than a fifth of the canary's windows, what it did before the rollout is all there is. A
/// rolling or blue-green rollout is expected to be like that; of a canary it is believed only after some windows, and of one that
/// was asked for only while the two never served together.
fn pairing(rollout: &Rollout, evidence: &Evidence) -> Pairing {
    let windows = |role: Role| -> std::collections::BTreeSet<UnixNanos> {
        let serving = evidence.cells.iter().filter(|cell| cell.cohort == role && cell.requests > 0);
        serving.map(|cell| cell.at).filter(|at| *at >= evidence.started_at).collect()
    };
    let (baseline, canary) = (windows(Role::Baseline), windows(Role::Canary));
    let together = baseline.intersection(&canary).count();
    // In a stage with all of the traffic the baseline only drains.
    let gets_all = rollout.stages.get(rollout.stage).is_some_and(|stage| stage.traffic >= 1.0);
    let alone = match (rollout.strategy, rollout.origin) {
        (Strategy::Canary, Origin::Requested) if gets_all => together * 5 < canary.len(),
        (Strategy::Canary, Origin::Requested) => canary.len() > 2 && together == 0,
        (Strategy::Canary, Origin::Detected) => canary.len() > 6 && together * 5 < canary.len(),
        (Strategy::BlueGreen | Strategy::Rolling, Origin::Requested | Origin::Detected) => together * 5 < canary.len(),
    };
    if alone { Pairing::Preceding } else { Pairing::Concurrent }
}

/// How the rollout ends with this verdict, if it does.
fn ending(verdict: &Verdict, evidence: &Evidence, now: UnixNanos) -> Option<Ending> {
    if !verdict.is_final {
        return None;
    }
    let seen = evidence.cells.iter().any(|cell| cell.cohort == Role::Canary);
    let state = match verdict.decision {
        VerdictDecision::Promote => RolloutState::Promoted,
        VerdictDecision::Rollback => RolloutState::RolledBack,
        VerdictDecision::Continue | VerdictDecision::Inconclusive if seen => RolloutState::Inconclusive,
        VerdictDecision::Continue | VerdictDecision::Inconclusive => RolloutState::Expired,
    };
    Some(Ending { state: state.as_str().to_owned(), reason: verdict.reason.clone(), at: now })
}

/// Whether two verdicts differ in no more than their number and the time they were written.
fn says_the_same(before: &Verdict, now: &Verdict) -> bool {
    let same_time = Verdict { sequence: now.sequence, decided_at: now.decided_at.clone(), ..before.clone() };
    same_time == *now
}
