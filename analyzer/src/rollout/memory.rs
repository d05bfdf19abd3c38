//! What is remembered of live rollouts from one round to the next. All of it may be forgotten: then more is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haldane_store::UnixNanos;

use super::model::{Rollout, RolloutId};
use crate::bundle::Bundle;
use crate::cohort::{Earlier, Keys};

/// The evidence of all live rollouts together may take so much: 112 bytes a cell and eight for each bucket of its histogram that is not empty. What is beyond that is read anew each time.
const BYTES_MAX: usize = 256 << 20;
/// So often evidence is read anew as a whole: what came very late counts by then.
const WHOLE_EVERY: Duration = Duration::from_secs(300);

/// What is remembered of all live rollouts.
#[derive(Debug)]
pub(super) struct Memory {
    known: Mutex<HashMap<RolloutId, Remembered>>,
    bytes_max: usize,
}

/// What is remembered of one.
#[derive(Debug, Default)]
struct Remembered {
    /// Too large to be read with others.
    is_large: bool,
    /// The stage in which it was proven and began to wait for a person or for the next stage. Doubts that come up meanwhile do not end the wait.
    waits_in: Option<usize>,
    judged: Option<JudgedOn>,
    kept: Option<Kept>,
}

/// What a verdict depends on beside the tables. While that is the same there is nothing to judge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JudgedOn {
    pub(super) rollout: Rollout,
    /// No later window was read.
    pub(super) until: UnixNanos,
    pub(super) ended: bool,
    pub(super) gave_up: bool,
}

/// The evidence of the newest verdict, to go on from.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) bundle: Arc<Bundle>,
    pub(super) keys: Keys,
    /// When it was read as a whole.
    pub(super) whole_at: UnixNanos,
}

impl Kept {
    pub(super) fn earlier(&self) -> Earlier<'_> {
        Earlier { evidence: &self.bundle.evidence, keys: &self.keys }
    }

    /// Whether it should be read anew as a whole.
    pub(super) fn is_old(&self, now: UnixNanos) -> bool {
        now.since(self.whole_at) >= WHOLE_EVERY
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { known: Mutex::default(), bytes_max: BYTES_MAX }
    }
}

impl Memory {
    /// Forgets rollouts that have ended.
    pub(super) fn keep(&self, live: &[Rollout]) {
        self.known().retain(|id, _| live.iter().any(|rollout| rollout.id == *id));
    }

    pub(super) fn is_large(&self, id: &RolloutId) -> bool {
        self.known().get(id).is_some_and(|known| known.is_large)
    }

    pub(super) fn note_large(&self, id: &RolloutId) {
        self.known().entry(id.clone()).or_default().is_large = true;
    }

    /// Whether the rollout was proven in its stage, and has waited since.
    pub(super) fn is_awaiting(&self, rollout: &Rollout) -> bool {
        self.known().get(&rollout.id).is_some_and(|known| known.waits_in == Some(rollout.stage))
    }

    /// Whether nothing is remembered of a rollout, as after a start.
    pub(super) fn is_new(&self, id: &RolloutId) -> bool {
        !self.known().contains_key(id)
    }

    /// Notes that a rollout waits in its stage.
    pub(super) fn note_awaiting(&self, rollout: &Rollout) {
        self.known().entry(rollout.id.clone()).or_default().waits_in = Some(rollout.stage);
    }

    /// Whether the last judgement was made on just this.
    pub(super) fn was_judged_on(&self, now: &JudgedOn) -> bool {
        self.known().get(&now.rollout.id).is_some_and(|known| known.judged.as_ref() == Some(now))
    }

    pub(super) fn kept(&self, id: &RolloutId) -> Option<Kept> {
        self.known().get(id).and_then(|known| known.kept.clone())
    }

    /// Keeps the evidence to go on from, if there is room for it; returns whether there is.
    pub(super) fn keep_evidence(&self, id: &RolloutId, kept: Kept) -> bool {
        let mut known = self.known();
        let others = known.iter().filter(|(other, _)| *other != id).filter_map(|(_, known)| known.kept.as_ref());
        let has_room = others.map(|kept| kept.bundle.bytes()).sum::<usize>() + kept.bundle.bytes() <= self.bytes_max;
        known.entry(id.clone()).or_default().kept = has_room.then_some(kept);
        has_room
    }

    /// Notes that a verdict was written, or that it said nothing new.
    pub(super) fn note_judged(&self, judged: JudgedOn) {
        let id = judged.rollout.id.clone();
        self.known().entry(id).or_default().judged = Some(judged);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<RolloutId, Remembered>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::bundle;
    use crate::judge::tests::world::World;

    fn kept() -> Kept {
        let bundle = bundle(World { windows: 6, ..World::default() }.evidence());
        Kept { bundle: Arc::new(bundle), keys: Keys::default(), whole_at: UnixNanos::from_seconds(1_000) }
    }

    #[test]
    fn what_is_kept_stays_and_what_has_no_room_is_not_kept() {
        let memory = Memory { bytes_max: 2 * kept().bundle.bytes(), ..Memory::default() };
        let ids = [1, 2, 3].map(|second| RolloutId::generate(UnixNanos::from_seconds(second)));
        let keeps = |at: usize| memory.keep_evidence(&ids[at], kept());
        assert_eq!([keeps(0), keeps(1), keeps(2), keeps(0)], [true, true, false, true], "one's own makes room for itself");
        assert!(memory.kept(&ids[1]).is_some() && memory.kept(&ids[2]).is_none());
        memory.keep(&[]);
        assert!(memory.kept(&ids[0]).is_none() && keeps(2));
    }

    #[test]
    fn evidence_is_read_anew_as_a_whole_after_five_minutes() {
        let is_old = |second: i64| kept().is_old(UnixNanos::from_seconds(second));
        assert!(!is_old(1_299) && is_old(1_300));
    }
}
