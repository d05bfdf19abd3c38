//! Cases as counts of requests and errors by window, cohort, operation and instance: what the default judge sees of a rollout.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, Int32Array, Int64Array, ListArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type};
use haldane_analyzer::judge::{Cell, Decision, Evidence, Judgement, Pairing, Role, judge};
use haldane_analyzer::policy::Policy;
use haldane_analyzer::recorded::{self, Judge};
use haldane_store::UnixNanos;
use haldane_store::histogram::{DURATION_SCALE, ExponentialHistogram, bucket_index};

use super::table::{Columns, Read, text};
use super::{Cases, Look};

/// Windows are this long where a case has one only.
const WINDOW_MS: i64 = 10_000;
const NANOS_PER_MS: i64 = 1_000_000;

/// A case: its cells by time, cohort, operation and instance.
#[derive(Default)]
pub(super) struct Counts {
    cells: BTreeMap<(i64, Role, Arc<str>, Arc<str>), Cell>,
}

/// The columns that a table need not have.
struct Optional {
    operations: Option<StringArray>,
    instances: Option<StringArray>,
    durations: Durations,
}

/// How long requests took.
enum Durations {
    Unknown,
    /// By the upper bounds of buckets.
    Explicit {
        bounds_ms: ListArray,
        counts: ListArray,
    },
    /// As `red` has it.
    Exponential {
        scales: Int32Array,
        zeros: Int64Array,
        offsets: Int32Array,
        counts: ListArray,
    },
}

pub(super) fn read(rows: &Columns, cases: &mut Cases<Counts>) -> Read<()> {
    let (times, cohorts) = (rows.numbers::<Int64Type>("timestamp")?, rows.texts("cohort")?);
    let (requests, errors) = (rows.numbers::<Int64Type>("requests")?, rows.numbers::<Int64Type>("errors")?);
    let optional = Optional::of(rows)?;
    cases.each(rows, |row, case| {
        let cohort = match text(&cohorts, row) {
            "canary" => Role::Canary,
            "baseline" => Role::Baseline,
            other => return Err(format!("cohort is {other:?}: it has to be baseline or canary").into()),
        };
        let time = times.value(row);
        let at = time.checked_mul(NANOS_PER_MS).ok_or_else(|| format!("timestamp {time} is no time in milliseconds"))?;
        let name = |column: &Option<StringArray>| -> Arc<str> { column.as_ref().map_or("", |column| text(column, row)).into() };
        let (operation, instance) = (name(&optional.operations), name(&optional.instances));
        let count = |column: &Int64Array, what: &str| -> Read<u64> {
            let value = if column.is_null(row) { 0 } else { column.value(row) };
            u64::try_from(value).map_err(|_| format!("{what} is {value} in row {row}: it cannot be negative").into())
        };
        let key = (at, cohort, operation.clone(), instance.clone());
        let cell = case.cells.entry(key).or_insert_with(|| Cell::new(UnixNanos::new(at), cohort, operation, instance));
        cell.requests = cell.requests.saturating_add(count(&requests, "requests")?);
        cell.errors = cell.errors.saturating_add(count(&errors, "errors")?);
        optional.durations.add(row, &mut cell.durations)
    })
}

impl Optional {
    fn of(rows: &Columns) -> Read<Self> {
        let texts = |name: &str| rows.has(name).then(|| rows.texts(name)).transpose();
        Ok(Self { operations: texts("operation")?, instances: texts("instance")?, durations: Durations::of(rows)? })
    }
}

impl Durations {
    fn of(rows: &Columns) -> Read<Self> {
        if rows.has("duration_counts") {
            return Ok(Self::Exponential {
                scales: rows.numbers::<Int32Type>("duration_scale")?,
                zeros: rows.numbers::<Int64Type>("duration_zero_count")?,
                offsets: rows.numbers::<Int32Type>("duration_offset")?,
                counts: lists(rows, "duration_counts", DataType::Int64)?,
            });
        }
        if rows.has("bucket_counts") {
            return Ok(Self::Explicit {
                bounds_ms: lists(rows, "bucket_bounds_ms", DataType::Float64)?,
                counts: lists(rows, "bucket_counts", DataType::Int64)?,
            });
        }
        Ok(Self::Unknown)
    }

