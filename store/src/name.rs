//! Names that are right once they exist: a service, an environment, a version.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// Longest name accepted, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a {what} may not be empty")]
    Empty {
        /// What was being named.
        what: &'static str,
    },
    /// Over [`NAME_BYTES_MAX`].
    #[error("a {what} may have at most {NAME_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// How long it was.
        bytes: usize,
    },
    /// A line break, a tab or the like.
    #[error("a {what} may not contain control characters")]
    Control {
        /// What was being named.
        what: &'static str,
    },
}

fn check(what: &'static str, raw: &str) -> Result<Arc<str>, NameError> {
    match raw.len() {
        0 => Err(NameError::Empty { what }),
        bytes if bytes > NAME_BYTES_MAX => Err(NameError::TooLong { what, bytes }),
        _ if raw.contains(char::is_control) => Err(NameError::Control { what }),
        _ => Ok(raw.into()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks the text.
            ///
            /// # Errors
            /// When it is empty, longer than [`NAME_BYTES_MAX`] or holds control characters.
            pub fn parse(raw: &str) -> Result<Self, NameError> {
                check($what, raw).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

// Three types of the same shape, so that a version is never passed for a service.
name!(
    /// A service, as `service.name` has it.
    ServiceName, "service name");
name!(
    /// Where a service runs, as `deployment.environment.name` has it.
    Environment, "environment name");
name!(
    /// A released version, as `service.version` has it.
    Version, "version");

impl Environment {
    /// The environment of telemetry that names none.
    pub fn unnamed() -> Self {
        Self("default".into())
    }
}

/// Whether a name that people give to a token or a receiver can be one: 1 to 64 of the characters a-z A-Z 0-9 - _ .
pub fn is_plain_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A number that follows from a name, and looks like chance. FNV-1a, 32 bits: Fowler, Noll, Vo.
pub fn hash_of(name: impl IntoIterator<Item = u8>) -> u32 {
    name.into_iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Whether a text is what a pattern describes, in which `*` stands for any text.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((part, after)) = rest.split_once('*') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
        rest = after;
    }
    text.ends_with(rest)
}

/// SHA-256 of a text in hex: a name for what is too long to be one.
pub fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_once_and_then_trusted() {
        assert_eq!(ServiceName::parse("checkout").unwrap().as_str(), "checkout");
        assert_eq!(ServiceName::parse(""), Err(NameError::Empty { what: "service name" }));
        assert!(matches!(Version::parse(&"x".repeat(256)), Err(NameError::TooLong { bytes: 256, .. })));
        assert!(matches!(Environment::parse("a\nb"), Err(NameError::Control { .. })));
    }
}
