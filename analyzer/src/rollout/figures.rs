//! Figures on the judging itself, for `/metrics`: what is rolling out, how late verdicts are, what fails. Taken at the end of each round.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use haldane_store::UnixNanos;
use haldane_store::clock::SharedClock;

use super::desk::Rollouts;
use super::model::{Rollout, RolloutFilter, RolloutState};
use crate::verdict::{Verdict, VerdictDecision};

/// A rollout that has ended is told of for so long.
const TOLD_AFTER: Duration = Duration::from_secs(3600);
/// So many rollouts are looked through, the newest ones.
const LOOKED_THROUGH: u32 = 500;

/// What is known of the judging. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Figures {
    known: Arc<Mutex<Known>>,
    clock: SharedClock,
}

#[derive(Debug)]
struct Known {
    rollouts: Vec<Newest>,
    outbox: Vec<OutboxFigures>,
    ended: BTreeMap<&'static str, u64>,
    /// Ended rollouts that are counted already.
    counted: HashSet<String>,
    rounds: RoundFigures,
}

/// The newest rollout of a service and environment, live or ended lately.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutFigures {
    /// The service.
    pub service: String,
    /// Where.
    pub environment: String,
    /// Where it stands.
    pub state: RolloutState,
    /// What its verdict says.
    pub decision: VerdictDecision,
    /// Of a live one.
    pub live: Option<LiveFigures>,
}

/// Of a rollout that is being judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveFigures {
    /// How old the newest telemetry is that was judged.
    pub data_age: Duration,
    /// Requests of the canary that were judged.
    pub canary_requests: u64,
    /// Since it was started.
    pub age: Duration,
}

/// Messages to one receiver in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxFigures {
    /// The receiver.
    pub receiver: String,
    /// As the ledger has it: `due`, `repeating`, `delivered` or `dead`.
    pub state: String,
    /// How many.
    pub count: u64,
}

/// Of the rounds over all live rollouts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundFigures {
    /// How long the last one took.
    pub took: Duration,
    /// When it ended; before the first one, when judging began.
    pub at: UnixNanos,
    /// Judgements that could not be made, since the start.
    pub failures: u64,
}

/// The newest rollout of a place, with instants in place of ages.
#[derive(Debug)]
struct Newest {
    service: String,
    environment: String,
    state: RolloutState,
    decision: VerdictDecision,
    canary_requests: u64,
    is_live: bool,
    created_at: UnixNanos,
    judged_until: UnixNanos,
    /// Nothing that comes later is judged.
    judged_to: UnixNanos,
}

impl Newest {
    fn at(&self, now: UnixNanos) -> RolloutFigures {
        let live = LiveFigures {
            data_age: now.min(self.judged_to).since(self.judged_until),
            canary_requests: self.canary_requests,
            age: now.since(self.created_at),
        };
        RolloutFigures {
            service: self.service.clone(),
            environment: self.environment.clone(),
            state: self.state,
            decision: self.decision,
            live: self.is_live.then_some(live),
        }
    }
}

impl Figures {
    /// None yet. The first round counts from now on.
    pub(super) fn new(clock: SharedClock) -> Self {
        let rounds = RoundFigures { took: Duration::ZERO, at: clock.now(), failures: 0 };
        Self {
            known: Arc::new(Mutex::new(Known {
                rollouts: Vec::new(),
                outbox: Vec::new(),
                ended: BTreeMap::new(),
                counted: HashSet::new(),
                rounds,
            })),
            clock,
        }
    }

    /// The newest rollout of each service and environment, as old as it is now.
    pub fn rollouts(&self) -> Vec<RolloutFigures> {
        let now = self.clock.now();
        self.known().rollouts.iter().map(|newest| newest.at(now)).collect()
    }

    /// What the outbox holds.
    pub fn outbox(&self) -> Vec<OutboxFigures> {
        self.known().outbox.clone()
    }

    /// Rollouts that ended since the start, by state.
    pub fn ended(&self) -> Vec<(&'static str, u64)> {
        self.known().ended.iter().map(|(state, count)| (*state, *count)).collect()
    }

    /// The rounds.
    pub fn rounds(&self) -> RoundFigures {
        self.known().rounds
    }

    pub(super) fn failed(&self) {
        self.known().rounds.failures += 1;
    }

    /// Looks at what there is after a round. What cannot be read leaves what was known.
    pub(super) async fn look(&self, desk: &Rollouts, began: Instant, since_start: UnixNanos) {
        let now = desk.now();
        {
            let mut known = self.known();
            (known.rounds.took, known.rounds.at) = (began.elapsed(), now);
        }
        if let Ok(counts) = desk.ledger.notification_counts().await {
            self.known().outbox = counts.into_iter().map(|(receiver, state, count)| OutboxFigures { receiver, state, count }).collect();
        }
        let filter = RolloutFilter { limit: LOOKED_THROUGH, ..RolloutFilter::default() };
        let Ok(page) = desk.list(&filter).await else { return };
        self.count_ended(&page.rollouts, since_start);
        let mut seen = HashSet::new();
        let mut told = Vec::new();
        for rollout in page.rollouts {
            let lately = rollout.ended_at.is_none_or(|ended| now.since(ended) <= TOLD_AFTER);
            if !seen.insert((rollout.service.clone(), rollout.environment.clone())) || !lately {
                continue;
            }
            if let Ok(verdict) = desk.verdict_of(&rollout).await {
                told.push(newest_of(&rollout, &verdict));
            }
        }
        self.known().rollouts = told;
    }

    fn count_ended(&self, rollouts: &[Rollout], since_start: UnixNanos) {
        let mut known = self.known();
        let ended = rollouts.iter().filter(|rollout| rollout.ended_at.is_some_and(|at| at >= since_start));
        let ended: Vec<(String, &'static str)> = ended.map(|rollout| (rollout.id.to_string(), rollout.state.as_str())).collect();
        for (id, state) in &ended {
            if known.counted.insert(id.clone()) {
                *known.ended.entry(state).or_default() += 1;
            }
        }
        // Older ones do not come again.
        known.counted.retain(|id| ended.iter().any(|(known, _)| known == id));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn newest_of(rollout: &Rollout, verdict: &Verdict) -> Newest {
    let judged_until = UnixNanos::parse_rfc3339(&verdict.data_until).unwrap_or(rollout.created_at);
    Newest {
        service: rollout.service.to_string(),
        environment: rollout.environment.to_string(),
        state: rollout.state,
        decision: verdict.decision,
        canary_requests: verdict.canary.requests,
        is_live: rollout.ended_at.is_none(),
        created_at: rollout.created_at,
        // Of one that has just begun nothing older than its start can be missing.
        judged_until: judged_until.max(rollout.created_at),
        judged_to: if verdict.awaits_somebody() { rollout.watched_to() } else { rollout.judged_to() },
    }
}
