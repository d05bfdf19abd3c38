//! What is counted beside requests, such as log records and calls, against the requests that were served meanwhile.
//!
//! It has no operation of its own: a stratum is one kind of event, and its exposure is every request of the instance in the window.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use haldane_store::UnixNanos;

use super::counts::{RowCounts, Spot, Stratum, StratumBuilder};
use super::evidence::Role;
use super::table::{Part, Table};

/// The requests of each instance in each window, over all operations, sorted by window.
pub(super) struct Exposure {
    served: BTreeMap<Spot, f64>,
    /// By window and part: an instance that served. What an instance that serves nothing has counted is put down to it.
    somebody: HashMap<(i64, Part), u32>,
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
        let mut served: BTreeMap<Spot, f64> = BTreeMap::new();
        for row in table.all().filter(|row| row.requests > 0.0) {
            *served.entry(Spot::of(row)).or_default() += row.requests;
        }
        let mut somebody = HashMap::new();
        for spot in served.keys() {
            somebody.entry((spot.window, spot.side)).or_insert(spot.instance);
        }
        Self { served, somebody }
    }

    /// Adds a sighting; one in a window in which its cohort served nothing has nothing to be set against.
    pub(super) fn add(&self, table: &Table<'_>, stream: &mut Stream, sighting: &Sighting<'_>) {
        let window = table.clock.number(sighting.at);
        let Some(side) = table.clock.part(window, sighting.cohort, table.pairing) else { return };
        let own = table.instance(sighting.instance).map(|instance| Spot { window, side, instance });
        let own = own.filter(|spot| self.served.contains_key(spot));
        let spot = own.or_else(|| self.somebody.get(&(window, side)).map(|instance| Spot { window, side, instance: *instance }));
        if let Some(spot) = spot {
            *stream.0.entry(spot).or_default() += sighting.count as f64;
        }
    }

    /// The stream as counts, at most `per_request` events for each request; of all instances, or of all but one of the canary's.
    pub(super) fn stratum(&self, table: &Table<'_>, number: usize, stream: &Stream, per_request: f64, without: Option<u32>) -> Stratum {
        let mut stratum = StratumBuilder::new(table, number);
        for (spot, requests) in self.served.iter().filter(|(spot, _)| spot.side != Part::Canary || Some(spot.instance) != without) {
            let events = stream.0.get(spot).copied().unwrap_or(0.0).min(per_request * requests).min(COUNT_MAX);
            stratum.add(table, *spot, RowCounts { requests: *requests, events, promote_events: events });
        }
        stratum.finish()
    }

    /// Windows, requests and events of an instance of the canary.
    pub(super) fn rows_of(&self, stream: &Stream, instance: u32) -> Vec<(i64, f64, f64)> {
        let own = self.served.iter().filter(|(spot, _)| spot.side == Part::Canary && spot.instance == instance);
        own.map(|(spot, requests)| (spot.window, *requests, stream.0.get(spot).copied().unwrap_or(0.0))).collect()
    }
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
