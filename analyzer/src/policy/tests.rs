use super::*;

#[test]
fn all_mistakes_are_reported_together() {
    let overrides = PolicyOverrides {
        alpha: Some(2.0),
        promote_latency_relative: Some(0.02),
        min_duration_seconds: Some(100),
        max_duration_seconds: Some(50),
        checks: Some(vec![
            CheckOverride { name: "cpu".into(), ..CheckOverride::default() },
            CheckOverride { name: "throughput".into(), ..CheckOverride::default() },
            CheckOverride { name: "throughput".into(), weight: Some(f64::NAN), ..CheckOverride::default() },
        ]),
        ..PolicyOverrides::default()
    };
    let error = Policy::default().with(&overrides).unwrap_err();
    let text = error.to_string();
    for part in ["alpha is 2", "promote_latency_relative", "max_duration_seconds is 50", "\"cpu\"", "listed twice", "at least one"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_eq!(error.mistakes.len(), 6);
}

#[test]
fn not_a_number_is_refused_everywhere() {
    let overrides = PolicyOverrides { beta: Some(f64::NAN), error_absolute: Some(f64::INFINITY), ..PolicyOverrides::default() };
    assert_eq!(Policy::default().with(&overrides).unwrap_err().mistakes.len(), 2);
}

#[test]
fn overrides_change_what_they_name_and_nothing_else() {
    let overrides: PolicyOverrides = serde_json::from_str(
        r#"{"alpha": 0.05, "min_duration_seconds": 30, "checks": [{"name": "latency"}, {"name": "error_rate", "weight": 1.2}]}"#,
    )
    .unwrap();
    let policy = Policy::default().with(&overrides).unwrap();
    assert_eq!((policy.alpha(), policy.beta(), policy.min_duration().as_secs()), (0.05, 0.05, 30));
    assert_eq!(policy.checks().iter().map(|check| check.kind).collect::<Vec<_>>(), [CheckKind::ErrorRate, CheckKind::Latency]);
    assert!((policy.weight(CheckKind::ErrorRate) - 0.75).abs() < 1e-12);
    assert_eq!(policy.weight(CheckKind::NewErrors), 0.0);
}

#[test]
fn a_time_that_is_left_out_gives_way_to_the_one_that_is_said() {
    let times = |min, max| {
        let overrides = PolicyOverrides { min_duration_seconds: min, max_duration_seconds: max, ..PolicyOverrides::default() };
        Policy::default().with(&overrides).map(|policy| (policy.min_duration().as_secs(), policy.max_duration().as_secs()))
    };
    assert_eq!(times(None, Some(60)).unwrap(), (60, 60));
    assert_eq!(times(Some(7_200), None).unwrap(), (7_200, 7_200));
    assert_eq!(times(None, None).unwrap(), (120, 3_600));
    assert!(times(Some(7_200), Some(60)).unwrap_err().to_string().contains("max_duration_seconds is 60, less than"));
    assert!(times(None, Some(u64::MAX)).unwrap_err().to_string().contains("between 1 and 7776000"), "no end of time is passed");
}

#[test]
fn unknown_fields_are_refused() {
    assert!(serde_json::from_str::<PolicyOverrides>(r#"{"alhpa": 0.05}"#).is_err());
}

#[test]
fn the_document_of_the_default_reads_back() {
    let document = PolicyDocument::from(&Policy::default());
    let text = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<PolicyDocument>(&text).unwrap(), document);
    assert!((document.checks.iter().map(|check| check.weight).sum::<f64>() - 1.0).abs() < 1e-12);
}
