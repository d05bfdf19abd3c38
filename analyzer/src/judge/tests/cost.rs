use super::super::*;
use super::world::{Operation, World};
use crate::policy::Policy;

#[test]
fn explore_cost() {
    let names: Vec<&'static str> = (0..50).map(|k| &*Box::leak(format!("GET /{k}").into_boxed_str())).collect();
    let world = World { operations: names.iter().map(|n| Operation::new(n, 0.02)).collect(), instances: [10, 10], windows: 360, history_windows: 60, requests_per_second: 500.0, ..World::default() };
    let evidence = world.evidence();
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let judgement = judge(&Policy::default(), &evidence);
        println!("{} cells, {:?}: {:?}", evidence.cells.len(), judgement.canary, start.elapsed());
    }
    let t = std::time::Instant::now();
    let table = super::super::table::Table::new(&evidence);
    println!("table {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let _ = super::super::error_rate::compare_errors(&table, &Policy::default());
    println!("errors {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let _ = super::super::latency::compare_latency(&table, &Policy::default());
    println!("latency {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let _ = super::super::new_errors::compare_new_errors(&table, &Policy::default(), &evidence);
    println!("new {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let _ = super::super::throughput::compare_throughput(&table, &Policy::default());
    println!("throughput {:?}", t.elapsed());
}
