//! The sender: a fixed number of requests in flight (closed loop), or a fixed rate whatever the answers (open loop).

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tonic::{Code, Status};

use crate::payload::{Payload, Signal};
use crate::server::Server;

/// How a request is written and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Grpc,
    GrpcGzip,
    GrpcZstd,
    HttpProtobuf,
    HttpGzip,
    HttpJson,
}

impl Wire {
    pub(crate) const ALL: [Self; 6] = [Self::Grpc, Self::GrpcGzip, Self::GrpcZstd, Self::HttpProtobuf, Self::HttpGzip, Self::HttpJson];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "gRPC",
            Self::GrpcGzip => "gRPC gzip",
            Self::GrpcZstd => "gRPC zstd",
            Self::HttpProtobuf => "HTTP protobuf",
            Self::HttpGzip => "HTTP protobuf gzip",
            Self::HttpJson => "HTTP JSON",
        }
    }

    /// Whether making a request takes longer than sending it.
    pub(crate) fn is_slow_to_make(self) -> bool {
        !matches!(self, Self::Grpc | Self::HttpProtobuf)
    }

    fn coding(self) -> Option<&'static str> {
        match self {
            Self::Grpc | Self::HttpProtobuf | Self::HttpJson => None,
            Self::GrpcGzip | Self::HttpGzip => Some("gzip"),
            Self::GrpcZstd => Some("zstd"),
        }
    }

    /// A body as it goes over the wire.
    pub(crate) fn pack(self, body: Vec<u8>) -> Bytes {
        let body = match self.coding() {
            None => body,
            Some("gzip") => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&body).and_then(|()| encoder.finish()).expect("writing to memory")
            }
            // Without its length, as gRPC's libraries write it.
            Some(_) => zstd::stream::encode_all(&body[..], zstd::DEFAULT_COMPRESSION_LEVEL).expect("writing to memory"),
        };
        match self {
            Self::HttpProtobuf | Self::HttpGzip | Self::HttpJson => body.into(),
            Self::Grpc | Self::GrpcGzip | Self::GrpcZstd => {
                let mut message = Vec::with_capacity(body.len() + 5);
                message.put_u8(u8::from(self.coding().is_some()));
                message.put_u32(body.len().try_into().expect("far less than 4 GiB"));
                message.put_slice(&body);
                message.into()
            }
        }
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: u64,
    pub(crate) refused_retryable: u64,
    pub(crate) refused_for_good: u64,
    pub(crate) latencies: Vec<Duration>,
    pub(crate) took: Duration,
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: AtomicU64,
    retryable: AtomicU64,
    for_good: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

impl Tally {
    fn outcome(self: Arc<Self>, took: Duration) -> Outcome {
        let tally = Arc::into_inner(self).expect("all senders have ended");
        let mut latencies = tally.latencies.into_inner();
        latencies.sort();
        Outcome {
            acknowledged: tally.acknowledged.into_inner(),
            refused_retryable: tally.retryable.into_inner(),
            refused_for_good: tally.for_good.into_inner(),
            latencies,
            took,
        }
    }

