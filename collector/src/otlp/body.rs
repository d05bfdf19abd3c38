//! Reads a body under the limits of size, time and memory, and undoes its compression.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::admission::{Admission, Admitted, Overloaded};

/// Decompressed bytes are admitted in steps of this size.
const STEP_BYTES: usize = 256 << 10;
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
}

impl Coding {
    /// What a `content-encoding` or `grpc-encoding` header means.
    pub(super) fn parse(header: &str) -> Option<Self> {
        match header.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
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
    pub(super) bytes: Bytes,
    pub(super) admitted: Admitted,
}

/// Reads a whole body. When it is refused, the rest is read and thrown away, so that the sender can read the answer.
pub(super) async fn read(mut body: Body, limits: Limits, admission: &Admission) -> Result<Raw, BodyError> {
    let mut admitted = admission.begin();
    let reading = collect(&mut body, limits.bytes_max, &mut admitted);
    let read = tokio::time::timeout(limits.timeout, reading).await.unwrap_or(Err(BodyError::Slow { timeout: limits.timeout }));
    match read {
        Ok(bytes) => Ok(Raw { bytes, admitted }),
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

async fn collect(body: &mut Body, bytes_max: usize, admitted: &mut Admitted) -> Result<Bytes, BodyError> {
    let mut chunks: Vec<Bytes> = Vec::new();
    let mut bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Cut)?.into_data() else { continue };
        bytes = bytes.saturating_add(data.len());
        if bytes > bytes_max {
            return Err(BodyError::TooLarge { max: bytes_max });
        }
        admitted.grow(data.len()).await?;
        chunks.push(data);
    }
    if let [only] = &mut chunks[..] {
        return Ok(std::mem::take(only));
    }
    let mut whole = BytesMut::with_capacity(bytes);
    chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
    Ok(whole.freeze())
}

/// Undoes the compression, admitting memory as it grows.
pub(super) async fn unpack(raw: Bytes, coding: Coding, bytes_max: usize, admitted: &mut Admitted) -> Result<Bytes, BodyError> {
    if raw.is_empty() {
        return Ok(raw);
    }
    let corrupt = |source| BodyError::Corrupt { coding: coding.as_str(), source };
    let mut decoder: Box<dyn Read + Send> = match coding {
        Coding::Identity => return Ok(raw),
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(raw.reader())),
        Coding::Deflate => Box::new(flate2::read::ZlibDecoder::new(raw.reader())),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(raw.reader()).map_err(corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(corrupt)?;
            Box::new(decoder)
        }
    };
    let mut whole = Vec::new();
    loop {
        let start = whole.len();
        let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
        let read = decoder.by_ref().take(step).read_to_end(&mut whole).map_err(corrupt)?;
        if whole.len() > bytes_max {
            return Err(BodyError::TooLarge { max: bytes_max });
        }
        if read == 0 {
            return Ok(whole.into());
        }
        admitted.grow(whole.len() - start).await?;
        tokio::task::yield_now().await;
    }
}
