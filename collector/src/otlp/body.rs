//! Reads a body under the limits of size, time and memory, and undoes its compression.
//!
//! Always holds: what is in memory is admitted. Room for a body whose length is known is asked for at once, so that senders do not block each other
//! with halves of bodies; while it is decompressed, what has been used up of it is let go of, so that both forms are held only as far as they overlap.
//! Before any of it is read, room is asked for as much as the sender's last body had: what has to wait stays with the sender, but for the window.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use crate::admission::{Admitted, Overloaded};

/// Decompressed bytes are admitted in steps of this size.
const STEP_BYTES: usize = 256 << 10;
/// Room for a body whose length nobody says is asked for in steps of this size.
const AHEAD_BYTES: usize = 64 << 10;
/// A body that grows beyond this while it is decompressed waits until no other one does: two of them would wait for each other's room.
const LARGE_BYTES: usize = 4 << 20;
static LARGE: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(1));
/// What stands before a gRPC message: a flag and a length.
pub(super) const FRAME_BYTES: usize = 5;
/// Of a body that is refused, this much more than the limit is read before the connection is given up.
const DRAIN_BYTES_MORE: usize = 64 << 20;
/// And for no longer than this.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// A zstd frame may ask for a window of 2^23 bytes, which RFC 8878 recommends to support at least.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Size, before and after decompression.
    pub(super) bytes_max: usize,
    /// Time to send it.
    pub(super) timeout: Duration,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
    /// zlib, which HTTP calls deflate; some SDKs offer it.
    Deflate,
    /// Snappy's framing format, or its block format; the first bytes tell which.
    Snappy,
}

impl Coding {
    /// What a `content-encoding` or `grpc-encoding` header means.
    pub(super) fn parse(header: &str) -> Option<Self> {
        match header.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "deflate" | "zlib" => Some(Self::Deflate),
            "snappy" | "x-snappy-framed" => Some(Self::Snappy),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
        }
    }
}

/// Why a body cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Over the limit, before or after decompression.
    #[error("the body is larger than the limit of {max} bytes: send fewer records at once")]
    TooLarge { max: usize },
    /// It does not decompress.
    #[error("the body is not valid {coding}")]
    Corrupt { coding: &'static str, source: std::io::Error },
    /// The connection broke.
    #[error("the body ended early")]
    Cut(#[source] axum::Error),
    /// It took too long.
    #[error("the body did not arrive within {} s", timeout.as_secs())]
    Slow { timeout: Duration },
    /// Not one gRPC message.
    #[error("the body is not one gRPC message: {0}")]
    Frame(&'static str),
    /// No room.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
}

/// A body as it came, with the memory it holds.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) chunks: VecDeque<Bytes>,
    pub(super) bytes: usize,
    pub(super) admitted: Admitted,
}

/// Where a body says how long it is, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    /// In a header, or nowhere.
    ByHeader,
    /// In the header of the one gRPC message that it holds.
    ByFrame,
}

/// What has come of a body. One that is not compressed is put together as it comes, while what was read is still at hand and before more is read to
/// the same place; of another the pieces are kept, to be let go of one by one.
enum Arrived {
    Whole(BytesMut),
    Pieces(VecDeque<Bytes>),
}

impl Arrived {
    fn new(coding: Coding) -> Self {
        if coding == Coding::Identity { Self::Whole(BytesMut::new()) } else { Self::Pieces(VecDeque::new()) }
    }

    /// The body's first bytes, when these come next.
    fn header_with(&self, data: &[u8]) -> Option<[u8; FRAME_BYTES]> {
        match self {
            Self::Whole(whole) => first_of([whole, data]),
            Self::Pieces(pieces) => first_of(pieces.iter().map(|piece| &piece[..]).chain([data])),
        }
    }

    /// Adds what comes next to a body that is expected to have so many bytes in all.
    fn add(&mut self, data: Bytes, expected: usize) {
        match self {
            Self::Whole(whole) => {
                whole.reserve(expected.saturating_sub(whole.len()));
                whole.extend_from_slice(&data);
            }
            Self::Pieces(pieces) => keep(pieces, data),
        }
    }

    fn finish(self) -> VecDeque<Bytes> {
        match self {
            // What is left of the room is not admitted any more.
            Self::Whole(whole) if whole.capacity() - whole.len() > whole.len() / 8 => VecDeque::from([Bytes::copy_from_slice(&whole)]),
            Self::Whole(whole) => VecDeque::from([whole.freeze()]),
            Self::Pieces(pieces) => pieces,
        }
    }
}