    fn add(&self, row: usize, durations: &mut ExponentialHistogram) -> Read<()> {
        match self {
            Self::Unknown => {}
            Self::Exponential { scales, zeros, offsets, counts } => {
                let counts = unsigned(counts, row)?;
                let zeros = u64::try_from(zeros.value(row)).map_err(|_| "duration_zero_count cannot be negative")?;
                durations.merge(&ExponentialHistogram::from_parts(scales.value(row), zeros, offsets.value(row), counts));
            }
            Self::Explicit { bounds_ms, counts } => {
                let counts = unsigned(counts, row)?;
                let bounds = bounds_ms.value(row);
                let bounds = bounds.as_primitive::<Float64Type>().values();
                if counts.len() != bounds.len() + 1 && !counts.is_empty() {
                    return Err(
                        format!("{} bucket_counts for {} bucket_bounds_ms: there has to be one more", counts.len(), bounds.len()).into()
                    );
                }
                // A request counts as if it took as long as its bucket allows, so that none crosses a bound.
                let longest = bounds.last().map_or(0.0, |last| 2.0 * last);
                for (bound, count) in bounds.iter().copied().chain([longest]).zip(counts).filter(|(_, count)| *count > 0) {
                    let index = bucket_index(bound * 1e6, DURATION_SCALE);
                    durations.merge(&ExponentialHistogram::from_parts(DURATION_SCALE, 0, index, vec![count]));
                }
            }
        }
        Ok(())
    }
}

fn lists(rows: &Columns, name: &str, of: DataType) -> Read<ListArray> {
    let list = DataType::List(Arc::new(Field::new("item", of, true)));
    Ok(cast(rows.column(name)?, &list)?.as_list::<i32>().clone())
}

fn unsigned(lists: &ListArray, row: usize) -> Read<Vec<u64>> {
    if lists.is_null(row) {
        return Ok(Vec::new());
    }
    let counts = lists.value(row);
    let counts = counts.as_primitive::<Int64Type>().iter().map(|count| u64::try_from(count.unwrap_or(0)));
    Ok(counts.collect::<Result<_, _>>().map_err(|_| "counts of a histogram cannot be negative")?)
}

impl Counts {
    /// All of it, as the judge sees it at the end. The canary's first window is when the rollout began; `None` when it has none.
    pub(super) fn evidence(self) -> Option<Evidence> {
        let started_at = self.cells.values().filter(|cell| cell.cohort == Role::Canary).map(|cell| cell.at).min()?;
        let mut times: Vec<i64> = self.cells.keys().map(|key| key.0).collect();
        times.dedup();
        let window = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(WINDOW_MS * NANOS_PER_MS);
        let window = Duration::from_nanos(u64::try_from(window).ok()?);
        let until = UnixNanos::new(*times.last()?).plus(window);
        let serves = |at: UnixNanos, role: Role| self.cells.values().any(|cell| cell.at >= at && cell.cohort == role && cell.requests > 0);
        let pairing = if serves(started_at, Role::Baseline) { Pairing::Concurrent } else { Pairing::Preceding };
        let cells = self.cells.into_values().collect();
        Some(Evidence { cells, ..Evidence::new(0, pairing, window, started_at, until) })
    }
}

/// Judges by what was there when a share of the canary's time had passed. Later cells do not count, so that nothing needs to be copied.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number of windows")]
pub(super) fn look(evidence: &mut Evidence, end: UnixNanos, share: f64, by: Judge, policy: &Policy) -> Look {
    let windows = (end.since(evidence.started_at).as_nanos() as f64 / evidence.window.as_nanos() as f64 * share).ceil();
    evidence.until = evidence.started_at.plus(evidence.window * windows as u32);
    let until = Some(evidence.until.as_nanos() / NANOS_PER_MS);
    match by {
        Judge::Default => Look { until, ..told(&judge(policy, evidence)) },
        Judge::Kayenta => {
            let finding = recorded::judge(&recorded::minutes(evidence), by);
            let decision = if finding.rollback { "rollback" } else { "continue" };
            Look { decision, loudest: finding.loudest.map(|(name, _)| name), p_value: None, reason: None, until }
        }
    }
}

fn told(judgement: &Judgement) -> Look {
    let loudest = judgement.comparisons.iter().max_by(|a, b| a.ln_e.total_cmp(&b.ln_e));
    let (decision, reason) = match &judgement.decision {
        Decision::Rollback { worst, .. } => ("rollback", Some(worst.reason.clone())),
        Decision::Promote { proofs } => ("promote", Some(proofs.first.reason.clone())),
        Decision::Continue { .. } => ("continue", loudest.map(|one| one.reason.clone())),
        Decision::Inconclusive { .. } => ("inconclusive", loudest.map(|one| one.reason.clone())),
    };
    let p_value = Some((-judgement.ln_risk).exp().min(1.0));
    Look { decision, loudest: loudest.map(|one| one.name.clone()), p_value, reason, until: None }
}
