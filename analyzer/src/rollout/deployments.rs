//! Figures on deployments, as DORA has them, from the rollouts of a time.
//!
//! A deployment is a rollout that ended `promoted`, `rolled_back` or `inconclusive`; what was cancelled, replaced or never served is none.
//! Source: the metrics of dora.dev (deployment frequency, change lead time, change fail rate, failed deployment recovery time).

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_store::UnixNanos;

use super::desk::Rollouts;
use super::error::ReadError;
use super::model::{Rollout, RolloutFilter, RolloutState};

/// The key in a rollout's metadata under which stands when its commit was made (RFC 3339).
const COMMIT_TIME: &str = "commit_time";
/// So many rollouts are looked through, the newest ones.
const ROLLOUTS_MAX: usize = 20_000;
/// No rollout takes longer.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
const DAY: f64 = 86_400.0;

/// The figures of one service in one environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeploymentFigures {
    /// The service.
    pub service: String,
    /// Where.
    pub environment: String,
    /// Rollouts that were promoted.
    pub promoted: u64,
    /// Rollouts that were rolled back.
    pub rolled_back: u64,
    /// Rollouts that ended undecided.
    pub inconclusive: u64,
    /// Deployments a day.
    pub per_day: f64,
    /// Promoted ones of all.
    pub success_rate: Option<f64>,
    /// Rolled back ones of those decided.
    pub change_failure_rate: Option<f64>,
    /// Rolled back ones of all.
    pub rollback_rate: Option<f64>,
    /// From the commit to the promotion: the median, of those that told when their commit was made.
    pub lead_time: Option<Duration>,
    /// From the start of a rollout to its rollback: the median.
    pub time_to_detect: Option<Duration>,
    /// From the start of a rollout that was rolled back to the next promotion of the service: the median, of those that had one.
    pub time_to_recover: Option<Duration>,
}

impl Rollouts {
    /// The figures of each service and environment, over the rollouts that ended in the time before now; those of one service or environment, if named.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn deployments(
        &self,
        (service, environment): (Option<String>, Option<String>),
        span: Duration,
    ) -> Result<Vec<DeploymentFigures>, ReadError> {
        let since = self.now().minus(span);
        let mut filter = RolloutFilter { service, environment, limit: 500, ..RolloutFilter::default() };
        let mut found = Vec::new();
        loop {
            let page = self.list(&filter).await?;
            let oldest = page.rollouts.last().map(|rollout| rollout.created_at);
            found.extend(page.rollouts.into_iter().filter(|rollout| rollout.ended_at.is_some_and(|ended| ended >= since)));
            filter.after = page.next;
            let too_old = oldest.is_none_or(|oldest| oldest < since.minus(LONGEST));
            if filter.after.is_none() || too_old || found.len() >= ROLLOUTS_MAX {
                break;
            }
        }
        Ok(figures(&found, span))
    }
}

/// The figures of rollouts that ended within a time so long.
fn figures(rollouts: &[Rollout], span: Duration) -> Vec<DeploymentFigures> {
    let mut places: BTreeMap<(&str, &str), Vec<&Rollout>> = BTreeMap::new();
    for rollout in rollouts {
        places.entry((rollout.service.as_str(), rollout.environment.as_str())).or_default().push(rollout);
    }
    let all = places.into_iter().map(|((service, environment), rollouts)| of_place(service, environment, &rollouts, span));
    all.filter(|figures| figures.promoted + figures.rolled_back + figures.inconclusive > 0).collect()
}

