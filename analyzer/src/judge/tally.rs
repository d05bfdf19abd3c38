//! What is counted beside requests, such as log records and calls, against the requests that were served meanwhile.
//!
//! A stratum is one kind of event, and its exposure is every request of the instance in the window: which operation it belongs to is not known, and the mix
//! of operations may change its rate by itself, by about [`mix_factor`] at most.

use std::collections::BTreeMap;
use std::sync::Arc;

use haldane_store::UnixNanos;
use rustc_hash::FxHashMap;

use super::counts::{RowCounts, Stratum, StratumBuilder};
use super::evidence::Role;
use super::served::{Served, Spot};
use super::storms::LeftOut;
use super::table::{Part, Table};

/// The requests of each instance in each window, of all operations, sorted by window.
pub(super) struct Exposure {
    served: Vec<Served>,
    /// By window and part: an instance that served. What an instance that serves nothing has counted is put down to it.
    somebody: FxHashMap<(i64, Part), u32>,
}

/// How often one kind of event was seen, by instance and window.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream(BTreeMap<Spot, f64>);

/// What was seen once or more.
pub(super) struct Sighting<'a> {
    pub(super) at: UnixNanos,
    pub(super) cohort: Role,
    pub(super) instance: &'a Arc<str>,
    pub(super) count: u64,
}

/// Nothing is seen more often in a window. What claims to be is damaged.
const COUNT_MAX: f64 = 1e12;

impl Exposure {
    pub(super) fn new(table: &Table<'_>) -> Self {
        let served: Vec<Served> = table.served.iter().filter(|served| served.requests > 0.0).copied().collect();
        let mut somebody = FxHashMap::default();
        for Served { spot, .. } in &served {
            somebody.entry((spot.window, spot.side)).or_insert(spot.instance);
        }
        Self { served, somebody }
    }

    /// Adds a sighting; one in a window in which its cohort served nothing has nothing to be set against.
    pub(super) fn add(&self, table: &Table<'_>, stream: &mut Stream, sighting: &Sighting<'_>) {
        let window = table.clock.number(sighting.at);
        let Some(side) = table.clock.part(window, sighting.cohort, table.pairing) else { return };
        let own = table.instance(sighting.instance).map(|instance| Spot { window, side, instance });
        let own = own.filter(|spot| self.served.binary_search_by_key(spot, |served| served.spot).is_ok());
        let spot = own.or_else(|| self.somebody.get(&(window, side)).map(|instance| Spot { window, side, instance: *instance }));
        if let Some(spot) = spot {
            *stream.0.entry(spot).or_default() += sighting.count as f64;
        }
    }

    /// The stream as counts.
    pub(super) fn stratum(&self, table: &Table<'_>, number: usize, stream: &Stream, left_out: LeftOut<'_>) -> Stratum {
        let mut stratum = StratumBuilder::new(table);
        for Served { spot, requests } in self.served.iter().filter(|served| !left_out.has(&served.spot)) {
            let events = stream.0.get(spot).copied().unwrap_or(0.0).min(COUNT_MAX) * left_out.factor(spot);
            stratum.add(table, *spot, RowCounts { requests: *requests, events, promote_events: events });
        }
        stratum.finish(number)
    }

    /// All requests, and what of the stream was seen with them.
    pub(super) fn all(&self, stream: Stream) -> impl Iterator<Item = (Spot, f64, f64)> {
        let seen = move |spot| stream.0.get(spot).copied().unwrap_or(0.0).min(COUNT_MAX);
        self.served.iter().map(move |Served { spot, requests }| (*spot, *requests, seen(spot)))
    }

    /// Windows, requests and events of an instance of the canary.
    pub(super) fn rows_of(&self, stream: &Stream, instance: u32) -> Vec<(i64, f64, f64)> {
        let own = self.served.iter().filter(|Served { spot, .. }| spot.side == Part::Canary && spot.instance == instance);
        own.map(|Served { spot, requests }| (spot.window, *requests, stream.0.get(spot).copied().unwrap_or(0.0))).collect()
    }
}

/// As many requests of each cohort are added to an operation's before their shares are compared.
const MIX_REQUESTS: f64 = 5.0;

/// By how much a changed mix of operations can change a rate of the whole, each operation's own staying as it is: the greatest ratio of an operation's
/// shares in canary and baseline, or in baseline and canary if `downwards`; at least one.
pub(super) fn mix_factor(table: &Table<'_>, downwards: bool) -> f64 {
    let [baseline, canary] = table.mix.iter().fold([0.0, 0.0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
    if baseline <= 0.0 || canary <= 0.0 {
        return 1.0;
    }
    let ratio = |[of_baseline, of_canary]: &[f64; 2]| {
        let scaled = of_baseline * canary / baseline;
        let ratio = (of_canary + MIX_REQUESTS) / (scaled + MIX_REQUESTS);
        if downwards { 1.0 / ratio } else { ratio }
    };
    table.mix.iter().map(ratio).fold(1.0, f64::max)
}

impl Stream {
    /// All that was seen.
    pub(super) fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// Takes another one in.
    pub(super) fn merge(&mut self, other: &Self) {
        for (spot, count) in &other.0 {
            *self.0.entry(*spot).or_default() += count;
        }
    }
}
