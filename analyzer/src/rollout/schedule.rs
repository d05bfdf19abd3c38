//! Judges every live rollout again and again, and looks for new versions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use haldane_store::clock::SharedClock;
use haldane_store::fault::chain;
use haldane_store::ledger::{Ledger, LedgerError};
use haldane_store::name::hash_of;
use haldane_store::schema::BUCKET_SECONDS;
use haldane_store::{Classified, Fault, UnixNanos};
use tokio_util::sync::CancellationToken;

use super::calibrator::Calibrator;
use super::config::AnalyzerConfig;
use super::consequence::{decides, ending, says_the_same};
use super::desk::{Judged, Rollouts};
use super::detect::Detector;
use super::error::ReadError;
use super::figures::Figures;
use super::grounds::Grounds;
use super::memory::{JudgedOn, Kept, Memory};
use super::model::{Origin, Rollout, RolloutState, Strategy};
use super::probes::{Prober, Probes};
use super::stages::WAIT_MAX;
use super::trail::{EventDetails, EventKind, EventPlace, HALDANE, entry_of};
use crate::bundle::Bundle;
use crate::cohort::{
    GatherError, Gathered, Keys, News, ONWARD_MAX, Question, TOGETHER_MAX, add_samples, can_share, gather_on, gather_together, goes_on,
};
use crate::judge::{Evidence, Pairing, Role};
use crate::policy::{JudgeRule, Limit, Policy, PolicyChange, PolicyError};
use crate::query::Engine;
use crate::rehearsal::Calibrations;
use crate::verdict::{Verdict, VerdictSubject};

/// So many rollouts are judged at once: each may hold some hundred megabytes of evidence.
const JUDGED_AT_ONCE: usize = 2;
/// Senders keep what is not taken and try again; SDKs wait half a minute at most between two tries.
const SENT_AGAIN: Duration = Duration::from_secs(60);
/// Between two rounds, however long one takes.
const PAUSE_MIN: Duration = Duration::from_millis(50);

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
    memory: Memory,
    probes: Probes,
    figures: Figures,
    began: UnixNanos,
}

/// Evidence as it was at a time.
struct Reading {
    at: UnixNanos,
    gathered: Gathered,
}

/// What was read of a rollout with that of others.
struct Shared {
    at: UnixNanos,
    news: News,
    /// What it goes on from.
    kept: Option<Kept>,
}

/// A judgement, and what to go on from.
struct Outcome {
    verdict: Verdict,
    bundle: Bundle,
    keys: Keys,
    is_whole: bool,
    whole_at: UnixNanos,
    judged_on: JudgedOn,
}

