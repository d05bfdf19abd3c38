//! What is asked of the simulated rollouts, and the answers as tables.

use haldane_analyzer::judge::CulpritKind;
use haldane_analyzer::policy::Policy;

use crate::trial::{Outcome, Share, at_best, on_logs, outcomes, policy, without_margin};
use crate::world::{Fault, World};
use crate::{Ask, say};

/// The ways in which errors come, as the design of the judge lists them; each with 100 requests a second, eight pods a cohort, and half an hour of history.
fn noises() -> Vec<(&'static str, World)> {
    let of = World::default;
    let mixed = mixed();
    vec![
        ("independent, 1 %", of()),
        ("independent, 0.1 %, 10/90", World { error_rate: 0.001, ramp: vec![(0, 0.1)], ..of() }),
        ("shared drift, sd 0.5", World { drift: 0.5, ..of() }),
        ("bursts of 3", World { burst: 3.0, ..of() }),
        ("bursts of 10, 0.1 %", World { burst: 10.0, error_rate: 0.001, ..of() }),
        ("storms of a minute on a pod", World { storms: 0.01, ..of() }),
        ("pods differ, sd 0.2", World { pod_errors: 0.2, ..of() }),
        ("pods differ, sd 0.5", World { pod_errors: 0.5, ..of() }),
        ("all of it", mixed.clone()),
        ("all of it, 10/90, 0.1 %", World { error_rate: 0.001, ramp: vec![(0, 0.1)], ..mixed.clone() }),
        ("all of it, 5 → 10 → 50 %", World { ramp: vec![(0, 0.05), (60, 0.1), (120, 0.5)], ..mixed }),
        ("a tenth of the cells lost", World { lost: 0.1, ..of() }),
        ("clock 10 s ahead, drift", World { skew: 1, drift: 0.5, ..of() }),
        ("more of the routes that fail", World { routes: 4, mix_shift: true, ..of() }),
    ]
}

/// All kinds of noise at once.
fn mixed() -> World {
    World { pod_errors: 0.2, burst: 3.0, drift: 0.5, storms: 0.01, ..World::default() }
}

/// With durations: 50/50, drift of the load, pods that differ by 2 % in speed.
fn timed() -> World {
    World { with_durations: true, drift: 0.3, pod_speed: 0.02, ..World::default() }
}

pub(crate) fn false_rollbacks(ask: &Ask) {
    let runs = ask.runs;
    say(&format!("\n## Rolled back without a fault, of {runs} hours each, looked at every 10 s\n"));
    say("| noise | error rate, rolled back (upper bound) | promoted, median | Kayenta each 5 min |");
    say("| --- | --- | --- | --- |");
    for (name, world) in noises().into_iter().filter(|(name, _)| ask.wants(name, "")) {
        line(name, &outcomes(&world, &policy("error_rate"), runs));
    }
    let runs = (runs / 4).max(20);
    let slow = [
        ("latency, drift, pods differ by 2 %", timed(), policy("latency")),
        ("the same latency without a margin", timed(), without_margin()),
        ("latency, new pods slow for 2 min", World { cold: 3.0, ..timed() }, policy("latency")),
    ];
    for (name, world, policy) in slow.into_iter().filter(|(name, ..)| ask.wants(name, "")) {
        line(&format!("{name} ({runs} runs)"), &outcomes(&world, &policy, runs));
    }
}

fn line(name: &str, outcomes: &[Outcome]) {
    let (wrong, promoted) = (Share::of(outcomes, |one| one.rollback), Share::of(outcomes, |one| one.promotion));
    let kayenta = Share::of(outcomes, |one| one.kayenta);
    say(&format!("| {name} | {} | {} | {} |", wrong.bounded(), promoted.timed(), kayenta.bounded()));
}

