//! Notifications: what happens reaches its receivers, whatever they and the server go through.

pub(crate) mod alertmanager;
pub(crate) mod receiver;

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::traffic::Traffic;
use crate::world::{World, until};
use receiver::{Receiver, Reply};

/// The setting for receivers, each as the text of a TOML table.
fn receivers(tables: &[String]) -> String {
    format!("[{}]", tables.join(", "))
}

fn webhook(name: &str, receiver: &Receiver) -> String {
    format!("{{name=\"{name}\", kind=\"webhook\", url=\"{}\", allow_private=true, severity=\"info\"}}", receiver.url)
}

fn start(version: &str) -> Value {
    json!({
        "service": "payment", "environment": "shop", "metadata": {"actor": "ann", "commit": "3f2a91c"},
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": version}
    })
}

async fn decide(world: &World, id: &str, word: &str) {
    world.post(&format!("/v1/rollouts/{id}/{word}"), &json!({"reason": "customers say so", "actor": "ann"})).await.unwrap();
}

async fn some_telemetry(world: &World) {
    Traffic { service: "payment", version: "1.4.0", minutes: 1, requests: 10, fails_each: 0 }.send(world).await;
}

fn kinds(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|one| one.body["type"].as_str().unwrap_or_default().to_owned()).collect()
}

