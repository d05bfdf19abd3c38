//! New errors, and the traces that stand for the two versions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haldane_analyzer::judge::{CellRef, ErrorCount, Evidence, Role, TraceId};
use haldane_analyzer::verdict::{CulpritKind, Verdict};
use haldane_store::UnixNanos;

/// Most errors that are told.
const ERRORS_MAX: usize = 20;
/// An error that the baseline has too is told when it comes so many times as often.
const OFTEN: f64 = 3.0;
/// So many traces of each version are tried: some may not be kept.
const TRIED: usize = 4;

/// An error that only the canary has, or that it has far more often.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewError {
    pub(crate) fingerprint: Arc<str>,
    /// `exception`, `log` or `status`.
    pub(crate) source: Arc<str>,
    pub(crate) error_type: Arc<str>,
    pub(crate) message: Arc<str>,
    pub(crate) count: u64,
    /// How often the canary would have had it at the baseline's rate; zero where the baseline never had it.
    pub(crate) expected: f64,
    /// Where it happened, as far as that is known.
    pub(crate) operations: BTreeSet<Arc<str>>,
    pub(crate) trace: Option<Arc<str>>,
}

impl NewError {
    /// Adds what one window saw of it.
    fn add(&mut self, error: &ErrorCount) {
        self.count += error.count;
        self.operations.extend(Some(error.operation.clone()).filter(|operation| !operation.is_empty()));
        self.trace = error.trace.clone().or_else(|| self.trace.take());
    }
}

/// The traces that stand for the two versions in one operation, the best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Examples {
    /// Empty where it is not known.
    pub(crate) operation: String,
    pub(crate) canary: Vec<String>,
    pub(crate) baseline: Vec<String>,
}

/// Errors that the baseline never had or had far less often, the new ones first, then the most frequent, and how many there are in all.
pub(super) fn new_errors(evidence: &Evidence) -> (Vec<NewError>, usize) {
    let of = |role: Role| evidence.errors.iter().filter(move |error| error.cohort == role && error.count > 0);
    let mut known: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
    for error in of(Role::Baseline) {
        *known.entry(&error.fingerprint).or_default() += error.count;
    }
    let served = |role: Role, from: UnixNanos| -> u64 {
        evidence.cells.iter().filter(|cell| cell.cohort == role && cell.at >= from).map(|cell| cell.requests).sum()
    };
    let ratio = served(Role::Canary, evidence.started_at) as f64 / served(Role::Baseline, UnixNanos::new(i64::MIN)).max(1) as f64;
    let mut found: BTreeMap<&Arc<str>, NewError> = BTreeMap::new();
    for error in of(Role::Canary).filter(|error| error.at >= evidence.started_at) {
        let none = || NewError {
            fingerprint: error.fingerprint.clone(),
            source: error.source.clone(),
            error_type: error.error_type.clone(),
            message: error.message.clone(),
            count: 0,
            expected: known.get(&error.fingerprint).map_or(0.0, |count| *count as f64 * ratio),
            operations: BTreeSet::new(),
            trace: None,
        };
        found.entry(&error.fingerprint).or_insert_with(none).add(error);
    }
    let told = |error: &NewError| {
        let seen = error.count as f64;
        error.expected <= 0.0 || (seen >= OFTEN * error.expected && super::beyond(seen, error.expected) > 0.0)
    };
    let mut errors: Vec<NewError> = found.into_values().filter(told).collect();
    let is_known = |error: &NewError| error.expected > 0.0;
    errors.sort_by(|a, b| is_known(a).cmp(&is_known(b)).then(b.count.cmp(&a.count)).then(a.fingerprint.cmp(&b.fingerprint)));
    let of = errors.len();
    errors.truncate(ERRORS_MAX);
    (errors, of)
}

