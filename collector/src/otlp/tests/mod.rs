//! Both doors over real sockets. The rows of OTLP's conformance table, and the test that holds each; a test begins with the row's name where it has one.
//!
//! | row | what the server must do | test |
//! | --- | --- | --- |
//! | | compression none and gzip; zstd, deflate, snappy | `compression::c1_c2_c4_…` |
//! | | ports 4317 and 4318 | `the_ports_are_those_that_senders_expect` in the program's settings |
//! | G1 G2 | unary `Export` of three services | `grpc::g1_g2_…` |
//! | G4 | unknown message encoding | `grpc::g4_…` |
//! | G5 G6 | undecodable request | `grpc::g5_g6_…` |
//! | G8 | 64 MiB by default, configurable | `limits::g8_s1_s2_s3_…` |
//! | G9 G10 | the limit holds after decompression, not retryable | `limits::g9_g10_…` |
//! | G11 | unknown method | `grpc::g11_…` |
//! | G12 | profiles | `refusals::g12_…` |
//! | G13 | overload | `overload::g13_…` |
//! | G14 | many calls, many connections | `connections::g14_…` |
//! | | answers are small | `limits::an_answer_stays_small_…` |
//! | G1 H1 J8 | empty requests | `success::g1_h1_j8_…` |
//! | G2 H2 | full success | `success::g2_h2_…` |
//! | | partial success | `success::partial_success_…` |
//! | | a warning has no count | `success::a_warning_…` |
//! | | which codes may be tried again | `refusals::only_…` |
//! | H1 H2 H3 | paths, answers in the encoding of the request, one port for both | `http::h1_h2_h3_…` |
//! | H4 H5 | media types | `http::h4_h5_…` |
//! | | HTTP/1.1, HTTP/2, chunked bodies | `http::chunked_…` |
//! | J1 J2 J11, J3 J10, J4, J5, J6 J7, J9, names | JSON | `json::j…` |
//! | C6 C7 | unknown and corrupt codings | `compression::c6_…`, `c7_…` |
//! | C8 | an answer's coding | `compression::c8_…` |
//! | S1 to S5 | limits of bodies | `limits::s4_s5_…` |
//! | E1 E2 E3 | `google.rpc.Status`, 400, `BadRequest` | `refusals::e1_e2_e3_…` |
//! | E4 E5 E6 E7 | 415, 405, 404 | `refusals::e4_…` |
//! | | `Retry-After` in whole seconds | `overload::g13_…` |
//! | X1 | CORS | `access::x1_…` |
//! | | TLS, mutual TLS, tokens | `access` |
//! | | keepalive, age, slow and silent senders | `connections` |
//! | R1 P1 | hostile bodies | `hostile::r1_…`, `hostile::p1_…`, `fuzz::r1_…` |
//! | | empty envelopes | `success::empty_envelopes_…` |

mod access;
mod client;
mod compression;
mod connections;
mod fuzz;
mod grpc;
mod hostile;
mod http;
mod json;
mod limits;
mod overload;
mod refusals;
mod success;

use axum::http::StatusCode;
use prost::Message as _;

use client::*;

use crate::tests::fixture::{log, logs_of, metrics, metrics_of, protobuf, span, traces_of};
use crate::tests::oracle::Records;
use crate::tests::to_json;
use crate::tests::world::{Served, expect};

/// A request of each signal, where it goes over HTTP and over gRPC.
fn one_of_each() -> [(&'static str, &'static str, Records); 3] {
    [
        ("/v1/traces", TRACES, Records::Traces(traces_of(vec![span()]))),
        ("/v1/metrics", METRICS, Records::Metrics(metrics_of(metrics()))),
        ("/v1/logs", LOGS, Records::Logs(logs_of(vec![log()]))),
    ]
}

fn one_span() -> Vec<u8> {
    protobuf(&Records::Traces(traces_of(vec![span()]))).body.to_vec()
}
