//! Plain numbers: memory, queues, whatever SQL finds.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, StandardNormal};

use super::super::*;
use super::world::World;
use crate::kayenta::Direction;
use crate::policy::{MetricCheckOverride, Policy, PolicyOverrides};

/// How a number behaves in both cohorts of four instances, each minute of an hour after half an hour of the baseline alone.
#[derive(Clone, Copy)]
struct Number {
    level: f64,
    /// Of the canary, over the baseline.
    factor: f64,
    /// Standard deviations on the logarithmic scale: between instances, between minutes of one, of the drift that all share.
    instances: f64,
    minutes: f64,
    drift: f64,
    /// How much of a minute's deviation is left in the next.
    memory: f64,
}

const QUIET: Number = Number { level: 400.0, factor: 1.0, instances: 0.05, minutes: 0.05, drift: 0.0, memory: 0.0 };

fn samples(number: Number, seed: u64, evidence: &mut Evidence) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut normal = move || -> f64 { StandardNormal.sample(&mut dice) };
    let own: Vec<f64> = (0..8).map(|_| number.instances * normal()).collect();
    let (mut shared, mut noise) = (0.0, [0.0; 8]);
    let start = evidence.started_at;
    for minute in -30..60_i64 {
        shared = 0.9 * shared + number.drift * normal();
        for instance in 0..8 {
            noise[instance] = number.memory * noise[instance] + (1.0 - number.memory.powi(2)).sqrt() * number.minutes * normal();
            let is_canary = instance >= 4;
            if is_canary && minute < 0 {
                continue;
            }
            let factor = if is_canary { number.factor } else { 1.0 };
            evidence.samples.push(Sample {
                at: haldane_store::UnixNanos::from_seconds(start.as_seconds() + 60 * minute),
                cohort: if is_canary { Role::Canary } else { Role::Baseline },
                check: "memory".into(),
                instance: format!("{instance}").into(),
                value: number.level * factor * (own[instance] + noise[instance] + shared).exp(),
            });
        }
    }
}

fn policy(check: MetricCheckOverride) -> Policy {
    let check = MetricCheckOverride { name: Some("memory".into()), metric: Some("process.memory.usage".into()), ..check };
    Policy::default().with(&PolicyOverrides { metrics: Some(vec![check]), ..PolicyOverrides::default() }).unwrap()
}

fn world() -> Evidence {
    World { windows: 360, history_windows: 6, with_durations: false, requests_per_second: 5.0, ..World::default() }.evidence()
}

fn memory(judgement: &Judgement) -> &Comparison {
    judgement.comparisons.iter().find(|one| one.name == "memory").unwrap()
}

/// Whether it was ever rolled back, looked at each minute.
fn ever(policy: &Policy, evidence: &Evidence) -> Option<u64> {
    (1..=60).find(|minutes| {
        let until = evidence.started_at.plus(std::time::Duration::from_secs(60 * minutes));
        let now = Evidence { until, ..evidence.clone() };
        memory(&judge(policy, &now)).finding == Finding::Regressed
    })
}

#[test]
fn a_number_that_grows_is_rolled_back_and_said_in_words() {
    let mut evidence = world();
    samples(Number { factor: 1.8, ..QUIET }, 1, &mut evidence);
    let policy = policy(MetricCheckOverride { unit: Some("MiBy".into()), ..MetricCheckOverride::default() });
    let judgement = judge(&policy, &evidence);
    let Decision::Rollback { worst, .. } = &judgement.decision else { panic!("{judgement:?}") };
    assert!(worst.reason.starts_with("memory 1.") && worst.reason.contains(" MiBy against "), "{}", worst.reason);
    assert!(ever(&policy, &evidence).is_some_and(|minute| minute <= 10));
}

#[test]
fn the_direction_that_is_good_is_no_harm() {
    let mut evidence = world();
    samples(Number { factor: 0.4, ..QUIET }, 1, &mut evidence);
    let of = |direction| judge(&policy(MetricCheckOverride { direction: Some(direction), ..MetricCheckOverride::default() }), &evidence);
    assert_eq!(memory(&of(Direction::Increase)).finding, Finding::NotWorse);
    assert_eq!(memory(&of(Direction::Decrease)).finding, Finding::Regressed);
    assert_eq!(memory(&of(Direction::Either)).finding, Finding::Regressed);
}