fn haldane(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haldane")).env("HALDANE_URL", &world.api).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_rollout_is_told_in_order_and_with_its_reasons() {
    let receiver = Receiver::start(&[Reply::Status(200)]);
    let setting = receivers(&[webhook("hook", &receiver)]);
    let world = World::start_with(&[("HALDANE_NOTIFY__RECEIVERS", &setting), ("HALDANE_PUBLIC_URL", "https://haldane.example.com")]).await;
    for (version, fails_each) in [("1.4.0", 200), ("1.5.0", 8)] {
        Traffic { service: "payment", version, minutes: 10, requests: 3_000, fails_each }.send(&world).await;
    }
    let id = world.start_rollout(&start("1.5.0")).await;
    until("the regression is told", async || (receiver.received().len() == 3).then_some(())).await;
    let told = receiver.received();
    assert_eq!(
        kinds(&receiver),
        ["dev.cdevents.testsuiterun.started.0.3.0", "dev.cdevents.testsuiterun.finished.0.3.0", "dev.cdevents.incident.detected.0.3.0"]
    );
    let finished = &told[1].body["data"];
    assert_eq!((&finished["subject"]["id"], &finished["subject"]["content"]["outcome"]), (&json!(id), &json!("failure")));
    let note = &finished["customData"]["note"];
    assert!(note["reason"].as_str().unwrap().contains("errors on POST /pay"), "{note:#}");
    assert_eq!((&note["culprits"][0]["name"], &note["metadata"]["commit"]), (&json!("POST /pay"), &json!("3f2a91c")));
    assert_eq!(note["report_url"], format!("https://haldane.example.com/v1/rollouts/{id}/report"));
    let ids: BTreeSet<&str> = told.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), 3, "each message has a name of its own");
    assert_eq!(told[2].id, format!("{}-incident", told[1].id));

    let listed = world.get("/v1/notifications?state=delivered").await.unwrap();
    assert_eq!(listed["notifications"].as_array().unwrap().len(), 2);
    let audit = world.get("/v1/audit?kind=notification.delivered").await.unwrap();
    assert_eq!(audit["events"][0]["details"]["receiver"], "hook");
    let metrics = world.get("/metrics").await.unwrap();
    assert!(metrics.as_str().unwrap().contains("haldane_notify_attempts_total{receiver=\"hook\",outcome=\"delivered\"} 2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_on_a_bad_day_holds_up_no_other_and_gets_it_in_the_end() {
    let good = Receiver::start(&[Reply::Status(200)]);
    let failing = Receiver::start(&[Reply::Status(500), Reply::Status(503), Reply::Status(200)]);
    let hanging = Receiver::start(&[Reply::Hang]);
    let gone = Receiver::start(&[Reply::Status(410)]);
    let leading_away = Receiver::start(&[Reply::Redirect]);
    let all = [("good", &good), ("failing", &failing), ("hanging", &hanging), ("gone", &gone), ("away", &leading_away)];
    let setting = receivers(&all.map(|(name, receiver)| webhook(name, receiver)));
    let world = World::start_with(&[("HALDANE_NOTIFY__RECEIVERS", &setting), ("HALDANE_NOTIFY__TIMEOUT_SECONDS", "1")]).await;
    some_telemetry(&world).await;
    let first = world.start_rollout(&start("1.5.0")).await;
    until("the good one is told", async || (!good.received().is_empty()).then_some(())).await;
    until("the failing one has it", async || (failing.received().len() == 3).then_some(())).await;
    let ids: BTreeSet<String> = failing.received().into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), 1, "every attempt has the same name");
    let dead = until("two are given up", async || {
        let dead = world.get("/v1/notifications?state=dead").await.unwrap();
        (dead["notifications"].as_array().unwrap().len() == 2).then_some(dead)
    })
    .await;
    let mut why: Vec<String> =
        dead["notifications"].as_array().unwrap().iter().map(|one| format!("{}: {}", one["receiver"], one["last_error"])).collect();
    why.sort();
    assert!(why[0].contains("away") && why[0].contains("redirects are not followed"), "{why:?}");
    assert!(why[1].contains("gone") && why[1].contains("410"), "{why:?}");
    let waiting = until("the hanging one is tried again", async || {
        let due = world.get("/v1/notifications?state=due").await.unwrap();
        let one = due["notifications"].as_array().unwrap().iter().find(|one| one["receiver"] == "hanging").cloned();
        one.filter(|one| one["last_error"] == "no answer in time")
    })
    .await;
    assert!(waiting["attempts"].as_u64().unwrap() > 0);

    decide(&world, &first, "promote").await;
    until("the good one is told of the end", async || (good.received().len() == 2).then_some(())).await;
    until("who is gone is not asked again", async || {
        let dead = world.get("/v1/notifications?state=dead").await.unwrap();
        let gone = dead["notifications"].as_array().unwrap().iter().filter(|one| one["receiver"] == "gone").count();
        (gone == 2).then_some(())
    })
    .await;
    assert_eq!(gone.received().len(), 1);
    gone.answer(Reply::Status(200));
    hanging.answer(Reply::Status(200));
    let listed = text(&haldane(&world, &["notify", "list", "--state", "dead"]).stdout);
    assert!(listed.contains("gone") && listed.contains("410 Gone"), "{listed}");
    assert_eq!(text(&haldane(&world, &["notify", "retry", "--all"]).stdout), "4 to be tried again\n");
    until("who came back is told all of it", async || (gone.received().len() == 3).then_some(())).await;
    until("who had hung is told all of it", async || {
        let told: BTreeSet<String> = hanging.received().into_iter().map(|one| one.id).collect();
        let due = world.get("/v1/notifications?state=due").await.unwrap();
        (told.len() == 2 && due["notifications"] == json!([])).then_some(())
    })
    .await;
    let refused = haldane(&world, &["notify", "retry", "none"]);
    assert!(refused.status.code() == Some(2) && text(&refused.stderr).contains("no dead notification"), "{}", text(&refused.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_server_is_killed() {
    let receiver = Receiver::start(&[Reply::Status(503)]);
    let setting = receivers(&[webhook("hook", &receiver)]);
    let settings = [("HALDANE_NOTIFY__RECEIVERS", setting.as_str())];
    let world = World::start_with(&settings).await;
    some_telemetry(&world).await;
    let id = world.start_rollout(&start("1.5.0")).await;
    until("the start was tried", async || (!receiver.received().is_empty()).then_some(())).await;
    let world = world.kill().start_with(&settings).await;
    decide(&world, &id, "rollback").await;
    // At once: whether the end is in the outbox yet or only in the trail, it must not be lost.
    let stopped = world.kill();
    receiver.answer(Reply::Status(200));
    let world = stopped.start_with(&settings).await;
    let distinct = || receiver.received().into_iter().map(|one| one.id).collect::<BTreeSet<String>>();
    until("start, end and incident are told", async || (distinct().len() == 3).then_some(())).await;
    until("nothing is left", async || {
        let due = world.get("/v1/notifications?state=due").await.unwrap();
        (due["notifications"] == json!([])).then_some(())
    })
    .await;
    assert_eq!(distinct().len(), 3, "a receiver that knows the names is told each thing once");
    let world = world.stop().await.start_with(&[]).await;
    let end = world.start_rollout(&start("1.6.0")).await;
    decide(&world, &end, "promote").await;
    let world = world.stop().await.start_with(&settings).await;
    assert_eq!(
        world.get("/v1/notifications?state=due").await.unwrap()["notifications"],
        json!([]),
        "what happened before it was named is not told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_can_be_tested() {
    let receiver = Receiver::start(&[Reply::Status(200), Reply::Status(404)]);
    let slack = format!("{{name=\"chat\", kind=\"slack\", url=\"{}\", allow_private=true}}", receiver.url);
    let setting = receivers(&[slack]);
    let world = World::start_with(&[("HALDANE_NOTIFY__RECEIVERS", &setting)]).await;
    let took = haldane(&world, &["notify", "test", "chat"]);
    assert!(text(&took.stdout).starts_with("chat took it after "), "{}{}", text(&took.stdout), text(&took.stderr));
    assert!(receiver.received()[0].body["text"].as_str().unwrap().contains("this is a test of the receiver chat"));
    let not = haldane(&world, &["notify", "test", "chat"]);
    assert!(not.status.code() == Some(2) && text(&not.stderr).contains("chat did not take it: it answered 404"), "{}", text(&not.stderr));
    let unknown = haldane(&world, &["notify", "test", "phone"]);
    assert!(text(&unknown.stderr).contains("there is no receiver \"phone\" in the settings: it has chat"), "{}", text(&unknown.stderr));
    assert_eq!(world.get("/v1/receivers").await.unwrap()["receivers"], json!([{"name": "chat", "kind": "slack", "gone": false}]));
}
