//! How the versions of a service did in the last hour, for who looks at its page.

use std::time::Duration;

use haldane_store::UnixNanos;

use super::error::ReadError;
use crate::cohort::{Columns, text, unsigned};
use crate::query::{Engine, QueryError, instant, literal};

const SPAN: Duration = Duration::from_secs(3600);
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
        let strange = |cause: crate::cohort::GatherError| QueryError::Refused { reason: cause.to_string() };
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
