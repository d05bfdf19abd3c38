//! Whose fault an error is, and so whether trying again is useful. Every protocol maps this one answer to its own codes.

/// The answer each error type gives about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller sent something that can never be accepted: do not try again unchanged.
    Invalid,
    /// What was asked for does not exist.
    Missing,
    /// The request contradicts what exists, such as a second rollout of one service.
    Conflict,
    /// Too much at once: try again later.
    Busy,
    /// Something we depend on is away, such as the disk: try again later.
    Unavailable,
    /// We are wrong: trying again will not help.
    Bug,
}

/// An error that knows whose fault it is.
pub trait Classified: std::error::Error {
    /// Whose fault this is, by exhaustive match over the variants.
    fn fault(&self) -> Fault;
}

/// The error and all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// The error below all others: what happened, without what was being done.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}
