//! What `/metrics` says of the health of a server.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_api::http::show_span;

use super::Finding;

/// The series of a server, as it tells them.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<Series>);

#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Numbers {
    /// Reads the text format. A line that cannot be read is passed over.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(move |series| series.name == name)
    }

    fn sum(&self, name: &str) -> f64 {
        self.all(name).map(|series| series.value).sum()
    }

    fn one(&self, name: &str) -> Option<f64> {
        self.all(name).next().map(|series| series.value)
    }
}

impl Series {
    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// `name{key="value",…} 1`, with `\"`, `\\` and `\n` in values.
fn series(line: &str) -> Option<Series> {
    let (head, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = head.split_once('{') else {
        return Some(Series { name: head.to_owned(), labels: BTreeMap::new(), value });
    };
    let mut labels = BTreeMap::new();
    let mut letters = rest.strip_suffix('}')?.chars();
    loop {
        let key: String = letters.by_ref().take_while(|letter| *letter != '=').collect();
        if key.is_empty() {
            return Some(Series { name: name.to_owned(), labels, value });
        }
        letters.next();
        let mut text = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => break,
                '\\' => text.push(match letters.next()? {
                    'n' => '\n',
                    other => other,
                }),
                letter => text.push(letter),
            }
        }
        labels.insert(key, text);
        letters.next();
    }
}

/// Everything that the numbers tell.
pub(super) fn look(numbers: &Numbers) -> Vec<Finding> {
    let looks = [version, disk, intake, refusals, tables, operations, judging, lateness, calibration, notifications];
    looks.into_iter().filter_map(|look| look(numbers)).collect()
}

fn version(numbers: &Numbers) -> Option<Finding> {
    let (about, ours) = ("version", env!("CARGO_PKG_VERSION"));
    let theirs = numbers.all("haldane_build_info").next()?.label("version");
    Some(if theirs == ours {
        Finding::ok(about, ours)
    } else {
        Finding::warning(about, format!("the server is {theirs}, this command {ours}: take the same, answers may differ"))
    })
}

fn disk(numbers: &Numbers) -> Option<Finding> {
    let about = "disk";
    let (free, size) = (numbers.one("haldane_disk_free_bytes")?, numbers.one("haldane_disk_size_bytes")?);
    let (share, gib) = (free / size.max(1.0), free / f64::from(1 << 30));
    let told = format!("{gib:.1} GiB, {:.0} %, of the data's disk are free", share * 100.0);
    let what = "a full disk refuses telemetry: make room, or keep less with collector.upkeep.raw_days and rollup_days";
    Some(if share < 0.03 || gib < 0.5 {
        Finding::broken(about, format!("{told}; {what}"))
    } else if share < 0.1 {
        Finding::warning(about, format!("{told}; {what}"))
    } else {
        Finding::ok(about, told)
    })
}

fn intake(numbers: &Numbers) -> Option<Finding> {
    let about = "intake";
    let records = |outcome: &str| -> f64 {
        let of = numbers.all("haldane_collector_records_total").filter(|series| series.label("outcome") == outcome);
        of.map(|series| series.value).sum()
    };
    let (accepted, rejected) = (records("accepted"), records("rejected"));
    Some(if rejected > 0.0 {
        let told =
            format!("{accepted} records were taken since the start and {rejected} left out for good: ids or times that cannot be kept");
        Finding::warning(about, format!("{told}; the answers to their senders (partial_success) say which"))
    } else if accepted > 0.0 {
        Finding::ok(about, format!("{accepted} records were taken since the start, none left out"))
    } else {
        let what = "point an exporter at it, OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318, or look for its errors";
        Finding::warning(about, format!("nothing has come in since the start: {what}"))
    })
}

fn refusals(numbers: &Numbers) -> Option<Finding> {
    let about = "refusals";
    let mut by_reason: BTreeMap<&str, f64> = BTreeMap::new();
    for series in numbers.all("haldane_collector_refused_total").filter(|series| series.value > 0.0) {
        *by_reason.entry(series.label("reason")).or_default() += series.value;
    }
    if by_reason.is_empty() {
        return None;
    }
    let reasons: Vec<String> = by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let runbook = "docs/runbooks/haldane-refuses-telemetry.md says what each means";
    Some(Finding::warning(about, format!("requests that were refused since the start: {}; {runbook}", reasons.join(", "))))
}

fn tables(numbers: &Numbers) -> Option<Finding> {
    let about = "tables";
    let behind = numbers.one("haldane_collector_oldest_uncommitted_seconds")?;
    let told = format!("the oldest acknowledged request that a table lacks is {} old", show(behind));
    let what = "it is safe in the log and visible, but tables cannot keep up or cannot be written: see the server's log";
    Some(if behind > 600.0 {
        Finding::broken(about, format!("{told}; {what}"))
    } else if behind > 60.0 {
        Finding::warning(about, format!("{told}; {what}"))
    } else {
        Finding::ok(about, "what was acknowledged is in the tables")
    })
}

