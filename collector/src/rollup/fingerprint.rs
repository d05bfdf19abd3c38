//! What makes two errors the same one.
//!
//! The fingerprint is FNV-1a (64 bits) over the error's type, a zero byte and its normalised message, then mixed once more with the finaliser of
//! MurmurHash3 so that short texts spread over all digits. It is a published value: it must never change for the same input.
//! Where an error was seen (span event, log record, status) is not part of it, so an exception told twice has one fingerprint.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// 16 hex digits.
pub(super) fn fingerprint(error_type: &str, normalised_message: &str) -> u64 {
    let bytes = error_type.bytes().chain([0]).chain(normalised_message.bytes());
    mix(bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)))
}

/// MurmurHash3's `fmix64`.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
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
