//! Cases as samples of metrics.

use std::collections::HashMap;

use arrow::array::Array as _;
use arrow::datatypes::{Float64Type, Int64Type};
use haldane_analyzer::kayenta::Direction;
use haldane_analyzer::recorded::{self, Judge, Kind, Metric};

use super::table::{Columns, Read, text};
use super::{Cases, Look};

/// A metric of a case, with the time of each sample.
struct Series {
    name: String,
    kind: Kind,
    direction: Direction,
    baseline: Vec<(i64, f64)>,
    canary: Vec<(i64, f64)>,
}

/// A case: samples of its metrics.
#[derive(Default)]
pub(super) struct Samples {
    series: Vec<Series>,
    places: HashMap<String, usize>,
}

pub(super) fn read(rows: &Columns, cases: &mut Cases<Samples>) -> Read<()> {
    let (metrics, kinds) = (rows.texts("metric")?, rows.texts("kind")?);
    let (directions, cohorts) = (rows.texts("direction")?, rows.texts("cohort")?);
    let (times, values) = (rows.numbers::<Int64Type>("timestamp")?, rows.numbers::<Float64Type>("value")?);
    cases.each(rows, |row, case| {
        let name = text(&metrics, row);
        let at = case.places.get(name).copied().unwrap_or_else(|| {
            let (kind, direction) = (Kind::named(text(&kinds, row)), direction(text(&directions, row)));
            case.places.insert(name.to_owned(), case.series.len());
            case.series.push(Series { name: name.to_owned(), kind, direction, baseline: Vec::new(), canary: Vec::new() });
            case.series.len() - 1
        });
        let series = &mut case.series[at];
        let cohort = if text(&cohorts, row) == "canary" { &mut series.canary } else { &mut series.baseline };
        cohort.push((times.value(row), if values.is_null(row) { f64::NAN } else { values.value(row) }));
        Ok(())
    })
}

impl Samples {
    /// To be called once, when all has been read.
    pub(super) fn sort(&mut self) {
        for series in &mut self.series {
            series.baseline.sort_by_key(|(time, _)| *time);
            series.canary.sort_by_key(|(time, _)| *time);
        }
    }

    /// Judges by the first part of the canary.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    pub(super) fn look(&self, share: f64, by: Judge) -> Look {
        let values = |samples: &[(i64, f64)]| samples.iter().map(|(_, value)| *value).collect();
        let mut until = None;
        let mut metric = |series: &Series| {
            let seen = &series.canary[..((series.canary.len() as f64 * share).ceil() as usize).min(series.canary.len())];
            until = until.max(seen.last().map(|(time, _)| *time));
            let (baseline, canary) = (values(&series.baseline), values(seen));
            Metric { name: series.name.clone(), kind: series.kind, direction: series.direction, baseline, canary }
        };
        let metrics: Vec<Metric> = self.series.iter().map(&mut metric).collect();
        let finding = recorded::judge(&metrics, by);
        let (loudest, p_value) = finding.loudest.unzip();
        let decision = if finding.rollback { "rollback" } else { "continue" };
        Look { decision, loudest, p_value: p_value.flatten(), reason: None, until }
    }
}

fn direction(name: &str) -> Direction {
    match name {
        "increase" => Direction::Increase,
        "decrease" => Direction::Decrease,
        _ => Direction::Either,
    }
}
