//! Spans of time as people write them: `30s`, `2m`, `1h30m`, `500ms`; a bare number is seconds.

use std::time::Duration;

/// Why a text is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a span of time: write it as 30s, 2m or 1h30m")]
pub struct SpanError {
    text: String,
}

/// Reads a span of time.
///
/// # Errors
/// When a part has no number or an unknown unit, or the sum is beyond all reason (over 10 years).
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let wrong = || SpanError { text: text.chars().take(40).collect() };
    let trimmed = text.trim();
    if trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        return trimmed.parse().ok().map(Duration::from_secs).filter(|span| *span <= LONGEST).ok_or_else(wrong);
    }
    let mut total = Duration::ZERO;
    let mut rest = trimmed;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = rest[letters..].trim_start();
        let part = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).filter(|sum| *sum <= LONGEST).ok_or_else(wrong)?;
    }
    Ok(total)
}

const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Writes a span of time as [`parse_span`] reads it, in whole seconds or milliseconds.
pub fn show_span(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds == 0 && span.subsec_millis() > 0 {
        return format!("{}ms", span.subsec_millis());
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, ms) in
            [("30s", 30_000), ("2m", 120_000), ("1h30m", 5_400_000), ("500ms", 500), ("45", 45_000), ("0s", 0), ("1m 5s", 65_000)]
        {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["s", "-5s", "1.5s", "10x", "9999999999999999999", "99999999999d", "5é", "٣s", "1s2"] {
            assert!(parse_span(text).unwrap_err().to_string().contains("write it as 30s"), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for seconds in [0, 1, 59, 60, 61, 3600, 5400, 86_399] {
            let span = Duration::from_secs(seconds);
            assert_eq!(parse_span(&show_span(span)), Ok(span));
        }
    }
}
