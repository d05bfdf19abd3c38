//! Runs the judge over recorded cases. It sees samples or counts only; labels are looked at when rates are counted.

mod counts;
mod index;
mod samples;
mod table;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use haldane_analyzer::policy::{Policy, PolicyError};
use haldane_analyzer::recorded::Judge;

use super::rates;
use crate::cli::target::read_policy;
use crate::cli::{CliError, Exit};

use counts::Counts;
use samples::Samples;
use table::{Columns, Read, text};

pub(super) use index::Index;

#[derive(Debug, Args)]
pub(super) struct CasesArgs {
    /// Judge the recorded cases of Parquet files, samples of metrics or windowed counts, and count how often it was right
    #[arg(long = "cases", value_name = "FILE.parquet", num_args = 1..)]
    files: Vec<PathBuf>,
    /// What is known of the cases: adds rates by design, and delays.
    #[arg(long, value_name = "cases.csv", requires = "files")]
    cases_index: Option<PathBuf>,
    /// What differs from the default policy, in YAML or JSON, for windowed counts.
    #[arg(long, value_name = "FILE", requires = "files")]
    policy: Option<PathBuf>,
    /// Look at a case so many times, while its canary grows; any rollback counts.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    looks: u32,
    /// Whose judgement.
    #[arg(long, value_enum, default_value_t = JudgeFlag::Default)]
    judge: JudgeFlag,
    /// Print all as JSON, with the decision on each case.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum JudgeFlag {
    /// Ours.
    Default,
    /// Kayenta's.
    Kayenta,
}

/// What a case is called, and what the judge must not see.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) dataset: String,
    pub(super) has_fault: bool,
}

/// What was said of a case at one look.
#[derive(Clone)]
pub(super) struct Look {
    /// `rollback`, `promote`, `continue` or `inconclusive`.
    pub(super) decision: &'static str,
    /// The metric that speaks loudest.
    pub(super) loudest: Option<String>,
    pub(super) p_value: Option<f64>,
    /// One sentence, where the judge has one.
    pub(super) reason: Option<String>,
    /// The end of what was seen, in Unix milliseconds.
    pub(super) until: Option<i64>,
}

/// What came of a case.
pub(super) struct Outcome {
    pub(super) head: Head,
    /// The first that said to roll back, else the last one.
    pub(super) look: Look,
    /// The share of the canary that had been seen when it was rolled back.
    pub(super) seen: Option<f64>,
    /// Whether it was promoted before that.
    pub(super) promoted: bool,
}

pub(super) fn run(args: &CasesArgs) -> Result<Exit, CliError> {
    if args.files.is_empty() {
        return Err(CliError::Usage("say what to judge: --cases FILE.parquet, or `haldane judge vectors FILE.json`".to_owned()));
    }
    let index = args.cases_index.as_deref().map(Index::read).transpose()?.unwrap_or_default();
    let policy = args.policy.as_deref().map(policy).transpose()?.unwrap_or_default();
    let (mut samples, mut counts) = (Cases::<Samples>::default(), Cases::<Counts>::default());
    for file in &args.files {
        read(file, &mut samples, &mut counts)
            .map_err(|cause| CliError::Usage(format!("cannot read cases from {}: {cause}", file.display())))?;
    }
    let by = match args.judge {
        JudgeFlag::Default => Judge::Default,
        JudgeFlag::Kayenta => Judge::Kayenta,
    };
    let mut outcomes = Vec::new();
    for (head, mut case) in samples.all {
        case.sort();
        outcomes.push(look_at(head, args.looks, |share| case.look(share, by)));
    }
    for (head, case) in counts.all {
        let nothing = || Look { decision: "continue", loudest: None, p_value: None, reason: None, until: None };
        let mut evidence = case.evidence();
        let end = evidence.as_ref().map(|evidence| evidence.until);
        outcomes.push(look_at(head, args.looks, |share| match (&mut evidence, end) {
            (Some(evidence), Some(end)) => counts::look(evidence, end, share, by, &policy),
            _ => nothing(),
        }));
    }
    rates::print(&outcomes, &index, args.looks, args.json)?;
    Ok(Exit::Done)
}

fn read(file: &Path, samples: &mut Cases<Samples>, counts: &mut Cases<Counts>) -> Read<()> {
    for rows in table::batches(file)? {
        let rows = rows?;
        if rows.has("requests") {
            counts::read(&rows, counts)?;
        } else {
            samples::read(&rows, samples)?;
        }
    }
    Ok(())
}

fn policy(file: &Path) -> Result<Policy, CliError> {
    let told = |cause: PolicyError| CliError::Usage(format!("cannot take the policy from {}: {cause}", file.display()));
    Policy::default().with(&read_policy(file)?).map_err(told)
}

/// Looks at a case as its canary grows, until it is rolled back or all has been seen.
fn look_at(head: Head, looks: u32, mut judge: impl FnMut(f64) -> Look) -> Outcome {
    let mut promoted = false;
    let mut number = 1;
    loop {
        let share = f64::from(number) / f64::from(looks);
        let look = judge(share);
        let rollback = look.decision == "rollback";
        if rollback || number >= looks {
            return Outcome { head, seen: rollback.then_some(share), promoted: promoted || look.decision == "promote", look };
        }
        promoted |= look.decision == "promote";
        number += 1;
    }
}

/// Cases in the order in which a file first names them.
#[derive(Default)]
struct Cases<B> {
    all: Vec<(Head, B)>,
    places: HashMap<String, usize>,
}

impl<B: Default> Cases<B> {
    /// Gives each row to its case.
    fn each(&mut self, rows: &Columns, mut take: impl FnMut(usize, &mut B) -> Read<()>) -> Read<()> {
        let (ids, datasets, labels) = (rows.texts("case_id")?, rows.texts("dataset")?, rows.texts("label")?);
        for row in 0..rows.rows() {
            let id = text(&ids, row);
            let at = self.places.get(id).copied().unwrap_or_else(|| {
                let head = Head { id: id.to_owned(), dataset: text(&datasets, row).to_owned(), has_fault: text(&labels, row) == "ab" };
                self.places.insert(id.to_owned(), self.all.len());
                self.all.push((head, B::default()));
                self.all.len() - 1
            });
            take(row, &mut self.all[at].1)?;
        }
        Ok(())
    }
}
