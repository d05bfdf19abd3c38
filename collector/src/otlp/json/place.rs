//! Where a value stands in a JSON text, for errors that name it.

use std::fmt;

/// A value of the wrong type, and where it stands.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path} must be {expected}")]
pub(crate) struct ShapeError {
    /// Such as `resourceSpans[0].scopeSpans[1].spans[2].traceId`.
    path: String,
    /// What may stand there.
    expected: &'static str,
}

/// Where a value stands: a chain up to the root, on the stack, turned into text only for an error.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    Root,
    Key(&'p Place<'p>, &'static str),
    Index(&'p Place<'p>, usize),
}

impl Place<'_> {
    pub(super) fn must_be(&self, expected: &'static str) -> ShapeError {
        ShapeError { path: self.to_string(), expected }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the body"),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
