//! Reads one segment, and tells a tail that was never acknowledged from damage.

use std::ops::Range;

use bytes::Bytes;

use super::record::{self, Record, RecordError};
use super::segment::{self, HeaderError, Layout};

/// Where and why a segment cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Break {
    /// Offset of the record, or 0 for the header.
    pub(crate) at: usize,
    pub(crate) cause: BreakCause,
    /// Whether a later group was made durable: then what is broken was too, and it is damage rather than a torn tail.
    pub(crate) durable_after: bool,
}

/// What is wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BreakCause {
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What a segment holds, up to its end or to where it breaks.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) records: Vec<Record>,
    /// Bytes up to the end of the last good record.
    pub(crate) good_bytes: usize,
    pub(crate) broken: Option<Break>,
}

/// Reads a segment whose first sequence, by its name, is `first`. Bodies share the memory of `bytes`.
pub(crate) fn read(bytes: &Bytes, first: u64) -> Contents {
    let mut contents = Contents { records: Vec::new(), good_bytes: 0, broken: None };
    let layout = match segment::check_header(bytes, first) {
        Ok(layout) => layout,
        Err(cause) => {
            // A header is durable before anything is written behind it.
            let durable_after = bytes.iter().skip(segment::HEADER_BYTES).any(|byte| *byte != 0);
            contents.broken = Some(Break { at: 0, cause: cause.into(), durable_after });
            return contents;
        }
    };
    let block_bytes = layout.block_bytes as usize;
    let (mut at, mut expected) = (segment::HEADER_BYTES, first);
    contents.good_bytes = at;
    while at < bytes.len() {
        let next = at.next_multiple_of(block_bytes).min(bytes.len());
        match read_one(bytes, at, layout, expected) {
            Ok((record, end)) => {
                contents.records.push(record);
                (at, expected) = (end, expected + 1);
                contents.good_bytes = at;
            }
            Err(_) if is_filling(bytes, at..next, layout, expected) => at = next,
            Err(cause) => {
                contents.broken =
                    Some(Break { at, cause: cause.into(), durable_after: any_later_group(bytes, next, layout, expected + 1) });
                break;
            }
        }
    }
    contents
}

/// Whether bytes that are no record are what fills a block. They are zero, but nothing is lost where they are not.
///
/// Zeros alone do not tell: they may be the beginning of a length that goes on in the next block. So a record is looked for first.
fn is_filling(bytes: &Bytes, filling: Range<usize>, layout: Layout, expected: u64) -> bool {
    let next = filling.end;
    let zero = |filling: &[u8]| filling.iter().all(|byte| *byte == 0);
    let group_behind = || read_one(bytes, next, layout, expected).is_ok_and(|(record, _)| record.group == expected);
    !filling.is_empty() && (bytes.get(filling).is_some_and(zero) || group_behind())
}

fn read_one(bytes: &Bytes, at: usize, layout: Layout, expected: u64) -> Result<(Record, usize), RecordError> {
    let (record, end) = record::decode(bytes, at, layout.salt)?;
    if record.sequence != expected {
        return Err(RecordError::Sequence { found: record.sequence, expected });
    }
    Ok((record, end))
}

/// Whether an intact record of a group that began at `from` or later stands at the block at `next` or at one behind it, as each group begins with a block.
///
/// A group is begun only after the one before it is durable. Records of the broken record's own group do not count: when power fails
/// during `fdatasync`, later pages of a group may be on the disk without earlier ones, and none of it was acknowledged.
fn any_later_group(bytes: &Bytes, next: usize, layout: Layout, from: u64) -> bool {
    let mut blocks = (next..bytes.len()).step_by(layout.block_bytes as usize);
    blocks.any(|at| record::decode(bytes, at, layout.salt).is_ok_and(|(record, _)| record.group >= from))
}
