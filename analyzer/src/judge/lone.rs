//! One instance against a whole version: is an excess of errors that of a single instance, and has it lasted?
//!
//! A minute of trouble on one pod is common where nothing is wrong with the version, and at the beginning of a rollout there is little yet to tell how
//! common. So what one instance alone has brought counts only once it has lasted; until then the others decide.

use std::collections::BTreeMap;
use std::time::Duration;

use super::counts::{Counts, Stratum};
use super::table::{Part, Table};

/// With fewer instances none can be told from the others.
pub(super) const INSTANCES_MIN: usize = 3;
/// An instance stands alone with more than this part of the excess, or twice its fair part if that is more.
const ALONE_FROM: f64 = 0.5;
/// Trouble has lasted when so many minutes had it,
const MINUTES_LASTING: usize = 4;
/// each with so many times the errors of the baseline,
const MINUTE_FACTOR: f64 = 2.0;
/// and so many of them.
const MINUTE_EVENTS: f64 = 2.0;

/// The canary's instance that has most of the excess, if it has been in trouble for a short time only.
///
/// `rows_of` gives windows, requests and events of an instance of the canary in a stratum.
pub(super) fn lone_and_brief(table: &Table<'_>, counts: &Counts, rows_of: impl Fn(&Stratum, u32) -> Vec<(i64, f64, f64)>) -> Option<u32> {
    let known = counts.canary_instances();
    let instances: BTreeMap<u32, f64> = known.into_iter().map(|(instance, (events, expected))| (instance, events - expected)).collect();
    let total: f64 = instances.values().sum();
    let (worst, excess) = instances.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(instance, excess)| (*instance, *excess))?;
    let alone = ALONE_FROM.max(2.0 / instances.len() as f64);
    let is_lone = instances.len() >= INSTANCES_MIN && total > 0.0 && excess > alone * total;
    (is_lone && !has_lasted(table, counts, |stratum| rows_of(stratum, worst))).then_some(worst)
}

fn has_lasted(table: &Table<'_>, counts: &Counts, rows_of: impl Fn(&Stratum) -> Vec<(i64, f64, f64)>) -> bool {
    let width = table.clock.windows(Duration::from_secs(60));
    let mut minutes: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for stratum in &counts.strata {
        for (window, requests, events) in rows_of(stratum) {
            let minute = minutes.entry(window.div_euclid(width)).or_default();
            minute.0 += events;
            minute.1 += stratum.expected(Part::Baseline, requests);
        }
    }
    let bad = minutes.values().filter(|(events, expected)| *events >= MINUTE_EVENTS && *events > MINUTE_FACTOR * expected);
    bad.count() >= MINUTES_LASTING
}