    async fn count(&self, answer: Answer, latency: Duration) {
        let counter = match answer {
            Answer::Acknowledged => &self.acknowledged,
            Answer::Retryable => &self.retryable,
            Answer::ForGood => &self.for_good,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if answer == Answer::Acknowledged {
            self.latencies.lock().await.push(latency);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Acknowledged,
    Retryable,
    ForGood,
}

/// One connection.
#[derive(Clone)]
enum Client {
    Grpc { sender: http2::SendRequest<Full<Bytes>>, url: String, coding: Option<&'static str> },
    Http { client: reqwest::Client, url: String, media_type: &'static str, coding: Option<&'static str> },
}

impl Client {
    async fn open(server: &Server, signal: Signal, wire: Wire) -> Self {
        let (method, path) = match signal {
            Signal::Traces => ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces"),
            Signal::Logs => ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"),
            Signal::Metrics => ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/v1/metrics"),
        };
        let coding = wire.coding();
        match wire {
            Wire::Grpc | Wire::GrpcGzip | Wire::GrpcZstd => {
                let address = server.grpc.strip_prefix("http://").unwrap_or(&server.grpc);
                let stream = TcpStream::connect(address).await.expect("the server listens");
                stream.set_nodelay(true).expect("a socket of TCP");
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("the server speaks HTTP/2");
                tokio::spawn(connection);
                Self::Grpc { sender, url: format!("http://{address}{method}"), coding }
            }
            Wire::HttpProtobuf | Wire::HttpGzip | Wire::HttpJson => {
                let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().expect("the settings are good");
                let media_type = if wire == Wire::HttpJson { "application/json" } else { "application/x-protobuf" };
                Self::Http { client, url: format!("{}{path}", server.http), media_type, coding }
            }
        }
    }

    async fn send(&mut self, body: Bytes) -> Answer {
        match self {
            Self::Grpc { sender, url, coding } => {
                let request = hyper::Request::post(&*url).header(CONTENT_TYPE, "application/grpc").header("te", "trailers");
                let request = if let Some(coding) = coding { request.header("grpc-encoding", *coding) } else { request };
                let request = request.body(Full::new(body)).expect("a request with a few headers");
                let Ok(answer) = sender.send_request(request).await else { return Answer::Retryable };
                let (head, body) = answer.into_parts();
                let Ok(body) = body.collect().await else { return Answer::Retryable };
                let trailers = body.trailers().and_then(Status::from_header_map);
                let Some(status) = trailers.or_else(|| Status::from_header_map(&head.headers)) else { return Answer::ForGood };
                if status.code() == Code::Ok {
                    return Answer::Acknowledged;
                }
                if status.code() == Code::Unavailable {
                    return Answer::Retryable;
                }
                crate::say(&format!("refused: {status:?}"));
                Answer::ForGood
            }
            Self::Http { client, url, media_type, coding } => {
                let mut request = client.post(&*url).header("content-type", *media_type).body(body);
                if let Some(coding) = coding {
                    request = request.header("content-encoding", *coding);
                }
                match request.send().await.map(|answer| answer.status().as_u16()) {
                    Ok(200) => Answer::Acknowledged,
                    Ok(429 | 502 | 503 | 504) | Err(_) => Answer::Retryable,
                    Ok(_) => Answer::ForGood,
                }
            }
        }
    }
}

/// How many send at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
}

/// When a closed loop ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Requests(u64),
    Elapsed(Duration),
}

/// Each place in the crowd sends its next request once the last one is answered; what is refused for now is sent again after a second.
pub(crate) async fn closed_loop(server: &Server, wire: Wire, payload: Payload, crowd: Crowd, until: Until) -> Outcome {
    let signal = payload.signal;
    let payload = Arc::new(Mutex::new(payload));
    let tally = Arc::new(Tally::default());
    let (start, taken) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..crowd.connections {
        let client = Client::open(server, signal, wire).await;
        for _ in 0..crowd.in_flight {
            let (mut client, payload, tally, taken) = (client.clone(), payload.clone(), tally.clone(), taken.clone());
            senders.spawn(async move {
                loop {
                    let number = taken.fetch_add(1, Ordering::Relaxed);
                    let over = match until {
                        Until::Requests(requests) => number >= requests,
                        Until::Elapsed(time) => start.elapsed() >= time,
                    };
                    if over {
                        return;
                    }
                    let body = payload.lock().await.next(wire);
                    loop {
                        let sent = Instant::now();
                        let answer = client.send(body.clone()).await;
                        tally.count(answer, sent.elapsed()).await;
                        if answer != Answer::Retryable {
                            break;
                        }
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            });
        }
    }
    while let Some(ended) = senders.join_next().await {
        ended.expect("a sender does not panic");
    }
    tally.outcome(start.elapsed())
}

/// Sends at a steady rate; a latency counts from when the request should have been sent.
pub(crate) async fn open_loop(server: &Server, mut payload: Payload, records_per_second: f64, lasting: Duration) -> Outcome {
    let every = Duration::from_secs_f64(payload.records() as f64 / records_per_second);
    let tally = Arc::new(Tally::default());
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::open(server, payload.signal, Wire::Grpc).await);
    }
    let start = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    let mut due = start;
    for number in 0.. {
        if start.elapsed() >= lasting {
            break;
        }
        let body = payload.next(Wire::Grpc);
        tokio::time::sleep_until(due.into()).await;
        let (mut client, tally, scheduled) = (clients[number % clients.len()].clone(), tally.clone(), due);
        senders.spawn(async move {
            let answer = client.send(body).await;
            tally.count(answer, scheduled.elapsed()).await;
        });
        due += every;
    }
    while let Some(ended) = senders.join_next().await {
        ended.expect("a sender does not panic");
    }
    tally.outcome(start.elapsed())
}
