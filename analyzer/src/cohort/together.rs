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
use super::predicate::{ROLLUP_COLUMNS, Source, source_of};
use super::selector::Selector;
use super::sql;
use crate::judge::{Evidence, Role};
use crate::query::{Engine, instant, literal};

/// So many are read together: the evidence of all of them is in memory at once.
pub(crate) const TOGETHER_MAX: usize = 25;
/// With more keys of a kind, one is read alone.
const KEYS_MAX: usize = 20_000;

/// Whether the roll-ups carry what both selectors ask for.
pub(crate) fn can_share(question: &Question<'_>) -> bool {
    [question.baseline, question.canary].iter().all(|selector| source_of(selector) == Source::Rollups)
}

/// The evidence of each question, in their order; `None` where one is too large to be read with others. At most [`TOGETHER_MAX`] questions, all of which
/// [`can_share`], and no two on one service and environment.
pub(crate) async fn gather_together(engine: &Engine, questions: &[Question<'_>]) -> Result<Vec<Option<Evidence>>, GatherError> {
    let mut sharing = Sharing::new(questions);
    let Some(range) = range_of(questions) else { return Ok(Vec::new()) };
    let mut names: Vec<String> = questions.iter().map(|question| literal(question.service.as_str())).collect();
    names.sort();
    names.dedup();
    let chosen = format!("service_name IN ({})", names.join(", "));
    engine.each(&sql::shared_red_sql(&chosen, &range), |batch| sharing.deal(Kind::Cells, batch)).await?;
    engine.each(&sql::shared_errors_sql(&chosen, &range), |batch| sharing.deal(Kind::Errors, batch)).await?;
    engine.each(&sql::shared_calls_sql(&chosen, &range), |batch| sharing.deal(Kind::Calls, batch)).await?;
    Ok(sharing.finish())
}

fn range_of(questions: &[Question<'_>]) -> Option<String> {
    let from = questions.iter().map(Question::from).min()?;
    let until = questions.iter().map(|question| question.until).max()?;
    Some(format!("time >= {} AND time < {}", instant(from), instant(until)))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cells,
    Errors,
    Calls,
}

struct Sharing<'a> {
    questions: &'a [Question<'a>],
    by_place: HashMap<(&'a str, &'a str), usize>,
    /// `None` once there are too many.
    rows: Vec<Option<CellRows>>,
}

impl<'a> Sharing<'a> {
    fn new(questions: &'a [Question<'a>]) -> Self {
        let by_place = questions.iter().enumerate().map(|(at, question)| ((question.service.as_str(), question.environment.as_str()), at));
        Self { questions, by_place: by_place.collect(), rows: questions.iter().map(|_| Some(CellRows::default())).collect() }
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
            let question = &self.questions[at];
            for (role, selector, since) in
                [(Role::Baseline, question.baseline, question.from()), (Role::Canary, question.canary, question.started_at)]
            {
                let mut chosen = vec![false; batch.num_rows()];
                for row in rows.iter().copied().filter(|row| places.is_of(*row, selector, since, question.until)) {
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

    fn finish(self) -> Vec<Option<Evidence>> {
        let questions = self.questions.iter();
        questions.zip(self.rows).map(|(question, rows)| Some(rows?.into_evidence(question))).collect()
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
