//! Which tables still want the rows of a log record: all of them when it is new, some when it is replayed.

use haldane_store::TableName;

/// A set of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted([bool; TableName::ALL.len()]);

impl Wanted {
    /// Every table.
    pub(crate) const ALL: Self = Self([true; TableName::ALL.len()]);

    /// The tables that satisfy a condition.
    pub(crate) fn by(is_wanted: impl Fn(TableName) -> bool) -> Self {
        Self(TableName::ALL.map(is_wanted))
    }

    pub(crate) fn has(self, table: TableName) -> bool {
        self.0[table as usize]
    }

    pub(crate) fn is_empty(self) -> bool {
        !self.0.contains(&true)
    }
}
