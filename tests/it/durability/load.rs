//! Senders over gRPC and HTTP that write down what they are told.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::book::{Book, Fate};
use super::parcel::{Export, Parcel};
use super::server::Server;

/// Connections of each protocol.
const CONNECTIONS: usize = 3;
/// Requests that are under way at once at most.
pub(super) const IN_FLIGHT: usize = 2 * CONNECTIONS;
/// A refused sender waits this long instead of the second it is asked for, so that tests see more of it.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// Senders at work.
pub(super) struct Load {
    stop: CancellationToken,
    senders: JoinSet<()>,
}

impl Load {
    /// Parcels of a round are sent over several connections, one at a time on each, until the load is ended or the server is gone.
    pub(super) fn start(server: &Server, book: &Arc<Book>, round: u32) -> Self {
        let (stop, mut senders) = (CancellationToken::new(), JoinSet::new());
        for _ in 0..CONNECTIONS {
            let channel = Endpoint::from_shared(server.grpc.clone()).unwrap().connect_lazy();
            senders.spawn(send(Door::Grpc(channel), book.clone(), round, stop.clone()));
            let door = Door::Http(reqwest::Client::new(), server.http.clone());
            senders.spawn(send(door, book.clone(), round, stop.clone()));
        }
        Self { stop, senders }
    }

    /// Lets each sender finish what it has begun.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.senders.join_next().await {
            ended.unwrap();
        }
    }
}

#[derive(Clone)]
enum Door {
    Grpc(Channel),
    Http(reqwest::Client, String),
}

async fn send(door: Door, book: Arc<Book>, round: u32, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let parcel = book.open(round);
        let fate = match &door {
            Door::Grpc(channel) => by_grpc(channel.clone(), parcel).await,
            Door::Http(client, url) => by_http(client, url, parcel).await,
        };
        book.close(parcel, fate);
        match fate {
            Fate::Unanswered => break,
            Fate::Refused => tokio::time::sleep(AFTER_REFUSAL).await,
            Fate::Acknowledged => {}
        }
    }
}

async fn by_grpc(channel: Channel, parcel: Parcel) -> Fate {
    let partial = match parcel.export() {
        Export::Traces(request) => {
            TraceServiceClient::new(channel).export(request).await.map(|answer| answer.into_inner().partial_success.is_some())
        }
        Export::Logs(request) => {
            LogsServiceClient::new(channel).export(request).await.map(|answer| answer.into_inner().partial_success.is_some())
        }
        Export::Metrics(request) => {
            MetricsServiceClient::new(channel).export(request).await.map(|answer| answer.into_inner().partial_success.is_some())
        }
    };
    match partial {
        Ok(partial) => {
            assert!(!partial, "{parcel:?} was accepted only in part");
            Fate::Acknowledged
        }
        Err(status) if is_refusal(&status) => Fate::Refused,
        Err(status) => {
            // What the client says by itself when the connection breaks.
            assert!([Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled].contains(&status.code()), "{parcel:?}: {status:?}");
            Fate::Unanswered
        }
    }
}

/// Whether the server said it, with the time to wait.
fn is_refusal(status: &Status) -> bool {
    status.code() == Code::Unavailable && !status.details().is_empty() && status.metadata().get_bin("google.rpc.retryinfo-bin").is_some()
}

async fn by_http(client: &reqwest::Client, url: &str, parcel: Parcel) -> Fate {
    let (path, body) = match parcel.export() {
        Export::Traces(request) => ("/v1/traces", request.encode_to_vec()),
        Export::Logs(request) => ("/v1/logs", request.encode_to_vec()),
        Export::Metrics(request) => ("/v1/metrics", request.encode_to_vec()),
    };
    let request = client.post(format!("{url}{path}")).header("content-type", "application/x-protobuf").body(body);
    let Ok(answer) = request.send().await else { return Fate::Unanswered };
    let (status, wait) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
    match (status, answer.bytes().await) {
        (200, Ok(body)) => {
            assert!(body.is_empty(), "{parcel:?} was accepted only in part");
            Fate::Acknowledged
        }
        // The status stands before the body: it was acknowledged.
        (200, Err(_)) => Fate::Acknowledged,
        (503, _) if wait => Fate::Refused,
        (status, body) => panic!("{parcel:?} was answered with {status}: {body:?}"),
    }
}
