//! Cohorts: who belongs to one, and how its evidence is read from the tables.

mod cells;
mod columns;
mod gather;
mod impact;
mod onward;
mod predicate;
mod samples;
mod selector;
mod sql;
mod together;

pub use gather::GatherError;
pub use impact::{ChangedAttribute, Impact, NewError, NewMessage, UsersMet};
pub use samples::MetricSqlError;
pub use selector::{MATCHERS_MAX, Selector, SelectorError};

pub(crate) use cells::Keys;
pub(crate) use columns::{Columns, text, unsigned};
pub(crate) use gather::{Question, count_rows, first_seen, gather, gather_on};
pub(crate) use impact::impact;
pub(crate) use onward::{Earlier, Gathered, News, goes_on};
pub(crate) use predicate::spans_condition;
pub(crate) use samples::{add_samples, try_sql};
pub(crate) use together::{ONWARD_MAX, TOGETHER_MAX, can_share, gather_together};

#[cfg(test)]
pub(crate) mod tests;
