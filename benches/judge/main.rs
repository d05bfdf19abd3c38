//! How often is the judge wrong, and how soon right? Simulated rollouts of an hour by the noise that real services have, looked at every ten seconds,
//! and the same ones by Kayenta's judge every five minutes.
//!
//! `make bench-judge`, by hand. Arguments: how many rollouts for each line, and which tables (`false-rollbacks`, `detection`, `parts`, `logs`, `promotion`, `culprits`, `cost`);
//! `only=storms` leaves out lines without that word.

mod cost;
mod tables;
mod trial;
mod world;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let mut ask = Ask { runs: 200, only: None };
    let mut tables = Vec::new();
    for argument in &arguments {
        match (argument.parse(), argument.strip_prefix("only=")) {
            (Ok(runs), _) => ask.runs = runs,
            (Err(_), Some(only)) => ask.only = Some(only.to_owned()),
            (Err(_), None) => tables.push(argument.as_str()),
        }
    }
    let wanted = |name: &str| tables.is_empty() || tables.contains(&name);
    if wanted("false-rollbacks") {
        tables::false_rollbacks(&ask);
    }
    if wanted("detection") {
        tables::detection(&ask);
    }
    if wanted("parts") {
        tables::parts(&ask);
    }
    if wanted("logs") {
        tables::logs(&ask);
    }
    if wanted("promotion") {
        tables::promotion(ask.runs);
    }
    if wanted("culprits") {
        tables::culprits(ask.runs);
    }
    if wanted("cost") {
        cost::run(&ask);
    }
}

/// What to simulate.
struct Ask {
    /// Rollouts for each line.
    runs: u64,
    /// Only lines with this in them.
    only: Option<String>,
}

impl Ask {
    fn wants(&self, noise: &str, fault: &str) -> bool {
        self.only.as_ref().is_none_or(|only| noise.contains(only.as_str()) || fault.contains(only.as_str()))
    }
}

#[expect(clippy::print_stdout, reason = "a bench prints its result")]
fn say(line: &str) {
    println!("{line}");
}
