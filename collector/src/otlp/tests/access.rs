//! Who may send: tokens, certificates, and web pages.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Request as HttpRequest};
use haldane_store::access::TokenDigest;
use haldane_store::tls::{Tls, TlsConfig};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::config::TokenConfig;
use crate::stats::Reason;
use crate::tests::world::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn with_tokens_only_those_who_show_one_may_send() {
    let dir = tempfile::tempdir().unwrap();
    let token = |name: &str| TokenConfig { name: name.to_owned(), sha256: TokenDigest::of(&format!("secret of {name}")) };
    let served = Served::start_with(dir.path(), |config| config.tokens = vec![token("shop"), token("bank")]).await;
    let basic = |credentials: &str| format!("Basic {}", crate::base64::encode(credentials.as_bytes()));
    let wrong = ["", "Bearer ", "Bearer wrong", "Basic secret of shop", "secret of shop", &basic("secret of shop"), &basic("x:wrong")];
    for shown in wrong {
        let answer = http1(served.http, post("/v1/traces", &[JSON, ("authorization", shown)], "{}")).await;
        assert_eq!((answer.status.as_u16(), answer.refusal().0, answer.headers["www-authenticate"].to_str().unwrap()), (401, 16, "Bearer"));
        assert!(!answer.headers.contains_key("retry-after"));
    }
    assert_eq!(call(&served, TRACES, "gzip", &one_span()).await.grpc().0, 16);
    for shown in ["Bearer secret of shop", "bearer secret of bank", &basic("anybody:secret of bank")] {
        let answer = http1(served.http, post("/v1/traces", &[PROTOBUF, ("authorization", shown)], one_span())).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let mut request = grpc_request(TRACES, "identity", &frame(0, &one_span()));
    request.headers_mut().insert("authorization", "Bearer secret of shop".parse().unwrap());
    assert_eq!(http2(served.grpc, request).await.grpc().0, 0);
    let broken = post("/v1/traces", &[PROTOBUF, ("authorization", "Bearer secret of bank")], vec![0x0a, 0xff]);
    assert_eq!(http1(served.http, broken).await.status, StatusCode::BAD_REQUEST);
    let stats = served.meter.read();
    let refusals: Vec<_> = stats.refusals.iter().map(|told| (&*told.token, told.reason, told.requests)).collect();
    let strangers = u64::try_from(wrong.len()).unwrap() + 1;
    assert_eq!((stats.traces.accepted, refusals), (4, vec![("none", Reason::Unauthenticated, strangers), ("bank", Reason::Invalid, 1)]));
    served.stop().await;
}

/// Certificates of one authority, in files.
struct Certificates {
    files: TlsConfig,
    roots: RootCertStore,
    client: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Certificates {
    fn new(dir: &Path) -> Self {
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let signed = || {
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap(), key)
        };
        let [(server, server_key), (client, client_key)] = [signed(), signed()];
        let file = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = TlsConfig {
            cert_file: file("cert.pem", server.pem()),
            key_file: file("key.pem", server_key.serialize_pem()),
            client_ca_file: Some(file("ca.pem", authority.pem())),
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(client_key.serialize_der()).unwrap();
        Self { files, roots, client: (client.der().clone(), key) }
    }

    /// Sends over TLS; why it could not, if so.
    async fn send(&self, served: &Served, version: &[u8], with_certificate: bool, request: HttpRequest<Body>) -> Result<Answer, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(self.roots.clone());
        let mut config = if with_certificate {
            let (certificate, key) = &self.client;
            builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![version.to_vec()];
        let address = if version == b"h2" { served.grpc } else { served.http };
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
        send_on(TokioIo::new(stream), version == b"h2", request).await.map_err(|error| error.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_both_ports_speak_nothing_else() {
    let (dir, certificates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let certificates = Certificates::new(certificates.path());
    let files = TlsConfig { client_ca_file: None, ..certificates.files.clone() };
    let served = Served::start_with(dir.path(), |config| config.tls = Some(files)).await;
    let request = || post("/v1/traces", &[PROTOBUF], one_span());
    assert_eq!(certificates.send(&served, b"http/1.1", false, request()).await.unwrap().status, StatusCode::OK);
    let call = grpc_request(TRACES, "gzip", &frame(1, &pack("gzip", &one_span())));
    assert_eq!(certificates.send(&served, b"h2", false, call).await.unwrap().grpc().0, 0);
    let plain = TokioIo::new(TcpStream::connect(served.http).await.unwrap());
    assert!(send_on(plain, false, request()).await.is_err());
    expect(&served.tables, "SELECT count(*) FROM spans", 2).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mutual_tls_only_certificates_of_the_authority_may_send() {
    let (dir, certificates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let certificates = Certificates::new(certificates.path());
    let served = Served::start_with(dir.path(), |config| config.tls = Some(certificates.files.clone())).await;
    let request = || post("/v1/traces", &[PROTOBUF], one_span());
    assert_eq!(certificates.send(&served, b"http/1.1", true, request()).await.unwrap().status, StatusCode::OK);
    assert!(certificates.send(&served, b"http/1.1", false, request()).await.is_err());
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Certificates { roots: certificates.roots.clone(), ..Certificates::new(elsewhere.path()) };
    assert!(stranger.send(&served, b"http/1.1", true, request()).await.is_err());
    assert_eq!(served.meter.read().traces.accepted, 1);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_over_and_a_broken_one_is_not() {
    let (dir, certificates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = Certificates::new(certificates.path());
    let files = TlsConfig { client_ca_file: None, ..old.files.clone() };
    let tls = Tls::open(&files).unwrap();
    let served = Served::start_with(dir.path(), |config| config.tls = Some(files.clone())).await;
    let request = || post("/v1/traces", &[JSON], "{}");
    std::fs::write(&files.cert_file, "no certificate").unwrap();
    assert!(!tls.look(), "a broken file changes nothing");
    assert_eq!(old.send(&served, b"http/1.1", false, request()).await.unwrap().status, StatusCode::OK);
    let new = Certificates::new(certificates.path());
    assert!(tls.look(), "a good one is read");
    let deadline = Instant::now() + PATIENCE;
    while new.send(&served, b"http/1.1", false, request()).await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(old.send(&served, b"http/1.1", false, request()).await.is_err(), "of another authority");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x1_web_pages_may_send_from_allowed_origins_only() {
    let preflight = |origin: &str| {
        let headers =
            [("origin", origin), ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type,x-y")];
        request(Method::OPTIONS, "/v1/traces", &headers, "")
    };
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path()).await;
    let answer = http1(served.http, preflight("https://shop.example")).await;
    assert!(answer.status == StatusCode::METHOD_NOT_ALLOWED && !answer.headers.contains_key("access-control-allow-origin"));
    served.stop().await;

    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), |config| config.cors_allowed_origins = vec!["https://shop.example".to_owned()]).await;
    let answer = http1(served.http, preflight("https://shop.example")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://shop.example");
    assert_eq!(answer.headers["access-control-allow-headers"], "content-type,x-y");
    assert!(!http1(served.http, preflight("https://other.example")).await.headers.contains_key("access-control-allow-origin"));
    for (body, status) in [("{}", 200), ("[", 400)] {
        let answer = http1(served.http, post("/v1/traces", &[JSON, ("origin", "https://shop.example")], body)).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://shop.example");
    }
    served.stop().await;
}
