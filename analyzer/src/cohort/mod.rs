//! Cohorts: who belongs to one, and how its evidence is read from the tables.

mod cells;
mod columns;
mod gather;
mod predicate;
mod samples;
mod selector;
mod sql;

pub use gather::GatherError;
pub use samples::MetricSqlError;
pub use selector::{MATCHERS_MAX, Selector, SelectorError};

pub(crate) use columns::{Columns, text, unsigned};
pub(crate) use gather::{Question, count_rows, first_seen, gather};
pub(crate) use samples::{add_samples, try_sql};

#[cfg(test)]
pub(crate) mod tests;
