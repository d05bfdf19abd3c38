//! The ids of series, computed in the plainest way.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};

use super::attributes::entries;

pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

pub(crate) fn of_attributes(attributes: &[KeyValue]) -> u64 {
    let mut sum = 0_u64;
    for (key, value) in entries(attributes) {
        let text = format!("{key}\0{}", value.as_deref().unwrap_or_default());
        sum = sum.wrapping_add(hash(text.as_bytes()));
    }
    sum
}

pub(crate) fn of_scope(scope: Option<&InstrumentationScope>) -> u64 {
    let Some(scope) = scope else { return together(&[hash(b"\0"), 0]) };
    together(&[hash(format!("{}\0{}", scope.name, scope.version).as_bytes()), of_attributes(&scope.attributes)])
}

pub(crate) fn together(parts: &[u64]) -> u64 {
    hash(&parts.iter().flat_map(|part| part.to_le_bytes()).collect::<Vec<_>>())
}
