//! Which telemetry belongs to a cohort: resource attributes that must all match.

use std::collections::BTreeMap;
use std::fmt;

use haldane_store::{Classified, Fault};

/// Most matchers a selector may have.
pub const MATCHERS_MAX: usize = 16;
/// Longest key or value, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// Attribute matchers, all of which must hold. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selector(BTreeMap<String, String>);

/// Why matchers are no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// No matcher: it would pick everything.
    #[error("a selector needs at least one attribute, such as service.version=1.5.0")]
    Empty,
    /// Over [`MATCHERS_MAX`].
    #[error("a selector may have at most {MATCHERS_MAX} attributes, this one has {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Not `key=value`.
    #[error("{text:?} is not a matcher: write attribute=value, such as service.version=1.5.0")]
    Shape {
        /// What was given.
        text: String,
    },
    /// A key twice.
    #[error("the attribute {key:?} is given twice")]
    Repeated {
        /// Which one.
        key: String,
    },
    /// A key or value that is empty, too long or holds control characters.
    #[error("the attribute {key:?} needs a key and a value of 1 to 255 bytes without control characters")]
    Text {
        /// Which one.
        key: String,
    },
}

impl Classified for SelectorError {
    fn fault(&self) -> Fault {
        Fault::Invalid
    }
}

impl Selector {
    /// Checks matchers by attribute key.
    ///
    /// # Errors
    /// When there are none or too many, or one is empty, too long or holds control characters.
    pub fn try_new(matchers: BTreeMap<String, String>) -> Result<Self, SelectorError> {
        if matchers.is_empty() {
            return Err(SelectorError::Empty);
        }
        if matchers.len() > MATCHERS_MAX {
            return Err(SelectorError::TooMany { count: matchers.len() });
        }
        let fits = |text: &str| (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        match matchers.iter().find(|(key, value)| !fits(key) || !fits(value)) {
            Some((key, _)) => Err(SelectorError::Text { key: key.clone() }),
            None => Ok(Self(matchers)),
        }
    }

    /// Reads `key=value,key=value`, as the command line has it.
    ///
    /// # Errors
    /// As [`Self::try_new`], and when a part is no `key=value` or a key stands twice.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut matchers = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| SelectorError::Shape { text: part.to_owned() })?;
            let key = key.trim().to_owned();
            if matchers.insert(key.clone(), value.trim().to_owned()).is_some() {
                return Err(SelectorError::Repeated { key });
            }
        }
        Self::try_new(matchers)
    }

    /// The one matcher on `service.version`.
    ///
    /// # Errors
    /// When the version is empty, too long or holds control characters.
    pub fn version(version: &str) -> Result<Self, SelectorError> {
        Self::try_new(BTreeMap::from([("service.version".to_owned(), version.to_owned())]))
    }

    /// The matchers by attribute key.
    pub fn matchers(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_reads_and_writes_the_same_text() {
        let selector = Selector::parse(" service.version=1.5.0, k8s.pod.label.role=canary ").unwrap();
        assert_eq!(selector.to_string(), "k8s.pod.label.role=canary,service.version=1.5.0");
    }

    #[test]
    fn a_broken_selector_says_what_to_write() {
        assert_eq!(Selector::parse(""), Err(SelectorError::Empty));
        assert!(Selector::parse("1.5.0").unwrap_err().to_string().contains("service.version=1.5.0"));
        assert_eq!(Selector::parse("a=1,a=2"), Err(SelectorError::Repeated { key: "a".into() }));
        assert_eq!(Selector::parse("a="), Err(SelectorError::Text { key: "a".into() }));
    }
}
