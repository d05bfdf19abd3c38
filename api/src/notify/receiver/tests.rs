use super::*;
use crate::notify::config::Secret;

pub(crate) fn config(kind: ReceiverKind, secret: &str) -> ReceiverConfig {
    ReceiverConfig {
        name: "one".into(),
        kind,
        url: "https://example.com/base".into(),
        more_urls: Vec::new(),
        url_file: None,
        secret: secret.into(),
        secret_file: None,
        services: Vec::new(),
        environments: Vec::new(),
        severity: None,
        events: Vec::new(),
        template: None,
        allow_private: false,
        alert_minutes: None,
    }
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn note() -> Note {
    Note {
        reason: "errors on POST /pay 24 × baseline <script>".into(),
        sequence: 7,
        culprits: vec![super::super::note::NoteCulprit {
            kind: "operation".into(),
            name: "POST /pay".into(),
            reason: "12 of 100 failed".into(),
            message: "no such key: STRIPE_SECRET\u{1b}[31m".into(),
            trace_ids: vec!["0af7651916cd43dd8448eb211c80319c".into()],
        }],
        ..Note::test("one", "2026-11-21T10:00:00Z".into(), "https://haldane.example.com/")
    }
}

fn sent(config: &ReceiverConfig) -> Vec<Value> {
    let target = Target::try_new(config).unwrap();
    let (Delivery::All(requests) | Delivery::Any(requests) | Delivery::First(requests)) =
        target.deliver("id-1", &note(), (UnixNanos::from_seconds(1_800_000_000), None));
    let one = |request: &Outgoing| {
        let headers: serde_json::Map<String, Value> =
            request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
        serde_json::json!({ "url": request.url.as_str(), "type": request.media_type, "headers": headers, "body": request.body })
    };
    requests.iter().map(one).collect()
}

#[test]
fn each_receiver_gets_what_it_reads() {
    for (kind, secret) in [
        (ReceiverKind::Alertmanager, ""),
        (ReceiverKind::Slack, ""),
        (ReceiverKind::Teams, ""),
        (ReceiverKind::Pagerduty, "key"),
        (ReceiverKind::Webhook, SECRET),
    ] {
        insta::assert_json_snapshot!(kind.as_str(), sent(&config(kind, secret)));
    }
}

#[test]
fn a_receiver_is_told_what_it_asked_for() {
    let wants = |change: fn(&mut ReceiverConfig), kind| {
        let mut config = config(ReceiverKind::Slack, "");
        change(&mut config);
        Target::try_new(&config).unwrap().wants(kind, "payment", "prod-eu")
    };
    let (rollback, promoted) = (EventKind::RolloutRolledBack, EventKind::RolloutPromoted);
    assert!(wants(|_| {}, rollback) && !wants(|_| {}, promoted), "what needs nobody is not told unless asked for");
    assert!(wants(|config| config.severity = Some(Severity::Info), promoted));
    assert!(wants(|config| config.events = vec!["rollout.promoted".into()], promoted));
    assert!(!wants(|config| config.events = vec!["rollout.promoted".into()], rollback));
    assert!(wants(|config| config.environments = vec!["prod-*".into()], rollback));
    assert!(!wants(|config| config.environments = vec!["stage*".into()], rollback));
    assert!(!wants(|config| config.services = vec!["pay".into()], rollback));
    assert!(
        !wants(|config| config.severity = Some(Severity::Info), EventKind::NotificationDelivered),
        "nobody is told that somebody was told"
    );
    for (pattern, text, is) in
        [("a*c", "abc", true), ("a*c", "ab", false), ("*", "", true), ("a*b*c", "a-b-b-c", true), ("ab*ba", "aba", false)]
    {
        assert_eq!(matches_pattern(pattern, text), is, "{pattern} {text}");
    }
}

#[test]
fn a_template_takes_the_place_of_the_text() {
    let mut config = config(ReceiverKind::Slack, "");
    config.template = Some("{{ service }}: {% for c in culprits %}{{ c.name }} {% endfor %}{{ reason }}".into());
    let body = sent(&config)[0]["body"].to_string();
    assert!(body.contains("haldane-test: POST /pay errors on POST /pay"), "{body}");
    for (text, wrong) in
        [("{{ servce }}", "template: undefined value"), ("{% for x in %}", "template: syntax error"), ("{{ 1", "template: syntax error")]
    {
        config.template = Some(text.into());
        let mistake = Target::try_new(&config).unwrap().template_mistake().unwrap();
        assert!(mistake.starts_with(wrong), "{mistake}");
    }
    config.template = Some("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}".into());
    assert!(Target::try_new(&config).unwrap().template_mistake().is_some(), "a template that would never end is stopped");
}

#[test]
fn settings_that_cannot_work_are_refused_and_secrets_are_not_shown() {
    let wrong = |kind, change: fn(&mut ReceiverConfig)| {
        let mut config = config(kind, "");
        change(&mut config);
        let all = crate::notify::NotifyConfig { receivers: vec![config], ..crate::notify::NotifyConfig::default() };
        all.mistakes().join("; ")
    };
    assert_eq!(wrong(ReceiverKind::Slack, |_| {}), "");
    assert!(wrong(ReceiverKind::Pagerduty, |_| {}).contains("integration key"));
    assert!(wrong(ReceiverKind::Webhook, |config| config.secret = "abc".into()).contains("whsec_"));
    assert!(wrong(ReceiverKind::Slack, |config| config.url = "http://127.0.0.1:9/x".into()).contains("allow_private"));
    assert!(wrong(ReceiverKind::Slack, |config| config.url = "".into()).contains("it needs url"));
    assert!(wrong(ReceiverKind::Slack, |config| config.url_file = Some("/none".into())).contains("not both"));
    assert!(wrong(ReceiverKind::Slack, |config| config.events = vec!["verdict.changed".into()]).contains("rollout.rolled_back"));
    assert!(wrong(ReceiverKind::Slack, |config| config.name = "a b".into()).contains("1 to 64"));
    assert!(wrong(ReceiverKind::Slack, |config| config.alert_minutes = Some(5)).contains("for alertmanager only"));
    let shown = format!("{:?} {:?}", config(ReceiverKind::Webhook, SECRET), Secret::default());
    assert!(!shown.contains("example.com") && !shown.contains("MfKQ") && shown.contains("***"), "{shown}");
}

#[test]
fn what_a_receiver_says_is_kept_without_its_secrets() {
    let mut config = config(ReceiverKind::Pagerduty, "integration-key");
    config.url = "https://user:passw0rd@example.com/services/T0/B0/hidden?sig=abcd".into();
    let target = Target::try_new(&config).unwrap();
    let said = target.redact("Cannot POST /services/T0/B0/hidden?sig=abcd with integration-key by user:passw0rd (services/T0/B0/hidden)");
    assert_eq!(said, "Cannot POST ***?*** with *** by ***:*** (***)");
    assert!(!format!("{target:?}").contains("integration"));
}
