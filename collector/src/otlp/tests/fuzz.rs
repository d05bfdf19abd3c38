//! Generated requests, whole and damaged, through the doors.

use proptest::prelude::*;

use super::*;
use crate::tests::generate::records;

fn damaged(mut body: Vec<u8>, damage: &[(usize, u8)]) -> Vec<u8> {
    for (at, byte) in damage {
        if !body.is_empty() {
            let at = at % body.len();
            body[at] = *byte;
        }
    }
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Never a 5xx, always a well-formed answer, and what was acknowledged is counted.
    #[test]
    fn r1_any_request_gets_a_well_formed_answer(
        requests in proptest::collection::vec((records(), proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4)), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let served = Served::start(dir.path()).await;
            let mut accepted = 0;
            for (records, damage) in requests {
                let (path, method) = match records {
                    Records::Traces(_) => ("/v1/traces", TRACES),
                    Records::Metrics(_) => ("/v1/metrics", METRICS),
                    Records::Logs(_) => ("/v1/logs", LOGS),
                };
                for (media_type, body) in [(PROTOBUF, protobuf(&records).body), (JSON, to_json::request(&records).body)] {
                    let answer = http1(served.http, post(path, &[media_type], damaged(body.to_vec(), &damage))).await;
                    match answer.status {
                        StatusCode::OK => accepted += 1,
                        status => assert_eq!((status, answer.refusal().0), (StatusCode::BAD_REQUEST, 3)),
                    }
                }
                let answer = call(&served, method, "identity", &damaged(protobuf(&records).body.to_vec(), &damage)).await;
                let (code, message) = answer.grpc();
                assert!([0, 3].contains(&code), "{code} {message}");
                accepted += u64::from(code == 0);
            }
            let stats = served.meter.read();
            assert_eq!(stats.traces.requests + stats.metrics.requests + stats.logs.requests, accepted);
            served.stop().await;
        });
    }
}
