//! The write-ahead log: what was acknowledged is in here until every table has it.
//!
//! Always holds: a request is answered only after `fdatasync` covered it; sequence numbers rise by one without a gap; a record is read back whole or
//! the log says where it is damaged. After a failed write nothing is appended until the bad tail has been cut off and a new segment begun.
//! Left out on purpose: what a body means.
//!
//! A folder holds segments, named by the first sequence they may hold (`00000000000000000001.wal`), and `collector-id`, the name under which this
//! log's rows are committed. A segment begins with a header:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `HALDWAL` and a zero byte |
//! | 8..12 | version of the format, 3 |
//! | 12..20 | first sequence |
//! | 20..24 | block size |
//! | 24..28 | salt: chance that the checksums of the segment's records begin with |
//! | 28..32 | CRC-32C of bytes 0..28 |
//!
//! and goes on with records, see [`record`]. The header, and each group of records that one `fdatasync` makes durable, begins a block; zeros fill its
//! last one. All numbers are little-endian.

pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod segment;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

pub(crate) use record::Record;
pub(crate) use recovery::Recovery;
pub use recovery::RecoveryError;
pub(crate) use writer::{AppendError, Log, LogLimits};
