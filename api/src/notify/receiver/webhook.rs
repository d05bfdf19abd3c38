//! Any address: CloudEvents 1.0 that carry CDEvents 0.5, signed as Standard Webhooks 1.0 has it.
//!
//! A start is `testsuiterun.started`, an end `testsuiterun.finished`; of a regression `incident.detected` is sent too. What CDEvents have no word for is in `customData`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haldane_store::UnixNanos;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

use super::Outgoing;
use crate::notify::note::Note;

const CLOUD_EVENT: &str = "application/cloudevents+json";
/// The version of CDEvents.
const SPECVERSION: &str = "0.5.0";
/// What Standard Webhooks asks of a secret, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// The key behind a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`.
pub(super) fn key(secret: &str) -> Result<Vec<u8>, String> {
    let wrong = || "secret: write it as whsec_ and 16 to 64 bytes in base64, such as `whsec_$(openssl rand -base64 32)`".to_owned();
    let encoded = secret.strip_prefix("whsec_").ok_or_else(wrong)?;
    STANDARD.decode(encoded).ok().filter(|key| KEY_BYTES.contains(&key.len())).ok_or_else(wrong)
}

pub(super) fn messages(url: &Url, secret: &str, id: &str, note: &Note, text: &str, now: UnixNanos) -> Vec<Outgoing> {
    let mut events = vec![(id.to_owned(), run(note, text, id))];
    if note.event == "rollout.rolled_back" {
        let id = format!("{id}-incident");
        let event = incident(note, text, &id);
        events.push((id, event));
    }
    events.into_iter().map(|(id, event)| signed(url, secret, id, event, now)).collect()
}

fn signed(url: &Url, secret: &str, id: String, body: Value, now: UnixNanos) -> Outgoing {
    let timestamp = now.as_seconds().to_string();
    let mut headers = vec![("webhook-id", id.clone()), ("webhook-timestamp", timestamp.clone())];
    if let Ok(key) = key(secret) {
        let signature = sign(&key, &format!("{id}.{timestamp}.{body}"));
        headers.push(("webhook-signature", format!("v1,{signature}")));
    }
    Outgoing { url: url.clone(), headers, body, media_type: CLOUD_EVENT }
}

fn sign(key: &[u8], text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn run(note: &Note, text: &str, id: &str) -> Value {
    let environment = json!({ "id": note.environment });
    let suite = json!({ "id": note.service, "name": format!("Rollout of {}", note.service), "version": note.canary });
    let (kind, content) = match note.event.as_str() {
        "rollout.started" => ("started", json!({ "environment": environment, "testSuite": suite, "trigger": { "type": "event" } })),
        // Nothing has ended: what runs waits for somebody.
        "stage.proven" | "approval.awaited" => {
            ("queued", json!({ "environment": environment, "testSuite": suite, "trigger": { "type": "event" }, "reason": note.reason }))
        }
        ended => {
            let outcome = match ended {
                "rollout.promoted" => "success",
                "rollout.rolled_back" => "failure",
                "rollout.cancelled" => "cancel",
                _ => "error",
            };
            let severity = match note.severity {
                super::Severity::Info => "low",
                super::Severity::Warning => "medium",
                super::Severity::Critical => "critical",
            };
            let reason = &note.reason;
            let content =
                json!({ "environment": environment, "testSuite": suite, "outcome": outcome, "severity": severity, "reason": reason });
            ("finished", content)
        }
    };
    cloud_event(id, &format!("dev.cdevents.testsuiterun.{kind}.0.3.0"), &note.rollout_id, content, (note, text))
}

fn incident(note: &Note, text: &str, id: &str) -> Value {
    let content = json!({
        "description": note.reason, "environment": { "id": note.environment }, "service": { "id": note.service }
    });
    cloud_event(id, "dev.cdevents.incident.detected.0.3.0", &note.rollout_id, content, (note, text))
}

fn cloud_event(id: &str, kind: &str, subject: &str, content: Value, (note, text): (&Note, &str)) -> Value {
    let source = note.verdict_url.split_once("/v1/").map_or(note.verdict_url.as_str(), |(server, _)| server);
    json!({
        "specversion": "1.0", "id": id, "source": source, "type": kind, "subject": subject, "time": note.at, "datacontenttype": "application/json",
        "data": {
            "context": { "specversion": SPECVERSION, "id": id, "source": source, "type": kind, "timestamp": note.at },
            "subject": { "id": subject, "source": source, "content": content },
            "customData": { "title": note.title(), "text": text, "note": note },
            "customDataContentType": "application/json"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the Standard Webhooks reference libraries.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let text = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(sign(&key, text), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        for wrong in ["", "abc", "whsec_", "whsec_AAAA", "whsec_!!!!"] {
            assert!(super::key(wrong).is_err(), "{wrong}");
        }
    }
}
