//! Ids of traces, of which evidence has two for every cell.

use std::fmt::Write as _;
use std::sync::Arc;

/// The id of a trace in 16 bytes; text that is no such id as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceId {
    /// Of 32 small hexadecimal digits.
    Bytes([u8; 16]),
    /// Anything else.
    Text(Arc<str>),
}

impl TraceId {
    /// Its text.
    pub fn text(&self) -> Arc<str> {
        match self {
            Self::Bytes(id) => {
                let mut text = String::with_capacity(32);
                let _ = write!(text, "{:032x}", u128::from_be_bytes(*id));
                text.into()
            }
            Self::Text(text) => text.clone(),
        }
    }
}

impl From<&str> for TraceId {
    fn from(text: &str) -> Self {
        // Capital letters and a sign would read back as another text.
        let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        let is_id = text.len() == 32 && text.bytes().all(is_digit);
        let number = is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map_or_else(|| Self::Text(text.into()), |number| Self::Bytes(number.to_be_bytes()))
    }
}

impl From<String> for TraceId {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_reads_back_as_it_was(text in "[0-9a-f]{32}|[0-9A-F]{32}|[+0-9]{32}|[a-z]{0,3}") {
            let id = TraceId::from(text.as_str());
            prop_assert_eq!(&*id.text(), text.as_str());
            prop_assert_eq!(matches!(id, TraceId::Bytes(_)), text.len() == 32 && !text.contains(|digit: char| digit == '+' || digit.is_uppercase()));
        }
    }
}
