//! Which services and versions there are, and which version is new.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use haldane_store::ledger::{Ledger, VersionRow};
use haldane_store::{Environment, ServiceName, UnixNanos};

use super::desk::Rollouts;
use super::error::{ReadError, StartError};
use super::model::{ServiceSummary, StartRollout, Strategy, VersionSummary};
use super::trail::HALDANE;
use crate::cohort::{Columns, GatherError, Selector, text, unsigned};
use crate::policy::PolicyOverrides;
use crate::query::{Engine, QueryError, instant, literal};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Versions of a service seen within this of its very first telemetry are all taken as known.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// More versions than this of one service in one environment, and none opens a rollout by itself any more.
const VERSIONS_MAX: usize = 10_000;

/// Whether any request of the service has been seen in the environment.
pub(super) async fn is_known(engine: &Engine, service: &ServiceName, environment: &Environment) -> Result<bool, GatherError> {
    let sql = format!(
        "SELECT 1 FROM red WHERE service_name = {} AND coalesce(deployment_environment_name, 'default') = {} LIMIT 1",
        literal(service.as_str()),
        literal(environment.as_str())
    );
    Ok(engine.sql(&sql).await?.batches.iter().any(|batch| batch.num_rows() > 0))
}

/// The services of the last day with their versions, sorted by name.
pub(super) async fn services(engine: &Engine, now: UnixNanos) -> Result<Vec<ServiceSummary>, QueryError> {
    let sql = format!(
        "SELECT service_name, coalesce(deployment_environment_name, 'default') AS environment, coalesce(service_version, '') AS version,
         CAST(sum(CASE WHEN span_kind IN ('SERVER', 'CONSUMER') THEN requests ELSE 0 END) AS BIGINT) AS requests,
         count(DISTINCT service_instance_id) AS instances, min(time) AS first_seen, max(time) AS last_seen
         FROM red WHERE time >= {} GROUP BY 1, 2, 3 ORDER BY service_name, environment, requests DESC, version",
        instant(now.minus(DAY))
    );
    let mut found: BTreeMap<(String, String), Vec<VersionSummary>> = BTreeMap::new();
    for batch in engine.sql(&sql).await?.batches {
        read_services(&batch, &mut found).map_err(|cause| QueryError::Refused { reason: cause.to_string() })?;
    }
    Ok(found.into_iter().map(|((service, environment), versions)| ServiceSummary { service, environment, versions }).collect())
}

fn read_services(
    batch: &arrow::record_batch::RecordBatch,
    found: &mut BTreeMap<(String, String), Vec<VersionSummary>>,
) -> Result<(), GatherError> {
    let columns = Columns { table: "red", batch };
    let (services, environments, versions) = (columns.texts("service_name")?, columns.texts("environment")?, columns.texts("version")?);
    let (requests, instances) = (columns.longs("requests")?, columns.longs("instances")?);
    let (first, last) = (columns.times("first_seen")?, columns.times("last_seen")?);
    for row in 0..batch.num_rows() {
        let key = (text(&services, row).to_owned(), text(&environments, row).to_owned());
        found.entry(key).or_default().push(VersionSummary {
            version: text(&versions, row).to_owned(),
            requests: unsigned(&requests, row),
            instances: unsigned(&instances, row),
            first_seen: first[row],
            last_seen: last[row],
        });
    }
    Ok(())
}

/// Remembers the versions seen and opens a rollout for each that is new.
#[derive(Debug)]
pub(super) struct Detector {
    /// By service and environment.
    known: HashMap<(String, String), HashSet<String>>,
}

impl Detector {
    pub(super) async fn load(ledger: &Ledger) -> Result<Self, ReadError> {
        let rows = ledger.versions().await?;
        let mut known: HashMap<_, HashSet<String>> = HashMap::new();
        for row in rows {
            known.entry((row.service, row.environment)).or_default().insert(row.version);
        }
        Ok(Self { known })
    }

    /// Looks once. Returns what was opened, in words.
    pub(super) async fn look(&mut self, desk: &Rollouts, ledger: &Ledger, silent: &[String]) -> Result<Vec<String>, StartError> {
        let mut opened = Vec::new();
        let services = desk.services().await.map_err(|error| match error {
            ReadError::Ledger(error) => StartError::Ledger(error),
            ReadError::Query(error) => StartError::Gather(error.into()),
        })?;
        for service in services {
            let news = self.news(&service);
            if !news.may_open && !news.opens.is_empty() {
                let (service, environment) = (&service.service, &service.environment);
                tracing::warn!(%service, %environment, "so many versions are known that new ones open no rollout by themselves");
            }
            // A version is known once its rollout is open: after a stop in between it is looked at again, and its rollout found.
            if !silent.contains(&service.service) && news.may_open {
                for version in news.opens {
                    opened.extend(open(desk, &service, version).await?);
                }
            }
            for version in &news.seen {
                let row = VersionRow {
                    service: service.service.clone(),
                    environment: service.environment.clone(),
                    version: version.version.clone(),
                    first_seen: version.first_seen,
                };
                ledger.add_version(&row).await?;
            }
            let seen: Vec<String> = news.seen.iter().map(|seen| seen.version.clone()).collect();
            self.known.entry((service.service, service.environment)).or_default().extend(seen);
        }
        Ok(opened)
    }