/// Reads a whole body, of which so many bytes are expected. When it is refused, the rest is read and thrown away, so that the sender can read the answer.
pub(super) async fn read(
    mut body: Body,
    limits: Limits,
    (coding, announced): (Coding, Announced),
    expected: usize,
    mut admitted: Admitted,
) -> Result<Raw, BodyError> {
    let reading = collect(&mut body, limits.bytes_max, (coding, announced), expected, &mut admitted);
    let read = tokio::time::timeout(limits.timeout, reading).await.unwrap_or(Err(BodyError::Slow { timeout: limits.timeout }));
    match read {
        Ok((chunks, bytes)) => Ok(Raw { chunks, bytes, admitted }),
        Err(error) => {
            drop(admitted);
            if matches!(error, BodyError::TooLarge { .. } | BodyError::Overloaded(_)) {
                drain(body, limits.bytes_max).await;
            }
            Err(error)
        }
    }
}

/// Reads and forgets a body that will be refused, within bounds.
pub(super) async fn drain(mut body: Body, bytes_max: usize) {
    let mut left = bytes_max.saturating_add(DRAIN_BYTES_MORE);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = match frame.data_ref().map_or(Some(left), |data| left.checked_sub(data.len())) {
                Some(left) => left,
                None => break,
            };
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

async fn collect(
    body: &mut Body,
    bytes_max: usize,
    (coding, announced): (Coding, Announced),
    expected: usize,
    admitted: &mut Admitted,
) -> Result<(VecDeque<Bytes>, usize), BodyError> {
    let mut arrived = Arrived::new(coding);
    let mut bytes = 0_usize;
    let most = match announced {
        Announced::ByHeader => bytes_max,
        Announced::ByFrame => bytes_max.saturating_add(FRAME_BYTES),
    };
    let mut length = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if length.is_some_and(|length| length > most) {
        return Err(BodyError::TooLarge { max: bytes_max });
    }
    let mut reserved = length.unwrap_or(expected).min(most);
    admitted.grow(reserved).await?;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Cut)?.into_data() else { continue };
        bytes = bytes.saturating_add(data.len());
        if bytes > most {
            return Err(BodyError::TooLarge { max: bytes_max });
        }
        if length.is_none() && announced == Announced::ByFrame {
            let bytes_of =
                |length| usize::try_from(u32::from_be_bytes(length)).map_or(usize::MAX, |length| length.saturating_add(FRAME_BYTES));
            length = arrived.header_with(&data).map(|[_, length @ ..]| bytes_of(length));
            if length.is_some_and(|length| length > most) {
                return Err(BodyError::TooLarge { max: bytes_max });
            }
            if let Some(length) = length {
                // Less than it needs is given back too, so that the whole is asked for at once.
                let kept = if length > reserved { 0 } else { length };
                admitted.shrink(reserved - kept);
                reserved = kept;
            }
        }
        if bytes > reserved {
            let wanted = bytes.max(length.unwrap_or_else(|| (reserved + AHEAD_BYTES).min(most)));
            admitted.grow(wanted - reserved).await?;
            reserved = wanted;
        }
        arrived.add(data, reserved);
    }
    admitted.shrink(reserved - bytes);
    Ok((arrived.finish(), bytes))
}

/// A chunk shorter than this is copied: by itself it would hold the whole buffer that it was read into.
const CHUNK_BYTES_MIN: usize = 4 << 10;
/// So much is copied into one piece.
const PIECE_BYTES_MAX: usize = 64 << 10;

fn keep(chunks: &mut VecDeque<Bytes>, data: Bytes) {
    if data.len() >= CHUNK_BYTES_MIN {
        return chunks.push_back(data);
    }
    let last = chunks.pop_back_if(|last| last.len() < PIECE_BYTES_MAX).unwrap_or_default();
    let mut piece = last.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    piece.extend_from_slice(&data);
    chunks.push_back(piece.freeze());
}

/// The first bytes of a body.
pub(super) fn peek(chunks: &VecDeque<Bytes>) -> Option<[u8; FRAME_BYTES]> {
    first_of(chunks.iter().map(|chunk| &chunk[..]))
}

fn first_of<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Option<[u8; FRAME_BYTES]> {
    let mut first = chunks.into_iter().flatten().copied();
    let mut header = [0; FRAME_BYTES];
    for byte in &mut header {
        *byte = first.next()?;
    }
    Some(header)
}

/// Chunks one after another. Each is let go of once it has been read, and so are the bytes that it held.
struct Chunks {
    chunks: VecDeque<Bytes>,
    used_up: Arc<AtomicUsize>,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while let Some(chunk) = self.chunks.front_mut() {
            if chunk.is_empty() {
                self.chunks.pop_front();
                continue;
            }
            let bytes = chunk.len().min(into.len());
            chunk.copy_to_slice(into.get_mut(..bytes).unwrap_or_default());
            self.used_up.fetch_add(bytes, Ordering::Relaxed);
            return Ok(bytes);
        }
        Ok(0)
    }
}

