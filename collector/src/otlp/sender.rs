//! The other side of a connection, and what is known of it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::admission::Source;
use crate::decode::Speaker;

/// Who is at the other end of a connection. Which service sends is known only from a body, and reading a body is what needs room: so a
/// request stands for the service that those before it on its connection spoke for.
#[derive(Debug)]
pub(super) struct Sender {
    peer: IpAddr,
    speaker: Mutex<Speaker>,
    body_bytes: AtomicUsize,
}

impl Sender {
    pub(super) fn new(peer: IpAddr) -> Self {
        Self { peer, speaker: Mutex::default(), body_bytes: AtomicUsize::new(0) }
    }

    /// Whose share of what is in flight a request takes.
    pub(super) fn source(&self, token: Arc<str>) -> Source {
        Source { token, service: self.speaker().service().cloned(), peer: self.peer }
    }

    /// How long the last body was, as it was sent; 0 before there was one.
    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// A body of so many bytes has come.
    pub(super) fn sent(&self, bytes: usize) {
        self.body_bytes.store(bytes, Ordering::Relaxed);
    }

    /// A request spoke for this one.
    pub(super) fn spoke(&self, speaker: &Speaker) {
        self.speaker().and(speaker.clone());
    }

    fn speaker(&self) -> std::sync::MutexGuard<'_, Speaker> {
        // Every change is whole before anything can panic.
        self.speaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
