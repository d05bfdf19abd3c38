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
    assert_eq!(ledger.insert_rollout(&rollout("1", Some("k")), None, None).await.unwrap(), Inserted::New);
    let refused = ledger.insert_rollout(&rollout("2", None), None, None).await.unwrap();
    assert_eq!(refused, Inserted::Exists(Box::new(rollout("1", Some("k")))));
    ledger.close().await;

    let ledger = Ledger::open(&file).await.unwrap();
    assert_eq!(ledger.live_rollouts().await.unwrap(), vec![rollout("1", Some("k"))]);
    assert_eq!(
        ledger.insert_rollout(&rollout("2", None), Some(&Replaced { id: "1".into(), ending: ending(), entry: None }), None).await.unwrap(),
        Inserted::New
    );
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
    ledger.insert_rollout(&rollout("1", None), None, None).await.unwrap();
    assert!(ledger.append_verdict((&verdict("1", 1), 0), None, &[]).await.unwrap());
    assert!(ledger.append_verdict((&verdict("1", 2), 0), Some(&Last { ending: ending(), evidence: Some(vec![1, 2]) }), &[]).await.unwrap());
    assert_eq!(ledger.evidence("1").await.unwrap(), Some(vec![1, 2]));
    assert_eq!(ledger.evidence("2").await.unwrap(), None);
    assert!(!ledger.append_verdict((&verdict("1", 3), 0), None, &[]).await.unwrap());
    assert_eq!(ledger.latest_verdict("1").await.unwrap().unwrap(), verdict("1", 2));
    assert!(!ledger.end_rollout("1", &ending(), &[]).await.unwrap());
}

#[tokio::test]
async fn of_old_verdicts_that_say_the_same_one_a_minute_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.db")).await.unwrap();
    ledger.insert_rollout(&rollout("1", None), None, None).await.unwrap();
    // Half an hour of one every ten seconds; the tenth is another one.
    for sequence in 1..=180_u64 {
        let decision = if sequence == 10 { "inconclusive" } else { "continue" };
        let decided_at = UnixNanos::from_seconds(6_000 + 10 * i64::try_from(sequence).unwrap());
        let row = VerdictRow { decided_at, decision: decision.into(), ..verdict("1", sequence) };
        assert!(ledger.append_verdict((&row, 0), None, &[]).await.unwrap());
    }
    let kept = ledger.verdict_documents((Some("1"), None), None, 1_000).await.unwrap();
    // The last ten minutes and the one that is ten minutes old, twenty minutes with one each, and the one that says something else.
    assert_eq!(kept.len(), 61 + 20 + 1, "{kept:?}");
    assert!(kept.contains(&verdict("1", 10).document) && kept.contains(&verdict("1", 180).document));
    assert!(kept.contains(&verdict("1", 120).document));
}

#[tokio::test]
async fn of_rollouts_that_ended_long_ago_the_last_verdict_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.db")).await.unwrap();
    for number in 0..1_003_i64 {
        let id = format!("{number:04}");
        let row = RolloutRow { created_at: UnixNanos::from_seconds(number), ..rollout(&id, None) };
        ledger.insert_rollout(&row, None, None).await.unwrap();
        for sequence in 1..=3 {
            assert!(ledger.append_verdict((&verdict(&id, sequence), 0), None, &[]).await.unwrap());
        }
        let at = UnixNanos::from_seconds(100 + number);
        assert!(ledger.end_rollout(&id, &Ending { at, ..ending() }, &[]).await.unwrap());
    }
    let kept = async |id: &str| ledger.verdict_documents((Some(id), None), None, 10).await.unwrap().len();
    assert_eq!([kept("0000").await, kept("0002").await, kept("0003").await, kept("1002").await], [1, 1, 3, 3]);
    assert_eq!(ledger.latest_verdict("0000").await.unwrap().unwrap(), verdict("0000", 3));
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

fn entry(kind: &str, rollout_id: &str) -> TrailEntry {
    TrailEntry {
        at: UnixNanos::from_seconds(40),
        kind: kind.into(),
        actor: "ann".into(),
        rollout_id: rollout_id.into(),
        service: "payment".into(),
        environment: "shop".into(),
        document: "{}".into(),
    }
}

fn whole() -> TrailQuery {
    TrailQuery { limit: 100, ..TrailQuery::default() }
}