/// The body in one piece, as it was before it was compressed.
pub(super) async fn unpack(mut raw: Raw, coding: Coding, bytes_max: usize) -> Result<(Bytes, Admitted), BodyError> {
    let bytes = raw.bytes;
    if coding == Coding::Identity || bytes == 0 {
        return Ok((join(raw.chunks, bytes), raw.admitted));
    }
    let corrupt = |source| BodyError::Corrupt { coding: coding.as_str(), source };
    let used_up = Arc::new(AtomicUsize::new(0));
    if coding == Coding::Snappy && peek(&raw.chunks).is_none_or(|first| !first.starts_with(SNAPPY_FRAMED)) {
        return unpack_snappy_block(raw, bytes, bytes_max).await;
    }
    let mut whole = Vec::with_capacity(expected(coding, &raw.chunks, bytes).min(bytes_max));
    let chunks = Chunks { chunks: std::mem::take(&mut raw.chunks), used_up: used_up.clone() };
    let mut decoder: Box<dyn Read + Send> = match coding {
        Coding::Identity | Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(chunks)),
        Coding::Deflate => Box::new(flate2::read::ZlibDecoder::new(chunks)),
        Coding::Snappy => Box::new(snap::read::FrameDecoder::new(chunks)),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(chunks).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            Box::new(decoder)
        }
    };
    let mut alone = None;
    loop {
        let start = whole.len();
        let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
        let read = decoder.by_ref().take(step).read_to_end(&mut whole).map_err(corrupt)?;
        raw.admitted.shrink(used_up.swap(0, Ordering::Relaxed));
        if whole.len() > bytes_max {
            return Err(BodyError::TooLarge { max: bytes_max });
        }
        if read == 0 {
            whole.shrink_to_fit();
            return Ok((whole.into(), raw.admitted));
        }
        if whole.len() > LARGE_BYTES && alone.is_none() {
            alone = LARGE.acquire().await.ok();
        }
        raw.admitted.grow(whole.len() - start).await?;
        tokio::task::yield_now().await;
    }
}

/// Telemetry becomes about ten times as long.
const USUAL_RATIO: usize = 10;

/// What a sender says of that is believed as far as this.
const RATIO_MAX: usize = 64;

/// How long a body will be when it is decompressed, told or guessed, so that it need not be moved while it grows. It is not admitted yet: it is no more than
/// some times what has come.
fn expected(coding: Coding, chunks: &VecDeque<Bytes>, bytes: usize) -> usize {
    let told = || {
        let mut last = chunks.iter().rev().flat_map(|chunk| chunk.iter().rev().copied());
        let length: [u8; 4] = [last.next()?, last.next()?, last.next()?, last.next()?];
        usize::try_from(u32::from_be_bytes(length)).ok()
    };
    let told = if coding == Coding::Gzip { told() } else { None };
    told.unwrap_or(bytes.saturating_mul(USUAL_RATIO)).min(bytes.saturating_mul(RATIO_MAX)).min(LARGE_BYTES)
}

/// How Snappy's framing format begins.
const SNAPPY_FRAMED: &[u8] = &[0xff, 0x06, 0x00, 0x00];

/// A block says how large it will be, and is decompressed at once.
async fn unpack_snappy_block(mut raw: Raw, bytes: usize, bytes_max: usize) -> Result<(Bytes, Admitted), BodyError> {
    let corrupt = |source: snap::Error| BodyError::Corrupt { coding: "snappy", source: std::io::Error::other(source) };
    let packed = join(raw.chunks, bytes);
    let length = snap::raw::decompress_len(&packed).map_err(corrupt)?;
    if length > bytes_max {
        return Err(BodyError::TooLarge { max: bytes_max });
    }
    raw.admitted.grow(length).await?;
    let whole = snap::raw::Decoder::new().decompress_vec(&packed).map_err(corrupt)?;
    raw.admitted.shrink(bytes);
    Ok((whole.into(), raw.admitted))
}