pub(crate) fn detection(ask: &Ask) {
    let runs = (ask.runs / 4).max(20);
    say(&format!("\n## Found within the hour, of {runs} each, and the median time\n"));
    say("| noise | fault | ours | Kayenta each 5 min | promoted first |");
    say("| --- | --- | --- | --- | --- |");
    for (name, world) in noises() {
        for factor in [2.0, 3.0, 5.0] {
            let fault = Fault::Errors { factor, from: 0 };
            found(ask, (name, &format!("errors × {factor}")), &World { fault, ..world.clone() }, (&policy("error_rate"), runs));
        }
    }
    for (name, world) in noises().into_iter().filter(|(name, _)| matches!(*name, "independent, 1 %" | "bursts of 3" | "all of it")) {
        let fault = Fault::Errors { factor: 5.0, from: 60 };
        found(ask, (name, "errors × 5, ten minutes in"), &World { fault, ..world }, (&policy("error_rate"), runs));
    }
    let few = (runs / 2).max(10);
    for (fault, name, policy) in [
        (Fault::Latency(1.1), "latency + 10 %, no margin", without_margin()),
        (Fault::Latency(1.2), "latency + 20 %", policy("latency")),
        (Fault::Tail { share: 0.02, factor: 3.0 }, "2 % of requests × 3", policy("latency")),
    ] {
        found(ask, ("drift, pods differ by 2 %", name), &World { fault, ..timed() }, (&policy, few));
    }
}

/// What each part of the noise costs: how faults are found without it, and with more history.
pub(crate) fn parts(ask: &Ask) {
    say(&format!("\n## What each part of the noise costs: found within the hour, of {} each, and the median time\n", ask.runs));
    say("| noise | × 3, 1 %, 50/50 | × 5, 0.1 %, 10/90 |");
    say("| --- | --- | --- |");
    let all = mixed();
    let worlds = [
        ("all of it", all.clone()),
        ("all of it, two hours of history", World { history: 720, ..all.clone() }),
        ("bursts alone", World { burst: all.burst, ..World::default() }),
        ("without storms", World { storms: 0.0, ..all.clone() }),
        ("without bursts", World { burst: 1.0, ..all.clone() }),
        ("without drift", World { drift: 0.0, ..all.clone() }),
        ("without a difference between pods", World { pod_errors: 0.0, ..all }),
    ];
    for (name, world) in worlds.into_iter().filter(|(name, _)| ask.wants(name, "")) {
        let thin = World { error_rate: 0.001, ramp: vec![(0, 0.1)], ..world.clone() };
        let worlds = [(world, 3.0), (thin, 5.0)].map(|(world, factor)| World { fault: Fault::Errors { factor, from: 0 }, ..world });
        let found = worlds.each_ref().map(|world| Share::of(&outcomes(world, &policy("error_rate"), ask.runs), |one| one.rollback));
        say(&format!("| {name} | {} | {} |", found[0].timed(), found[1].timed()));
        if name == "bursts alone" {
            let margins = [0.25, 0.5];
            let known = [0, 1].map(|at| Share::of(&at_best(&worlds[at], margins[at], ask.runs), |one| one.rollback));
            say(&format!("| … by one who knows how bursty they are | {} | {} |", known[0].timed(), known[1].timed()));
        }
    }
}

fn found(ask: &Ask, (noise, fault): (&str, &str), world: &World, (policy, runs): (&Policy, u64)) {
    if !ask.wants(noise, fault) {
        return;
    }
    let outcomes = outcomes(world, policy, runs);
    let (ours, kayenta) = (Share::of(&outcomes, |one| one.rollback), Share::of(&outcomes, |one| one.kayenta));
    let early = Share::of(&outcomes, |one| one.promotion);
    say(&format!("| {noise} | {fault} | {} | {} | {:.0} % |", ours.timed(), kayenta.timed(), early.rate()));
}

