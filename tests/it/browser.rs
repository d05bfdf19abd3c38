//! Pages in a real browser: what axe finds, what the page's policy forbids, and a rollout that is followed live.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::time::Duration;

use haldane_store::UnixNanos;
use haldane_store::clock::{Clock as _, SystemClock};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Value, json};

use crate::clients::{Program, node};
use crate::pages::HOSTILE;
use crate::traffic::{Traffic, text};
use crate::world::{World, repository};

/// What a trace says that would take over a page that trusts it.
const HOSTILE_STACK: &str = "</pre><script>alert(1)</script>\n\tat <init>(Pay.java:7)";

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_followed_on_its_page_from_undecided_to_rolled_back() {
    let world = World::start().await;
    for version in ["1.4.0", "1.5.0"] {
        Traffic { service: HOSTILE, version, minutes: 1, requests: 100, fails_each: 0 }.send(&world).await;
    }
    let start = json!({
        "service": HOSTILE, "environment": "shop", "metadata": {"note": HOSTILE},
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
    });
    let id = world.start_rollout(&start).await;
    let path = format!("/rollouts/{id}");
    let mut browser = Followed(pages().args(["follow", &world.api, &path]).start());
    let mut lines = BufReader::new(browser.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().expect("the browser ended").unwrap()).unwrap() };
    assert_eq!(next(), json!({"badge": "undecided yet"}));
    assert_eq!(next(), json!({"typed": "typed by a person", "focused": "reason", "scrolled": 0}), "an update takes nothing from a person");
    // Only now, with the page open, does the canary turn bad.
    send_hostile_trace(&world).await;
    for (version, fails_each) in [("1.4.0", 0), ("1.5.0", 2)] {
        Traffic { service: HOSTILE, version, minutes: 1, requests: 2_000, fails_each }.send(&world).await;
    }
    assert_eq!(next(), json!({"badge": "roll back"}));
    let told = next();
    assert_eq!((&told["errors"], &told["violated"]), (&json!([]), &json!([])), "{told:#}");
    assert!(told["news"].as_str().unwrap().starts_with("roll back"), "{told:#}");
    assert!(told["moved"].as_f64().unwrap() < 0.1, "what a person reads does not move away: {told:#}");

    let service = "/services/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%22'%26?environment=shop";
    let file = format!("{path}?file=true");
    let looked = pages().args(["look", &world.api, "/", &path, service, &file, "/rollouts/nothing"]).run();
    assert_eq!(looked.len(), 5 * 4, "each in both themes and at both widths");
    for one in looked {
        for found in ["violations", "errors", "violated"] {
            assert_eq!(one[found], json!([]), "{one:#}");
        }
        assert!(one["sideways"] == json!(0) && one["images"] == json!(0), "{one:#}");
        assert!(one["path"] == json!(file) || one["focused"] == json!("Skip to the content"), "{one:#}");
    }
    let report = world.get(&path).await.unwrap().as_str().unwrap().to_owned();
    assert!(report.contains("&lt;/pre&gt;&lt;script&gt;alert(1)") && !report.contains("<script>"), "{report}");
    for section in ["history", "latency", "contributions", "errors", "traces", "differences", "timeline"] {
        assert!(report.contains(&format!("<section id=\"{section}\">")), "{section} is missing: {report}");
    }
    assert!(report.contains("<code>POST /pay</code>") && report.contains("Lost &lt;card&gt;"), "{report}");
}

fn pages() -> Program {
    node().arg(repository("tests/clients/node/pages.cjs"))
}

/// A browser that is stopped with the story.
struct Followed(Child);

impl Drop for Followed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A request to the canary with a call below it that failed with a stack trace.
async fn send_hostile_trace(world: &World) {
    let start = SystemClock.now().minus(Duration::from_secs(90));
    let nanos = |at: UnixNanos| u64::try_from(at.as_nanos()).unwrap();
    let exception = Event {
        time_unix_nano: nanos(start),
        name: "exception".to_owned(),
        attributes: vec![
            text("exception.type", "Lost <card>"),
            text("exception.message", HOSTILE),
            text("exception.stacktrace", HOSTILE_STACK),
        ],
        ..Event::default()
    };
    let span = |id: u8, parent: &[u8], name: &str, kind: i32, millis: u64| Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        parent_span_id: parent.to_vec(),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: nanos(start) + 1_000_000 * u64::from(id),
        end_time_unix_nano: nanos(start) + 1_000_000 * (u64::from(id) + millis),
        status: Some(Status { code: 2, ..Status::default() }),
        events: vec![exception.clone()],
        ..Span::default()
    };
    let spans = vec![span(1, &[], "POST /pay", 2, 30), span(2, &[1; 8], HOSTILE, 3, 12)];
    let attributes = [
        ("service.name", HOSTILE),
        ("service.version", "1.5.0"),
        ("service.instance.id", "1.5.0-0"),
        ("deployment.environment.name", "shop"),
    ];
    let resource = Resource { attributes: attributes.map(|(key, value)| text(key, value)).to_vec(), ..Resource::default() };
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    let traces = ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
    world.export("/v1/traces", &ExportTraceServiceRequest { resource_spans: vec![traces] }).await;
}
