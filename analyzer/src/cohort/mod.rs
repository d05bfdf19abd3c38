//! Cohorts: who belongs to one, and how its evidence is read from the tables.

mod cells;
mod columns;
mod gather;
mod predicate;
mod selector;
mod sql;

pub use gather::GatherError;
pub use selector::{MATCHERS_MAX, Selector, SelectorError};

pub(crate) use columns::{Columns, text, unsigned};
pub(crate) use gather::{Question, count_rows, first_seen, gather};

#[cfg(test)]
pub(crate) mod tests;
