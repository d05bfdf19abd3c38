//! What is known of how often the judge is wrong, by service. Cheap to clone; readers see the newest.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use haldane_store::ledger::{AaRunRow, Ledger, LedgerError};

use super::replay::{Compared, Run};
use crate::judge::{Calibration, ComparisonCalibration};

/// The calibrations of all services.
#[derive(Debug, Clone, Default)]
pub struct Calibrations(Arc<RwLock<BTreeMap<Place, Known>>>);

/// Service and environment.
type Place = (String, String);

#[derive(Debug, Default)]
struct Known {
    runs: Vec<Run>,
    calibration: Option<Calibration>,
}

/// The calibration of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// `service.name`.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// What its replays say.
    pub calibration: Calibration,
}

/// The newest runs that are kept of each service: two days of one an hour.
pub(super) const RUNS_KEPT: u32 = 48;
/// Evidence is not discounted by more than this factor: an incident of the baseline must not make the judge blind.
const DISCOUNT_MAX: f64 = 100.0;
/// Fewer runs say nothing for sure.
const RUNS_MIN: usize = 3;
/// How sure it has to be that the stated rate is exceeded: the one-sided normal quantile of 90 %.
const SURE: f64 = 1.2816;

impl Calibrations {
    /// What the ledger knows.
    pub(crate) async fn load(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let mut known: BTreeMap<Place, Known> = BTreeMap::new();
        for row in ledger.aa_runs().await? {
            // A run that another version wrote differently is no longer of use.
            if let Ok(run) = serde_json::from_str(&row.document) {
                known.entry((row.service, row.environment)).or_default().runs.push(run);
            }
        }
        known.values_mut().for_each(|one| one.calibration = summarise(&one.runs));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Adds a run, in the ledger first.
    pub(crate) async fn add(&self, ledger: &Ledger, place: &Place, run: Run) -> Result<(), LedgerError> {
        let document = serde_json::to_string(&run).map_err(|cause| LedgerError::Broken { what: "A/A run", detail: cause.to_string() })?;
        let row = AaRunRow { service: place.0.clone(), environment: place.1.clone(), until: run.until, document };
        ledger.add_aa_run(&row, RUNS_KEPT).await?;
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(place.clone()).or_default();
        known.runs.retain(|old| old.until != run.until);
        known.runs.push(run);
        let surplus = known.runs.len().saturating_sub(RUNS_KEPT as usize);
        known.runs.drain(..surplus);
        known.calibration = summarise(&known.runs);
        Ok(())
    }

    /// Of one service.
    pub fn of(&self, service: &str, environment: &str) -> Option<Calibration> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&(service.to_owned(), environment.to_owned())).and_then(|known| known.calibration.clone())
    }

    /// Of all services, by name.
    pub fn all(&self) -> Vec<Calibrated> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().filter_map(|((service, environment), known)| {
            let calibration = known.calibration.clone()?;
            Some(Calibrated { service: service.clone(), environment: environment.clone(), calibration })
        });
        known.collect()
    }
}

fn summarise(runs: &[Run]) -> Option<Calibration> {
    let replays = || runs.iter().flat_map(|run| &run.replays);
    let mut by_name: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
    for compared in replays().flat_map(|replay| &replay.comparisons) {
        by_name.entry(&compared.name).or_default().push(compared);
    }
    Some(Calibration {
        from: runs.iter().map(|run| run.from).min()?,
        until: runs.iter().map(|run| run.until).max()?,
        replays: replays().count() as u64,
        rollbacks: replays().filter(|replay| replay.rolled_back).count() as u64,
        comparisons: by_name.into_iter().map(|(name, all)| comparison(name, &all, runs.len())).collect(),
    })
}

fn comparison(name: &str, all: &[&Compared], runs: usize) -> ComparisonCalibration {
    let over = |one: &&&Compared| one.ln_e >= -one.budget.ln();
    let stated = all.iter().map(|one| one.budget).sum::<f64>() / all.len() as f64;
    let alarms = all.iter().filter(over).count();
    // Replays of one past are hardly independent: as many runs as there are count.
    let is_exceeded = runs >= RUNS_MIN && lower_bound(alarms as f64 / all.len() as f64, runs as f64) > stated;
    ComparisonCalibration {
        name: name.to_owned(),
        alarms: alarms as u64,
        stated,
        phi: median(all.iter().map(|one| one.phi)),
        tau: median(all.iter().map(|one| one.tau)),
        discount: if is_exceeded { discount(all, stated) } else { 0.0 },
    }
}

/// What brings the share of replays over the bar down to the stated one: how far the evidence at that quantile lies above it.
fn discount(all: &[&Compared], stated: f64) -> f64 {
    let mut above: Vec<f64> = all.iter().map(|one| one.ln_e + one.budget.ln()).collect();
    above.sort_by(|a, b| b.total_cmp(a));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let allowed = (stated * all.len() as f64).floor() as usize;
    above.get(allowed).copied().unwrap_or(0.0).clamp(0.0, DISCOUNT_MAX.ln())
}

/// The lower end of Wilson's interval for a share.
fn lower_bound(share: f64, n: f64) -> f64 {
    let z2 = SURE * SURE / n;
    (share + 0.5 * z2 - SURE * (share * (1.0 - share) / n + 0.25 * z2 / n).sqrt()) / (1.0 + z2)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use haldane_store::UnixNanos;

    use super::super::replay::Replay;
    use super::*;

    /// A run of ten replays whose evidence lies so far from the bar.
    fn run(at: i64, above: [f64; 10]) -> Run {
        let replay = |above: f64| {
            let compared = Compared { name: "error_rate".into(), budget: 0.004, ln_e: above - 0.004_f64.ln(), phi: 2.0, tau: 0.1 };
            Replay { rolled_back: above >= 0.0, comparisons: vec![compared] }
        };
        let until = UnixNanos::from_seconds(at);
        Run { from: until, until, replays: above.map(replay).to_vec() }
    }

    #[test]
    fn a_judge_that_kept_its_word_is_left_alone() {
        let quiet = [-4.0; 10];
        let runs = [run(1, quiet), run(2, [-4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, 1.0])];
        let known = summarise(&runs).unwrap();
        assert_eq!((known.replays, known.rollbacks, known.comparisons[0].alarms), (20, 1, 1));
        assert_eq!(known.comparisons[0].discount, 0.0, "one of twenty in two hours may be chance");
        assert_eq!(summarise(&[]), None);
    }

    #[test]
    fn a_judge_that_broke_its_word_widens_by_as_much_as_it_takes() {
        let runs: Vec<Run> = (0..8).map(|at| run(at, [-4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, 0.5, 1.5])).collect();
        let one = &summarise(&runs).unwrap().comparisons[0];
        assert!((one.discount - 1.5).abs() < 1e-9, "{one:?}");
        let still = runs.iter().flat_map(|run| &run.replays).filter(|replay| replay.comparisons[0].ln_e - one.discount > -0.004_f64.ln());
        assert_eq!(still.count(), 0);
    }

    #[test]
    fn an_incident_of_the_baseline_does_not_make_the_judge_blind() {
        assert_eq!(summarise(&[run(1, [60.0; 10])]).unwrap().comparisons[0].discount, 0.0, "one hour says nothing for sure");
        let one = &summarise(&[run(1, [60.0; 10]), run(2, [-4.0; 10]), run(3, [-4.0; 10])]).unwrap().comparisons[0];
        assert!((one.discount - 100.0_f64.ln()).abs() < 1e-9);
    }
}
