//! How often is the judge wrong, and how soon right? Simulated rollouts of an hour by the noise that real services have, looked at every ten seconds,
//! and the same ones by Kayenta's judge every five minutes.
//!
//! `make bench-judge`, by hand. Arguments: how many rollouts for each line, and which tables (`false-rollbacks`, `detection`, `promotion`, `culprits`, `cost`).

mod cost;
mod tables;
mod trial;
mod world;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runs = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(200);
    let asked: Vec<&String> = arguments.iter().filter(|argument| argument.parse::<u64>().is_err()).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|one| *one == name);
    if wanted("false-rollbacks") {
        tables::false_rollbacks(runs);
    }
    if wanted("detection") {
        tables::detection(runs);
    }
    if wanted("promotion") {
        tables::promotion(runs);
    }
    if wanted("culprits") {
        tables::culprits(runs);
    }
    if wanted("cost") {
        cost::run();
    }
}

#[expect(clippy::print_stdout, reason = "a bench prints its result")]
fn say(line: &str) {
    println!("{line}");
}
