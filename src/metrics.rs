//! What `/metrics` tells: the collector's counters, the tables' hot rows, and the process, in Prometheus' words.
//!
//! The names are promises. Collector and api do not know each other, so the one's numbers become the other's families here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use haldane_analyzer::judge::{Calibration, ComparisonCalibration};
use haldane_analyzer::rehearsal::{Calibrated, Calibrations};
use haldane_analyzer::rollout::Figures;
use haldane_api::metrics::{Family, Kind, Metrics, Sample};
use haldane_api::notify::{Attempts, Notifications};
use haldane_api::sql::{QUERY_BOUNDS, QueryOutcome, SqlStats};
use haldane_collector::{CollectorStats, LATENCY_BOUNDS, Meter, ServedStats, Signal, SignalStats};
use haldane_store::{TableName, Tables};

mod judging;

/// Who tells.
pub(crate) struct Told {
    pub(crate) meter: Arc<OnceLock<Meter>>,
    pub(crate) tables: Tables,
    pub(crate) judging: Judging,
    pub(crate) notifications: Notifications,
    pub(crate) sql: SqlStats,
}

/// What the judging tells.
pub(crate) struct Judging {
    pub(crate) calibrations: Calibrations,
    pub(crate) figures: Figures,
}

/// So many services are told of, in the order of their names: each is a dozen series.
const SERVICES_MAX: usize = 500;

/// Reads all of it each time. There is no meter before the log has been read back; then all that the collector counts is zero.
pub(crate) fn metrics(told: Told, data: PathBuf) -> Metrics {
    let Told { meter, tables, judging: Judging { calibrations, figures }, notifications, sql } = told;
    Metrics::new(move || {
        let stats = meter.get().map(Meter::read).unwrap_or_default();
        let mut families = requests(&stats);
        families.push(build());
        families.push(served(&stats));
        families.extend(judging::families(&figures));
        families.extend(disk(&data));
        families.extend(queries(&sql));
        families.extend(memory(&stats));
        families.extend(hot(&tables));
        families.extend(calibration(&calibrations));
        families.push(attempts(&notifications));
        families.extend(process());
        families
    })
}

fn of(stats: &CollectorStats, signal: Signal) -> SignalStats {
    match signal {
        Signal::Traces => stats.traces,
        Signal::Metrics => stats.metrics,
        Signal::Logs => stats.logs,
    }
}

fn requests(stats: &CollectorStats) -> Vec<Family> {
    let each = |counts: fn(SignalStats) -> Vec<(&'static str, u64)>| -> Vec<Sample> {
        let one = |signal: Signal| {
            let counted = counts(of(stats, signal));
            counted.into_iter().map(move |(outcome, n)| Sample::new(&[("signal", signal.as_str()), ("outcome", outcome)], number(n)))
        };
        Signal::ALL.into_iter().flat_map(one).collect()
    };
    let refused = stats.refusals.iter().map(|refusals| {
        let labels = [("signal", refusals.signal.as_str()), ("token", &*refusals.token), ("reason", refusals.reason.as_str())];
        Sample::new(&labels, number(refusals.requests))
    });
    vec![
        Family {
            name: "haldane_collector_requests_total",
            help: "Export requests, by how they were answered.",
            kind: Kind::Counter,
            samples: each(|one| vec![("accepted", one.requests), ("invalid", one.invalid), ("refused", one.refused)]),
        },
        Family {
            name: "haldane_collector_records_total",
            help: "Spans, data points and log records of accepted requests: kept, or left out for good.",
            kind: Kind::Counter,
            samples: each(|one| vec![("accepted", one.accepted), ("rejected", one.rejected)]),
        },
        Family {
            name: "haldane_collector_refused_total",
            help: "Requests that were not accepted, by token and reason.",
            kind: Kind::Counter,
            samples: refused.collect(),
        },
        acknowledgements(stats),
    ]
}

fn acknowledgements(stats: &CollectorStats) -> Family {
    let mut below = 0;
    let bounds = LATENCY_BOUNDS.iter().map(|bound| seconds(Duration::from_millis(*bound)).to_string());
    let bounds = bounds.chain(["+Inf".to_owned()]);
    let mut samples = Vec::new();
    for (bound, requests) in bounds.zip(stats.latency.buckets) {
        below += requests;
        samples.push(Sample { suffix: "_bucket", ..Sample::new(&[("le", &bound)], number(below)) });
    }
    samples.push(Sample { suffix: "_sum", ..Sample::new(&[], seconds(stats.latency.sum)) });
    samples.push(Sample { suffix: "_count", ..Sample::new(&[], number(below)) });
    Family {
        name: "haldane_collector_acknowledgement_seconds",
        help: "From a request's header to its acknowledgement.",
        kind: Kind::Histogram,
        samples,
    }
}

