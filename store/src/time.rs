//! Instants and windows. An instant is nanoseconds since the Unix epoch, as OTLP has it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z. Good until the year 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNanos(i64);

impl UnixNanos {
    /// The instant `nanos` nanoseconds after the epoch.
    pub const fn new(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From OTLP's unsigned field; `None` past the year 2262.
    pub fn try_from_u64(nanos: u64) -> Option<Self> {
        i64::try_from(nanos).ok().map(Self)
    }

    /// From whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Microseconds since the epoch, rounded down.
    pub const fn as_micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// Days since the epoch, rounded down: the `date` partition a row belongs to.
    pub fn as_days(self) -> i32 {
        i32::try_from(self.0.div_euclid(86_400 * NANOS_PER_SECOND)).expect("an i64 of nanoseconds spans 213,504 days")
    }

    /// How long `earlier` lies before this instant; zero if it does not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved later, stopping at the end of time.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This instant moved earlier, stopping at the beginning of time.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The start of the bucket of the given width that holds this instant.
    ///
    /// A width of zero is taken as one nanosecond.
    pub fn bucket(self, width: Duration) -> Self {
        let width = i64::try_from(width.as_nanos()).unwrap_or(i64::MAX).max(1);
        Self(self.0.div_euclid(width).saturating_mul(width))
    }

    /// As RFC 3339 in UTC, such as `2026-11-20T21:31:05.25Z`.
    pub fn to_rfc3339(self) -> String {
        chrono::DateTime::from_timestamp_nanos(self.0).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    }

    /// Reads RFC 3339; the error says what is wrong with the text. What lies before 1677 or after 2262 is the first or the last instant.
    ///
    /// # Errors
    /// When the text is not a date and time with an offset.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        let parsed = chrono::DateTime::parse_from_rfc3339(text).map_err(|source| TimeError { text: text.to_owned(), source })?;
        let beyond = if parsed.timestamp() < 0 { i64::MIN } else { i64::MAX };
        Ok(Self(parsed.timestamp_nanos_opt().unwrap_or(beyond)))
    }
}

impl fmt::Display for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Why a text is no instant: it is not RFC 3339.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a time: write it as 2026-11-20T21:31:05Z")]
pub struct TimeError {
    /// What was given.
    text: String,
    /// What the parser says.
    source: chrono::ParseError,
}

/// A half-open span of time, `start <= t < end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeWindow {
    start: UnixNanos,
    end: UnixNanos,
}

impl TimeWindow {
    /// The window from `start` up to but not including `end`; empty if `end` does not lie after `start`.
    pub fn new(start: UnixNanos, end: UnixNanos) -> Self {
        Self { start, end: end.max(start) }
    }

    /// First instant inside.
    pub fn start(&self) -> UnixNanos {
        self.start
    }

    /// First instant after it.
    pub fn end(&self) -> UnixNanos {
        self.end
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        self.end.since(self.start)
    }

    /// Whether the instant lies inside.
    pub fn contains(&self, at: UnixNanos) -> bool {
        self.start <= at && at < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_round_down_on_both_sides_of_the_epoch() {
        let width = Duration::from_secs(10);
        assert_eq!(UnixNanos::from_seconds(19).bucket(width), UnixNanos::from_seconds(10));
        assert_eq!(UnixNanos::from_seconds(-1).bucket(width), UnixNanos::from_seconds(-10));
    }

    #[test]
    fn text_and_instant_agree_both_ways() {
        let at = UnixNanos::parse_rfc3339("2026-11-20T22:31:05.25+01:00").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-11-20T21:31:05.250Z");
        assert!(UnixNanos::parse_rfc3339("yesterday").unwrap_err().to_string().contains("write it as"));
    }

    #[test]
    fn a_window_that_ends_before_it_starts_is_empty() {
        let window = TimeWindow::new(UnixNanos::from_seconds(5), UnixNanos::from_seconds(3));
        assert_eq!(window.duration(), Duration::ZERO);
        assert!(!window.contains(UnixNanos::from_seconds(5)));
    }
}
