//! Where rollouts are started, found, cancelled and waited for.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use haldane_store::clock::SharedClock;
use haldane_store::ledger::{Ending, Inserted, Last, Ledger, LedgerError, Replaced, RolloutQuery, VerdictRow};
use haldane_store::{Environment, ServiceName, UnixNanos};
use tokio::sync::{Semaphore, watch};

use super::detect;
use super::error::{CancelError, FindError, ReadError, StartError};
use super::grounds::Grounds;
use super::model::{
    Origin, PersonalDecision, Rollout, RolloutFilter, RolloutId, RolloutPage, RolloutState, ServiceSummary, StartRollout, Started,
    VerdictFilter,
};
use super::record::{from_row, is_same, to_row};
use super::standing;
use super::trail;
use crate::cohort::{GatherError, Question, first_seen, try_sql};
use crate::policy::{NamedPolicy, Policy, PolicyFolder, PolicyOverrides};
use crate::query::Engine;
use crate::verdict::Verdict;

/// How far back the start of a canary is looked for.
const CANARY_SOUGHT: Duration = Duration::from_secs(3600);
/// Telemetry that was acknowledged becomes visible within a second; a service that is unknown is asked for again that long.
const VISIBLE_WITHIN: Duration = Duration::from_secs(2);
/// A rollout may begin so far in the future.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Among so many of the newest rollouts of a service an earlier attempt is looked for.
const ATTEMPTS_SEEN: u32 = 50;
/// Most rollouts a page lists.
const PAGE_MAX: u32 = 500;
/// A plan takes seconds of a processor, an analysis about one.
const ASKED_AT_ONCE: usize = 1;
/// A story reads spans and log records, a file of evidence takes memory.
const TOLD_AT_ONCE: usize = 2;

/// The rollouts of this installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rollouts {
    pub(super) ledger: Ledger,
    pub(super) engine: Engine,
    /// For what people ask that changes nothing, so that it takes nothing from the judge.
    pub(super) questions: Engine,
    pub(super) clock: SharedClock,
    live: Arc<Live>,
    /// Who may have something computed at once.
    pub(super) asking: Arc<Semaphore>,
    /// Who may have a story told, or a file of evidence written, at once.
    pub(super) telling: Arc<Semaphore>,
    policies: PolicyFolder,
}

/// The newest verdict of each live rollout, and a bell that rings when one changes.
#[derive(Debug)]
struct Live {
    verdicts: RwLock<HashMap<RolloutId, Judged>>,
    bell: watch::Sender<u64>,
}

/// A verdict, and what it rests on, unless that was too large.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) verdict: Arc<Verdict>,
    pub(super) grounds: Option<Grounds>,
}

impl Rollouts {
    /// The rollouts that the ledger holds.
    pub fn new(ledger: Ledger, engine: Engine, clock: SharedClock) -> Self {
        let live = Live { verdicts: RwLock::default(), bell: watch::Sender::new(0) };
        let (asking, telling) = (Arc::new(Semaphore::new(ASKED_AT_ONCE)), Arc::new(Semaphore::new(TOLD_AT_ONCE)));
        Self { ledger, questions: engine.clone(), engine, clock, live: Arc::new(live), asking, telling, policies: PolicyFolder::default() }
    }

    /// The same, with policies from a folder.
    #[must_use]
    pub fn with_policies(self, policies: PolicyFolder) -> Self {
        Self { policies, ..self }
    }

    /// The same, with an engine of its own for what people ask that changes nothing.
    #[must_use]
    pub fn with_questions_on(self, questions: Engine) -> Self {
        Self { questions, ..self }
    }

    /// The policies of the folder.
    pub fn policies(&self) -> &PolicyFolder {
        &self.policies
    }

    /// What a request says of its policy comes first, then what the folder has for it.
    fn with_policy(&self, request: StartRollout) -> (StartRollout, String) {
        let selected = self.policies.select(request.service.as_str(), request.environment.as_str(), &request.metadata);
        match selected {
            Some(NamedPolicy { name, version, file }) => {
                let policy = request.policy.clone().over(file.policy);
                (StartRollout { policy, ..request }, format!("{name}@{version}"))
            }
            None => (request, String::new()),
        }
    }

