//! Bounds the memory of requests in flight: a request holds as many bytes of one budget as it has read, from the first byte until its rows are built.
//!
//! Senders give up after seconds and some never try again, so a request is made to wait for a while before it is refused.
//!
//! Always holds, so that no sender starves another:
//! - a token may hold at most three times what it leaves free, so a quarter of the budget stays free beside one, and some beside any number;
//! - within a token, a service may hold at most three times what it leaves of the token's share, however many instances it has;
//! - within a service, a peer may hold at most three times what it leaves of the service's share: 27/40 of the budget when nobody else is there, as
//!   one large request needs it;
//! - a peer may hold at most three times what it leaves of the token's share, however many services its connections name;
//! - a peer that holds something for a service begins nothing more for it once a fifth of the budget is taken: more small requests in flight bring no speed, only memory;
//! - who waits is served in turn, one grant for each service of each peer; within these, requests that have been begun go before new ones.
//!
//! The shares are those of "dynamic thresholds" for shared buffers (Choudhury and Hahne, 1998), with a factor of three.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// A share may be this many times what is left beside it.
const SHARE_FACTOR: usize = 3;

/// Too much is in flight, and was for as long as a request may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is being taken in at once: try again in a second")]
pub(crate) struct Overloaded;

/// Who sends: between these the budget is shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// The token's name.
    pub(crate) token: Arc<str>,
    /// The service that the connection is known to send for. Without one, a peer stands for itself.
    pub(crate) service: Option<Arc<str>>,
    pub(crate) peer: IpAddr,
}

/// What shares a token's part: a service with all of its peers, or a peer of which no service is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Party {
    token: Arc<str>,
    name: Result<Arc<str>, IpAddr>,
}

impl Source {
    fn of_token(&self) -> (Arc<str>, IpAddr) {
        (self.token.clone(), self.peer)
    }

    fn party(&self) -> Party {
        Party { token: self.token.clone(), name: self.service.clone().ok_or(self.peer) }
    }
}

/// The budget. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    books: Arc<Books>,
    wait_max: Duration,
}

impl Admission {
    pub(crate) fn new(bytes_max: usize, wait_max: Duration) -> Self {
        let state = State { free: bytes_max, ..State::default() };
        Self { books: Arc::new(Books { bytes_max, state: Mutex::new(state) }), wait_max }
    }

    /// A request that holds nothing yet.
    pub(crate) fn begin(&self, source: Source) -> Admitted {
        let held = Share { books: self.books.clone(), source, bytes: 0 };
        Admitted { held, patience: self.wait_max, waited: Duration::ZERO }
    }

    pub(crate) fn bytes_in_flight(&self) -> usize {
        self.books.bytes_max.saturating_sub(self.books.lock().free)
    }
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    held: Share,
    /// How much longer the request may wait, over all its waits.
    patience: Duration,
    waited: Duration,
}

impl Admitted {
    /// Takes more of the budget, waiting for it if need be.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Overloaded> {
        if bytes == 0 {
            return Ok(());
        }
        let asked = Instant::now();
        let mut more = match Books::ask(&self.held, bytes) {
            Asked::Granted(share) => share,
            Asked::Wait(grant) => {
                let granted = tokio::time::timeout(self.patience, grant).await;
                self.patience = self.patience.saturating_sub(asked.elapsed());
                self.waited += asked.elapsed();
                match granted {
                    Ok(Ok(share)) => share,
                    Ok(Err(_)) | Err(_) => {
                        self.held.books.step_aside();
                        return Err(Overloaded);
                    }
                }
            }
        };
        self.held.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// Gives a part back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.held.bytes);
        self.held.bytes -= bytes;
        drop(Share { books: self.held.books.clone(), source: self.held.source.clone(), bytes });
    }

    /// How long it has been made to wait so far.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

/// Bytes of the budget; given back when dropped.
#[derive(Debug)]
struct Share {
    books: Arc<Books>,
    source: Source,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.books.give_back(&self.source, self.bytes);
        }
    }
}

#[derive(Debug)]
struct Books {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    /// Held by each token; none of them 0.
    tokens: HashMap<Arc<str>, usize>,
    /// Held by each party; none of them 0.
    parties: HashMap<Party, usize>,
    /// Held by each peer of a token, for whatever services; none of them 0.
    peers: HashMap<(Arc<str>, IpAddr), usize>,
    /// Those that hold something or wait.
    lines: HashMap<Source, Line>,
    /// Those that wait, the next one first.
    turns: VecDeque<Source>,
}

