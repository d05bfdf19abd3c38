use super::super::*;
use super::world::{World, up_to};
use crate::policy::{CheckOverride, Policy, PolicyOverrides};

fn only(check: &str) -> Policy {
    let checks = Some(vec![CheckOverride { name: check.into(), required: Some(true), weight: Some(1.0) }]);
    Policy::default().with(&PolicyOverrides { checks, ..PolicyOverrides::default() }).unwrap()
}

fn rollback_at(world: &World, policy: &Policy, every: i64) -> Option<i64> {
    let evidence = world.evidence();
    (1..=world.windows / every)
        .map(|poll| poll * every)
        .find(|windows| matches!(judge(policy, &up_to(&evidence, *windows)).decision, Decision::Rollback { .. }))
}

fn table(name: &str, world: &World, runs: u64) {
    let policy = only("error_rate");
    let fx = |factor: f64| {
        let mut found: Vec<i64> = Vec::new();
        for seed in 0..runs {
            let mut world = World { seed: seed + 1, ..world.clone() };
            for operation in &mut world.operations {
                operation.errors[1] *= factor;
            }
            found.extend(rollback_at(&world, &policy, 3));
        }
        found.sort_unstable();
        let median = found.get(runs as usize / 2).map_or(-1, |windows| windows * 10);
        format!("{:.1} % med {median} s", found.len() as f64 * 100.0 / runs as f64)
    };
    println!("{name}: A/A {} | x3 {}", fx(1.0), fx(3.0));
}

#[test]
fn explore_alarms() {
    let mut base = World { with_durations: false, windows: 120, instances: [8, 8], ..World::default() };
    for operation in &mut base.operations {
        operation.errors = [0.01; 2];
    }
    for (label, history) in [("no history", 0)] {
        let base = World { history_windows: history, ..base.clone() };
        println!("-- {label}");
        table("iid", &base, 100);
        table("drift .5", &World { drift: 0.5, ..base.clone() }, 100);
        table("burst 3", &World { burst: 3.0, ..base.clone() }, 100);
        let mut rare = World { burst: 10.0, ..base.clone() };
        for operation in &mut rare.operations {
            operation.errors = [0.001; 2];
        }
        table("burst 10, .1 %", &rare, 100);
        table("storms", &World { storms: 0.01, ..base.clone() }, 100);
        table("pods .2", &World { error_spread: 0.2, ..base.clone() }, 100);
        table("pods .5", &World { error_spread: 0.5, ..base.clone() }, 100);
        table("pods .2, 3+2", &World { error_spread: 0.2, instances: [3, 2], ..base.clone() }, 100);
        table("10/90", &World { split: 0.1, ..base.clone() }, 100);
        table("mix", &World { error_spread: 0.2, burst: 3.0, drift: 0.5, storms: 0.005, ..base.clone() }, 100);
    }
}
