//! How large a request and its answer may be. The limit is a megabyte here.

use super::*;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn g8_s1_s2_s3_bodies_up_to_64_mib_are_taken_unless_told_otherwise() {
    let normal = crate::config::CollectorConfig::default();
    assert_eq!(normal.request_bytes_max, 64 * MIB);
    let dir = tempfile::tempdir().unwrap();
    let normal_size = |config: &mut crate::config::CollectorConfig| {
        (config.request_bytes_max, config.in_flight_bytes_max) = (normal.request_bytes_max, normal.in_flight_bytes_max);
    };
    let served = Served::start_with(dir.path(), normal_size).await;
    // An unknown field of almost 64 MiB: four times what gRPC libraries take by default, times four.
    let length = 64 * MIB - 16;
    let mut body = vec![0xc2, 0x3e];
    prost::encoding::encode_varint(u64::try_from(length).unwrap(), &mut body);
    body.resize(body.len() + length, b'x');
    assert_eq!(call(&served, TRACES, "identity", &body).await.grpc(), (0, String::new()));
    assert_eq!(http1(served.http, post("/v1/traces", &[PROTOBUF], body)).await.status, StatusCode::OK);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g9_g10_over_the_limit_is_resource_exhausted_and_not_to_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let large = vec![0; 5 * MIB];
    for coding in ["identity", "gzip", "zstd", "deflate", "snappy"] {
        let answer = call(&served, LOGS, coding, &large).await;
        let (code, message) = answer.grpc();
        assert!(code == 8 && message.contains("limit of 1048576 bytes"), "{coding}: {code} {message}");
        assert!(answer.trailer("google.rpc.retryinfo-bin").is_none() && answer.trailer("grpc-status-details-bin").is_none());
    }
    assert_eq!(served.meter.read().bytes_in_flight, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_s5_over_the_limit_is_413_before_and_after_decompression_and_the_sender_sees_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let large = vec![b' '; 5 * MIB];
    let mut requests = vec![post("/v1/logs", &[JSON], large.clone()), post("/v1/logs", &[JSON], chunked(&large))];
    for coding in ["gzip", "zstd", "deflate", "snappy", "x-snappy-framed"] {
        requests.push(post("/v1/logs", &[JSON, ("content-encoding", coding)], pack(coding, &large)));
    }
    for request in requests {
        let answer = http1(served.http, request).await;
        let (code, message) = answer.refusal();
        assert_eq!((answer.status, code), (StatusCode::PAYLOAD_TOO_LARGE, 8));
        assert!(message.contains("limit of 1048576 bytes") && !answer.headers.contains_key("retry-after"), "{message}");
    }
    let fits = format!("{{}}{}", " ".repeat(MIB - 2));
    let answer = http1(served.http, post("/v1/logs", &[JSON, ("content-encoding", "gzip")], pack("gzip", fits.as_bytes()))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(served.meter.read().bytes_in_flight, 0);
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
    let text: String = std::iter::repeat_with(&mut noise).filter(|c| !"\"\\".contains(*c)).take(MIB - 20).collect();
    let body = pack("gzip", format!("{{\"unknown\":\"{text}\"}}").as_bytes());
    let answer = http1(served.http, post("/v1/logs", &[JSON, ("content-encoding", "gzip")], body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(served.meter.read().bytes_in_flight, 0);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_stays_small_whatever_it_tells_of() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let long = format!("/v1/{}", "x".repeat(12_000));
    let answer = http1(served.http, post(&long, &[JSON], "{}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.body.len() < 8_000, "{}", answer.body.len());
    let (code, message) = call(&served, &long, "identity", b"").await.grpc();
    assert!(code == 12 && message.len() < 8_000, "{code} {}", message.len());
    served.stop().await;
}
