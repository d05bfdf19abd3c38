//! The log's thread: group commit.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use haldane_store::UnixNanos;

use super::disk::SegmentWriter;
use super::{Append, AppendError, Command, Segment, Waiting};

/// A group takes no more requests from here on.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Runs until all senders are gone; answers the segments that are left.
pub(super) fn run<T>(mut disk: SegmentWriter, commands: &Receiver<Command<T>>, mut deliver: impl FnMut(u64, UnixNanos, T)) -> Vec<Segment> {
    let mut group = Vec::new();
    while let Ok(first) = commands.recv() {
        let mut released = None;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Append(waiting) => {
                    bytes += waiting.append.request.body.len();
                    group.push(waiting);
                }
                Command::Release { through } => released = Some(through),
            }
            next = if bytes < GROUP_BYTES_MAX { commands.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            commit(&mut disk, std::mem::take(&mut group), &mut deliver);
        }
        if let Some(through) = released {
            disk.release(through);
        }
    }
    disk.into_segments()
}

/// Makes a group durable, hands it on in order, and answers it.
fn commit<T>(disk: &mut SegmentWriter, group: Vec<Waiting<T>>, deliver: &mut impl FnMut(u64, UnixNanos, T)) {
    let written = disk.write(group.iter().map(|waiting| (&waiting.append.request, waiting.append.received)));
    match written {
        Ok(first) => {
            for (sequence, Waiting { append: Append { received, carried, .. }, answer }) in (first..).zip(group) {
                deliver(sequence, received, carried);
                let _ = answer.send(Ok(sequence)); // a sender that went away is answered by nobody
            }
        }
        Err(cause) => {
            let cause = Arc::new(cause);
            for waiting in group {
                let _ = waiting.answer.send(Err(AppendError::Disk(cause.clone())));
            }
        }
    }
}