#[test]
fn noise_of_many_kinds_is_no_harm() {
    let kinds = [
        QUIET,
        Number { minutes: 0.5, ..QUIET },
        Number { drift: 0.3, ..QUIET },
        Number { minutes: 0.3, memory: 0.9, ..QUIET },
        Number { instances: 0.3, ..QUIET },
        Number { level: 1e-9, instances: 0.3, minutes: 0.3, drift: 0.3, memory: 0.5, factor: 1.0 },
    ];
    let policy = policy(MetricCheckOverride { relative: Some(0.0), weight: Some(10.0), ..MetricCheckOverride::default() });
    let template = Evidence { cells: Cells::default(), errors: Vec::new(), ..world() };
    for (number, kind) in kinds.into_iter().zip(0_u64..) {
        let wrong = (0..60_u64).filter(|seed| {
            let mut evidence = template.clone();
            samples(number, 100 * kind + seed, &mut evidence);
            ever(&policy, &evidence).is_some()
        });
        let wrong = wrong.count();
        assert!(wrong <= 2, "kind {kind}: {wrong} of 60, without a margin and with nearly all of the budget");
    }
}

#[test]
fn numbers_that_may_be_zero_or_negative_are_compared_by_difference() {
    let mut evidence = world();
    samples(QUIET, 1, &mut evidence);
    evidence.samples.iter_mut().for_each(|sample| sample.value -= 400.0);
    let calm = policy(MetricCheckOverride { absolute: Some(30.0), ..MetricCheckOverride::default() });
    assert_eq!(memory(&judge(&calm, &evidence)).finding, Finding::NotWorse);
    evidence.samples.iter_mut().filter(|sample| sample.cohort == Role::Canary).for_each(|sample| sample.value += 150.0);
    assert_eq!(memory(&judge(&calm, &evidence)).finding, Finding::Regressed);
    evidence.samples.iter_mut().for_each(|sample| sample.value = 0.0);
    let constant = judge(&calm, &evidence);
    assert_ne!(memory(&constant).finding, Finding::Regressed);
}

#[test]
fn a_number_that_is_zero_in_the_baseline_is_not_out_of_sight() {
    let mut evidence = world();
    samples(QUIET, 1, &mut evidence);
    evidence.samples.iter_mut().filter(|sample| sample.cohort == Role::Baseline).for_each(|sample| sample.value = 0.0);
    let dead_letters = policy(MetricCheckOverride::default());
    assert_eq!(memory(&judge(&dead_letters, &evidence)).finding, Finding::Regressed);
    evidence.samples.iter_mut().for_each(|sample| sample.value = 0.0);
    assert_ne!(memory(&judge(&dead_letters, &evidence)).finding, Finding::Regressed);
}

#[test]
fn what_is_missing_or_broken_decides_nothing() {
    let mut evidence = world();
    let required = policy(MetricCheckOverride { required: Some(true), ..MetricCheckOverride::default() });
    let nothing = judge(&required, &evidence);
    assert_eq!(memory(&nothing).finding, Finding::NoData);
    let waits = |judgement: &Judgement| match &judgement.decision {
        Decision::Continue { doubts, .. } | Decision::Inconclusive { because: doubts } => {
            doubts.iter().any(|doubt| matches!(doubt, Doubt::Unproven { comparison, .. } if comparison == "memory"))
        }
        Decision::Promote { .. } | Decision::Rollback { .. } => false,
    };
    assert!(waits(&nothing), "a required number that nobody reports");
    samples(QUIET, 1, &mut evidence);
    let known = judge(&required, &evidence);
    assert!(!waits(&known) && memory(&known).finding == Finding::NotWorse, "{known:?}");
    evidence.unreadable.push(("memory".into(), "no such table".into()));
    let unreadable = judge(&required, &evidence);
    assert_eq!(memory(&unreadable).reason, "memory cannot be read: no such table");
    assert!(waits(&unreadable));
    for value in [f64::NAN, f64::INFINITY, f64::MAX, -f64::MAX, f64::MIN_POSITIVE] {
        let mut broken = world();
        samples(QUIET, 2, &mut broken);
        broken.samples.iter_mut().filter(|sample| sample.cohort == Role::Canary).for_each(|sample| sample.value = value);
        let judgement = judge(&required, &broken);
        assert!(!memory(&judgement).ln_e.is_nan(), "{value}");
    }
}

#[test]
fn a_number_is_compared_with_its_past_where_nothing_serves_beside_it() {
    let mut evidence = Evidence { pairing: Pairing::Preceding, ..world() };
    samples(Number { factor: 3.0, ..QUIET }, 1, &mut evidence);
    evidence.samples.retain(|sample| sample.cohort == Role::Canary || sample.at < evidence.started_at);
    let judgement = judge(&policy(MetricCheckOverride::default()), &evidence);
    assert_eq!(memory(&judgement).finding, Finding::Regressed, "{:?}", memory(&judgement));
}
