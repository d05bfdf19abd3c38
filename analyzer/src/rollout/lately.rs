//! How the versions of a service did in the last hour, for who looks at its page.

use std::time::Duration;

use arrow::array::Array as _;
use haldane_store::UnixNanos;

use super::error::ReadError;
use crate::cohort::{Columns, GatherError, text, unsigned};
use crate::query::{Engine, QueryError, instant, literal};

const SPAN: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// Most versions that are told, those with most requests.
const VERSIONS_MAX: usize = 50;

/// What one version served.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VersionLately {
    /// `service.version`; empty where none is named.
    pub version: String,
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Quantiles of their durations in seconds: p50, p95 and p99.
    pub quantiles: [Option<f64>; 3],
}

/// The versions that served in the hour before now, the one with most requests first.
///
/// # Errors
/// When the tables cannot be read.
pub async fn versions_lately(
    engine: &Engine,
    (service, environment): (&str, &str),
    now: UnixNanos,
) -> Result<Vec<VersionLately>, ReadError> {
    let quantile = |q: f64| format!("duration_quantile({q}, duration_scale, duration_zero_count, duration_offset, duration_counts)");
    let sql = format!(
        "SELECT coalesce(service_version, '') AS version, CAST(sum(requests) AS BIGINT) AS requests, CAST(sum(errors) AS BIGINT) AS errors,
         {} AS p50, {} AS p95, {} AS p99 FROM red
         WHERE service_name = {} AND coalesce(deployment_environment_name, 'default') = {} AND span_kind IN ('SERVER', 'CONSUMER') AND time >= {}
         GROUP BY 1 ORDER BY requests DESC, version LIMIT {VERSIONS_MAX}",
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        literal(service),
        literal(environment),
        instant(now.minus(SPAN))
    );
    let mut rows = Vec::new();
    for batch in engine.sql(&sql).await?.batches {
        let columns = Columns { table: "red", batch: &batch };
        let versions = columns.texts("version").map_err(strange)?;
        let (requests, errors) = (columns.longs("requests").map_err(strange)?, columns.longs("errors").map_err(strange)?);
        let quantiles = ["p50", "p95", "p99"].map(|name| columns.numbers(name));
        let [p50, p95, p99] = quantiles;
        let (p50, p95, p99) = (p50.map_err(strange)?, p95.map_err(strange)?, p99.map_err(strange)?);
        rows.extend((0..batch.num_rows()).map(|row| VersionLately {
            version: text(&versions, row).to_owned(),
            requests: unsigned(&requests, row),
            errors: unsigned(&errors, row),
            quantiles: [&p50, &p95, &p99].map(|column| column.iter().nth(row).flatten()),
        }));
    }
    Ok(rows)
}

/// What one version served in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteLately {
    /// `service.version`; empty where none is named.
    pub version: String,
    /// Start of the minute.
    pub at: UnixNanos,
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// The 95th percentile of their durations, in seconds.
    pub p95: Option<f64>,
}

/// The hour before now minute by minute, of these versions; a minute without requests has no entry.
///
/// # Errors
/// When the tables cannot be read.
pub async fn minutes_lately(
    engine: &Engine,
    (service, environment): (&str, &str),
    versions: &[String],
    now: UnixNanos,
) -> Result<Vec<MinuteLately>, ReadError> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let versions: Vec<String> = versions.iter().map(|version| literal(version)).collect();
    let sql = format!(
        "SELECT coalesce(service_version, '') AS version, min(time) AS time, CAST(sum(requests) AS BIGINT) AS requests, CAST(sum(errors) AS BIGINT) AS errors,
         duration_quantile(0.95, duration_scale, duration_zero_count, duration_offset, duration_counts) AS p95 FROM red
         WHERE service_name = {} AND coalesce(deployment_environment_name, 'default') = {} AND span_kind IN ('SERVER', 'CONSUMER')
         AND time >= {} AND coalesce(service_version, '') IN ({}) GROUP BY 1, date_bin(INTERVAL '1 minute', time) ORDER BY 1, 2",
        literal(service),
        literal(environment),
        instant(now.minus(SPAN)),
        versions.join(", ")
    );
    let mut rows = Vec::new();
    for batch in engine.sql(&sql).await?.batches {
        let columns = Columns { table: "red", batch: &batch };
        let (versions, minutes) = (columns.texts("version").map_err(strange)?, columns.times("time").map_err(strange)?);
        let (requests, errors) = (columns.longs("requests").map_err(strange)?, columns.longs("errors").map_err(strange)?);
        let p95 = columns.numbers("p95").map_err(strange)?;
        rows.extend((0..batch.num_rows()).map(|row| MinuteLately {
            version: text(&versions, row).to_owned(),
            at: minutes[row].bucket(MINUTE),
            requests: unsigned(&requests, row),
            errors: unsigned(&errors, row),
            p95: (!p95.is_null(row)).then(|| p95.value(row)),
        }));
    }
    Ok(rows)
}

fn strange(cause: GatherError) -> QueryError {
    QueryError::Refused { reason: cause.to_string() }
}
