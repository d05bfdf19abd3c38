//! What `/metrics` tells of rollouts, of the judging, and of the outbox.

use haldane_analyzer::rollout::{Figures, LiveFigures, OutboxFigures, RolloutFigures};
use haldane_api::metrics::{Family, Kind, Sample};

use super::{number, seconds};

pub(super) fn families(figures: &Figures) -> Vec<Family> {
    let (rollouts, rounds) = (figures.rollouts(), figures.rounds());
    let mut families = of_rollouts(&rollouts);
    families.push(Family {
        name: "haldane_rollouts_ended_total",
        help: "Rollouts that ended since this process started.",
        kind: Kind::Counter,
        samples: figures.ended().into_iter().map(|(state, count)| Sample::new(&[("state", state)], number(count))).collect(),
    });
    let one = |name, help, kind, value: f64| Family { name, help, kind, samples: vec![Sample::new(&[], value)] };
    families.extend([
        one("haldane_judge_round_seconds", "How long the last round over all live rollouts took.", Kind::Gauge, seconds(rounds.took)),
        one(
            "haldane_judge_last_round_timestamp_seconds",
            "When the last round ended; before the first, when judging began.",
            Kind::Gauge,
            rounds.at.as_nanos() as f64 / 1e9,
        ),
        one("haldane_judge_failures_total", "Judgements that could not be made.", Kind::Counter, number(rounds.failures)),
    ]);
    families.extend(of_outbox(&figures.outbox()));
    families
}

fn of_rollouts(rollouts: &[RolloutFigures]) -> Vec<Family> {
    let place = |one: &RolloutFigures| [("service", one.service.clone()), ("environment", one.environment.clone())];
    let told = |more: Option<(&'static str, &str)>, one: &RolloutFigures, value: f64| {
        let place = place(one);
        let mut labels: Vec<(&'static str, &str)> = place.iter().map(|(name, value)| (*name, value.as_str())).collect();
        labels.extend(more);
        Sample::new(&labels, value)
    };
    let live = |name, help, value: fn(&LiveFigures) -> f64| Family {
        name,
        help,
        kind: Kind::Gauge,
        samples: rollouts.iter().filter_map(|one| Some(told(None, one, value(one.live.as_ref()?)))).collect(),
    };
    vec![
        Family {
            name: "haldane_rollout_state",
            help: "1 for where the newest rollout of a service stands, live or ended within the hour.",
            kind: Kind::Gauge,
            samples: rollouts.iter().map(|one| told(Some(("state", one.state.as_str())), one, 1.0)).collect(),
        },
        Family {
            name: "haldane_rollout_decision",
            help: "1 for what its verdict says.",
            kind: Kind::Gauge,
            samples: rollouts.iter().map(|one| told(Some(("decision", one.decision.as_str())), one, 1.0)).collect(),
        },
        live("haldane_rollout_data_age_seconds", "Of live rollouts: how old the newest judged telemetry is.", |live| {
            seconds(live.data_age)
        }),
        live("haldane_rollout_canary_requests", "Of live rollouts: requests of the canary judged so far.", |live| {
            number(live.canary_requests)
        }),
        live("haldane_rollout_age_seconds", "Of live rollouts: since when they run.", |live| seconds(live.age)),
    ]
}

fn of_outbox(outbox: &[OutboxFigures]) -> Vec<Family> {
    let of = |name, help, state: &str| Family {
        name,
        help,
        kind: Kind::Gauge,
        samples: outbox
            .iter()
            .filter(|one| one.state == state)
            .map(|one| Sample::new(&[("receiver", one.receiver.as_str())], number(one.count)))
            .collect(),
    };
    vec![
        of("haldane_notify_waiting", "Messages that a receiver has not got yet.", "due"),
        of("haldane_notify_dead", "Messages that were given up, and not tried again by hand.", "dead"),
    ]
}
