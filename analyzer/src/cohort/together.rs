//! One reading of the roll-ups for many rollouts at once: planning and opening files for each by itself costs more than the rows.
//!
//! Always holds: what is read together is what [`gather`](super::gather()) reads alone. Left out on purpose: selectors that need `spans`, and services with
//! more keys than are worth sharing memory for; those are read alone.

use std::collections::HashMap;

use arrow::array::{Array as _, BooleanArray, MapArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use haldane_store::UnixNanos;

use super::cells::CellRows;
use super::columns::{Columns, text};
use super::gather::{GatherError, Question};
use super::onward::{Earlier, News, Open};
use super::predicate::{ROLLUP_COLUMNS, Source, source_of};
use super::selector::Selector;
use super::sql;
use crate::judge::Role;
use crate::query::{Engine, instant, literal};

/// So many are read together as a whole: the evidence of all of them is in memory at once.
pub(crate) const TOGETHER_MAX: usize = 25;
/// So many that go on from an earlier reading are: of most there are a few windows.
pub(crate) const ONWARD_MAX: usize = 250;
/// With more keys of a kind, one is read alone.
const KEYS_MAX: usize = 20_000;

/// Whether the roll-ups carry what both selectors ask for.
pub(crate) fn can_share(question: &Question<'_>) -> bool {
    [question.baseline, question.canary].iter().all(|selector| source_of(selector) == Source::Rollups)
}

/// What is read of each question, in their order, to be joined with what was known of it; `None` where it is too much to be read with others. All of them
/// [`can_share`], and no two are on one service and environment.
pub(crate) async fn gather_together(
    engine: &Engine,
    questions: &[(Question<'_>, Option<Earlier<'_>>)],
) -> Result<Vec<Option<News>>, GatherError> {
    let open: Vec<Open<'_>> = questions.iter().map(|(question, earlier)| Open::new(question, *earlier)).collect();
    let mut sharing = Sharing::new(&open);
    let Some(range) = range_of(&open) else { return Ok(Vec::new()) };
    let mut names: Vec<String> = questions.iter().map(|(question, _)| literal(question.service.as_str())).collect();
    names.sort();
    names.dedup();
    let chosen = format!("service_name IN ({})", names.join(", "));
    engine.each(&sql::shared_red_sql(&chosen, &range), |batch| sharing.deal(Kind::Cells, batch)).await?;
    engine.each(&sql::shared_errors_sql(&chosen, &range), |batch| sharing.deal(Kind::Errors, batch)).await?;
    engine.each(&sql::shared_calls_sql(&chosen, &range), |batch| sharing.deal(Kind::Calls, batch)).await?;
    Ok(sharing.finish())
}

fn range_of(open: &[Open<'_>]) -> Option<String> {
    let from = open.iter().map(|open| open.since(Role::Baseline)).min()?;
    let until = open.iter().map(|open| open.question.until).max()?;
    Some(format!("time >= {} AND time < {}", instant(from), instant(until)))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cells,
    Errors,
    Calls,
}

struct Sharing<'a> {
    open: &'a [Open<'a>],
    by_place: HashMap<(&'a str, &'a str), usize>,
    /// `None` once there are too many.
    rows: Vec<Option<CellRows>>,
}

impl<'a> Sharing<'a> {
    fn new(open: &'a [Open<'a>]) -> Self {
        let places = open.iter().map(|open| (open.question.service.as_str(), open.question.environment.as_str()));
        let by_place = places.enumerate().map(|(at, place)| (place, at)).collect();
        Self { open, by_place, rows: open.iter().map(|open| Some(open.rows())).collect() }
    }

    /// Hands each row to the question and the cohort that it belongs to.
    fn deal(&mut self, kind: Kind, batch: &RecordBatch) -> Result<(), GatherError> {
        let places = Places::of(batch)?;
        let mut rows_of: HashMap<usize, Vec<usize>> = HashMap::new();
        for row in 0..batch.num_rows() {
            if let Some(at) = self.by_place.get(&places.place(row)) {
                rows_of.entry(*at).or_default().push(row);
            }
        }
        for (at, rows) in rows_of {
            let (open, question) = (&self.open[at], self.open[at].question);
            for (role, selector) in [(Role::Baseline, question.baseline), (Role::Canary, question.canary)] {
                let mut chosen = vec![false; batch.num_rows()];
                for row in rows.iter().copied().filter(|row| places.is_of(*row, selector, open.since(role), question.until)) {
                    chosen[row] = true;
                }
                if chosen.contains(&true)
                    && let Some(keys) = &mut self.rows[at]
                {
                    let part = filter_record_batch(batch, &BooleanArray::from(chosen)).map_err(|_| places.columns.unexpected("time"))?;
                    match kind {
                        Kind::Cells => keys.add_cells(role, &part)?,
                        Kind::Errors => keys.add_errors(role, &part)?,
                        Kind::Calls => keys.add_calls(role, &part)?,
                    }
                }
            }
            if self.rows[at].as_ref().is_some_and(|keys| keys.keys() > KEYS_MAX) {
                self.rows[at] = None;
            }
        }
        Ok(())
    }

    fn finish(self) -> Vec<Option<News>> {
        self.rows.into_iter().map(|rows| rows.map(News)).collect()
    }
}

/// What selectors ask of the rows of a batch.
struct Places<'a> {
    columns: Columns<'a>,
    times: Vec<UnixNanos>,
    services: StringArray,
    environments: StringArray,
    /// In the order of [`ROLLUP_COLUMNS`].
    matched: Vec<StringArray>,
    attributes: MapArray,
}

impl<'a> Places<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, GatherError> {
        let columns = Columns { table: "red", batch };
        let attributes = columns.map("cohort_attributes")?.clone();
        Ok(Self {
            times: columns.times("time")?,
            services: columns.texts("service_name")?,
            environments: columns.texts("environment")?,
            matched: ROLLUP_COLUMNS.iter().map(|(_, column)| columns.texts(column)).collect::<Result<_, _>>()?,
            attributes,
            columns,
        })
    }

    fn place(&self, row: usize) -> (&str, &str) {
        (text(&self.services, row), text(&self.environments, row))
    }

    fn is_of(&self, row: usize, selector: &Selector, since: UnixNanos, until: UnixNanos) -> bool {
        let at = self.times[row];
        at >= since && at < until && selector.matchers().iter().all(|(key, value)| self.matches(row, key, value))
    }

    fn matches(&self, row: usize, key: &str, value: &str) -> bool {
        if let Some(at) = ROLLUP_COLUMNS.iter().position(|(name, _)| *name == key) {
            let column = &self.matched[at];
            return !column.is_null(row) && column.value(row) == value;
        }
        if self.attributes.is_null(row) {
            return false;
        }
        let entries = self.attributes.value(row);
        let (keys, values) = (super::columns::strings(entries.column(0)), super::columns::strings(entries.column(1)));
        let (Some(keys), Some(values)) = (keys, values) else { return false };
        (0..entries.len()).any(|entry| keys.value(entry) == key && !values.is_null(entry) && values.value(entry) == value)
    }
}