    /// Starts a rollout, or finds the one that the same request started before.
    ///
    /// One that Haldane opened by itself gives way to one that is asked for.
    ///
    /// # Errors
    /// When the request contradicts itself or a live rollout, or no telemetry of the service is known.
    pub async fn start(&self, request: StartRollout) -> Result<Started, StartError> {
        let asked = request.policy.clone();
        let (request, policy_name) = self.with_policy(request);
        let policy = self.check(&request).await?;
        if let Some(key) = &request.idempotency_key
            && let Some(row) = self.ledger.rollout_by_key(key).await?
        {
            let rollout = from_row(row)?;
            let place = (&rollout.service, &rollout.environment);
            let change = (&rollout.baseline, &rollout.canary);
            if (place, change) != ((&request.service, &request.environment), (&request.baseline, &request.canary)) {
                return Err(StartError::KeyUsed { service: rollout.service.to_string(), used: rollout.id });
            }
            return Ok(Started { rollout, created: false });
        }
        self.require_telemetry(&request).await?;
        let started_at = self.start_of(&request).await?;
        self.try_metrics(&request, &policy, started_at).await?;
        let rollout = Rollout { policy_name, ..self.draft(&request, Origin::Requested, started_at) };
        self.insert(rollout, &request, &asked).await
    }

    /// The policy that a request asks for.
    ///
    /// # Errors
    /// When a field is wrong by itself, or the request contradicts itself; that nobody knows the service comes between the two.
    pub async fn check(&self, request: &StartRollout) -> Result<Policy, StartError> {
        let wrong = match self.read(request) {
            Err(StartError::Policy(error)) if error.is_of_form() => return Err(StartError::Policy(error)),
            Err(wrong) => wrong,
            Ok(policy) => return Ok(policy),
        };
        if self.is_known(&request.service, &request.environment).await? { Err(wrong) } else { Err(StartError::unknown(request)) }
    }

    fn read(&self, request: &StartRollout) -> Result<Policy, StartError> {
        let policy = Policy::default().with(&request.policy)?;
        for stage in 0..request.stages.len() {
            Policy::default().with(&Rollout { stage, ..self.draft(request, Origin::Requested, self.clock.now()) }.policy_now())?;
        }
        if !request.stages.is_sorted_by(|one, next| one.traffic < next.traffic) {
            return Err(StartError::Stages);
        }
        if let Some(started_at) = request.started_at.filter(|at| *at > self.clock.now().plus(AHEAD_MAX)) {
            return Err(StartError::Future { started_at });
        }
        if request.baseline == request.canary {
            return Err(StartError::SameCohorts { selector: request.canary.to_string() });
        }
        Ok(policy)
    }