#[tokio::test]
async fn the_trail_tells_of_what_happened_and_of_nothing_that_did_not() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.db")).await.unwrap();
    let mut bell = ledger.trail_bell();
    ledger.insert_rollout(&rollout("1", None), None, Some(&entry("rollout.started", "1"))).await.unwrap();
    assert!(bell.has_changed().unwrap());
    bell.mark_unchanged();
    ledger.insert_rollout(&rollout("2", None), None, Some(&entry("rollout.started", "2"))).await.unwrap();
    assert_eq!(ledger.trail_end().await.unwrap(), 1, "the second one was refused");
    let last = Last { ending: ending(), evidence: None };
    ledger.append_verdict((&verdict("1", 1), 0), Some(&last), &[entry("rollout.promoted", "1")]).await.unwrap();
    assert!(!ledger.end_rollout("1", &ending(), &[entry("rollout.cancelled", "1")]).await.unwrap());
    assert!(!ledger.append_verdict((&verdict("1", 2), 0), None, &[entry("verdict.changed", "1")]).await.unwrap());
    let kinds: Vec<String> = ledger.trail(&whole()).await.unwrap().into_iter().map(|row| row.entry.kind).collect();
    assert_eq!(kinds, ["rollout.started", "rollout.promoted"]);
    let newest = TrailQuery { newest_first: true, limit: 1, ..TrailQuery::default() };
    assert_eq!(ledger.trail(&newest).await.unwrap()[0].sequence, 2);
    let older = TrailQuery { newest_first: true, after: Some(2), limit: 9, ..TrailQuery::default() };
    assert_eq!(ledger.trail(&older).await.unwrap().len(), 1);
    let replaced = Replaced { id: "1".into(), ending: ending(), entry: Some(entry("rollout.cancelled", "1")) };
    ledger.insert_rollout(&rollout("3", None), Some(&replaced), Some(&entry("rollout.started", "3"))).await.unwrap();
    assert!(
        ledger.trail(&TrailQuery { kind: Some("rollout.cancelled".into()), ..whole() }).await.unwrap().is_empty(),
        "it had ended already"
    );
    let of_another = TrailQuery { rollout_id: Some("2".into()), ..whole() };
    assert!(ledger.trail(&of_another).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_that_is_removed_or_altered_shows() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("ledger.db")).await.unwrap();
    ledger.add_to_trail(&[entry("a", "1"), entry("b", "1"), entry("c", "1")]).await.unwrap();
    let rows = ledger.trail(&whole()).await.unwrap();
    let start = trail::beginning;
    assert_eq!(trail::verify(&rows, start()), Ok((3, rows[2].hash.clone())));
    assert_eq!(trail::verify(&rows[1..], (1, rows[0].hash.clone())), Ok((3, rows[2].hash.clone())), "page by page too");
    let mut removed = rows.clone();
    removed.remove(1);
    assert_eq!(trail::verify(&removed, start()), Err(trail::TrailError::Missing { expected: 2, found: 3 }));
    for alter in [
        |entry: &mut TrailEntry| entry.actor = "bob".into(),
        |entry: &mut TrailEntry| entry.at = UnixNanos::from_seconds(41),
        // A letter that moves from one text to the next.
        |entry: &mut TrailEntry| (entry.service, entry.environment) = ("paymen".into(), "tshop".into()),
    ] {
        let mut altered = rows.clone();
        alter(&mut altered[1].entry);
        assert_eq!(trail::verify(&altered, start()), Err(trail::TrailError::Altered { sequence: 2 }));
        altered[1].hash = TrailRow::hash_after(&altered[0].hash, 2, &altered[1].entry);
        assert_eq!(trail::verify(&altered, start()), Err(trail::TrailError::Altered { sequence: 3 }), "the next one knows");
    }
}

fn notification(id: &str, event: u64) -> NotificationRow {
    NotificationRow {
        id: id.into(),
        receiver: "chat".into(),
        event,
        rollout_id: "1".into(),
        state: notifications::DUE.into(),
        created_at: UnixNanos::from_seconds(50),
        due_at: UnixNanos::from_seconds(50),
        attempts: 0,
        last_error: String::new(),
        repeat_until: None,
        document: "{}".into(),
    }
}

#[tokio::test]
async fn a_notification_is_made_once_and_stays_until_it_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.db");
    let ledger = Ledger::open(&file).await.unwrap();
    ledger.move_cursor("notifier", 1, &[notification("a", 1)]).await.unwrap();
    ledger.move_cursor("notifier", 1, &[notification("b", 1)]).await.unwrap();
    ledger.close().await;
    let ledger = Ledger::open(&file).await.unwrap();
    assert_eq!(ledger.cursor("notifier").await.unwrap(), Some(1));
    let (early, now) = (UnixNanos::from_seconds(49), UnixNanos::from_seconds(50));
    assert!(ledger.due_notifications("chat", early, 9).await.unwrap().is_empty());
    assert_eq!(ledger.due_notifications("chat", now, 9).await.unwrap(), [notification("a", 1)]);
    assert_eq!(ledger.next_due("chat").await.unwrap(), Some(now));

    let dead = NotificationRow { state: notifications::DEAD.into(), attempts: 3, last_error: "gone".into(), ..notification("a", 1) };
    ledger.settle_notification(&dead, &[entry("notification.failed", "1")]).await.unwrap();
    assert_eq!(ledger.notifications(Some(notifications::DEAD), None, 9).await.unwrap(), [dead]);
    assert_eq!(ledger.revive_notifications(Some("b"), now, &[]).await.unwrap(), 0);
    assert_eq!(ledger.revive_notifications(Some("a"), now, &[entry("notification.retried", "1")]).await.unwrap(), 1);
    let done = NotificationRow {
        state: notifications::DELIVERED.into(),
        attempts: 1,
        ..ledger.due_notifications("chat", now, 9).await.unwrap()[0].clone()
    };
    ledger.settle_notification(&done, &[]).await.unwrap();
    assert_eq!(ledger.next_due("chat").await.unwrap(), None);
    assert_eq!(ledger.notifications(Some(notifications::DELIVERED), None, 9).await.unwrap().len(), 1);
    assert_eq!(ledger.trail_end().await.unwrap(), 2);
    assert!(ledger.awaited_receivers().await.unwrap().is_empty());
}
