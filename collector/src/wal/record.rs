//! One record of the log. Records of one group follow each other without a gap.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | length of all that follows byte 8 |
//! | 4..8 | CRC-32C of bytes 0..4 and of all that follows byte 8, begun with the segment's salt |
//! | 8..16 | sequence |
//! | 16..24 | first sequence of the group that one `fdatasync` made durable |
//! | 24..32 | when it was received, nanoseconds since the epoch |
//! | 32 | signal: 1 traces, 2 metrics, 3 logs |
//! | 33 | encoding of the body: 1 protobuf, 2 JSON |
//! | 34..36 | zero |
//! | 36.. | the body, decompressed |

use bytes::Bytes;
use haldane_store::UnixNanos;

use crate::request::{Encoding, Request, Signal};

/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 36;
/// Bytes that the length does not count.
pub(super) const PREFIX_BYTES: usize = 8;
/// A body of this size or more cannot be logged: its length would not fit.
pub(super) const BODY_BYTES_MAX: usize = u32::MAX as usize - HEADER_BYTES;

/// What the checksums of a segment's records begin with: chance that no sender knows, so that nothing inside a body is taken for a record where the
/// log is torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Salt(pub(super) u32);

/// A request as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    /// The first sequence of the group it was made durable with.
    pub(crate) group: u64,
    pub(crate) received: UnixNanos,
    pub(crate) request: Request,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// The file ends inside the record.
    #[error("the record is cut off")]
    Cut,
    /// The bytes are not what was written.
    #[error("the record's checksum does not match")]
    Checksum,
    /// The bytes are what was written, but mean nothing here.
    #[error("the record has an unknown signal or encoding: it was written by another version")]
    Unknown,
    /// The record is intact, but another one belongs here.
    #[error("record {found} stands where {expected} belongs")]
    Sequence {
        /// Which one is there.
        found: u64,
        /// Which one should be.
        expected: u64,
    },
}

/// What stands before a record's body.
pub(super) fn header_of(salt: Salt, sequence: u64, group: u64, received: UnixNanos, request: &Request) -> [u8; HEADER_BYTES] {
    let body = &request.body;
    let length = u32::try_from(HEADER_BYTES - PREFIX_BYTES + body.len()).expect("checked against BODY_BYTES_MAX before");
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&sequence.to_le_bytes());
    header[16..24].copy_from_slice(&group.to_le_bytes());
    header[24..32].copy_from_slice(&received.as_nanos().to_le_bytes());
    header[32] = signal_byte(request.signal);
    header[33] = encoding_byte(request.encoding);
    let sum = checksum(salt, &header, body);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The record that starts at `at`, and where it ends.
pub(super) fn decode(bytes: &Bytes, at: usize, salt: Salt) -> Result<(Record, usize), RecordError> {
    let header: &[u8; HEADER_BYTES] = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(RecordError::Cut)?;
    let length = usize::try_from(u32::from_le_bytes(field(header, 0))).map_err(|_| RecordError::Cut)?;
    let end = at.checked_add(PREFIX_BYTES + length).filter(|end| *end <= bytes.len()).ok_or(RecordError::Cut)?;
    if length < HEADER_BYTES - PREFIX_BYTES {
        return Err(RecordError::Checksum);
    }
    let body = bytes.slice(at + HEADER_BYTES..end);
    if checksum(salt, header, &body) != u32::from_le_bytes(field(header, 4)) {
        return Err(RecordError::Checksum);
    }
    let request = Request { signal: signal_of(header[32])?, encoding: encoding_of(header[33])?, body };
    let record = Record {
        sequence: u64::from_le_bytes(field(header, 8)),
        group: u64::from_le_bytes(field(header, 16)),
        received: UnixNanos::new(i64::from_le_bytes(field(header, 24))),
        request,
    };
    Ok((record, end))
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

fn checksum(salt: Salt, header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    let sum = crc32c::crc32c_append(salt.0, &header[0..4]);
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &header[PREFIX_BYTES..]), body)
}

fn signal_byte(signal: Signal) -> u8 {
    match signal {
        Signal::Traces => 1,
        Signal::Metrics => 2,
        Signal::Logs => 3,
    }
}

fn signal_of(byte: u8) -> Result<Signal, RecordError> {
    Signal::ALL.into_iter().find(|signal| signal_byte(*signal) == byte).ok_or(RecordError::Unknown)
}

fn encoding_byte(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Protobuf => 1,
        Encoding::Json => 2,
    }
}

fn encoding_of(byte: u8) -> Result<Encoding, RecordError> {
    [Encoding::Protobuf, Encoding::Json].into_iter().find(|encoding| encoding_byte(*encoding) == byte).ok_or(RecordError::Unknown)
}
