use haldane_store::TableName;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogram, ExponentialHistogramDataPoint, Metric};
use opentelemetry_proto::tonic::trace::v1::{Span, span::Event};
use proptest::prelude::*;

use super::value::Attribute;
use super::*;
use crate::tests::fixture::{
    RECEIVED, attribute, json as json_request, log, logs_of, metrics, metrics_of, protobuf, published, rows_of_checked, span, text,
    traces_of,
};
use crate::tests::oracle::{self, Records};
use crate::tests::{generate, to_json};

const LIMIT: u64 = 1 << 40;

#[test]
fn what_can_never_be_stored_is_left_out_and_counted() {
    let spans = vec![
        Span { trace_id: vec![1, 2, 3], ..span() },
        span(),
        Span { span_id: Vec::new(), ..span() },
        Span { parent_span_id: vec![7], ..span() },
        Span { end_time_unix_nano: u64::MAX, ..span() },
    ];
    let checked = decode(&protobuf(&Records::Traces(traces_of(spans))), LIMIT).unwrap();
    let rejected = checked.rejected.clone().unwrap();
    assert_eq!((checked.kept, rejected.count), (1, 4));
    assert_eq!(rejected.message, "4 spans can never be stored and were left out; the first: trace_id must have 16 bytes, not 3");
    let checked_alone = decode(&protobuf(&Records::Traces(traces_of(vec![span()]))), LIMIT).unwrap();
    assert_eq!(rows_of_checked(&[checked]), rows_of_checked(&[checked_alone]));

    let mut odd = log();
    odd.span_id = vec![1];
    let mut bare = log();
    (bare.trace_id, bare.span_id) = (Vec::new(), Vec::new());
    let checked = decode(&protobuf(&Records::Logs(logs_of(vec![odd, bare]))), LIMIT).unwrap();
    assert_eq!((checked.kept, checked.rejected.unwrap().count), (1, 1));
}

#[test]
fn a_small_body_that_expands_without_end_is_refused() {
    let mut request = traces_of(vec![span(); 1000]);
    request.resource_spans[0].resource.as_mut().unwrap().attributes.push(attribute("big", text(&"x".repeat(100_000))));
    let request = protobuf(&Records::Traces(request));
    assert!(matches!(decode(&request, 50_000_000), Err(DecodeError::Expands { bytes, .. }) if bytes > 100_000_000));
    assert!(decode(&request, 200_000_000).is_ok());
}

#[test]
fn what_the_metadata_of_a_metric_says_is_counted_for_each_point() {
    let mut metric = metrics().remove(0);
    metric.metadata.push(attribute("about", text(&"x".repeat(100_000))));
    let Some(Data::Gauge(gauge)) = &mut metric.data else { panic!("{metric:?}") };
    gauge.data_points = vec![gauge.data_points[0].clone(); 1000];
    let request = protobuf(&Records::Metrics(metrics_of(vec![metric])));
    assert!(matches!(decode(&request, 50_000_000), Err(DecodeError::Expands { bytes, .. }) if bytes > 100_000_000));
}

#[test]
fn records_of_no_bytes_are_rows_all_the_same() {
    let request = protobuf(&Records::Logs(logs_of(vec![LogRecord::default(); 100_000])));
    assert!(request.body.len() < 300_000);
    assert!(matches!(decode(&request, 5_000_000), Err(DecodeError::Expands { bytes, .. }) if bytes > 6_000_000));
}

/// Events without a byte, and numbers packed in one byte each.
#[test]
fn what_hangs_on_a_record_is_counted_too() {
    let events = Span { events: vec![Event::default(); 100_000], ..span() };
    let request = protobuf(&Records::Traces(traces_of(vec![events])));
    assert!(matches!(decode(&request, 3_000_000), Err(DecodeError::Expands { bytes, .. }) if bytes > 3_200_000));
    let mut point = ExponentialHistogramDataPoint::default();
    point.positive.get_or_insert_default().bucket_counts = vec![1; 400_000];
    let data = Some(Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![point], ..Default::default() }));
    let request = protobuf(&Records::Metrics(metrics_of(vec![Metric { data, ..Metric::default() }])));
    assert!(matches!(decode(&request, 3_000_000), Err(DecodeError::Expands { bytes, .. }) if bytes > 3_200_000));
}

