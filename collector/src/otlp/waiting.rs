//! Answers senders while the log of the last run is read back: not yet, try again in a second.
//!
//! Always holds: nothing is taken in here. The real doors take the same ports over without closing them.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use axum::Router;
use axum::extract::Request as HttpRequest;
use axum::http::StatusCode;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::status::Refused;
use super::{body, grpc, http};
use crate::request::Encoding;
use crate::stats::Reason;

/// Of a body that is not taken so much is read, so that its sender gets to see the answer.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// Who is in the middle of a request when the doors open has so long to see its answer.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Refuses everything on the ports of both doors until it is closed.
#[derive(Debug)]
pub struct Waiting {
    stop: CancellationToken,
    doors: JoinSet<io::Result<()>>,
}

impl Waiting {
    /// Begins to answer. Must be called in a runtime.
    ///
    /// # Errors
    /// When the ports cannot be shared.
    pub fn open(grpc: &TcpListener, http: &TcpListener) -> io::Result<Self> {
        let (stop, mut doors) = (CancellationToken::new(), JoinSet::new());
        let answers = [Router::new().fallback(refuse_grpc), Router::new().fallback(refuse_http)];
        for (listener, router) in [grpc, http].into_iter().zip(answers) {
            let shared = TcpListener::from_std(listener.as_fd().try_clone_to_owned()?.into())?;
            doors.spawn(axum::serve(shared, router).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
        }
        Ok(Self { stop, doors })
    }

    /// Answers what has been begun and lets go of the ports.
    pub async fn close(mut self) {
        self.stop.cancel();
        let all = async { while self.doors.join_next().await.is_some() {} };
        // What is left then is cut when the set is dropped.
        let _ = tokio::time::timeout(CLOSE_TIME, all).await;
    }
}

async fn refuse_grpc(request: HttpRequest) -> Response {
    body::drain(request.into_body(), DRAIN_BYTES_MAX).await;
    grpc::refusal(&not_yet())
}

async fn refuse_http(request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    body::drain(body, DRAIN_BYTES_MAX).await;
    http::refusal(&not_yet(), http::encoding_of(&parts.headers).unwrap_or(Encoding::Json))
}

fn not_yet() -> Refused {
    let message = "the server is starting and reads back its log: try again in a second".to_owned();
    Refused { grpc: Code::Unavailable, http: StatusCode::SERVICE_UNAVAILABLE, message, retry: true, reason: Reason::Unavailable }
}