    fn news<'a>(&self, service: &'a ServiceSummary) -> News<'a> {
        let known = self.known.get(&(service.service.clone(), service.environment.clone())).filter(|known| !known.is_empty());
        let mut named: Vec<&VersionSummary> = service.versions.iter().filter(|version| !version.version.is_empty()).collect();
        named.sort_by_key(|version| version.first_seen);
        let seen: Vec<_> = named.iter().copied().filter(|version| !known.is_some_and(|known| known.contains(&version.version))).collect();
        let first_look = known.is_none();
        let opens = match (first_look, named.first()) {
            (true, Some(oldest)) => {
                seen.iter().copied().filter(|version| version.first_seen.since(oldest.first_seen) > FIRST_LOOK).collect()
            }
            (true, None) => Vec::new(),
            (false, _) => seen.clone(),
        };
        News { seen, opens, may_open: known.map_or(0, HashSet::len) < VERSIONS_MAX }
    }
}

struct News<'a> {
    seen: Vec<&'a VersionSummary>,
    opens: Vec<&'a VersionSummary>,
    may_open: bool,
}

async fn open(desk: &Rollouts, service: &ServiceSummary, canary: &VersionSummary) -> Result<Option<String>, StartError> {
    let others = service.versions.iter().filter(|version| !version.version.is_empty() && version.first_seen < canary.first_seen);
    let Some(baseline) = others.max_by_key(|version| version.requests) else { return Ok(None) };
    let names = (ServiceName::parse(&service.service), Environment::parse(&service.environment));
    let cohorts = (Selector::version(&baseline.version), Selector::version(&canary.version));
    // Telemetry may carry names that no rollout can have, such as one of 300 bytes; those are not judged by themselves.
    let ((Ok(name), Ok(environment)), (Ok(from), Ok(to))) = (names, cohorts) else { return Ok(None) };
    let metadata = desk.marked(&service.service, &service.environment, &canary.version).await?;
    let request = StartRollout {
        service: name,
        environment,
        baseline: from,
        canary: to,
        strategy: Strategy::Canary,
        started_at: None,
        policy: PolicyOverrides::default(),
        stages: Vec::new(),
        metadata,
        idempotency_key: None,
        actor: HALDANE.to_owned(),
    };
    let opened = desk.open_detected(request, canary.first_seen).await?;
    Ok(opened.map(|rollout| {
        format!("{} {} -> {} in {}: {}", rollout.service, baseline.version, canary.version, rollout.environment, rollout.id)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str, first_seen: i64) -> VersionSummary {
        let first_seen = UnixNanos::from_seconds(first_seen);
        VersionSummary { version: name.into(), requests: 10, instances: 1, first_seen, last_seen: first_seen }
    }

    fn service(versions: Vec<VersionSummary>) -> ServiceSummary {
        ServiceSummary { service: "payment".into(), environment: "shop".into(), versions }
    }

    fn opens(known: &[&str], summary: &ServiceSummary) -> Vec<String> {
        let known = HashMap::from([(("payment".into(), "shop".into()), known.iter().map(|name| (*name).to_owned()).collect())]);
        Detector { known }.news(summary).opens.iter().map(|version| version.version.clone()).collect()
    }

    #[test]
    fn a_version_opens_a_rollout_only_when_it_comes_after_another() {
        assert!(opens(&[], &service(vec![version("1", 0), version("2", 20)])).is_empty(), "both are there at the first look");
        assert_eq!(opens(&[], &service(vec![version("2", 600), version("1", 0)])), ["2"], "the second came ten minutes later");
        assert_eq!(opens(&["1"], &service(vec![version("1", 0), version("2", 5)])), ["2"]);
        assert!(opens(&["1", "2"], &service(vec![version("1", 0), version("2", 5)])).is_empty(), "an old version comes back");
        assert!(opens(&["1"], &service(vec![version("1", 0), version("", 5)])).is_empty(), "no version is no new version");
    }
}
