//! Runs the judge over recorded cases. It sees samples only; labels are looked at when rates are counted.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, AsArray as _, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use clap::{Args, ValueEnum};
use haldane_analyzer::kayenta::Direction;
use haldane_analyzer::recorded::{Finding, Judge, Kind, Metric, judge};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::rates;
use crate::cli::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct CasesArgs {
    /// Judge the recorded cases of Parquet files, and count how often it was right
    #[arg(long = "cases", value_name = "FILE.parquet", num_args = 1..)]
    files: Vec<PathBuf>,
    /// What is known of the cases; adds rates by design.
    #[arg(long, value_name = "cases.csv", requires = "files")]
    cases_index: Option<PathBuf>,
    /// Look at a case so many times, while its canary grows; any rollback counts.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
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

/// A case with what the judge must not see.
pub(super) struct Case {
    pub(super) id: String,
    pub(super) dataset: String,
    pub(super) has_fault: bool,
    metrics: Vec<Metric>,
}

/// What came of a case.
pub(super) struct Outcome {
    pub(super) case: Case,
    pub(super) finding: Finding,
    /// The share of the canary that had been seen when it was rolled back.
    pub(super) seen: Option<f64>,
}

pub(super) fn run(args: &CasesArgs) -> Result<Exit, CliError> {
    if args.files.is_empty() {
        return Err(CliError::Usage("say what to judge: --cases FILE.parquet, or `haldane judge vectors FILE.json`".to_owned()));
    }
    let designs = args.cases_index.as_deref().map(designs).transpose()?.unwrap_or_default();
    let mut cases = Vec::new();
    for file in &args.files {
        cases.extend(read(file).map_err(|cause| CliError::Usage(format!("cannot read cases from {}: {cause}", file.display())))?);
    }
    let judge = match args.judge {
        JudgeFlag::Default => Judge::Default,
        JudgeFlag::Kayenta => Judge::Kayenta,
    };
    let outcomes: Vec<Outcome> = cases.into_iter().map(|case| look_at(case, judge, args.looks)).collect();
    rates::print(&outcomes, &designs, args.looks, args.json)?;
    Ok(Exit::Done)
}

/// Looks at a case as its canary grows, until it is rolled back or all has been seen.
fn look_at(case: Case, by: Judge, looks: u32) -> Outcome {
    let mut finding = Finding { rollback: false, loudest: None };
    for look in 1..=looks {
        let share = f64::from(look) / f64::from(looks);
        finding = judge(&case.metrics.iter().map(|metric| begun(metric, share)).collect::<Vec<_>>(), by);
        if finding.rollback {
            return Outcome { case, finding, seen: Some(share) };
        }
    }
    Outcome { case, finding, seen: None }
}

/// A metric with the first part of its canary.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
fn begun(metric: &Metric, share: f64) -> Metric {
    let samples = (metric.canary.len() as f64 * share).ceil() as usize;
    Metric { canary: metric.canary.iter().copied().take(samples).collect(), ..metric.clone() }
}

/// A sample as a row of the table.
struct Sample {
    time: i64,
    value: f64,
    is_canary: bool,
}

type Read<T> = Result<T, Box<dyn std::error::Error>>;

fn read(file: &Path) -> Read<Vec<Case>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.build()?;
    let (mut cases, mut places): (Vec<Case>, HashMap<String, usize>) = (Vec::new(), HashMap::new());
    let mut samples: Vec<Vec<Vec<Sample>>> = Vec::new();
    for rows in reader {
        let rows = rows?;
        let text = |name: &str| texts(&rows, name);
        let (ids, datasets, labels, metrics) = (text("case_id")?, text("dataset")?, text("label")?, text("metric")?);
        let (kinds, directions, cohorts) = (text("kind")?, text("direction")?, text("cohort")?);
        let times = cast(column(&rows, "timestamp")?, &DataType::Int64)?;
        let values = cast(column(&rows, "value")?, &DataType::Float64)?;
        let (times, values) = (times.as_primitive::<Int64Type>(), values.as_primitive::<Float64Type>());
        for row in 0..rows.num_rows() {
            let id = ids.value(row);
            let at = *places.entry(id.to_owned()).or_insert_with(|| {
                let (dataset, has_fault) = (datasets.value(row).to_owned(), labels.value(row) == "ab");
                cases.push(Case { id: id.to_owned(), dataset, has_fault, metrics: Vec::new() });
                samples.push(Vec::new());
                cases.len() - 1
            });
            let (case, of_case) = (&mut cases[at], &mut samples[at]);
            let name = metrics.value(row);
            let metric = case.metrics.iter().position(|metric| metric.name == name).unwrap_or_else(|| {
                let (kind, direction) = (Kind::named(kinds.value(row)), direction(directions.value(row)));
                case.metrics.push(Metric { name: name.to_owned(), kind, direction, baseline: Vec::new(), canary: Vec::new() });
                of_case.push(Vec::new());
                case.metrics.len() - 1
            });
            let value = if values.is_null(row) { f64::NAN } else { values.value(row) };
            of_case[metric].push(Sample { time: times.value(row), value, is_canary: cohorts.value(row) == "canary" });
        }
    }
    for (case, of_case) in cases.iter_mut().zip(samples) {
        for (metric, mut samples) in case.metrics.iter_mut().zip(of_case) {
            samples.sort_by_key(|sample| sample.time);
            for sample in samples {
                let cohort = if sample.is_canary { &mut metric.canary } else { &mut metric.baseline };
                cohort.push(sample.value);
            }
        }
    }
    Ok(cases)
}

fn column<'r>(rows: &'r RecordBatch, name: &str) -> Read<&'r arrow::array::ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| format!("it has no column {name}; docs/judge.md names those of a case table").into())
}

fn texts(rows: &RecordBatch, name: &str) -> Read<StringArray> {
    Ok(cast(column(rows, name)?, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn direction(name: &str) -> Direction {
    match name {
        "increase" => Direction::Increase,
        "decrease" => Direction::Decrease,
        _ => Direction::Either,
    }
}

/// The design of each case.
fn designs(file: &Path) -> Result<HashMap<String, String>, CliError> {
    let told = |cause: &dyn std::fmt::Display| CliError::Usage(format!("cannot read the index {}: {cause}", file.display()));
    let mut rows = csv::Reader::from_path(file).map_err(|error| told(&error))?;
    let names = rows.headers().map_err(|error| told(&error))?.clone();
    let place = |name: &str| names.iter().position(|one| one == name).ok_or_else(|| told(&format!("it has no column {name}")));
    let (id, design) = (place("case_id")?, place("design")?);
    let mut designs = HashMap::new();
    for row in rows.records() {
        let row = row.map_err(|error| told(&error))?;
        designs.insert(row.get(id).unwrap_or_default().to_owned(), row.get(design).unwrap_or_default().to_owned());
    }
    Ok(designs)
}