/// One piece of many. Each is let go of as soon as it has been copied.
fn join(mut chunks: VecDeque<Bytes>, bytes: usize) -> Bytes {
    if chunks.len() <= 1 {
        return chunks.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(bytes);
    for chunk in chunks {
        whole.extend_from_slice(&chunk);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::pin::pin;
    use std::sync::atomic::AtomicBool;

    use futures::{poll, stream};

    use super::*;
    use crate::admission::{Admission, Source};

    fn begin(admission: &Admission, peer: u8) -> Admitted {
        admission.begin(Source { token: "t".into(), service: None, peer: IpAddr::V4(Ipv4Addr::new(10, 0, 0, peer)) })
    }

    /// With room for 100 bytes of another peer, but not for 405.
    async fn crowded() -> (Admission, Admitted) {
        let admission = Admission::new(1_000, Duration::from_secs(2));
        let mut hog = begin(&admission, 1);
        hog.grow(600).await.unwrap();
        (admission, hog)
    }

    /// A message of 400 bytes, and whether any of it has been read.
    fn framed() -> (Body, Arc<AtomicBool>) {
        let read = Arc::new(AtomicBool::new(false));
        let told = read.clone();
        let pieces = [&[0, 0, 0, 1, 0x90][..], &[7; 300], &[8; 100]].into_iter().map(move |piece| {
            told.store(true, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(piece))
        });
        (Body::from_stream(stream::iter(pieces)), read)
    }

    const BY_FRAME: (Coding, Announced) = (Coding::Identity, Announced::ByFrame);

    #[tokio::test]
    async fn of_a_body_that_waits_for_room_nothing_is_read() {
        let (admission, hog) = crowded().await;
        let (mut body, read) = framed();
        let mut admitted = begin(&admission, 2);
        let mut reading = pin!(collect(&mut body, 1 << 20, BY_FRAME, 405, &mut admitted));
        assert!(poll!(&mut reading).is_pending());
        assert!(!read.load(Ordering::Relaxed));
        drop(hog);
        assert_eq!(reading.await.unwrap().1, 405);
        assert_eq!(admission.bytes_in_flight(), 405);
    }

    #[tokio::test]
    async fn a_body_longer_than_expected_holds_nothing_while_it_waits_for_the_whole() {
        let (admission, hog) = crowded().await;
        let (mut body, read) = framed();
        let mut admitted = begin(&admission, 2);
        let mut reading = pin!(collect(&mut body, 1 << 20, BY_FRAME, 100, &mut admitted));
        assert!(poll!(&mut reading).is_pending());
        assert!(read.load(Ordering::Relaxed));
        assert_eq!(admission.bytes_in_flight(), 600);
        drop(hog);
        assert_eq!(reading.await.unwrap().1, 405);
        assert_eq!(admission.bytes_in_flight(), 405);
    }

    #[tokio::test]
    async fn a_body_shorter_than_expected_gives_the_rest_back() {
        let admission = Admission::new(10_000, Duration::ZERO);
        let (mut body, _) = framed();
        let mut admitted = begin(&admission, 1);
        collect(&mut body, 1 << 20, BY_FRAME, 5_000, &mut admitted).await.unwrap();
        assert_eq!(admission.bytes_in_flight(), 405);
    }

    #[test]
    fn a_body_holds_no_more_room_than_it_has_bytes() {
        let mut arrived = Arrived::new(Coding::Identity);
        assert_eq!(arrived.header_with(b"\0\0\0"), None);
        arrived.add(Bytes::from_static(b"\0\0\0"), AHEAD_BYTES);
        assert_eq!(arrived.header_with(b"\x01\x02rest"), Some([0, 0, 0, 1, 2]));
        arrived.add(Bytes::from_static(b"\x01\x02rest"), AHEAD_BYTES);
        let whole = arrived.finish().pop_front().unwrap().try_into_mut().unwrap();
        assert!(whole.capacity() < 100, "{}", whole.capacity());
        assert_eq!(whole, b"\0\0\0\x01\x02rest"[..]);
    }

    #[test]
    fn what_a_compressed_body_says_of_its_length_is_believed_within_reason() {
        let says = |length: u32, bytes: usize| {
            let chunks = VecDeque::from([
                Bytes::from(vec![0; bytes - 5]),
                length.to_le_bytes()[..1].to_vec().into(),
                length.to_le_bytes()[1..].to_vec().into(),
            ]);
            expected(Coding::Gzip, &chunks, bytes)
        };
        assert_eq!((says(700_000, 70_000), says(u32::MAX, 100), says(u32::MAX, 1 << 20)), (700_000, 6_400, LARGE_BYTES));
        assert_eq!(expected(Coding::Zstd, &VecDeque::new(), 1_000), 10_000);
    }

    #[test]
    fn bytes_that_come_one_by_one_are_kept_together() {
        let (body, mut chunks) = (Bytes::from(vec![7; 1 << 20]), VecDeque::new());
        let whole: Vec<u8> = (0_u8..=255).cycle().take(300_000).collect();
        whole.iter().for_each(|byte| keep(&mut chunks, Bytes::copy_from_slice(&[*byte])));
        keep(&mut chunks, body.slice(..1 << 16));
        keep(&mut chunks, body.slice(..10));
        assert!(chunks.len() < 10, "{}", chunks.len());
        let bytes = chunks.iter().map(Bytes::len).sum();
        assert_eq!(join(chunks, bytes), [&whole[..], &body[..(1 << 16) + 10]].concat());
    }
}
