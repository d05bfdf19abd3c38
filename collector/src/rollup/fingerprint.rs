//! What makes two errors the same one.
//!
//! The fingerprint is the hash of the error's type, a zero byte and its normalised message. It is a published value: it must never change for the same
//! input. Where an error was seen (span event, log record, status) is not part of it, so an exception told twice has one fingerprint.

use crate::hash::hash;

/// 16 hex digits.
pub(super) fn fingerprint(error_type: &str, normalised_message: &str) -> u64 {
    hash(error_type.bytes().chain([0]).chain(normalised_message.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value was computed by an independent implementation.
    #[test]
    fn a_fingerprint_is_the_same_for_ever() {
        assert_eq!(format!("{:016x}", fingerprint("StripeSecretMissing", "no secret for <str>")), "6102576330fccd6d");
        assert_ne!(fingerprint("a", "b"), fingerprint("ab", ""));
    }
}
