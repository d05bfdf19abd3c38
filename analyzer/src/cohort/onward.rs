//! Going on from an earlier reading: the windows that were complete then are taken over, only those since are read.
//!
//! Always holds: while no row comes later than [`AGAIN`], a reading that goes on finds what a whole one finds; of a service that is too large for its keys,
//! whose whole reading might by now keep other names apart, what it would find with the same ones. Left out on purpose: making what was taken over coarser.
//! What outgrows its keys is read anew as a whole.

use std::time::Duration;

use haldane_store::UnixNanos;

use super::cells::{CellRows, KEYS_MAX, Keys};
use super::gather::Question;
use crate::judge::{Evidence, Pairing, Role};

/// Windows that ended so long before the earlier reading did are read again: rows that were late then count.
const AGAIN: Duration = Duration::from_secs(60);

/// What a reading found, and how it told rows apart.
#[derive(Debug, Clone)]
pub(crate) struct Gathered {
    pub(crate) evidence: Evidence,
    pub(crate) keys: Keys,
    /// Nothing of it was taken over.
    pub(crate) is_whole: bool,
}

/// What an earlier reading of the same cohorts found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earlier<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) keys: &'a Keys,
}

/// Whether an earlier reading leaves less to read.
pub(crate) fn goes_on(question: &Question<'_>, earlier: Earlier<'_>) -> bool {
    !Open::new(question, Some(earlier)).is_whole()
}

/// The rows of a question that were read, not yet joined with what was known.
#[derive(Debug)]
pub(crate) struct News(pub(super) CellRows);

impl News {
    /// With what is known of the same question already. `None` if that does not go together: then the whole has to be read.
    pub(crate) fn join(self, question: &Question<'_>, earlier: Option<Earlier<'_>>) -> Option<Gathered> {
        Open::new(question, earlier).close(self.0)
    }
}

/// A question, as far as it is still open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open<'a> {
    pub(super) question: &'a Question<'a>,
    /// What it goes on from; `None` if all is read.
    earlier: Option<Earlier<'a>>,
    /// Windows that began before it are known.
    from: UnixNanos,
}

impl<'a> Open<'a> {
    /// Goes on from the earlier reading if that has anything to take over.
    pub(super) fn new(question: &'a Question<'a>, earlier: Option<Earlier<'a>>) -> Self {
        let whole = Self::whole(question);
        let same = |earlier: &Earlier<'_>| {
            let evidence = earlier.evidence;
            // Up to its start nobody looked whether rows were late.
            let has_windows = evidence.until > evidence.started_at;
            has_windows && evidence.started_at == question.started_at && evidence.seed == question.seed && evidence.until <= question.until
        };
        let Some(earlier) = earlier.filter(same) else { return whole };
        let from = earlier.evidence.until.minus(AGAIN).bucket(earlier.keys.window());
        // A wide window in which the history begins is known in part.
        if from <= question.from() { whole } else { Self { question, earlier: Some(earlier), from } }
    }

    /// All of it.
    pub(super) fn whole(question: &'a Question<'a>) -> Self {
        Self { question, earlier: None, from: question.from() }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.earlier.is_none()
    }

    /// From here on rows of the cohort are read.
    pub(super) fn since(&self, role: Role) -> UnixNanos {
        match role {
            Role::Baseline => self.from,
            Role::Canary => self.from.max(self.question.started_at),
        }
    }

    /// None yet.
    pub(super) fn rows(&self) -> CellRows {
        self.earlier.map_or_else(CellRows::default, |earlier| CellRows::with_keys(earlier.keys.clone()))
    }

    /// With what is known already. `None` if that does not go together: then the whole has to be read.
    pub(super) fn close(&self, rows: CellRows) -> Option<Gathered> {
        let question = self.question;
        let ((mut cells, mut errors, mut calls), keys) = rows.finish();
        if let Some(Earlier { evidence, keys: before }) = self.earlier {
            if !keys.are_as(before) {
                return None;
            }
            cells = evidence.cells.replaced_since(self.from, cells);
            errors = joined(&evidence.errors, |error| error.at < self.from, errors);
            calls = joined(&evidence.calls, |call| call.at < self.from, calls);
            if cells.len().max(errors.len()).max(calls.len()) > KEYS_MAX {
                return None;
            }
        }
        let empty = Evidence::new(question.seed, Pairing::Concurrent, keys.window(), question.started_at, question.until);
        Some(Gathered { evidence: Evidence { cells, errors, calls, ..empty }, keys, is_whole: self.is_whole() })
    }
}

/// The known ones up to a time, then the new ones. Both are sorted by time.
fn joined<T: Clone>(known: &[T], is_settled: impl Fn(&T) -> bool, new: Vec<T>) -> Vec<T> {
    let settled = &known[..known.partition_point(is_settled)];
    let mut all = Vec::with_capacity(settled.len() + new.len());
    all.extend_from_slice(settled);
    all.extend(new);
    all
}