/// Bodies that only the full decoder takes, for the last bytes are a resource in two pieces: its structs are counted before they are made.
#[test]
fn what_the_full_decoder_would_make_is_counted_before() {
    let odd: &[u8] = &[0x0a, 0x04, 0x0a, 0x00, 0x0a, 0x00];
    for signal in Signal::ALL {
        let irregular = |messages: usize| {
            let body = [[0x0a, 0x00].repeat(messages), odd.to_vec()].concat();
            decode(&Request { signal, encoding: Encoding::Protobuf, body: body.into() }, LIMIT)
        };
        assert_eq!(irregular(10).unwrap().kept, 0);
        assert!(matches!(irregular(1_000_000), Err(DecodeError::Heavy { bytes, .. }) if bytes > 100_000_000), "{signal:?}");
    }
    // Spans of two bytes, in one scope of one resource.
    let spans = [0x12, 0x00].repeat(1_000_000);
    let scope = nested(0x12, &spans);
    let body = [nested(0x0a, &scope), odd.to_vec()].concat();
    let request = Request { signal: Signal::Traces, encoding: Encoding::Protobuf, body: body.into() };
    assert!(matches!(decode(&request, LIMIT), Err(DecodeError::Heavy { bytes, .. }) if bytes > 300_000_000));
}

fn nested(tag: u8, message: &[u8]) -> Vec<u8> {
    let mut outer = vec![tag];
    prost::encoding::encode_varint(message.len() as u64, &mut outer);
    outer.extend_from_slice(message);
    outer
}

#[test]
fn attributes_that_say_nothing_take_no_memory_and_stay_one() {
    let said = |count: usize| {
        let attributes = vec![KeyValue::default(); count];
        decode(&protobuf(&Records::Logs(logs_of(vec![LogRecord { attributes, ..log() }]))), LIMIT).unwrap()
    };
    let mut list = Vec::new();
    let fresh = [0x0a, 0x01, b'k'];
    for message in [&[][..], &[], &fresh, &[], &[], &fresh, &fresh] {
        Attribute::add_to(&mut list, message).unwrap();
    }
    assert_eq!(list.len(), 5);
    assert_eq!(rows_of_checked(&[said(1)]), rows_of_checked(&[said(1_000)]));
}

#[test]
fn text_that_was_cut_within_a_character_is_taken() {
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"cut \ud83d"}}]}]}]}"#;
    let cut = decode(&json_request(Signal::Logs, body), LIMIT).unwrap();
    let mended = decode(&json_request(Signal::Logs, &body.replace("\\ud83d", "\u{fffd}")), LIMIT).unwrap();
    assert_eq!(rows_of_checked(&[cut]), rows_of_checked(&[mended]));
    let broken = decode(&json_request(Signal::Logs, &body.replace("]}]", "]]")), LIMIT).unwrap_err();
    assert!(matches!(broken, DecodeError::Json(_)), "{broken:?}");
}