impl Scheduler {
    /// A scheduler over the same ledger and tables as `desk`.
    pub fn new(config: AnalyzerConfig, desk: Rollouts, ledger: Ledger, engine: Engine, clock: SharedClock) -> Self {
        let (probes, figures) = (Probes::new(config.probe_hosts.clone()), Figures::new(clock.clone()));
        let (began, calibrations, memory) = (clock.now(), Calibrations::default(), Memory::default());
        Self { config, desk, ledger, engine, clock, calibrations, memory, probes, figures, began }
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
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.pause(began)) => {}
            }
        }
    }

    /// Until the next round: what is left of the time between two, but, where that is short, no longer than until the next window is complete.
    fn pause(&self, began: Instant) -> Duration {
        let now = self.clock.now();
        let next = self.watermark(now).plus(window()).plus(Duration::from_secs(self.config.lateness_seconds));
        let every = self.clock.real(Duration::from_secs(self.config.judge_every_seconds)).saturating_sub(began.elapsed());
        let is_short = Duration::from_secs(self.config.judge_every_seconds) <= window();
        let pause = if is_short { every.min(self.clock.real(next.since(now))) } else { every };
        // A machine that does nothing but judge takes nothing in.
        pause.max(PAUSE_MIN).max(began.elapsed() / 10)
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
        self.memory.keep(&live);
        self.recall(&live).await;
        let now = self.clock.now();
        let due = live.iter().filter(|rollout| !self.is_sent_again(rollout, now) && self.is_due(rollout, now));
        let (shared, alone): (Vec<_>, Vec<_>) =
            due.map(|rollout| (rollout, self.memory.kept(&rollout.id))).partition(|(rollout, _)| self.can_share(rollout));
        let goes_on = |rollout: &Rollout, kept: &Kept| goes_on(&self.question(rollout, now), kept.earlier());
        let (mut onward, mut whole): (Vec<_>, Vec<_>) =
            shared.into_iter().partition(|(rollout, kept)| kept.as_ref().is_some_and(|kept| goes_on(rollout, kept)));
        // Of those that have gone on for long some are read anew each round, the one that has for longest first.
        onward.sort_by_key(|(_, kept)| kept.as_ref().map(|kept| kept.whole_at));
        let old = onward.iter().take_while(|(_, kept)| kept.as_ref().is_some_and(|kept| kept.is_old(now))).count();
        whole.extend(onward.drain(..old.min(TOGETHER_MAX)).map(|(rollout, _)| (rollout, None)));
        // Neighbours in the tables' order are read together.
        for group in [&mut onward, &mut whole] {
            group.sort_by(|(a, _), (b, _)| (&a.service, &a.environment).cmp(&(&b.service, &b.environment)));
        }
        for group in onward.chunks(ONWARD_MAX).chain(whole.chunks(TOGETHER_MAX)) {
            self.judge_together(group, stop).await;
        }
        self.judge_each(alone.into_iter().map(|(rollout, _)| (rollout, None)), stop).await;
        Ok(())
    }

    /// After a start: which rollouts were waiting for somebody when the last verdict was given.
    async fn recall(&self, live: &[Rollout]) {
        for rollout in live.iter().filter(|rollout| self.memory.is_new(&rollout.id)) {
            let last = self.desk.verdict_of(rollout).await;
            if last.is_ok_and(|verdict| verdict.awaits_somebody() && rollout.is_of_this_stage(&verdict)) {
                self.memory.note_awaiting(rollout);
            }
        }
    }

    /// Whether anything may have changed since it was judged.
    fn is_due(&self, rollout: &Rollout, now: UnixNanos) -> bool {
        let Ok(policy) = Policy::default().with(&rollout.policy_now()) else { return true };
        let asks = policy.gates().iter().any(|gate| matches!(gate.limit, Limit::Probe { .. }));
        asks || !self.memory.was_judged_on(&self.judged_on(rollout, &policy, now, now))
    }

    /// What a verdict on the tables as they were at `read_at` depends on.
    fn judged_on(&self, rollout: &Rollout, policy: &Policy, read_at: UnixNanos, now: UnixNanos) -> JudgedOn {
        let end = rollout.judged_from().plus(policy.max_duration());
        let gave_up = now >= end.plus(WAIT_MAX);
        JudgedOn {
            rollout: rollout.clone(),
            until: self.question(rollout, read_at).until,
            ended: gave_up || !self.memory.is_awaiting(rollout) && self.watermark(read_at) >= end,
            gave_up,
        }
    }

    /// Whether a rollout's time ran out while the server was away, and senders may still try again what they could not send: its last verdict waits.
    fn is_sent_again(&self, rollout: &Rollout, now: UnixNanos) -> bool {
        let is_over = !self.memory.is_awaiting(rollout) && self.watermark(now) >= rollout.judged_to();
        is_over && rollout.created_at < self.began && now < self.began.plus(SENT_AGAIN)
    }

    fn can_share(&self, rollout: &Rollout) -> bool {
        !self.memory.is_large(&rollout.id) && can_share(&self.question(rollout, rollout.started_at))
    }

    fn judged_to(&self, rollout: &Rollout) -> UnixNanos {
        if self.memory.is_awaiting(rollout) { rollout.watched_to() } else { rollout.judged_to() }
    }

    /// Judges rollouts whose evidence is read in one go.
    async fn judge_together(&self, rollouts: &[(&Rollout, Option<Kept>)], stop: &CancellationToken) {
        if stop.is_cancelled() {
            return;
        }
        let at = self.clock.now();
        let questions: Vec<_> =
            rollouts.iter().map(|(rollout, kept)| (self.question(rollout, at), kept.as_ref().map(Kept::earlier))).collect();
        match gather_together(&self.engine, &questions).await {
            Ok(news) => {
                let too_large = rollouts.iter().zip(&news).filter(|(_, news)| news.is_none());
                too_large.for_each(|((rollout, _), _)| self.memory.note_large(&rollout.id));
                let read = rollouts.iter().zip(news).map(|((rollout, kept), news)| {
                    let kept = kept.clone();
                    (*rollout, news.map(|news| Shared { at, news, kept }))
                });
                self.judge_each(read, stop).await;
            }
            // By itself each has its own deadline, and its own error.
            Err(error) => {
                tracing::warn!(rollouts = rollouts.len(), error = chain(&error), "cannot read the evidence of several rollouts together");
                self.judge_each(rollouts.iter().map(|(rollout, _)| (*rollout, None)), stop).await;
            }
        }
    }

    /// Judges rollouts, those without evidence on what is read for them alone. One whose numbers take long to read does not hold up the others.
    async fn judge_each<'a>(&self, rollouts: impl Iterator<Item = (&'a Rollout, Option<Shared>)>, stop: &CancellationToken) {
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

    /// Judges one rollout on what is in the tables now, and writes down what has changed.
    #[tracing::instrument(name = "judge", level = "debug", skip_all, fields(rollout = %rollout.id, service = %rollout.service))]
    async fn judge_once(&self, rollout: &Rollout, shared: Option<Shared>) -> Result<(), JudgeError> {
        let previous = self.desk.verdict_of(rollout).await.ok().filter(|verdict| verdict.sequence > 0);
        let reading = match shared.and_then(|shared| self.join(rollout, shared)) {
            Some(reading) => reading,
            None => self.read(rollout, self.memory.kept(&rollout.id).filter(|kept| !kept.is_old(self.clock.now()))).await?,
        };
        let policy = Policy::default().with(&rollout.policy_now())?;
        self.probes.ask(rollout, &policy, self.clock.now()).await;
        let mut outcome = self.outcome(rollout, &policy, reading, previous.as_ref()).await?;
        if !outcome.is_whole && decides(previous.as_ref(), &outcome.verdict) {
            drop(outcome);
            // What is acted on rests on all that is in the tables.
            outcome = self.outcome(rollout, &policy, self.read(rollout, None).await?, previous.as_ref()).await?;
        }
        if rollout.state == RolloutState::Pending {
            self.desk.mark_running(&rollout.id).await?;
        }
        let (judged_on, is_awaiting) = (outcome.judged_on.clone(), outcome.verdict.awaits_somebody());
        if is_awaiting {
            self.memory.note_awaiting(rollout);
        }
        if !previous.as_ref().is_some_and(|previous| says_the_same(previous, &outcome.verdict)) {
            self.write_down(rollout, previous.as_ref(), outcome).await?;
        }
        self.memory.note_judged(judged_on);
        Ok(())
    }

    fn join(&self, rollout: &Rollout, Shared { at, news, kept }: Shared) -> Option<Reading> {
        let gathered = news.join(&self.question(rollout, at), kept.as_ref().map(Kept::earlier))?;
        Some(Reading { at, gathered })
    }

    async fn read(&self, rollout: &Rollout, kept: Option<Kept>) -> Result<Reading, GatherError> {
        let at = self.clock.now();
        let gathered = gather_on(&self.engine, &self.question(rollout, at), kept.as_ref().map(Kept::earlier)).await?;
        Ok(Reading { at, gathered })
    }

    /// What the judge makes of it.
    async fn outcome(
        &self,
        rollout: &Rollout,
        policy: &Policy,
        reading: Reading,
        previous: Option<&Verdict>,
    ) -> Result<Outcome, JudgeError> {
        let Reading { at, gathered: Gathered { mut evidence, keys, is_whole } } = reading;
        let mut overrides = rollout.policy_now();
        let now = self.clock.now();
        let judged_on = self.judged_on(rollout, policy, at, now);
        if self.memory.is_awaiting(rollout) && policy.judge == JudgeRule::Default {
            // What is proven is watched for as long as it waits for somebody, and ends by harm or by nobody coming.
            overrides.min_duration_seconds = Some(policy.min_duration().as_secs());
            overrides.max_duration_seconds = Some((policy.max_duration() + WAIT_MAX).min(Policy::DURATION_MAX).as_secs());
        }
        add_samples(&self.engine, &self.question(rollout, at), &policy.sampled(), &mut evidence).await?;
        self.probes.tell(rollout, policy, &mut evidence);
        evidence.pairing = pairing(rollout, &evidence);
        evidence.calibration = self.calibrations.of(rollout.service.as_str(), rollout.environment.as_str());
        let subject = VerdictSubject {
            rollout_id: rollout.id.as_str().to_owned(),
            sequence: previous.map_or(1, |verdict| verdict.sequence + 1),
            service: rollout.service.to_string(),
            environment: rollout.environment.to_string(),
            strategy: rollout.strategy.as_str().to_owned(),
            baseline_selector: rollout.baseline.matchers().clone(),
            canary_selector: rollout.canary.matchers().clone(),
            stage: rollout.stage_now(),
            approval: rollout.approval_now(),
            ended: judged_on.ended,
            gave_up: judged_on.gave_up,
            decided_at: now,
        };
        let (bundle, verdict) = tokio::task::spawn_blocking(move || Bundle::new(subject, overrides, evidence)).await??;
        let whole_at = self.memory.kept(&rollout.id).filter(|_| !is_whole).map_or(at, |kept| kept.whole_at);
        Ok(Outcome { verdict, bundle, keys, is_whole, whole_at, judged_on })
    }

    async fn write_down(&self, rollout: &Rollout, previous: Option<&Verdict>, outcome: Outcome) -> Result<(), JudgeError> {
        let Outcome { verdict, bundle, keys, whole_at, .. } = outcome;
        let ending = ending(&verdict, &bundle.evidence, self.clock.now());
        if let Some(ending) = &ending {
            tracing::info!(rollout = %rollout.id, service = %rollout.service, state = %ending.state, reason = %verdict.reason, "rollout ended");
        }
        let bundle = Arc::new(bundle);
        let grounds = Grounds::Memory(bundle.clone());
        let stays = ending.is_none() && self.memory.keep_evidence(&rollout.id, Kept { bundle, keys, whole_at });
        let grounds = if stays { Some(grounds) } else { as_file(grounds, rollout).await? };
        Ok(self.desk.record(rollout, previous, Judged { verdict: Arc::new(verdict), grounds }, ending).await?)
    }

    fn watermark(&self, now: UnixNanos) -> UnixNanos {
        now.minus(Duration::from_secs(self.config.lateness_seconds)).bucket(window())
    }
}

/// A verdict counts without it too.
async fn as_file(grounds: Grounds, rollout: &Rollout) -> Result<Option<Grounds>, JudgeError> {
    match tokio::task::spawn_blocking(move || grounds.file()).await? {
        Ok(file) => Ok(Some(Grounds::File(file))),
        Err(error) => {
            tracing::warn!(rollout = %rollout.id, error = chain(&error), "the evidence is not kept");
            Ok(None)
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
