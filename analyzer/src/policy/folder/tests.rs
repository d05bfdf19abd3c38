use super::*;

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn the_first_file_that_matches_counts_and_files_are_taken_over_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "10-payments.yaml", "services: [payment, 'checkout-*']\nenvironments: ['prod*']\npolicy:\n  error_relative: 0.1\n");
    write(dir.path(), "20-team.yml", "name: team-a\nlabels: {team: a}\npolicy: {alpha: 0.02}\n");
    write(dir.path(), "90-all.json", "{\"policy\": {\"max_duration_seconds\": 7200}}");
    write(dir.path(), "notes.txt", "no policy");
    let folder = PolicyFolder::open(dir.path()).unwrap();
    let none = BTreeMap::new();
    let team = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let selected = |service: &str, environment: &str, labels| folder.select(service, environment, labels).map(|policy| policy.name);
    assert_eq!(selected("checkout-eu", "prod-1", &team).as_deref(), Some("10-payments"));
    assert_eq!(selected("checkout-eu", "stage", &team).as_deref(), Some("team-a"));
    assert_eq!(selected("cart", "stage", &none).as_deref(), Some("90-all"));

    let before = folder.select("payment", "prod", &none).unwrap();
    assert_eq!(before.file.policy.error_relative, Some(0.1));
    write(dir.path(), "10-payments.yaml", "services: [payment]\npolicy:\n  error_relatve: 0.2\n");
    std::fs::remove_file(dir.path().join("20-team.yml")).unwrap();
    let (changes, mistakes) = folder.look();
    assert_eq!(changes, [PolicyChange { name: "team-a".into(), version: None }]);
    assert!(mistakes[0].to_string().contains("10-payments.yaml:3: ") && mistakes[0].wrong.contains("error_relatve"), "{}", mistakes[0]);
    assert_eq!(folder.select("payment", "prod", &none).unwrap(), before, "what it said before stays in force");
    assert_eq!(folder.look(), (Vec::new(), Vec::new()), "a mistake is told once");
    write(dir.path(), "10-payments.yaml", "services: [payment]\npolicy:\n  error_relative: 0.2\n");
    let (changes, mistakes) = folder.look();
    assert_eq!((changes.len(), mistakes.len()), (1, 0));
    assert_ne!(folder.select("payment", "prod", &none).unwrap().version, before.version);
    assert!(PolicyFolder::default().select("payment", "prod", &none).is_none());
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let parse = |text: &str| {
        let wrong = PolicyFile::parse(Path::new("p.yaml"), text).unwrap_err();
        wrong.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let wrong = parse("services: [a]\npolicy:\n  alpha: 7\n  min_requests: 5\n  checks:\n    - name: error_rat\n");
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong.iter().any(|one| one.starts_with("p.yaml:3: alpha is 7")), "{wrong:?}");
    assert!(wrong.iter().any(|one| one.starts_with("p.yaml:6: there is no check \"error_rat\"")), "{wrong:?}");
    assert!(parse("services: [a\n")[0].starts_with("p.yaml:"), "YAML that is none");
    assert!(parse("policy:\n  alpha: much\n")[0].starts_with("p.yaml:2: "));
    assert!(parse("polcy: {}\n")[0].contains("polcy"));
}
