//! Accepts connections for both doors and speaks HTTP on them.
//!
//! Always holds: at most so many connections are open, further ones wait in the kernel; a connection that says nothing is closed in the end; what
//! is sent ahead of being read stays within small windows, so that memory is bounded by the budget of bodies and not by the number of senders.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request as HttpRequest;
use axum::response::Response;
use haldane_store::tls::Tls;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::sender::Sender;
use crate::config::CollectorConfig;

/// What a sender may send ahead of what has been read, for one call. A connection has as much for each of its calls: with less, calls that wait for
/// room would use it up, and those that have room could not get the rest of their bodies.
const STREAM_WINDOW: u32 = 128 << 10;
/// What a sender may send in one piece: the smaller the pieces, the more often something is read. Some send pieces of 16 KiB whatever is said here.
const FRAME: u32 = 64 << 10;
/// What is read ahead on a connection of HTTP/1.1.
const READ_AHEAD: usize = 64 << 10;
/// No connection needs more calls at once; it keeps the window within what HTTP/2 knows.
const STREAMS_MOST: u32 = 1_000;
const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// A connection that says nothing is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// After a failed accept (too many open files, mostly) it is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How connections are treated.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    most: usize,
    streams_max: u32,
    limits: Limits,
    tls: Option<Tls>,
}

/// How long a connection may last, and be silent.
#[derive(Debug, Clone, Copy)]
struct Limits {
    header_timeout: Duration,
    age_max: Option<Duration>,
}

impl Connections {
    pub(super) fn new(config: &CollectorConfig, tls: Option<Tls>) -> Self {
        Self {
            most: config.connections_max.clamp(1, Semaphore::MAX_PERMITS),
            streams_max: config.streams_max.clamp(1, STREAMS_MOST),
            limits: Limits {
                header_timeout: Duration::from_secs(config.header_timeout_seconds.max(1)),
                age_max: Some(Duration::from_secs(config.connection_age_max_seconds)).filter(|age| !age.is_zero()),
            },
            tls,
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.limits.header_timeout).max_buf_size(READ_AHEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .max_frame_size(FRAME)
            .initial_connection_window_size(STREAM_WINDOW * self.streams_max)
            .max_concurrent_streams(self.streams_max)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .keep_alive_interval(KEEPALIVE);
        builder
    }
}

/// Which versions of HTTP a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Versions {
    Both,
    Http2,
}

/// Serves until told to stop, and then until what has been begun is answered.
pub(super) async fn serve<A, F>(listener: TcpListener, connections: Connections, versions: Versions, stop: CancellationToken, answer: A)
where
    A: Fn(Arc<Sender>, HttpRequest) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let builder = connections.builder();
    let builder = Arc::new(if versions == Versions::Http2 { builder.http2_only() } else { builder });
    let places = Arc::new(Semaphore::new(connections.most));
    let mut open = JoinSet::new();
    while let Some(Ok(place)) = stop.run_until_cancelled(places.clone().acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (builder, answer, stop) = (builder.clone(), answer.clone(), stop.clone());
        let (tls, limits) = (connections.tls.as_ref().map(Tls::acceptor), connections.limits);
        open.spawn(async move {
            let sender = Arc::new(Sender::new(peer.ip()));
            let answer = move |request| answer(sender.clone(), request);
            if greeted(&stream, limits, &stop).await {
                match tls {
                    None => converse(stream, &builder, limits, stop, answer).await,
                    Some(tls) => match tokio::time::timeout(limits.header_timeout, tls.accept(stream)).await {
                        Ok(Ok(stream)) => converse(stream, &builder, limits, stop, answer).await,
                        Ok(Err(error)) => tracing::debug!(%error, peer = %peer.ip(), "a sender and this server could not agree on TLS"),
                        Err(_) => tracing::debug!(peer = %peer.ip(), "a sender was too slow to agree on TLS"),
                    },
                }
            }
            drop(place);
        });
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Whether the other side has said something. No timer runs in hyper before that: the first bytes tell the version of HTTP.
async fn greeted(stream: &TcpStream, limits: Limits, stop: &CancellationToken) -> bool {
    let spoken = stop.run_until_cancelled(tokio::time::timeout(limits.header_timeout, stream.peek(&mut [0]))).await;
    let _ = stream.set_nodelay(true);
    matches!(spoken, Some(Ok(Ok(1))))
}

/// Answers the requests of one connection, until it ends, is too old, or the server stops.
async fn converse<S, F>(
    stream: S,
    builder: &auto::Builder<TokioExecutor>,
    limits: Limits,
    stop: CancellationToken,
    answer: impl Fn(HttpRequest) -> F + Send + Sync,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let answered = answer(request.map(Body::new));
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let aged = async {
        match limits.age_max {
            Some(age) => tokio::time::sleep(age).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { tokio::select! { () = stop.cancelled() => (), () = aged => () } } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}
