//! Storms: minutes in which one instance has far more events than the others of its cohort, and than it has by itself in other minutes.
//!
//! They are common where nothing is wrong with a version (a pod that is moved, a neighbour that takes its processor), and make a service look so noisy that
//! little else can be seen in it. So rates are compared a second time with storms cut down to what the other instances make likely, in both cohorts
//! by the same rule; the mean of two e-values is one.
//!
//! The bound is the same multiple of what is expected in both cohorts, that of the cohort whose instances expect less: with one of its own, a cohort of busy
//! instances would lose more of its storms than one of idle instances, and would look better for it.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::lone::INSTANCES_MIN;
use super::served::Spot;
use super::table::{Part, Table};

/// An instance may have so many standard deviations of independent events beyond what is expected,
const DEVIATIONS: f64 = 3.0;
/// and so many events more.
const EVENTS: f64 = 2.0;
/// What an instance usually has is known after so many minutes.
const MINUTES_KNOWN: usize = 5;

/// By how much the events of an instance in a minute are cut down.
pub(super) struct Storms {
    /// In windows.
    minute: i64,
    factors: FxHashMap<Place, f64>,
}

/// What of the events does not count; nothing by default.
#[derive(Clone, Copy, Default)]
pub(super) struct LeftOut<'a> {
    /// Those of one instance of the canary.
    pub(super) instance: Option<u32>,
    /// What storms bring beyond what is likely.
    pub(super) storms: Option<&'a Storms>,
}

impl LeftOut<'_> {
    pub(super) fn has(self, spot: &Spot) -> bool {
        spot.side == Part::Canary && self.instance == Some(spot.instance)
    }

    pub(super) fn factor(self, spot: &Spot) -> f64 {
        self.storms.map_or(1.0, |storms| storms.factor(spot))
    }
}

/// An instance of a cohort in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    minute: i64,
    is_canary: bool,
    instance: u32,
}

/// What an instance had in a minute, and what it would have at the baseline's rates.
#[derive(Debug, Clone, Copy, Default)]
struct Had {
    events: f64,
    expected: f64,
}

impl Place {
    fn of(spot: &Spot, minute: i64) -> Self {
        Self { minute: spot.window.div_euclid(minute), is_canary: spot.side == Part::Canary, instance: spot.instance }
    }

    fn cohort(&self) -> (i64, bool) {
        (self.minute, self.is_canary)
    }
}

impl Storms {
    /// Those among events that are given with where they were and how many were expected; `None` where there are none.
    pub(super) fn find(table: &Table<'_>, events: impl Iterator<Item = (Spot, f64, f64)>) -> Option<Self> {
        let minute = table.clock.windows(Duration::from_secs(60));
        let mut places: FxHashMap<Place, Had> = FxHashMap::default();
        for (spot, events, expected) in events.filter(|(.., expected)| *expected > 0.0) {
            let had = places.entry(Place::of(&spot, minute)).or_default();
            *had = Had { events: had.events + events, expected: had.expected + expected };
        }
        let mut places: Vec<(Place, Had)> = places.into_iter().collect();
        places.sort_unstable_by_key(|(place, _)| *place);
        let multiple = multiple(&places)?;
        let own = own_usual(&places);
        // Where one cohort has too few instances, storms are left in the other one too.
        let minutes = places.chunk_by(|(a, _), (b, _)| a.minute == b.minute);
        let told = minutes.filter(|minute| cohorts(minute).all(|cohort| cohort.len() >= INSTANCES_MIN));
        let factors: FxHashMap<Place, f64> = told.flat_map(cohorts).flat_map(|cohort| factors(cohort, multiple, &own)).collect();
        (!factors.is_empty()).then_some(Self { minute, factors })
    }

    /// What an event there counts.
    pub(super) fn factor(&self, spot: &Spot) -> f64 {
        self.factors.get(&Place::of(spot, self.minute)).copied().unwrap_or(1.0)
    }
}

/// The cohorts of each minute.
fn cohorts(places: &[(Place, Had)]) -> impl Iterator<Item = &[(Place, Had)]> {
    places.chunk_by(|(a, _), (b, _)| a.cohort() == b.cohort())
}

/// How many times what is expected an instance may have, by the cohort whose instances expect less; `None` where a cohort mostly has too few of them.
fn multiple(places: &[(Place, Had)]) -> Option<f64> {
    let usual = |is_canary: bool| {
        let own: Vec<_> = cohorts(places).filter(|cohort| cohort[0].0.is_canary == is_canary).collect();
        let enough = own.iter().filter(|cohort| cohort.len() >= INSTANCES_MIN).count();
        let (expected, count) = own.iter().copied().flatten().fold((0.0, 0.0), |(sum, count), (_, had)| (sum + had.expected, count + 1.0));
        (2 * enough > own.len()).then_some(expected / count)
    };
    let usual = usual(false)?.min(usual(true)?);
    Some(bound(usual) / usual)
}