#[derive(Debug, Default)]
struct Line {
    held: usize,
    begun: VecDeque<Waiter>,
    new: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    grant: oneshot::Sender<Share>,
}

enum Asked {
    Granted(Share),
    Wait(oneshot::Receiver<Share>),
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// To be begun; a peer that holds something leaves so much free then.
    First { leaves: usize },
    /// To go on.
    Next,
}

impl Books {
    fn step(&self, begun: bool) -> Step {
        if begun { Step::Next } else { Step::First { leaves: self.bytes_max / 5 * 4 } }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes at once if nobody of the same source waits in front, else stands in line.
    fn ask(held: &Share, bytes: usize) -> Asked {
        let (books, source) = (&held.books, &held.source);
        let mut state = books.lock();
        let first = state.lines.get_mut(source).is_none_or(|line| line.next(held.bytes > 0).is_none());
        if first && state.has_room(source, bytes, books.step(held.bytes > 0)) {
            state.take(source, bytes);
            return Asked::Granted(Share { books: books.clone(), source: source.clone(), bytes });
        }
        let (grant, granted) = oneshot::channel();
        let line = state.lines.entry(source.clone()).or_default();
        let waiter = Waiter { bytes, grant };
        if held.bytes > 0 {
            line.begun.push_back(waiter)
        } else {
            line.new.push_back(waiter)
        }
        if !state.turns.contains(source) {
            state.turns.push_back(source.clone());
        }
        Asked::Wait(granted)
    }

    fn give_back(self: &Arc<Self>, source: &Source, bytes: usize) {
        let mut state = self.lock();
        state.free += bytes;
        if let Some(line) = state.lines.get_mut(source) {
            line.held -= bytes;
        }
        less(&mut state.tokens, &source.token, bytes);
        less(&mut state.parties, &source.party(), bytes);
        less(&mut state.peers, &source.of_token(), bytes);
        let unwanted = self.serve(&mut state);
        state.forget(source);
        drop(state);
        drop(unwanted); // gives back in turn, so not under the lock
    }

    /// Serves those who stood behind somebody that has gone away.
    fn step_aside(self: &Arc<Self>) {
        let mut state = self.lock();
        let unwanted = self.serve(&mut state);
        drop(state);
        drop(unwanted);
    }

    /// Grants in turn until a whole round brought nothing. Answers what nobody waits for any longer.
    fn serve(self: &Arc<Self>, state: &mut State) -> Vec<Share> {
        let mut unwanted = Vec::new();
        let mut in_vain = 0;
        while in_vain < state.turns.len() {
            let Some(source) = state.turns.pop_front() else { break };
            let next = state.lines.get_mut(&source).and_then(Line::next_step);
            let Some((bytes, begun)) = next else {
                state.forget(&source);
                continue;
            };
            if !state.has_room(&source, bytes, self.step(begun)) {
                in_vain += 1;
                state.turns.push_back(source);
                continue;
            }
            in_vain = 0;
            state.take(&source, bytes);
            let waiter = state.lines.get_mut(&source).and_then(|line| line.begun.pop_front().or_else(|| line.new.pop_front()));
            let share = Share { books: self.clone(), source: source.clone(), bytes };
            unwanted.extend(waiter.and_then(|waiter| waiter.grant.send(share).err()));
            state.turns.push_back(source);
        }
        unwanted
    }
}

/// Takes off what is given back, and forgets who then holds nothing.
fn less<K: Eq + Hash>(held: &mut HashMap<K, usize>, of: &K, bytes: usize) {
    if let Some(held_of) = held.get_mut(of) {
        *held_of -= bytes;
        if *held_of == 0 {
            held.remove(of);
        }
    }
}

impl State {
    fn has_room(&self, source: &Source, bytes: usize, step: Step) -> bool {
        let Some(free) = self.free.checked_sub(bytes) else { return false };
        let held = self.lines.get(source).map_or(0, |line| line.held);
        if let Step::First { leaves } = step
            && held > 0
            && free < leaves
        {
            return false;
        }
        let token = self.tokens.get(&source.token).copied().unwrap_or(0);
        let party = self.parties.get(&source.party()).copied().unwrap_or(0);
        let peer = self.peers.get(&source.of_token()).copied().unwrap_or(0);
        // What each level has left of its share, were this granted, from the widest to the narrowest.
        let left = |levels: &[usize]| {
            levels.iter().try_fold(free, |left, held| left.saturating_mul(SHARE_FACTOR).checked_sub(held + bytes)).is_some()
        };
        left(&[token, party, held]) && left(&[token, peer])
    }

