//! OTLP/JSON, brought into protobuf, and the answers to it.
//!
//! Always holds: what the JSON mapping of OTLP allows is read (64-bit integers as string or number, ids in hex of either case, `null` as the
//! default, unknown fields ignored); a value of the wrong type, or a field given twice, is refused by its path. Nesting ends where
//! `serde_json`'s own limit (128 levels) does, so no body can exhaust the stack.
//! Left out on purpose: snake_case keys, which OTLP does not know.

mod place;
mod reader;
mod response;
mod scalar;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::str::Utf8Error;

pub(crate) use response::{partial_success, status};

use crate::decode::schema;
use crate::request::Signal;
use place::ShapeError;

/// Why a JSON body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// Not text.
    #[error("the body is not valid JSON: {0}")]
    Text(#[from] Utf8Error),
    /// Not JSON, or nested too deeply.
    #[error("the body is not valid JSON: {0}")]
    Syntax(serde_json::Error),
    /// JSON, but not OTLP.
    #[error("the body is not valid OTLP/JSON: {0}")]
    Shape(#[from] ShapeError),
}

/// The same request in protobuf. An empty body stands for an empty request, as it does there.
pub(crate) fn to_protobuf(signal: Signal, body: &[u8]) -> Result<Vec<u8>, JsonError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let (shape, text) = (schema::request(signal), std::str::from_utf8(body)?);
    match reader::read(shape, text) {
        Err(error @ JsonError::Syntax(_)) => match with_whole_characters(text) {
            Cow::Owned(mended) => reader::read(shape, &mended),
            Cow::Borrowed(_) => Err(error),
        },
        read => read,
    }
}

/// The text with U+FFFD for each half of a character: a script that cuts a text after so many units writes them, and no reader of JSON in Rust
/// takes them.
fn with_whole_characters(text: &str) -> Cow<'_, str> {
    let unit_at = |at: usize| u16::from_str_radix(text.get(at..at + 6)?.strip_prefix("\\u")?, 16).ok();
    let mut mended = Cow::Borrowed(text);
    let mut at = 0;
    while let Some(found) = text.as_bytes().get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let next = at + found;
        at = match (unit_at(next), unit_at(next + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => next + 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.to_mut().replace_range(next..next + 6, "\\ufffd");
                next + 6
            }
            (Some(_), _) => next + 6,
            // What follows is no beginning of an escape.
            (None, _) => next + 2,
        };
    }
    mended
}
