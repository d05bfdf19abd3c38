//! What the demo shows while it runs: live lines on a terminal, plain lines on change in a pipe or a file.

mod live;
mod plain;
mod report;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use haldane_analyzer::verdict::Verdict;

use super::play::Played;
use super::scenario::Scenario;
use super::shop::Tally;

use live::Live;
use plain::Plain;

/// Where a scenario is. Times are those of the demo's clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// The old version runs alone.
    History { passed: Duration, of: Duration },
    /// The rollout is on.
    Rollout { passed: Duration, of: Duration },
}

/// The terminal, or whatever stands in its place.
#[derive(Debug)]
pub(super) enum Screen {
    /// Lines that change in place.
    Live(Live),
    /// Lines that are only added.
    Plain(Plain),
}

impl Screen {
    /// Live if standard output is a terminal.
    pub(super) fn open() -> Self {
        if std::io::stdout().is_terminal() { Self::Live(Live::default()) } else { Self::Plain(Plain::default()) }
    }

    /// A scenario begins.
    pub(super) fn scenario(&mut self, scenario: &Scenario) {
        say(&format!("\n{}: {}", scenario.name, scenario.story));
        say(&format!("  expected: {}, in environment {}", scenario.expected.describe(), scenario.environment()));
        match self {
            Self::Live(live) => live.scenario(),
            Self::Plain(plain) => plain.scenario(),
        }
    }

    /// More telemetry went out.
    pub(super) fn traffic(&mut self, phase: Phase, tally: &Tally) {
        match self {
            Self::Live(live) => live.traffic(phase, tally),
            Self::Plain(plain) => plain.traffic(phase, tally),
        }
    }

    /// There is a new verdict.
    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        match self {
            Self::Live(live) => live.verdict(verdict),
            Self::Plain(plain) => plain.verdict(verdict),
        }
    }

    /// A scenario ended: the report of why.
    pub(super) fn ended(&mut self, played: &Played) {
        if let Self::Live(live) = self {
            live.clear();
        }
        report::scenario(played).iter().for_each(|line| say(line));
    }

    /// All scenarios ended, or the demo was stopped.
    pub(super) fn summary(&mut self, played: &[Played]) {
        if let Self::Live(live) = self {
            live.clear();
        }
        report::table(played).iter().for_each(|line| say(line));
    }

    /// Lines as they are.
    pub(super) fn lines(&mut self, lines: &[String]) {
        lines.iter().for_each(|line| say(line));
    }
}

/// A line on standard output. Nobody reading any more is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