    /// Whether any request of the service has been seen in the environment.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn is_known(&self, service: &ServiceName, environment: &Environment) -> Result<bool, GatherError> {
        detect::is_known(&self.engine, service, environment).await
    }

    /// Opens a rollout for a version that has just been seen; `None` when one that was asked for runs.
    pub(super) async fn open_detected(&self, request: StartRollout, started_at: UnixNanos) -> Result<Option<Rollout>, StartError> {
        let asked = request.policy.clone();
        let (request, policy_name) = self.with_policy(request);
        let rollout = Rollout { policy_name, ..self.draft(&request, Origin::Detected, started_at) };
        match self.insert(rollout, &request, &asked).await {
            Ok(started) => Ok(started.created.then_some(started.rollout)),
            Err(StartError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn insert(&self, rollout: Rollout, request: &StartRollout, asked: &PolicyOverrides) -> Result<Started, StartError> {
        let row = to_row(&rollout, request.idempotency_key.clone())?;
        let began = trail::started(&rollout, &request.actor);
        let existing = match self.ledger.insert_rollout(&row, None, Some(&began)).await? {
            Inserted::New => return Ok(Started { rollout, created: true }),
            Inserted::Exists(existing) => from_row(*existing)?,
        };
        // One that Haldane opened by itself has the default policy; asked for with another, it is opened anew.
        let as_asked = existing.origin == Origin::Requested || existing.policy == request.policy;
        if is_same(&existing, request, asked) && as_asked {
            return Ok(Started { rollout: existing, created: false });
        }
        if existing.origin == Origin::Requested {
            return Err(conflict(&existing));
        }
        let reason = format!("replaced by rollout {}", rollout.id);
        let ending = Ending { state: RolloutState::Cancelled.as_str().to_owned(), reason, at: self.clock.now() };
        let entry = trail::ended(&existing, &request.actor, &ending);
        let replaced = Replaced { id: existing.id.as_str().to_owned(), ending, entry };
        let replaced = self.ledger.insert_rollout(&row, Some(&replaced), Some(&began)).await?;
        self.forget(&existing.id);
        match replaced {
            Inserted::New => Ok(Started { rollout, created: true }),
            Inserted::Exists(other) => {
                let other = from_row(*other)?;
                // The same request may come twice at once.
                if is_same(&other, request, asked) { Ok(Started { rollout: other, created: false }) } else { Err(conflict(&other)) }
            }
        }
    }

    fn draft(&self, request: &StartRollout, origin: Origin, started_at: UnixNanos) -> Rollout {
        let now = self.clock.now();
        Rollout {
            id: RolloutId::generate(now),
            service: request.service.clone(),
            environment: request.environment.clone(),
            baseline: request.baseline.clone(),
            canary: request.canary.clone(),
            strategy: request.strategy,
            state: RolloutState::Pending,
            state_reason: String::new(),
            origin,
            created_at: now,
            started_at,
            ended_at: None,
            policy: request.policy.clone(),
            policy_name: String::new(),
            metadata: request.metadata.clone(),
            stages: request.stages.clone(),
            stage: 0,
            stage_started_at: None,
            approval: None,
        }
    }

    async fn start_of(&self, request: &StartRollout) -> Result<UnixNanos, StartError> {
        if let Some(started_at) = request.started_at {
            return Ok(started_at);
        }
        let now = self.clock.now();
        let since = now.minus(CANARY_SOUGHT);
        let seen = first_seen(&self.engine, &request.service, &request.environment, &request.canary, since).await?;
        // A new attempt is not judged by what came of the one before.
        let query = RolloutQuery {
            service: Some(request.service.to_string()),
            environment: Some(request.environment.to_string()),
            limit: ATTEMPTS_SEEN,
            ..RolloutQuery::default()
        };
        let earlier = self.ledger.list_rollouts(&query).await?.into_iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
        let before = earlier.iter().filter(|rollout| rollout.canary == request.canary).filter_map(|rollout| rollout.ended_at).max();
        Ok(seen.unwrap_or(now).max(before.unwrap_or(since)))
    }

    /// Runs the policy's SQL once, on no time at all: a mistake is told now, not when it is needed.
    async fn try_metrics(&self, request: &StartRollout, policy: &Policy, started_at: UnixNanos) -> Result<(), StartError> {
        let question = Question {
            service: &request.service,
            environment: &request.environment,
            baseline: &request.baseline,
            canary: &request.canary,
            started_at,
            until: started_at,
            history: Duration::ZERO,
            seed: 0,
        };
        Ok(try_sql(&self.engine, &question, policy.metrics()).await?)
    }

    async fn require_telemetry(&self, request: &StartRollout) -> Result<(), StartError> {
        let mut waited = Duration::ZERO;
        loop {
            if self.is_known(&request.service, &request.environment).await? {
                return Ok(());
            }
            if waited >= VISIBLE_WITHIN {
                return Err(StartError::unknown(request));
            }
            tokio::time::sleep(ASK_AGAIN).await;
            waited += ASK_AGAIN;
        }
    }

    /// What time it is, for those who ask about rollouts.
    pub fn now(&self) -> UnixNanos {
        self.clock.now()
    }

    /// The rollout of this id.
    ///
    /// # Errors
    /// When there is none, or the ledger cannot be read.
    pub async fn get(&self, id: &RolloutId) -> Result<Rollout, FindError> {
        let row = self.ledger.rollout(id.as_str()).await?;
        Ok(from_row(row.ok_or_else(|| FindError::Unknown { id: id.clone() })?)?)
    }

    /// A page of the rollouts that match, the newest first.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn list(&self, filter: &RolloutFilter) -> Result<RolloutPage, ReadError> {
        let limit = filter.limit.clamp(1, PAGE_MAX);
        let query = RolloutQuery {
            service: filter.service.clone(),
            environment: filter.environment.clone(),
            state: filter.state.map(|state| state.as_str().to_owned()),
            before: filter.after.as_ref().map(|id| id.as_str().to_owned()),
            limit: limit + 1,
        };
        let rows = self.ledger.list_rollouts(&query).await?;
        let more = rows.len() > limit as usize;
        let rollouts = rows.into_iter().take(limit as usize).map(from_row).collect::<Result<Vec<_>, LedgerError>>()?;
        let next = if more { rollouts.last().map(|rollout| rollout.id.clone()) } else { None };
        Ok(RolloutPage { rollouts, next })
    }

    /// Ends a live rollout by a person's decision, whatever the judge says.
    ///
    /// # Errors
    /// When there is none of that id, or it has ended.
    pub async fn decide(&self, id: &RolloutId, decided: &PersonalDecision) -> Result<Rollout, CancelError> {
        let (state, word) = match decided.promote {
            true => (RolloutState::Promoted, "promoted"),
            false => (RolloutState::RolledBack, "rolled back"),
        };
        let reason = format!("{word} by {}: {}", decided.actor, decided.reason);
        self.end(id, &decided.actor, Ending { state: state.as_str().to_owned(), reason, at: self.clock.now() }).await
    }

    async fn end(&self, id: &RolloutId, actor: &str, ending: Ending) -> Result<Rollout, CancelError> {
        let rollout = self.get(id).await?;
        let told = trail::ended(&rollout, actor, &ending);
        // What somebody overrules, or acts on, is kept as what the judge decides on is.
        let grounds = self.grounds(id).await.ok().flatten();
        if !self.ledger.end_rollout(id.as_str(), &ending, told.as_slice()).await? {
            return Err(CancelError::Ended { id: id.clone(), state: rollout.state.as_str() });
        }
        self.forget(id);
        if let Some(grounds) = grounds {
            self.keep_evidence(id, ending.at, grounds).await;
        }
        Ok(self.get(id).await?)
    }

    /// Ends a live rollout without a verdict.
    ///
    /// # Errors
    /// When there is none of that id, or it has ended.
    pub async fn cancel(&self, id: &RolloutId, actor: &str, reason: &str) -> Result<Rollout, CancelError> {
        let ending = Ending { state: RolloutState::Cancelled.as_str().to_owned(), reason: reason.to_owned(), at: self.clock.now() };
        self.end(id, actor, ending).await
    }

    /// The newest verdict. Before the first judgement: `continue`, for want of data. Of a rollout that was cancelled or replaced: final.
    ///
    /// # Errors
    /// When there is no such rollout, or the ledger cannot be read.
    pub async fn verdict(&self, id: &RolloutId) -> Result<Verdict, FindError> {
        Ok(self.verdict_of(&self.get(id).await?).await?)
    }

    /// As [`Self::verdict`], of a rollout that was read just now.
    pub(super) async fn verdict_of(&self, rollout: &Rollout) -> Result<Verdict, LedgerError> {
        if let Some(judged) = self.cached(rollout) {
            return Ok(Verdict::clone(&judged.verdict));
        }
        let latest = match self.ledger.latest_verdict(rollout.id.as_str()).await? {
            Some(row) => Some(read_verdict(&row)?),
            None => None,
        };
        Ok(standing::verdict(rollout, latest))
    }

    /// Verdicts as they were written, the newest first. What another version wrote differently is left out.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn verdicts(&self, filter: &VerdictFilter) -> Result<Vec<Verdict>, ReadError> {
        let documents =
            self.ledger.verdict_documents((filter.rollout_id.as_deref(), filter.service.as_deref()), filter.since, filter.limit).await?;
        Ok(documents.iter().filter_map(|document| serde_json::from_str(document).ok()).collect())
    }

    /// The newest verdict, as soon as its sequence is past `after` or it is final; at the latest after `at_most`.
    ///
    /// # Errors
    /// As [`Self::verdict`].
    pub async fn wait(&self, id: &RolloutId, after: u64, at_most: Duration) -> Result<Verdict, FindError> {
        let mut bell = self.live.bell.subscribe();
        let deadline = tokio::time::Instant::now() + at_most;
        loop {
            bell.mark_unchanged();
            let verdict = self.verdict(id).await?;
            if verdict.sequence > after || verdict.is_final {
                return Ok(verdict);
            }
            if tokio::time::timeout_at(deadline, bell.changed()).await.is_err() {
                return Ok(verdict);
            }
        }
    }

    /// The services that have sent requests in the last day, with their versions.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub async fn services(&self) -> Result<Vec<ServiceSummary>, ReadError> {
        Ok(detect::services(&self.engine, self.clock.now()).await?)
    }

    /// The rollouts that are being judged.
    pub(super) async fn live(&self) -> Result<Vec<Rollout>, LedgerError> {
        let live: Vec<Rollout> = self.ledger.live_rollouts().await?.into_iter().map(from_row).collect::<Result<_, _>>()?;
        // One that ended while its verdict was written.
        self.live.verdicts.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| live.iter().any(|rollout| rollout.id == *id));
        Ok(live)
    }

    /// Writes a verdict down, ends the rollout if it is the last one, then tells those who wait.
    pub(super) async fn record(
        &self,
        rollout: &Rollout,
        before: Option<&Verdict>,
        judged: Judged,
        ending: Option<Ending>,
    ) -> Result<(), LedgerError> {
        let (id, verdict) = (&rollout.id, &judged.verdict);
        let now = ending.as_ref().map_or_else(|| self.clock.now(), |ending| ending.at);
        let document =
            serde_json::to_string(&**verdict).map_err(|cause| LedgerError::Broken { what: "verdict", detail: cause.to_string() })?;
        let row = VerdictRow {
            rollout_id: id.as_str().to_owned(),
            sequence: verdict.sequence,
            decided_at: now,
            decision: verdict.decision.as_str().to_owned(),
            is_final: verdict.is_final,
            document,
        };
        let told = trail::judged(rollout, before, verdict, now, ending.as_ref());
        let file = |grounds: &Grounds| if let Grounds::File(file) = grounds { Some(file.to_vec()) } else { None };
        let last = ending.map(|ending| Last { ending, evidence: judged.grounds.as_ref().and_then(file) });
        if self.ledger.append_verdict((&row, rollout.stage), last.as_ref(), &told).await? && last.is_none() {
            self.live.verdicts.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), judged);
            self.ring();
        } else {
            self.forget(id);
        }
        Ok(())
    }

    pub(super) async fn mark_running(&self, id: &RolloutId) -> Result<(), LedgerError> {
        self.ledger.set_rollout_state(id.as_str(), RolloutState::Running.as_str()).await?;
        Ok(())
    }

    /// Of one that has ended, whoever ended it, the ledger alone knows.
    pub(super) fn cached(&self, rollout: &Rollout) -> Option<Judged> {
        let verdicts = self.live.verdicts.read().unwrap_or_else(PoisonError::into_inner);
        let judged = verdicts.get(&rollout.id).filter(|judged| rollout.ended_at.is_none() && rollout.is_of_this_stage(&judged.verdict));
        judged.cloned()
    }

    /// What has ended is read from the ledger.
    fn forget(&self, id: &RolloutId) {
        self.live.verdicts.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.ring();
    }

    pub(super) fn ring(&self) {
        self.live.bell.send_modify(|rung| *rung = rung.wrapping_add(1));
    }
}

fn read_verdict(row: &VerdictRow) -> Result<Verdict, LedgerError> {
    serde_json::from_str(&row.document).map_err(|cause| LedgerError::Broken { what: "verdict", detail: cause.to_string() })
}

fn conflict(running: &Rollout) -> StartError {
    StartError::Conflict { service: running.service.to_string(), environment: running.environment.to_string(), running: running.id.clone() }
}