fn operations(numbers: &Numbers) -> Option<Finding> {
    let over = numbers.one("haldane_collector_operations_over_limit_total").filter(|over| *over > 0.0)?;
    let what = "an id in a span's name? set http.route, or name spans by what they do";
    Some(Finding::warning("operations", format!("{over} spans count as __other__, for their service has too many operations: {what}")))
}

fn judging(numbers: &Numbers) -> Option<Finding> {
    let about = "judge";
    let last = numbers.one("haldane_judge_last_round_timestamp_seconds")?;
    let (took, failures) =
        (numbers.one("haldane_judge_round_seconds").unwrap_or(0.0), numbers.one("haldane_judge_failures_total").unwrap_or(0.0));
    let since = super::telemetry::now_seconds() - last;
    Some(if since > 120.0 {
        Finding::broken(about, format!("the last round ended {} ago: no verdict is new; see the server's log", show(since)))
    } else if failures > 0.0 {
        Finding::warning(about, format!("{failures} judgements could not be made since the start: the server's log says why"))
    } else {
        Finding::ok(about, format!("the last round took {took:.2} s"))
    })
}

fn lateness(numbers: &Numbers) -> Option<Finding> {
    let live = numbers.all("haldane_rollout_data_age_seconds");
    let oldest = live.max_by(|a, b| a.value.total_cmp(&b.value))?;
    let place = format!("{} in {}", oldest.label("service"), oldest.label("environment"));
    Some(if oldest.value > 120.0 {
        let what = "does it still send? is the judge slow?";
        Finding::warning("verdicts", format!("the newest judged telemetry of {place} is {} old: {what}", show(oldest.value)))
    } else {
        Finding::ok("verdicts", format!("the newest judged telemetry of each live rollout is at most {} old", show(oldest.value)))
    })
}

fn calibration(numbers: &Numbers) -> Option<Finding> {
    let discounted: Vec<String> = numbers
        .all("haldane_judge_discount")
        .filter(|series| series.value > 1.0)
        .map(|series| format!("{} of {}", series.label("check"), series.label("service")))
        .collect();
    let shown = discounted.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    (!discounted.is_empty()).then(|| {
        let what = "their evidence is divided by what it takes; docs/runbooks/haldane-judge-too-often-wrong.md";
        Finding::warning(
            "calibration",
            format!("{} checks alarm more often on their own past than stated: {shown}; {what}", discounted.len()),
        )
    })
}

fn notifications(numbers: &Numbers) -> Option<Finding> {
    let (dead, waiting) = (numbers.sum("haldane_notify_dead"), numbers.sum("haldane_notify_waiting"));
    let about = "notifications";
    if dead > 0.0 {
        return Some(Finding::broken(
            about,
            format!("{dead} messages were given up: `haldane notify list --state dead`, then `haldane notify retry`"),
        ));
    }
    (waiting > 20.0).then(|| Finding::warning(about, format!("{waiting} messages wait for their receivers: `haldane notify list`")))
}

fn show(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds.max(0.0).round()).map_or_else(|_| "-".to_owned(), show_span)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn series_are_read_with_what_their_labels_escape() {
        let numbers = Numbers::parse("# HELP a b\na{x=\"1 \\\"2\\\", \\\\\",y=\"\"} 3\nb 4.5\nnot a line\nc{x=\"} 1\n");
        let first = numbers.all("a").next().unwrap();
        assert_eq!((first.label("x"), first.label("y"), first.value), ("1 \"2\", \\", "", 3.0));
        assert_eq!((numbers.one("b"), numbers.sum("none")), (Some(4.5), 0.0));
    }

    #[test]
    fn what_is_wrong_is_found_and_what_is_well_is_said() {
        let at = |text: &str| {
            let found = look(&Numbers::parse(text));
            found.into_iter().map(|finding| (finding.about, finding.level)).collect::<Vec<_>>()
        };
        assert_eq!(at("haldane_disk_free_bytes 1e9\nhaldane_disk_size_bytes 1e12\n")[0], ("disk", Level::Broken));
        assert_eq!(at("haldane_disk_free_bytes 9e11\nhaldane_disk_size_bytes 1e12\n")[0], ("disk", Level::Ok));
        assert_eq!(at("haldane_notify_dead{receiver=\"a\"} 1\n").last(), Some(&("notifications", Level::Broken)));
        assert_eq!(at("haldane_judge_last_round_timestamp_seconds 5\n")[1], ("judge", Level::Broken));
        assert_eq!(at("haldane_collector_refused_total{reason=\"full\"} 2\n")[1], ("refusals", Level::Warning));
        assert_eq!(at("haldane_judge_discount{check=\"latency\",service=\"a\"} 3\n")[1], ("calibration", Level::Warning));
    }
}
