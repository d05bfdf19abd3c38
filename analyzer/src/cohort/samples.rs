//! The plain numbers that a policy compares, minute by minute, from `metrics` or from the policy's own SQL.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use haldane_store::{Classified, Fault, UnixNanos};

use super::gather::{GatherError, Question};
use super::predicate::{spans_condition, where_clause};
use super::selector::Selector;
use crate::judge::{Evidence, MINUTE, Names, Role, Sample};
use crate::policy::{MetricCheck, MetricSource};
use crate::query::{Engine, QueryError, instant, literal};

/// Most samples of one check; a query that gives more is refused.
const SAMPLES_MAX: usize = 200_000;

/// No further check is read once those before it took longer: other rollouts wait.
const TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a policy's SQL cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricSqlError {
    /// It does not run.
    #[error("metrics: {name}: {reason}")]
    Refused {
        /// The check.
        name: String,
        /// What the engine says.
        reason: String,
    },
    /// A column is missing.
    #[error("metrics: {name}: its sql has no column {column}: it needs cohort, time and value, and may have instance")]
    Column {
        /// The check.
        name: String,
        /// The column.
        column: &'static str,
    },
    /// The tables are away.
    #[error("metrics: {name} cannot be tried")]
    Away {
        /// The check.
        name: String,
    },
}

impl Classified for MetricSqlError {
    fn fault(&self) -> Fault {
        match self {
            Self::Refused { .. } | Self::Column { .. } => Fault::Invalid,
            Self::Away { .. } => Fault::Unavailable,
        }
    }
}

/// Reads the samples of all checks into the evidence. What cannot be read is written down there: it must not keep the rest from being judged.
pub(crate) async fn add_samples(
    engine: &Engine,
    question: &Question<'_>,
    checks: &[MetricCheck],
    evidence: &mut Evidence,
) -> Result<(), GatherError> {
    let mut names = Names::default();
    let begun = std::time::Instant::now();
    for check in checks {
        if begun.elapsed() > TIME_MAX {
            evidence.unreadable.push((names.get(&check.name), format!("the numbers before it took more than {} s", TIME_MAX.as_secs())));
            continue;
        }
        let mut reading = Reading { check: names.get(&check.name), names: &mut names, samples: Vec::new() };
        let read = match &check.source {
            MetricSource::Metric { .. } => {
                let mut read = Ok(());
                for (role, selector) in [(Role::Baseline, question.baseline), (Role::Canary, question.canary)] {
                    if read.is_ok() {
                        read = reading.run(engine, &metric_sql(question, check, role, selector)).await;
                    }
                }
                read
            }
            MetricSource::Sql(sql) => reading.run(engine, &filled_in(question, sql)).await,
        };
        let samples = reading.samples;
        match read {
            Ok(()) => evidence.samples.extend(samples),
            // The tables themselves are away: nothing is judged then. Whatever else a policy's own SQL runs into is its own.
            Err(ReadError::Query(error @ QueryError::Failed { .. })) if matches!(check.source, MetricSource::Metric { .. }) => {
                return Err(error.into());
            }
            Err(ReadError::Query(error)) => evidence.unreadable.push((names.get(&check.name), error.to_string())),
            Err(ReadError::Text(text)) => evidence.unreadable.push((names.get(&check.name), text)),
        }
    }
    // The same evidence has the same order, whatever order the rows came in.
    let key = |sample: &Sample| (sample.at, sample.cohort, sample.check.clone(), sample.instance.clone());
    evidence.samples.sort_by(|a, b| key(a).cmp(&key(b)).then(a.value.total_cmp(&b.value)));
    Ok(())
}

/// Tries the SQL of all checks once, on no time at all.
pub(crate) async fn try_sql(engine: &Engine, question: &Question<'_>, checks: &[MetricCheck]) -> Result<(), MetricSqlError> {
    for check in checks {
        let MetricSource::Sql(sql) = &check.source else { continue };
        let name = || check.name.clone();
        let text = format!("SELECT * FROM ({}) LIMIT 0", filled_in(question, sql));
        let answer = engine.sql(&text).await.map_err(|error| match error {
            QueryError::Failed { .. } => MetricSqlError::Away { name: name() },
            other @ (QueryError::Refused { .. } | QueryError::Timeout { .. } | QueryError::Memory { .. }) => {
                MetricSqlError::Refused { name: name(), reason: other.to_string() }
            }
        })?;
        if let Some(column) = ["cohort", "time", "value"].into_iter().find(|column| answer.schema.index_of(column).is_err()) {
            return Err(MetricSqlError::Column { name: name(), column });
        }
    }
    Ok(())
}

enum ReadError {
    Query(QueryError),
    Text(String),
}

impl From<QueryError> for ReadError {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

struct Reading<'n> {
    check: Arc<str>,
    names: &'n mut Names,
    samples: Vec<Sample>,
}