fn of_place(service: &str, environment: &str, rollouts: &[&Rollout], span: Duration) -> DeploymentFigures {
    let ended = |state: RolloutState| -> Vec<(&Rollout, UnixNanos)> {
        rollouts.iter().filter(|rollout| rollout.state == state).filter_map(|rollout| Some((*rollout, rollout.ended_at?))).collect()
    };
    let count = |list: &[(&Rollout, UnixNanos)]| u64::try_from(list.len()).unwrap_or(u64::MAX);
    let (promoted, rolled_back) = (ended(RolloutState::Promoted), ended(RolloutState::RolledBack));
    let undecided = count(&ended(RolloutState::Inconclusive));
    let (good, bad) = (count(&promoted), count(&rolled_back));
    let all = good + bad + undecided;
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let committed = |rollout: &Rollout| UnixNanos::parse_rfc3339(rollout.metadata.get(COMMIT_TIME)?).ok();
    let leads = promoted.iter().filter_map(|(rollout, at)| committed(rollout).map(|commit| at.since(commit)));
    let recoveries = rolled_back.iter().filter_map(|(rollout, failed)| {
        let next = promoted.iter().map(|(_, at)| *at).filter(|at| at > failed).min()?;
        Some(next.since(rollout.started_at))
    });
    DeploymentFigures {
        service: service.to_owned(),
        environment: environment.to_owned(),
        promoted: good,
        rolled_back: bad,
        inconclusive: undecided,
        per_day: all as f64 / (span.as_secs_f64() / DAY).max(1e-9),
        success_rate: share(good, all),
        change_failure_rate: share(bad, good + bad),
        rollback_rate: share(bad, all),
        lead_time: median(leads.collect()),
        time_to_detect: median(rolled_back.iter().map(|(rollout, at)| at.since(rollout.started_at)).collect()),
        time_to_recover: median(recoveries.collect()),
    }
}

fn median(mut spans: Vec<Duration>) -> Option<Duration> {
    spans.sort_unstable();
    let middle = spans.len() / 2;
    match spans.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(spans[middle]),
        _ => Some((spans[middle - 1] + spans[middle]) / 2),
    }
}

#[cfg(test)]
mod tests {
    use haldane_store::{Environment, ServiceName};

    use super::*;
    use crate::cohort::Selector;
    use crate::policy::PolicyOverrides;
    use crate::rollout::{Origin, RolloutId, Strategy};

    fn rollout(service: &str, state: RolloutState, (started, ended): (i64, i64), commit: Option<&str>) -> Rollout {
        let at = UnixNanos::from_seconds;
        Rollout {
            id: RolloutId::generate(at(started)),
            service: ServiceName::parse(service).unwrap(),
            environment: Environment::unnamed(),
            baseline: Selector::version("1").unwrap(),
            canary: Selector::version("2").unwrap(),
            strategy: Strategy::Canary,
            state,
            state_reason: String::new(),
            origin: Origin::Requested,
            created_at: at(started),
            started_at: at(started),
            ended_at: Some(at(ended)),
            policy: PolicyOverrides::default(),
            policy_name: String::new(),
            metadata: commit.map(|time| (COMMIT_TIME.to_owned(), time.to_owned())).into_iter().collect(),
            stages: Vec::new(),
            stage: 0,
            stage_started_at: None,
            approval: None,
        }
    }

    #[test]
    fn the_figures_are_those_of_the_rollouts() {
        let all = [
            rollout("a", RolloutState::Promoted, (100, 400), Some("1970-01-01T00:00:00Z")),
            rollout("a", RolloutState::RolledBack, (500, 560), None),
            rollout("a", RolloutState::RolledBack, (600, 720), None),
            rollout("a", RolloutState::Promoted, (900, 1_100), Some("no time")),
            rollout("a", RolloutState::Inconclusive, (1_200, 1_300), None),
            rollout("a", RolloutState::Cancelled, (1_400, 1_500), None),
            rollout("b", RolloutState::Expired, (0, 10), None),
        ];
        let found = figures(&all, Duration::from_secs(2 * 86_400));
        assert_eq!(found.len(), 1, "what was never decided is no deployment");
        let of = &found[0];
        assert_eq!((of.promoted, of.rolled_back, of.inconclusive, of.per_day), (2, 2, 1, 2.5));
        assert_eq!((of.success_rate, of.change_failure_rate, of.rollback_rate), (Some(0.4), Some(0.5), Some(0.4)));
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs());
        assert_eq!((seconds(of.lead_time), seconds(of.time_to_detect), seconds(of.time_to_recover)), (Some(400), Some(90), Some(550)));
    }
}