fn memory(stats: &CollectorStats) -> Vec<Family> {
    let one = |name, help, kind, value| Family { name, help, kind, samples: vec![Sample::new(&[], value)] };
    vec![
        one(
            "haldane_collector_admission_wait_seconds_total",
            "How long accepted bodies waited for room among those in flight.",
            Kind::Counter,
            seconds(stats.admission_wait),
        ),
        one(
            "haldane_collector_bytes_in_flight",
            "Bodies that are being read, logged or turned into rows.",
            Kind::Gauge,
            number(stats.bytes_in_flight),
        ),
        one("haldane_collector_log_backlog_bytes", "Segments of the log on disk.", Kind::Gauge, number(stats.log_backlog_bytes)),
        one(
            "haldane_collector_oldest_uncommitted_seconds",
            "Age of the oldest request acknowledged since the start that a table lacks.",
            Kind::Gauge,
            seconds(stats.oldest_uncommitted),
        ),
        one(
            "haldane_collector_operations_over_limit_total",
            "Spans counted under __other__ because their service has too many operations.",
            Kind::Counter,
            number(stats.operations_over_limit),
        ),
    ]
}

fn hot(tables: &Tables) -> Vec<Family> {
    let each = |size: fn(haldane_store::table::HotSize) -> usize| -> Vec<Sample> {
        let one = |table: TableName| {
            let size = u64::try_from(size(tables.hot(table))).unwrap_or(u64::MAX);
            Sample::new(&[("table", table.as_str())], number(size))
        };
        TableName::ALL.into_iter().map(one).collect()
    };
    vec![
        Family {
            name: "haldane_table_hot_rows",
            help: "Rows that readers see and that are in no file yet.",
            kind: Kind::Gauge,
            samples: each(|size| size.rows),
        },
        Family { name: "haldane_table_hot_bytes", help: "Memory that hot rows take.", kind: Kind::Gauge, samples: each(|size| size.bytes) },
    ]
}

/// How often the judge was wrong on the services' own past.
fn calibration(calibrations: &Calibrations) -> Vec<Family> {
    let known = calibrations.all();
    let each = |count: fn(&Calibration) -> u64| -> Vec<Sample> {
        let one = |one: &Calibrated| {
            Sample::new(&[("service", one.service.as_str()), ("environment", one.environment.as_str())], number(count(&one.calibration)))
        };
        known.iter().take(SERVICES_MAX).map(one).collect()
    };
    let by_check = |value: fn(&Calibration, &ComparisonCalibration) -> f64| -> Vec<Sample> {
        let of = |one: &Calibrated| -> Vec<Sample> {
            let labels = |check| [("service", one.service.as_str()), ("environment", one.environment.as_str()), ("check", check)];
            one.calibration.comparisons.iter().map(|check| Sample::new(&labels(&check.name), value(&one.calibration, check))).collect()
        };
        known.iter().take(SERVICES_MAX).flat_map(of).collect()
    };
    let gauge = |name, help, samples| Family { name, help, kind: Kind::Gauge, samples };
    vec![
        gauge(
            "haldane_judge_aa_replays",
            "Replays of the service's past in which both cohorts were the same version, over the last two days.",
            each(|known| known.replays),
        ),
        gauge("haldane_judge_aa_rollbacks", "Those that were rolled back, all of them falsely.", each(|known| known.rollbacks)),
        gauge(
            "haldane_judge_aa_alarm_ratio",
            "Share of replays in which the check alone would have led to a rollback.",
            by_check(|known, check| number(check.alarms) / number(known.replays.max(1))),
        ),
        gauge("haldane_judge_stated_alarm_ratio", "Share in which it may.", by_check(|_, check| check.stated)),
        gauge("haldane_judge_phi", "Burstiness of the check's events: the median over the replays.", by_check(|_, check| check.phi)),
        gauge("haldane_judge_tau", "Spread between cohorts of one version: the median over the replays.", by_check(|_, check| check.tau)),
        gauge(
            "haldane_judge_discount",
            "The check's evidence is divided by this, because it alarmed too often; 1 where it did not.",
            by_check(|_, check| check.discount.exp()),
        ),
    ]
}

