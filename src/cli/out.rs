//! Where the command line writes: answers to standard output, notes to standard error, and nowhere else.

use std::io::{self, Write};

/// Writes an answer and a line end.
///
/// # Errors
/// When standard output cannot be written. A reader that went away, as `head` does, is no error.
pub(crate) fn line(text: &str) -> io::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes an answer as it is.
///
/// # Errors
/// As [`line()`].
pub(crate) fn bytes(answer: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(answer).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a line for the person who looks on. Nothing can be done when that fails.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text from telemetry on one line, without what would steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
