//! The sender: a fixed number of requests in flight (closed loop), or a fixed rate whatever the answers (open loop).

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes};
use tokio::sync::Mutex;
use tonic::Code;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

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

    fn pack(self, body: Vec<u8>) -> Bytes {
        match self {
            Self::HttpGzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
                encoder.write_all(&body).and_then(|()| encoder.finish()).expect("writing to memory").into()
            }
            // gRPC's client packs by itself.
            Self::Grpc | Self::GrpcGzip | Self::GrpcZstd | Self::HttpProtobuf | Self::HttpJson => body.into(),
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
    Grpc { grpc: Grpc<Channel>, path: &'static str },
    Http { client: reqwest::Client, url: String, media_type: &'static str, coding: Option<&'static str> },
}

impl Client {
    async fn open(server: &Server, signal: Signal, wire: Wire) -> Self {
        let (method, path) = match signal {
            Signal::Traces => ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces"),
            Signal::Logs => ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"),
            Signal::Metrics => ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/v1/metrics"),
        };
        match wire {
            Wire::Grpc | Wire::GrpcGzip | Wire::GrpcZstd => {
                let endpoint = Endpoint::from_shared(server.grpc.clone()).expect("the server told its address");
                let channel = endpoint.initial_stream_window_size(4 << 20).connect().await.expect("the server listens");
                let grpc = Grpc::new(channel);
                let grpc = match wire {
                    Wire::GrpcGzip => grpc.send_compressed(CompressionEncoding::Gzip),
                    Wire::GrpcZstd => grpc.send_compressed(CompressionEncoding::Zstd),
                    Wire::Grpc | Wire::HttpProtobuf | Wire::HttpGzip | Wire::HttpJson => grpc,
                };
                Self::Grpc { grpc, path: method }
            }
            Wire::HttpProtobuf | Wire::HttpGzip | Wire::HttpJson => {
                let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().expect("the settings are good");
                let media_type = if wire == Wire::HttpJson { "application/json" } else { "application/x-protobuf" };
                Self::Http { client, url: format!("{}{path}", server.http), media_type, coding: (wire == Wire::HttpGzip).then_some("gzip") }
            }
        }
    }

    async fn send(&mut self, body: Bytes) -> Answer {
        match self {
            Self::Grpc { grpc, path } => {
                if grpc.ready().await.is_err() {
                    return Answer::Retryable;
                }
                match grpc.unary(tonic::Request::new(body), http_path(path), Raw).await {
                    Ok(_) => Answer::Acknowledged,
                    Err(status) if status.code() == Code::Unavailable => Answer::Retryable,
                    Err(status) => {
                        crate::say(&format!("refused: {status:?}"));
                        Answer::ForGood
                    }
                }
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

fn http_path(path: &'static str) -> tonic::codegen::http::uri::PathAndQuery {
    tonic::codegen::http::uri::PathAndQuery::from_static(path)
}

/// Sends and takes bytes as they are.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
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
                    let body = wire.pack(payload.lock().await.next(wire));
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
        let body: Bytes = payload.next(Wire::Grpc).into();
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
