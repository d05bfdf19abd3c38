//! Tests of the crate as a whole, and what the tests of its parts share.

pub(crate) mod fixture;
pub(crate) mod generate;
mod joined;
pub(crate) mod oracle;
mod recovery;
pub(crate) mod to_json;
pub(crate) mod world;