/// Which traces to show: the one that was asked for, else the worst culprit's, else slow ones of the busiest operation; and the baseline's of the same
/// operation.
pub(crate) fn examples(verdict: &Verdict, evidence: Option<&Evidence>, asked: Option<&str>) -> Examples {
    let mut examples = match asked {
        Some(trace) => Examples { canary: vec![trace.to_owned()], ..Examples::default() },
        None => of_culprit(verdict),
    };
    let Some(evidence) = evidence else { return examples };
    if examples.canary.is_empty() {
        examples.operation = busiest(evidence).unwrap_or_default();
        examples.canary = traces(evidence, Role::Canary, &examples.operation);
    }
    if examples.operation.is_empty() {
        examples.operation = examples.canary.first().and_then(|trace| operation_of(evidence, trace)).unwrap_or_default();
    }
    examples.baseline = traces(evidence, Role::Baseline, &examples.operation);
    examples
}

fn of_culprit(verdict: &Verdict) -> Examples {
    let with_traces = || verdict.culprits.iter().filter(|culprit| !culprit.trace_ids.is_empty());
    let operation = with_traces().find(|culprit| culprit.kind == CulpritKind::Operation);
    let Some(culprit) = operation.or_else(|| with_traces().next()) else { return Examples::default() };
    let name = if culprit.kind == CulpritKind::Operation { culprit.name.clone() } else { String::new() };
    Examples { operation: name, canary: culprit.trace_ids.iter().take(TRIED).cloned().collect(), baseline: Vec::new() }
}

fn busiest(evidence: &Evidence) -> Option<String> {
    let mut requests: BTreeMap<&str, u64> = BTreeMap::new();
    for cell in super::compared(evidence).filter(|cell| cell.cohort == Role::Canary && cell.slow_trace.is_some()) {
        *requests.entry(cell.operation).or_default() += cell.requests;
    }
    requests.into_iter().max_by_key(|(_, requests)| *requests).map(|(name, _)| name.to_owned())
}

fn operation_of(evidence: &Evidence, trace: &str) -> Option<String> {
    let wanted = TraceId::from(trace);
    let is = |cell: &CellRef<'_>| [cell.error_trace, cell.slow_trace].contains(&Some(&wanted));
    let cell = evidence.cells.iter().find(is).map(|cell| cell.operation);
    let named = |error: &&ErrorCount| error.trace.as_deref() == Some(trace) && !error.operation.is_empty();
    let error = || evidence.errors.iter().find(named).map(|error| &error.operation);
    cell.or_else(error).map(|operation| operation.to_string())
}

/// The latest traces of an operation, those that did not fail first.
fn traces(evidence: &Evidence, role: Role, operation: &str) -> Vec<String> {
    let is_one = |cell: &CellRef<'_>| cell.cohort == role && &**cell.operation == operation && cell.slow_trace.is_some();
    let latest = || super::compared(evidence).rev().filter(is_one);
    let well = latest().filter(|cell| cell.slow_trace != cell.error_trace);
    let failed = latest().filter(|cell| cell.slow_trace == cell.error_trace);
    let mut found: Vec<&TraceId> = Vec::new();
    for id in well.chain(failed).filter_map(|cell| cell.slow_trace) {
        if found.len() == TRIED {
            break;
        }
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found.into_iter().map(|id| id.text().as_ref().to_owned()).collect()
}

/// The windows in which evidence names these traces.
pub(crate) fn seen_at(evidence: &Evidence, wanted: &BTreeSet<String>) -> BTreeMap<String, UnixNanos> {
    let ids: Vec<(TraceId, &String)> = wanted.iter().map(|trace| (TraceId::from(trace.as_str()), trace)).collect();
    let name = |id: &TraceId| ids.iter().find(|(known, _)| known == id).map(|(_, trace)| (*trace).clone());
    let cells = evidence.cells.iter().flat_map(|cell| [(cell.error_trace, cell.at), (cell.slow_trace, cell.at)]);
    let cells = cells.filter_map(|(trace, at)| Some((name(trace?)?, at)));
    let errors = evidence.errors.iter().filter_map(|error| Some((wanted.get(&**error.trace.as_ref()?)?.clone(), error.at)));
    cells.chain(errors).collect()
}