/// How often receivers were tried.
fn attempts(notifications: &Notifications) -> Family {
    let of = |(receiver, attempts): (String, Attempts)| {
        let counted = [("delivered", attempts.delivered), ("failed", attempts.failed), ("dead", attempts.dead)];
        counted.map(|(outcome, count)| Sample::new(&[("receiver", receiver.as_str()), ("outcome", outcome)], number(count)))
    };
    Family {
        name: "haldane_notify_attempts_total",
        help: "Attempts to tell a receiver: delivered, failed (tried again by itself), dead (given up).",
        kind: Kind::Counter,
        samples: notifications.attempts().into_iter().flat_map(of).collect(),
    }
}

/// Which build this is.
fn build() -> Family {
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    Family { name: "haldane_build_info", help: "Which build this is.", kind: Kind::Gauge, samples: vec![Sample::new(&labels, 1.0)] }
}

/// Requests of each service, for its error budget.
fn served(stats: &CollectorStats) -> Family {
    let of = |one: &ServedStats| {
        let counted = [("ok", one.ok), ("failed", one.failed)];
        let (service, environment) = (one.service.clone(), one.environment.clone());
        counted.map(|(outcome, count)| {
            Sample::new(&[("service", service.as_str()), ("environment", environment.as_str()), ("outcome", outcome)], number(count))
        })
    };
    Family {
        name: "haldane_service_requests_total",
        help: "Requests that the spans of a service tell of, since this process started.",
        kind: Kind::Counter,
        samples: stats.served.iter().flat_map(of).collect(),
    }
}

/// Of the disk that holds the data.
fn disk(data: &Path) -> Vec<Family> {
    let space = disk_space(data);
    let one = |name, help, value: Option<u64>| Family {
        name,
        help,
        kind: Kind::Gauge,
        samples: value.map(|bytes| Sample::new(&[], number(bytes))).into_iter().collect(),
    };
    vec![
        one("haldane_disk_free_bytes", "Room on the disk of the data folder.", space.map(|(free, _)| free)),
        one("haldane_disk_size_bytes", "Size of the disk of the data folder.", space.map(|(_, size)| size)),
    ]
}

/// SQL over the PostgreSQL wire.
fn queries(sql: &SqlStats) -> Vec<Family> {
    let ended = QueryOutcome::ALL.map(|outcome| Sample::new(&[("outcome", outcome.as_str())], number(sql.ended(outcome))));
    let (buckets, sum) = sql.durations();
    let mut samples = Vec::new();
    let mut all = 0;
    for (place, count) in buckets.into_iter().enumerate() {
        all += count;
        let bound = QUERY_BOUNDS.get(place).map_or_else(|| "+Inf".to_owned(), |ms| format!("{}", Duration::from_millis(*ms).as_secs_f64()));
        samples.push(Sample { suffix: "_bucket", ..Sample::new(&[("le", bound.as_str())], number(all)) });
    }
    samples.push(Sample { suffix: "_sum", ..Sample::new(&[], seconds(sum)) });
    samples.push(Sample { suffix: "_count", ..Sample::new(&[], number(all)) });
    vec![
        Family {
            name: "haldane_sql_queries_total",
            help: "Queries over the PostgreSQL wire, by how they ended.",
            kind: Kind::Counter,
            samples: ended.to_vec(),
        },
        Family { name: "haldane_sql_query_seconds", help: "How long they took.", kind: Kind::Histogram, samples },
    ]
}

/// Free bytes and all bytes.
fn disk_space(data: &Path) -> Option<(u64, u64)> {
    let space = rustix::fs::statvfs(data).ok()?;
    Some((space.f_bavail.saturating_mul(space.f_frsize), space.f_blocks.saturating_mul(space.f_frsize)))
}

/// What Linux says of this process; nothing elsewhere.
fn process() -> Vec<Family> {
    const TICKS_PER_SECOND: f64 = 100.0; // of /proc, on every architecture that Linux has today
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, the second field, may hold anything and ends in the last parenthesis; user and system time are fields 14 and 15.
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| {
        let mut fields = rest.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    });
    vec![
        Family {
            name: "process_resident_memory_bytes",
            help: "Memory of the process.",
            kind: Kind::Gauge,
            samples: kib.map(|kib| Sample::new(&[], number(kib * 1024))).into_iter().collect(),
        },
        Family {
            name: "process_cpu_seconds_total",
            help: "User and system time of the process.",
            kind: Kind::Counter,
            samples: ticks.map(|ticks| Sample::new(&[], number(ticks) / TICKS_PER_SECOND)).into_iter().collect(),
        },
    ]
}

fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