impl Reading<'_> {
    async fn run(&mut self, engine: &Engine, sql: &str) -> Result<(), ReadError> {
        let mut minutes = std::collections::BTreeMap::new();
        engine.each(sql, |batch| add_rows(&mut minutes, self.names, batch)).await?;
        self.samples.extend(minutes.into_iter().map(|((at, cohort, instance), (sum, count)): (SampleKey, (f64, f64))| Sample {
            at,
            cohort,
            check: self.check.clone(),
            instance,
            value: sum / count,
        }));
        Ok(())
    }
}

type SampleKey = (UnixNanos, Role, Arc<str>);

fn add_rows(
    minutes: &mut std::collections::BTreeMap<SampleKey, (f64, f64)>,
    names: &mut Names,
    batch: &RecordBatch,
) -> Result<(), ReadError> {
    let column = |name: &str, kind: &DataType| {
        let column = batch.column_by_name(name).ok_or_else(|| ReadError::Text(format!("there is no column {name}")))?;
        cast(column, kind).map_err(|_| ReadError::Text(format!("the column {name} is no {kind}")))
    };
    let (cohorts, values) = (column("cohort", &DataType::Utf8)?, column("value", &DataType::Float64)?);
    let times = column("time", &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let (times, values) = (times.as_primitive::<TimestampMicrosecondType>(), values.as_primitive::<Float64Type>());
    let cohorts = cohorts.as_string::<i32>();
    let instances = batch.column_by_name("instance").and_then(|column| cast(column, &DataType::Utf8).ok());
    let instances = instances.as_ref().map(|column| column.as_string::<i32>());
    for row in 0..batch.num_rows() {
        let role = match (cohorts.is_valid(row)).then(|| cohorts.value(row)) {
            Some("baseline") => Role::Baseline,
            Some("canary") => Role::Canary,
            _ => continue,
        };
        if times.is_null(row) || values.is_null(row) || !values.value(row).is_finite() {
            continue;
        }
        let at = UnixNanos::new(times.value(row).saturating_mul(1_000)).bucket(MINUTE);
        let instance = instances.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row));
        let known = minutes.entry((at, role, names.get(instance))).or_insert((0.0, 0.0));
        *known = (known.0 + values.value(row), known.1 + 1.0);
        if minutes.len() > SAMPLES_MAX {
            return Err(ReadError::Text(format!("more than {SAMPLES_MAX} minutes of instances: narrow it")));
        }
    }
    Ok(())
}

/// One row for each instance and minute. Gauges: the mean of their series; up-down counters: the sum of theirs; counters: the rate a second; histograms: the mean.
fn metric_sql(question: &Question<'_>, check: &MetricCheck, role: Role, selector: &Selector) -> String {
    let MetricSource::Metric { metric, attributes } = &check.source else { return String::new() };
    let (cohort, since) = match role {
        Role::Baseline => ("baseline", question.started_at.minus(question.history)),
        Role::Canary => ("canary", question.started_at),
    };
    let chosen = where_clause(question.service, question.environment, selector).spans;
    let own: String = attributes.iter().map(|(key, value)| format!(" AND {}", spans_condition(key, value))).collect();
    let range = format!("time >= {} AND time < {}", instant(since), instant(question.until));
    let chosen = format!("{chosen}{own} AND metric_name = {} AND {range}", literal(metric));
    let place = "date_bin(INTERVAL '1 minute', time) AS minute, coalesce(service_instance_id, k8s_pod_name, host_name, '') AS instance";
    let is_level = "metric_type = 'gauge' OR (metric_type = 'sum' AND is_monotonic IS NOT TRUE)";
    format!(
        "SELECT '{cohort}' AS cohort, minute AS time, instance, CASE WHEN max(metric_type) = 'gauge' THEN avg(level) ELSE sum(level) END AS value
         FROM (SELECT {place}, series_id, metric_type, avg(coalesce(value_double, CAST(value_int AS DOUBLE))) AS level
           FROM metrics WHERE {chosen} AND ({is_level}) GROUP BY 1, 2, 3, 4) GROUP BY 2, 3
         UNION ALL
         SELECT '{cohort}', minute, instance, CASE WHEN max(metric_type) = 'sum' THEN sum(rate) ELSE sum(total) / nullif(sum(number), 0) END
         FROM (SELECT {place}, series_id, metric_type, sum(sum) AS total, CAST(sum(count) AS DOUBLE) AS number,
             sum(coalesce(value_double, CAST(value_int AS DOUBLE)))
               / nullif(CAST(sum(time_unix_nano - start_time_unix_nano) AS DOUBLE) / 1e9, 0) AS rate
           FROM metric_deltas WHERE {chosen} AND (metric_type IN ('histogram', 'exponential_histogram') OR (metric_type = 'sum' AND is_monotonic))
           GROUP BY 1, 2, 3, 4)
         GROUP BY 2, 3"
    )
}

/// The policy's SQL with what it stands for.
fn filled_in(question: &Question<'_>, sql: &str) -> String {
    let cohort = |selector: &Selector| format!("({})", where_clause(question.service, question.environment, selector).spans);
    sql.trim()
        .trim_end_matches(';')
        .replace("$baseline", &cohort(question.baseline))
        .replace("$canary", &cohort(question.canary))
        .replace("$from", &instant(question.started_at.minus(question.history)))
        .replace("$until", &instant(question.until))
}
