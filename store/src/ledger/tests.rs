use super::*;
use crate::time::UnixNanos;

fn rollout(id: &str, key: Option<&str>) -> RolloutRow {
    RolloutRow {
        id: id.into(),
        service: "payment".into(),
        environment: "shop".into(),
        origin: "requested".into(),
        state: "pending".into(),
        state_reason: String::new(),
        created_at: UnixNanos::from_seconds(10),
        started_at: UnixNanos::from_seconds(5),
        ended_at: None,
        idempotency_key: key.map(Into::into),
        document: "{}".into(),
    }
}

fn verdict(id: &str, sequence: u64) -> VerdictRow {
    VerdictRow {
        rollout_id: id.into(),
        sequence,
        decided_at: UnixNanos::from_seconds(20),
        decision: "continue".into(),
        is_final: false,
        document: format!("{{\"sequence\":{sequence}}}"),
    }
}

fn ending() -> Ending {
    Ending { state: "cancelled".into(), reason: "replaced".into(), at: UnixNanos::from_seconds(30) }
}

#[tokio::test]
async fn a_service_has_one_live_rollout_and_a_restart_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.db");
    let ledger = Ledger::open(&file).await.unwrap();
    assert_eq!(ledger.insert_rollout(&rollout("1", Some("k")), None).await.unwrap(), Inserted::New);
    let refused = ledger.insert_rollout(&rollout("2", None), None).await.unwrap();
    assert_eq!(refused, Inserted::Exists(Box::new(rollout("1", Some("k")))));
    ledger.close().await;

    let ledger = Ledger::open(&file).await.unwrap();
    assert_eq!(ledger.live_rollouts().await.unwrap(), vec![rollout("1", Some("k"))]);
    assert_eq!(ledger.insert_rollout(&rollout("2", None), Some(("1", &ending()))).await.unwrap(), Inserted::New);
    assert_eq!(ledger.rollout("1").await.unwrap().unwrap().state, "cancelled");
    assert_eq!(ledger.rollout_by_key("k").await.unwrap().unwrap().id, "1");
    let listed = ledger.list_rollouts(&RolloutQuery { service: Some("payment".into()), limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["2", "1"]);
    let older = ledger.list_rollouts(&RolloutQuery { before: Some("2".into()), limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(older.len(), 1);
}

#[tokio::test]
async fn the_last_verdict_ends_the_rollout_and_nothing_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.db")).await.unwrap();
    ledger.insert_rollout(&rollout("1", None), None).await.unwrap();
    assert!(ledger.append_verdict(&verdict("1", 1), None).await.unwrap());
    assert!(ledger.append_verdict(&verdict("1", 2), Some(&Last { ending: ending(), evidence: Some(vec![1, 2]) })).await.unwrap());
    assert_eq!(ledger.evidence("1").await.unwrap(), Some(vec![1, 2]));
    assert_eq!(ledger.evidence("2").await.unwrap(), None);
    assert!(!ledger.append_verdict(&verdict("1", 3), None).await.unwrap());
    assert_eq!(ledger.latest_verdict("1").await.unwrap().unwrap(), verdict("1", 2));
    assert!(!ledger.end_rollout("1", &ending()).await.unwrap());
}

#[tokio::test]
async fn a_version_is_new_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.db")).await.unwrap();
    let row = VersionRow {
        service: "payment".into(),
        environment: "shop".into(),
        version: "1.4.0".into(),
        first_seen: UnixNanos::from_seconds(1),
    };
    assert!(ledger.add_version(&row).await.unwrap());
    assert!(!ledger.add_version(&row).await.unwrap());
    assert_eq!(ledger.versions().await.unwrap(), vec![row]);
}