/// The same noise in what is logged while every request goes well.
pub(crate) fn logs(ask: &Ask) {
    say(&format!("\n## Errors that are caught and logged, of {} hours each: rolled back without a fault, and found\n", ask.runs));
    say("| noise | no fault (upper bound) | × 3 | × 5 |");
    say("| --- | --- | --- | --- |");
    let caught = noises().into_iter().filter(|(name, _)| ask.wants(name, "")).map(|(name, world)| (name, World { caught: true, ..world }));
    for (name, world) in caught {
        let wrong = Share::of(&outcomes(&world, &on_logs(), ask.runs), |one| one.rollback).bounded();
        let found = [3.0, 5.0].map(|factor| {
            let world = World { fault: Fault::Errors { factor, from: 0 }, ..world.clone() };
            Share::of(&outcomes(&world, &on_logs(), (ask.runs / 4).max(20)), |one| one.rollback).timed()
        });
        say(&format!("| {name} | {wrong} | {} | {} |", found[0], found[1]));
    }
}

pub(crate) fn promotion(runs: u64) {
    say("\n## Promotions, and what can be seen\n");
    let clean = outcomes(&World::default(), &policy("error_rate"), runs);
    say(&format!("- a clean version is promoted: {}", Share::of(&clean, |one| one.promotion).timed()));
    let margin = World { fault: Fault::Errors { factor: 1.5, from: 0 }, ..World::default() };
    let margin = outcomes(&margin, &policy("error_rate"), runs);
    say(&format!("- one at the margin, errors × 1.5: {}", Share::of(&margin, |one| one.promotion).bounded()));
    let mut seen: Vec<f64> = clean.iter().filter_map(|one| one.detectable).collect();
    seen.sort_by(f64::total_cmp);
    if let Some(ratio) = seen.get(seen.len() / 2).copied() {
        let world = World { fault: Fault::Errors { factor: ratio, from: 0 }, ..World::default() };
        let by_then = Share::of(&outcomes(&world, &policy("error_rate"), runs), |one| one.rollback.filter(|minutes| *minutes <= 30.0));
        say(&format!(
            "- errors × {ratio:.2}, what verdicts say could be seen after half an hour, is found by then in {:.0} %",
            by_then.rate()
        ));
    }
}

pub(crate) fn culprits(runs: u64) {
    let runs = (runs / 4).max(20);
    say(&format!("\n## Who did it, of {runs} each\n"));
    let of = |world: &World, runs: u64| -> Vec<Outcome> {
        outcomes(world, &policy("error_rate"), runs).into_iter().filter(|one| one.rollback.is_some()).collect()
    };
    let count = |outcomes: &[Outcome], is: &dyn Fn(&Outcome) -> bool| {
        format!("{} of {}", outcomes.iter().filter(|one| is(one)).count(), outcomes.len())
    };
    let world = World { routes: 50, fault: Fault::Route(10.0), ..World::default() };
    let (guilty, routes) = (world.guilty_route(), of(&world, runs));
    let first = |one: &Outcome| {
        one.culprits.iter().find(|culprit| culprit.kind == CulpritKind::Operation).is_some_and(|culprit| *culprit.name == *guilty)
    };
    let innocent = |one: &Outcome| one.culprits.iter().any(|culprit| culprit.kind == CulpritKind::Operation && *culprit.name != *guilty);
    say(&format!(
        "- one route of 50 fails ten times as often: named first {}, others named beside it {}",
        count(&routes, &first),
        count(&routes, &innocent)
    ));
    let instance = |one: &Outcome| one.culprits.iter().any(|culprit| culprit.kind == CulpritKind::Instance);
    let pod = of(&World { fault: Fault::Pod(20.0), ..World::default() }, runs);
    say(&format!("- one pod of eight fails twenty times as often: an instance is named {}", count(&pod, &instance)));
    let version = of(&World { fault: Fault::Errors { factor: 3.0, from: 0 }, pod_errors: 0.2, ..World::default() }, runs);
    say(&format!("- the version fails three times as often: an instance is named {}", count(&version, &instance)));
}