    /// Drops the line of a source that holds nothing and does not wait.
    fn forget(&mut self, source: &Source) {
        if self.lines.get_mut(source).is_some_and(|line| line.held == 0 && line.next(false).is_none()) {
            self.lines.remove(source);
        }
    }

    fn take(&mut self, source: &Source, bytes: usize) {
        self.free -= bytes;
        *self.tokens.entry(source.token.clone()).or_default() += bytes;
        *self.parties.entry(source.party()).or_default() += bytes;
        *self.peers.entry(source.of_token()).or_default() += bytes;
        self.lines.entry(source.clone()).or_default().held += bytes;
    }
}

impl Line {
    /// The bytes that the next one asks for, and whether it has been begun.
    fn next_step(&mut self) -> Option<(usize, bool)> {
        let bytes = self.next(false)?.bytes;
        Some((bytes, !self.begun.is_empty()))
    }

    /// Who is served next; those that have gone away are forgotten.
    fn next(&mut self, only_begun: bool) -> Option<&Waiter> {
        for waiting in [&mut self.begun, &mut self.new] {
            while waiting.front().is_some_and(|waiter| waiter.grant.is_closed()) {
                waiting.pop_front();
            }
        }
        if only_begun { self.begun.front() } else { self.begun.front().or_else(|| self.new.front()) }
    }
}

#[cfg(test)]
impl Admission {
    /// A request that holds all that is free, whatever the shares say.
    pub(crate) fn exhaust(&self) -> Admitted {
        let source = tests::source("hog", 99);
        let mut admitted = self.begin(source.clone());
        let mut state = self.books.lock();
        admitted.held.bytes = state.free;
        let bytes = state.free;
        state.take(&source, bytes);
        drop(state);
        admitted
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn source(token: &str, peer: u8) -> Source {
        Source { token: token.into(), service: None, peer: IpAddr::from([127, 0, 0, peer]) }
    }

    fn of_service(service: &str, peer: u8) -> Source {
        Source { service: Some(service.into()), ..source("a", peer) }
    }

    #[tokio::test]
    async fn a_request_waits_for_room_and_is_refused_in_the_end() {
        let admission = Admission::new(130, Duration::from_millis(20));
        let mut first = admission.begin(source("a", 1));
        first.grow(87).await.unwrap();
        let mut second = admission.begin(source("a", 1));
        assert_eq!(second.grow(30).await, Err(Overloaded));
        assert!(second.waited() >= Duration::from_millis(20));
        assert_eq!(admission.bytes_in_flight(), 87);
        drop(first);
        let mut third = admission.begin(source("a", 1));
        assert_eq!(third.grow(30).await, Ok(()));
        drop((second, third));
        assert_eq!(admission.bytes_in_flight(), 0);
    }

    #[tokio::test]
    async fn a_whole_request_fits_when_its_sender_is_alone() {
        let config = crate::CollectorConfig { in_flight_bytes_max: 0, ..crate::CollectorConfig::default() };
        let admission = Admission::new(config.in_flight_bytes(), Duration::ZERO);
        let mut alone = admission.begin(source("a", 1));
        assert_eq!(alone.grow(config.request_bytes_max + (1 << 19)).await, Ok(()));
        alone.shrink(config.request_bytes_max);
        assert_eq!(admission.bytes_in_flight(), 1 << 19);
    }

    #[tokio::test]
    async fn small_requests_of_a_peer_stop_at_a_fifth_of_the_budget_and_one_large_one_still_fits() {
        let admission = Admission::new(130, Duration::ZERO);
        let mut small = Vec::new();
        loop {
            let mut request = admission.begin(source("a", 1));
            if request.grow(10).await.is_err() {
                break;
            }
            small.push(request);
        }
        assert_eq!(admission.bytes_in_flight(), 20, "30 would leave less than 104");
        assert_eq!(small[0].grow(20).await, Ok(()), "what has been begun goes on");
        assert_eq!(admission.begin(source("a", 2)).grow(10).await, Ok(()), "another peer begins");
        drop(small);
        assert_eq!(admission.begin(source("a", 1)).grow(87).await, Ok(()));
    }

    #[tokio::test]
    async fn a_flood_of_one_token_service_or_peer_leaves_room_for_a_trickle_of_another() {
        for (flooding, trickling) in [
            (source("a", 1), source("b", 1)),
            (source("a", 1), source("a", 2)),
            (of_service("cart", 1), of_service("pay", 1)),
            (of_service("cart", 1), of_service("cart", 2)),
            (of_service("cart", 1), source("a", 1)),
        ] {
            let admission = Admission::new(1_000_000, Duration::from_secs(2));
            let mut flood = tokio::task::JoinSet::new();
            for _ in 0..500 {
                let mut request = admission.begin(flooding.clone());
                flood.spawn(async move {
                    let taken = request.grow(10_000).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    drop(request);
                    taken.is_ok()
                });
            }
            for _ in 0..100 {
                let mut request = admission.begin(trickling.clone());
                assert_eq!(request.grow(10_000).await, Ok(()));
                assert_eq!(request.waited(), Duration::ZERO, "room was kept for it");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let taken = flood.join_all().await.into_iter().filter(|taken| *taken).count();
            assert_eq!(taken, 500, "the flood is slowed down, not refused, when it fits within the patience");
            assert_eq!(admission.bytes_in_flight(), 0);
        }
    }

    #[tokio::test]
    async fn a_service_of_many_instances_holds_no_more_than_its_share() {
        let admission = Admission::new(1_000, Duration::ZERO);
        let mut held = Vec::new();
        for instance in 0..200 {
            let mut request = admission.begin(of_service("cart", instance));
            held.extend(request.grow(10).await.is_ok().then_some(request));
        }
        assert!(admission.bytes_in_flight() <= 693, "9/13 of the budget: {}", admission.bytes_in_flight());
        let mut other = admission.begin(of_service("pay", 1));
        assert_eq!(other.grow(50).await, Ok(()), "another service finds room at once");
    }

    #[tokio::test]
    async fn a_peer_that_names_many_services_holds_no_more_than_its_share() {
        let admission = Admission::new(1_000, Duration::ZERO);
        let mut held = Vec::new();
        for service in 0..200 {
            let mut request = admission.begin(of_service(&service.to_string(), 1));
            held.extend(request.grow(10).await.is_ok().then_some(request));
        }
        assert!(admission.bytes_in_flight() <= 693, "9/13 of the budget: {}", admission.bytes_in_flight());
        let mut other = admission.begin(of_service("pay", 2));
        assert_eq!(other.grow(50).await, Ok(()), "another peer finds room at once");
    }

    proptest! {
        /// Whatever comes and goes: never more than the budget, the rest is always free for a newcomer, and all of it comes back.
        #[test]
        fn the_books_balance(steps in proptest::collection::vec((0_u8..4, 0_u8..3, 0_u8..3, 1_usize..400, any::<bool>()), 1..60)) {
            let admission = Admission::new(1_000, Duration::ZERO);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let mut held = Vec::new();
            for (token, service, peer, bytes, leave) in steps {
                if leave && !held.is_empty() {
                    held.swap_remove(bytes % held.len());
                }
                let service = (service > 0).then(|| Arc::from(service.to_string()));
                let mut request = admission.begin(Source { service, ..source(&token.to_string(), peer) });
                let before = admission.bytes_in_flight();
                let taken = runtime.block_on(request.grow(bytes)).is_ok();
                prop_assert_eq!(admission.bytes_in_flight(), before + if taken { bytes } else { 0 });
                prop_assert!(admission.bytes_in_flight() < 1_000, "some is left for others");
                held.extend(taken.then_some(request));
            }
            held.clear();
            prop_assert_eq!(admission.bytes_in_flight(), 0);
            let state = admission.books.lock();
            prop_assert!(state.lines.values().all(|line| line.held == 0));
            prop_assert!(state.tokens.is_empty() && state.parties.is_empty() && state.peers.is_empty());
        }
    }
}
