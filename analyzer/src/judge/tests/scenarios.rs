//! What the demo plays, as counts.

use super::super::*;
use super::world::{Operation, World, up_to};
use crate::policy::Policy;

fn shop() -> World {
    World { split: 0.1, instances: [3, 2], windows: 60, history_windows: 60, ..World::default() }
}

fn word(judgement: &Judgement) -> &'static str {
    match &judgement.decision {
        Decision::Promote { .. } => "promote",
        Decision::Rollback { .. } => "rollback",
        Decision::Continue { .. } => "continue",
        Decision::Inconclusive { .. } => "inconclusive",
    }
}

/// The first decision that is not to continue, polling every 10 s, and after how many windows.
fn first_decision(world: &World) -> (&'static str, i64, Judgement) {
    let evidence = world.evidence();
    let policy = Policy::default();
    for windows in 1..=world.windows {
        let judgement = judge(&policy, &up_to(&evidence, windows));
        if word(&judgement) != "continue" || windows == world.windows {
            return (word(&judgement), windows, judgement);
        }
    }
    unreachable!("a world lasts a window at least")
}

fn show(name: &str, world: &World) -> (&'static str, Judgement) {
    let (decision, windows, judgement) = first_decision(world);
    println!("== {name} seed {}: {decision} after {} s, risk {:.2}, promotion {:.2}", world.seed, windows * 10, judgement.ln_risk, judgement.ln_promotion);
    for one in &judgement.comparisons {
        println!("   {} {:?} lnE {:.2} lnP {:.2} {:?} det {:?}: {}", one.name, one.finding, one.ln_e, one.ln_promote, one.noise.map(|n| (n.phi, n.tau, n.source)), one.detectable, one.reason);
    }
    for culprit in &judgement.culprits {
        println!("   culprit {:?} {} {} {:.1} share {:.2} {:?}: {}", culprit.kind, culprit.name, culprit.comparison, culprit.ln_e, culprit.share, culprit.traces, culprit.reason);
    }
    println!("   {:?}", judgement.decision);
    (decision, judgement)
}

#[test]
fn explore() {
    for seed in 1..=3 {
        show("good", &World { seed, ..shop() });
        let mut pay = shop();
        pay.seed = seed;
        pay.operations[1].errors[1] = 0.12;
        show("errors", &pay);
        let mut slow = shop();
        slow.seed = seed;
        slow.operations[1].slower = 1.4;
        show("latency", &slow);
        show("new", &World { seed, new_error: 0.003, ..shop() });
        let mut mix = shop();
        mix.seed = seed;
        mix.operations[1] = Operation { median_ms: 400.0, errors: [0.05, 0.05], share: [0.1, 0.6], ..mix.operations[1].clone() };
        mix.operations[0].share = [0.9, 0.4];
        show("mix", &mix);
        show("slow instance", &World { seed, slow_instance: 4.0, ..shop() });
        show("rolling good", &World { seed, pairing: Pairing::Preceding, ..shop() });
        let mut rolling = World { seed, pairing: Pairing::Preceding, ..shop() };
        rolling.operations[1].errors[1] = 0.12;
        show("rolling bad", &rolling);
    }
}

#[test]
fn explore_good() {
    for instances in [[1, 1], [2, 2], [3, 3], [3, 2]] {
        for history_windows in [0, 60] {
            for split in [0.5, 0.1] {
                let mut times = Vec::new();
                for seed in 1..=20 {
                    // 15,000 requests an arm in 30 windows when split evenly
                    let world = World { seed, instances, history_windows, split, windows: 60, ..World::default() };
                    let (decision, windows, _) = first_decision(&world);
                    times.push(if decision == "promote" { windows * 10 } else { 9999 });
                }
                times.sort_unstable();
                println!("{instances:?} history {history_windows} split {split}: {} {} {}", times[0], times[10], times[18]);
            }
        }
    }
}
