//! Content codings beyond those that every SDK has.

use super::*;

fn one_span() -> Vec<u8> {
    protobuf(&Records::Traces(traces_of(vec![span()]))).body.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_the_collector_s_other_codings_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let plain = one_span();
    let mut framed = snap::write::FrameEncoder::new(Vec::new());
    framed.write_all(&plain).unwrap();
    let block = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    for (coding, packed) in [("zlib", zlib(&plain)), ("snappy", framed.into_inner().unwrap()), ("snappy", block.clone())] {
        let headers = [("content-type", MEDIA_TYPES[0]), ("content-encoding", coding)];
        let answer = http1(served.http, post("/v1/traces", &headers, packed)).await;
        assert_eq!(answer.status, StatusCode::OK, "{coding}");
    }
    assert_eq!(call_raw(&served, TRACES, "snappy", frame(1, &block)).await.grpc().0, 0);
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 5 << 20]).unwrap();
    assert_eq!(call_raw(&served, TRACES, "snappy", frame(1, &bomb)).await.grpc().0, 8);
    assert_eq!(call_raw(&served, TRACES, "snappy", frame(1, b"\xff\xff\xff")).await.grpc().0, 3);
    assert_eq!(served.meter.read().traces.accepted, 4);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_an_answer_is_never_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let headers = [("content-type", MEDIA_TYPES[0]), ("accept-encoding", "gzip")];
    let answer = http1(served.http, post("/v1/traces", &headers, one_span())).await;
    assert!(answer.status == StatusCode::OK && !answer.headers.contains_key("content-encoding"));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_a_body_that_does_not_compress_fits_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.in_flight_bytes_max = 0).await;
    let mut state = 1_u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + u8::try_from(state >> 58).unwrap())
    };
    let text: String = std::iter::repeat_with(&mut noise).filter(|c| !"\"\\".contains(*c)).take((1 << 20) - 20).collect();
    let body = gzip(format!("{{\"unknown\":\"{text}\"}}").as_bytes());
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = http1(served.http, post("/v1/logs", &headers, body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(served.meter.read().bytes_in_flight, 0);
    served.stop().await;
}
