//! Room that bodies are put together in, used again by the next ones.
//!
//! The allocator gives memory back to the system soon after a body is done with; touched anew, each page of it is a fault. Bodies of one sender are about
//! as long as each other and come without end, so the room of the last ones is the right one for the next.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Room is kept for bodies from this length
const BYTES_MIN: usize = 32 << 10;
/// to this one,
const BYTES_MAX: usize = 2 << 20;
/// and so much of it at most: it is not admitted.
const KEPT_BYTES_MAX: usize = 4 << 20;

static FREE: Free = Free::new();

/// Rooms that wait for a body, those that were used last at the end.
#[derive(Debug)]
struct Free(Mutex<VecDeque<Vec<u8>>>);

impl Free {
    const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// One for a body of so many bytes, if there is one that is not much too large.
    fn take(&self, bytes: usize) -> Option<Vec<u8>> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |room: &Vec<u8>| (bytes..=rounded(bytes)).contains(&room.capacity());
        let at = rooms.iter().rposition(fits)?;
        rooms.remove(at)
    }

    fn give_back(&self, mut room: Vec<u8>) {
        if !(BYTES_MIN..=BYTES_MAX).contains(&room.capacity()) {
            return;
        }
        room.clear();
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = rooms.iter().map(Vec::capacity).sum::<usize>() + room.capacity();
        while kept > KEPT_BYTES_MAX
            && let Some(oldest) = rooms.pop_front()
        {
            kept -= oldest.capacity();
        }
        rooms.push_back(room);
    }
}

/// A little more, so that bodies of nearly one length have the same room: an eighth at most.
fn rounded(bytes: usize) -> usize {
    if bytes < BYTES_MIN { bytes } else { bytes.next_multiple_of(bytes.next_power_of_two() / 16) }
}

/// Bytes that become a body; their room goes back when the last reader of the body is done.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Vec<u8>,
    free: &'static Free,
}

impl Room {
    /// For a body of so many bytes. It may become longer.
    pub(super) fn of(bytes: usize) -> Self {
        Self::among(&FREE, bytes)
    }

    fn among(free: &'static Free, bytes: usize) -> Self {
        Self { bytes: free.take(bytes).unwrap_or_else(|| Vec::with_capacity(rounded(bytes))), free }
    }

    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The body, in hardly more room than it needs: what is left over is not admitted any more.
    pub(super) fn finish(mut self) -> Bytes {
        if self.bytes.capacity() - self.bytes.len() > self.bytes.len() / 8 {
            self.bytes.shrink_to_fit();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.free.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(free: &'static Free, bytes: usize) -> Bytes {
        let mut room = Room::among(free, bytes);
        room.bytes().resize(bytes, 7);
        room.finish()
    }

    fn kept(free: &Free) -> usize {
        free.0.lock().unwrap().iter().map(Vec::capacity).sum()
    }

    #[test]
    fn the_next_body_of_about_one_length_has_the_room_of_the_last() {
        let free: &'static Free = Box::leak(Box::new(Free::new()));
        let first = body(free, 700_000);
        let (place, part) = (first.as_ptr(), first.slice(5..10));
        drop(first);
        assert_eq!(kept(free), 0, "a part of it is still read");
        assert_eq!(part[..], [7; 5]);
        drop(part);
        let next = body(free, 710_000);
        assert_eq!((next.as_ptr(), next.len(), kept(free)), (place, 710_000, 0));
        drop(next);
        let others = (body(free, 500_000), body(free, 730_000));
        assert_eq!(kept(free), rounded(700_000), "one needs less by a third, the other more");
        drop(others);
    }

    #[test]
    fn what_is_kept_has_a_limit_and_is_what_was_used_last() {
        let free: &'static Free = Box::leak(Box::new(Free::new()));
        drop((0..20).map(|_| body(free, 1_000_000)).collect::<Vec<_>>());
        assert!((KEPT_BYTES_MAX - (1 << 20)..=KEPT_BYTES_MAX).contains(&kept(free)), "{}", kept(free));
        drop((0..30).map(|_| body(free, 100_000)).collect::<Vec<_>>());
        assert!(free.0.lock().unwrap().iter().filter(|room| room.capacity() < 200_000).count() == 30);
        let before = kept(free);
        drop((body(free, 100), body(free, 3 << 20)));
        assert!(kept(free) == before && before <= KEPT_BYTES_MAX);
    }

    #[test]
    fn a_body_holds_no_more_room_than_an_eighth_more_than_its_bytes() {
        for bytes in [10, 32 << 10, (64 << 10) + 1, 700_000, (1 << 20) + 1] {
            assert!(rounded(bytes) - bytes <= bytes / 8, "{bytes}");
        }
        let free: &'static Free = Box::leak(Box::new(Free::new()));
        let mut room = Room::among(free, 1 << 20);
        room.bytes().extend_from_slice(b"short");
        let body = room.finish();
        assert_eq!(body, &b"short"[..]);
        drop(body);
        assert_eq!(kept(free), 0, "what was left over is given back at once");
    }
}