fn bound(expected: f64) -> f64 {
    expected + DEVIATIONS * expected.sqrt() + EVENTS
}

/// By cohort and instance: how many times what is expected it has in the minute in the middle, where enough minutes are known. Instances that are worse than others
/// all of the time are no storms; how much they differ is measured, and must not be made to look less.
fn own_usual(places: &[(Place, Had)]) -> FxHashMap<(bool, u32), f64> {
    let mut minutes: FxHashMap<(bool, u32), Vec<f64>> = FxHashMap::default();
    for (place, had) in places {
        minutes.entry((place.is_canary, place.instance)).or_default().push(had.events / had.expected);
    }
    minutes.retain(|_, ratios| ratios.len() >= MINUTES_KNOWN);
    minutes.into_iter().map(|(instance, ratios)| (instance, middle(ratios))).collect()
}

/// The factors of those of a cohort in a minute that have too many. What the version does shows in the one in the middle, which storms of some do not move.
fn factors(cohort: &[(Place, Had)], multiple: f64, own: &FxHashMap<(bool, u32), f64>) -> Vec<(Place, f64)> {
    let usual = middle(cohort.iter().map(|(_, had)| had.events / had.expected).collect()).max(1.0);
    let bounded = cohort.iter().filter_map(|(place, had)| {
        let own = own.get(&(place.is_canary, place.instance)).copied().unwrap_or(1.0);
        let likely = had.expected * usual.max(own);
        let bound = bound(likely).max(multiple * likely);
        (had.events > bound).then(|| (*place, bound / had.events))
    });
    bounded.collect()
}

/// The one in the middle; the upper of two.
fn middle(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(minute: i64, is_canary: bool, instance: u32) -> Place {
        Place { minute, is_canary, instance }
    }

    /// A minute of eight instances, four of each cohort, that have so many events where ten were expected in the baseline and five in the canary.
    fn minute(baseline: [f64; 4], canary: [f64; 4]) -> Vec<(Place, Had)> {
        let of = |is_canary, events: [f64; 4], expected| {
            (0..).zip(events).map(move |(instance, events)| (place(0, is_canary, instance), Had { events, expected }))
        };
        of(false, baseline, 10.0).chain(of(true, canary, 5.0)).collect()
    }

    #[test]
    fn the_bound_is_that_of_the_idler_cohort_in_both() {
        let usual = minute([10.0; 4], [5.0; 4]);
        let multiple = multiple(&usual).unwrap();
        assert!((multiple - (5.0 + 3.0 * 5.0_f64.sqrt() + 2.0) / 5.0).abs() < 1e-12);
        let none = FxHashMap::default();
        assert_eq!(factors(&minute([10.0, 12.0, 8.0, 27.0], [5.0; 4])[..4], multiple, &none), [], "27 of 10 is as likely as 13.5 of 5");
        let stormy = minute([10.0, 12.0, 8.0, 100.0], [5.0, 5.0, 5.0, 100.0]);
        assert_eq!(factors(&stormy[..4], multiple, &none), [(place(0, false, 3), 12.0 * multiple / 100.0)]);
        assert_eq!(factors(&stormy[4..], multiple, &none), [(place(0, true, 3), 5.0 * multiple / 100.0)]);
    }

    #[test]
    fn what_the_whole_version_does_is_no_storm() {
        let multiple = multiple(&minute([10.0; 4], [5.0; 4])).unwrap();
        assert_eq!(factors(&minute([10.0; 4], [50.0, 45.0, 60.0, 52.0])[4..], multiple, &FxHashMap::default()), []);
    }

    #[test]
    fn an_instance_that_is_always_worse_is_no_storm() {
        let one = minute([10.0, 10.0, 10.0, 100.0], [5.0; 4]);
        let minutes = |minutes: i64| -> Vec<_> {
            (0..minutes).flat_map(|minute| one.iter().map(move |(place, had)| (Place { minute, ..*place }, *had))).collect()
        };
        let multiple = multiple(&minutes(5)).unwrap();
        assert_eq!(factors(&one[..4], multiple, &own_usual(&minutes(5))), []);
        assert_eq!(factors(&one[..4], multiple, &own_usual(&minutes(4))).len(), 1, "not known yet");
    }

    #[test]
    fn two_instances_cannot_tell_which_of_them_is_in_trouble() {
        let few: Vec<_> = minute([10.0; 4], [5.0; 4]).into_iter().filter(|(place, _)| !place.is_canary || place.instance < 2).collect();
        assert_eq!(multiple(&few), None);
        assert_eq!(multiple(&[]), None);
    }
}
