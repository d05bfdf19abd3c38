//! What the senders know of each parcel.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::parcel::Parcel;

/// What a sender was told about a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// Nothing: the connection broke. It may be there or not, but not in part.
    Unanswered,
    /// To try again later. It may be there only if the server was killed right then.
    Refused,
    /// That it is safe.
    Acknowledged,
}

/// All parcels so far.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<BTreeMap<u64, (Parcel, Fate)>>);

impl Book {
    /// A new parcel that is about to be sent.
    pub(super) fn open(&self, round: u32) -> Parcel {
        let mut entries = self.entries();
        let number = entries.last_key_value().map_or(1, |(last, _)| last + 1);
        let parcel = Parcel { number, round };
        entries.insert(number, (parcel, Fate::Unanswered));
        parcel
    }

    pub(super) fn close(&self, parcel: Parcel, fate: Fate) {
        self.entries().insert(parcel.number, (parcel, fate));
    }

    /// The parcels of one round, or of all.
    pub(super) fn parcels(&self, round: Option<u32>) -> Vec<(Parcel, Fate)> {
        self.entries().values().filter(|(parcel, _)| round.is_none_or(|round| parcel.round == round)).copied().collect()
    }

    pub(super) fn count(&self, fate: Fate) -> usize {
        self.entries().values().filter(|(_, one)| *one == fate).count()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, (Parcel, Fate)>> {
        self.0.lock().unwrap()
    }
}