/// The walk takes one value only, the full decoder the last of them.
#[test]
fn of_two_kinds_of_value_in_json_the_last_counts() {
    let body = |value: &str| format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{value}}}]}}]}}]}}"#);
    let rows = |value: &str| rows_of_checked(&[decode(&json_request(Signal::Logs, &body(value)), LIMIT).unwrap()]);
    assert_eq!(rows(r#"{"stringValue":"a","intValue":null,"boolValue":false}"#), rows(r#"{"boolValue":false}"#));
    assert_eq!(rows(r#"{"arrayValue":{},"stringValue":""}"#), rows(r#"{"stringValue":""}"#));
}

#[test]
fn what_is_not_decodable_is_refused_whole() {
    let bad = Request { signal: Signal::Traces, encoding: Encoding::Protobuf, body: vec![0x0a, 0xff].into() };
    assert!(matches!(decode(&bad, LIMIT), Err(DecodeError::Protobuf(_))));
    let error = decode(&json_request(Signal::Logs, r#"{"resourceLogs":7}"#), LIMIT).unwrap_err();
    assert!(error.to_string().contains("resourceLogs must be a list"), "{error}");
}

#[test]
fn values_nested_without_end_are_refused_and_not_followed() {
    let mut value = vec![];
    for _ in 0..20_000 {
        for tag in [0x0a, 0x2a] {
            value = nested(tag, &value);
        }
    }
    // resource_logs, scope_logs, log_records, body
    for tag in [0x2a, 0x12, 0x12, 0x0a] {
        value = nested(tag, &value);
    }
    let request = Request { signal: Signal::Logs, encoding: Encoding::Protobuf, body: value.into() };
    assert!(matches!(decode(&request, LIMIT), Err(DecodeError::Protobuf(cause)) if cause.to_string().contains("recursion")));
}

/// A change to a body: bytes put in, taken out, or turned.
#[derive(Debug, Clone)]
enum Change {
    Flip {
        at: prop::sample::Index,
        bits: u8,
    },
    Insert {
        at: prop::sample::Index,
        byte: u8,
    },
    Remove {
        at: prop::sample::Index,
    },
    Cut {
        at: prop::sample::Index,
    },
    /// Part of the body once more, at its end: messages in two pieces, fields out of order.
    Again {
        from: prop::sample::Index,
    },
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let index = any::<prop::sample::Index>;
    let change = prop_oneof![
        4 => (index(), 1_u8..).prop_map(|(at, bits)| Change::Flip { at, bits }),
        2 => (index(), any::<u8>()).prop_map(|(at, byte)| Change::Insert { at, byte }),
        2 => index().prop_map(|at| Change::Remove { at }),
        1 => index().prop_map(|at| Change::Cut { at }),
        1 => index().prop_map(|from| Change::Again { from }),
    ];
    prop::collection::vec(change, 0..4)
}

fn changed(mut body: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        if body.is_empty() {
            break;
        }
        let length = body.len();
        match change {
            Change::Flip { at, bits } => body[at.index(length)] ^= bits,
            Change::Insert { at, byte } => body.insert(at.index(length), byte),
            Change::Remove { at } => drop(body.remove(at.index(length))),
            Change::Cut { at } => body.truncate(at.index(length)),
            Change::Again { from } => body.extend_from_within(from.index(length)..),
        }
    }
    body
}

/// What the walk makes of a body is what a tree of objects would have given.
fn assert_like_the_oracle(request: &Request) -> Result<(), TestCaseError> {
    let ours = decode(request, LIMIT);
    let Some((records, kept, rejected)) = oracle::decode(request) else {
        prop_assert!(matches!(ours, Err(DecodeError::Protobuf(_) | DecodeError::Json(_))), "taken, but it is nothing: {ours:?}");
        return Ok(());
    };
    let ours = ours.map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!((ours.kept, &ours.rejected), (kept, &rejected));
    let (table, rows) = oracle::rows_of(&records, RECEIVED);
    let found = rows_of_checked(&[ours]).into_iter().find(|(name, _)| *name == table);
    match found {
        Some((_, found)) => prop_assert_eq!(published(table, &found), rows),
        None => prop_assert_eq!(rows.num_rows(), 0),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_walk_reads_what_a_full_decoder_reads(records in generate::records()) {
        assert_like_the_oracle(&protobuf(&records))?;
        assert_like_the_oracle(&to_json::request(&records))?;
    }

    #[test]
    fn a_body_that_was_changed_anywhere_is_read_alike_or_refused_by_both(records in generate::records(), changes in changes()) {
        let body = changed(records.encode(), changes);
        for signal in Signal::ALL {
            assert_like_the_oracle(&Request { signal, encoding: Encoding::Protobuf, body: body.clone().into() })?;
        }
    }

    #[test]
    fn json_that_was_changed_anywhere_is_read_or_refused_as_json(records in generate::records(), changes in changes()) {
        let body = changed(to_json::request(&records).body.to_vec(), changes);
        for signal in Signal::ALL {
            assert_like_the_oracle(&Request { signal, encoding: Encoding::Json, body: body.clone().into() })?;
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), json in any::<bool>()) {
        for signal in Signal::ALL {
            let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
            assert_like_the_oracle(&Request { signal, encoding, body: bytes.clone().into() })?;
        }
    }
}

#[test]
fn fields_in_any_order_and_messages_in_two_pieces_are_read_as_one() {
    let group = &traces_of(vec![span()]).resource_spans[0];
    // The resource behind the scopes, in two pieces: decoders join them.
    let resource = group.resource.clone().unwrap();
    let (mut first, mut second) = (resource.clone(), resource);
    second.attributes = first.attributes.split_off(2);
    second.entity_refs.clear();
    let mut inner = opentelemetry_proto::tonic::trace::v1::ResourceSpans { resource: None, ..group.clone() }.encode_to_vec();
    for piece in [first, second] {
        prost::encoding::message::encode(1, &piece, &mut inner);
    }
    let mut body = Vec::new();
    prost::encoding::bytes::encode(1, &inner, &mut body);
    let request = Request { signal: Signal::Traces, encoding: Encoding::Protobuf, body: body.into() };
    let whole = decode(&protobuf(&Records::Traces(traces_of(vec![span()]))), LIMIT).unwrap();
    let spans = |checked| rows_of_checked(&[checked]).into_iter().find(|(table, _)| *table == TableName::Spans);
    assert_eq!(spans(decode(&request, LIMIT).unwrap()), spans(whole));
}
