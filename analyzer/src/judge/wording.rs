//! Sentences with numbers, for people.

use std::time::Duration;

use crate::kayenta::Label;
use crate::policy::{Gate, Limit, MetricCheck};
use crate::stats::effect::RatioInterval;
use crate::stats::likelihood::PairCounts;

use super::calibration::ComparisonCalibration;
use super::evidence::Pairing;
use super::judgement::{Affected, Change, ChangeKind, Detectable, Effect, NamedError, Side};
use super::new_errors::DistinctError;

/// "errors on POST /pay 3.1 × baseline (99 % interval 2.0 to 4.9): 412 of 13,300 against 131 of 13,100".
pub(super) fn errors(compared: &PairCounts, ratio: Option<&RatioInterval>, operation: Option<&str>) -> String {
    let place = on(operation);
    let counts = format!(
        "{} of {} against {} of {}",
        count(compared.canary_events),
        count(compared.canary_requests),
        count(compared.baseline_events),
        count(compared.baseline_requests)
    );
    match ratio {
        _ if compared.canary_requests <= 0.0 || compared.baseline_requests <= 0.0 => {
            format!("errors{place}: no windows yet in which both cohorts served")
        }
        None => format!("no errors{place} in either cohort: {counts}"),
        Some(ratio) => format!("errors{place} {}: {counts}", times(ratio.estimate, ratio.low, ratio.high)),
    }
}

/// Behind a sentence about latency, where instances are slow while they are new.
pub(super) const WARM_UP: &str = "; without the first two minutes of new instances, which are slow in the baseline too";

/// "p99 on GET /search 1.40 × baseline (99 % interval 1.22 to 1.61): 310 ms against 221 ms".
pub(super) fn latency(q: f64, effect: Option<&Effect>, [baseline, canary]: [Option<f64>; 2], operation: Option<&str>) -> String {
    let (name, place) = (quantile(q), on(operation));
    match (effect, baseline, canary) {
        (Some(effect), Some(baseline), Some(canary)) => format!(
            "{name} latency{place} {}: {} against {}",
            times(effect.estimate, effect.low, effect.high),
            seconds(canary),
            seconds(baseline)
        ),
        (None, Some(baseline), Some(canary)) => {
            format!("{name} latency{place}: {} against {}, too few requests to compare", seconds(canary), seconds(baseline))
        }
        _ => format!("{name} latency{place}: no requests to compare yet"),
    }
}

/// "a new error …".
pub(super) fn new_errors(worst: Option<&DistinctError<'_>>, canary_requests: f64, baseline_requests: f64) -> String {
    let Some(error) = worst else {
        return format!("no error that the baseline does not have, in {} requests", count(canary_requests));
    };
    let named = error.named();
    let what = match (named.error_type.is_empty(), named.message.is_empty()) {
        (false, false) => format!("{}: {}", named.error_type, shortened(&named.message)),
        (false, true) => named.error_type.to_string(),
        (true, _) => shortened(&named.message),
    };
    format!(
        "{what} {} in {} requests of the canary, against {} in {} of the baseline",
        often(error.canary_count),
        count(canary_requests),
        count(error.baseline_count as f64),
        count(baseline_requests)
    )
}

/// "logged errors 3.1 × baseline (99 % interval 2.0 to 4.9): 412 in 13,300 requests against 131 in 13,100, most of them TimeoutError".
pub(super) fn log_errors((baseline, canary): (&Side, &Side), ratio: Option<&RatioInterval>, error: Option<&NamedError>) -> String {
    let counts = format!(
        "{} in {} requests against {} in {}",
        count(canary.events),
        count(canary.requests),
        count(baseline.events),
        count(baseline.requests)
    );
    match ratio {
        _ if canary.requests <= 0.0 || baseline.requests <= 0.0 => "logged errors: no windows yet in which both cohorts served".into(),
        None => format!("no logged errors in either cohort: {counts}"),
        Some(ratio) => format!("logged errors {}: {counts}{}", times(ratio.estimate, ratio.low, ratio.high), by(error)),
    }
}

/// "GET api.stripe.com is never called by the baseline, 0.98 times a request by the canary".
pub(super) fn change(kind: ChangeKind, (span_kind, name): (&str, &str), (baseline, canary): (f64, f64)) -> String {
    let name = if name.is_empty() { format!("{} spans", span_kind.to_lowercase()) } else { shortened(name) };
    let (was, is) = (number(baseline), number(canary));
    match kind {
        ChangeKind::NewCall => format!("{name}: {is} times a request, and never by the baseline"),
        ChangeKind::MissingCall => format!("{name}: never, and {was} times a request by the baseline"),
        ChangeKind::MoreCalls | ChangeKind::FewerCalls => format!("{name}: {is} times a request, {was} times by the baseline"),
        ChangeKind::FailingCalls => format!("{name}: fails {is} times a request, {was} times in the baseline"),
    }
}

/// "the canary gets 23.1 % of the requests, 10.0 % are configured".
pub(super) fn sample_ratio(configured: f64, seen: Option<f64>) -> String {
    match seen {
        None => format!("no requests yet of which the canary could get its {}", percent(configured)),
        Some(seen) => format!("the canary gets {} of the requests, {} are configured", percent(seen), percent(configured)),
    }
}

/// "Kayenta's score is 50 of 100 after 10 min: latency_p95 High, latency_p99 High".
pub(super) fn kayenta(score: f64, after: Duration, failed: &[(&str, Label)]) -> String {
    let labels: Vec<String> = failed.iter().map(|(name, label)| format!("{name} {label:?}")).collect();
    let because = if labels.is_empty() { String::new() } else { format!(": {}", labels.join(", ")) };
    format!("Kayenta's score is {} of 100 after {}{because}", number(score), minutes(after))
}

/// "latency_p95 is High, by 10 samples of the baseline and 10 of the canary".
pub(super) fn classified(name: &str, label: Label, (baseline, canary): (usize, usize)) -> String {
    format!("{name} is {label:?}, by {baseline} samples of the baseline and {canary} of the canary")
}

/// "process.memory.usage 1.42 × baseline (99 % interval 1.31 to 1.55): 512 By against 361 By".
pub(super) fn metric(
    check: &MetricCheck,
    [baseline, canary]: [Option<f64>; 2],
    effect: Option<&Effect>,
    unreadable: Option<&str>,
) -> String {
    let name = shortened(&check.name);
    if let Some(why) = unreadable {
        return format!("{name} cannot be read: {}", shortened(why));
    }
    let value = |value: f64| format!("{}{}{}", significant(value), if check.unit.is_empty() { "" } else { " " }, check.unit);
    match (baseline, canary, effect) {
        (Some(baseline), Some(canary), Some(effect)) => {
            format!("{name} {}: {} against {}", times(effect.estimate, effect.low, effect.high), value(canary), value(baseline))
        }
        (Some(baseline), Some(canary), None) => format!("{name}: {} against {}", value(canary), value(baseline)),
        _ => format!("{name}: no minutes yet in which both cohorts reported it"),
    }
}

/// "slo_error_rate: 2.30 % of requests fail (46 of 2,000), at most 1 % may".
pub(super) fn slo(gate: &Gate, value: Option<f64>, (requests, events): (f64, f64), both: bool) -> String {
    let name = shortened(&gate.name);
    let Some(value) = value else { return format!("{name}: no requests of the canary yet") };
    let seen = match &gate.limit {
        Limit::Latency { quantile: q, max_seconds } => format!(
            "{} latency is {} ({} of {} requests above the limit), at most {} is allowed",
            quantile(*q),
            seconds(value),
            count(events),
            count(requests),
            seconds(*max_seconds)
        ),
        Limit::ErrorRate { max } => {
            format!(
                "{} % of requests fail ({} of {}), at most {} % may",
                significant(value * 100.0),
                count(events),
                count(requests),
                exact(max * 100.0)
            )
        }
        Limit::Resource { .. } | Limit::Probe { .. } | Limit::Traffic { .. } => significant(value),
    };
    format!("{name}: {seen}{}", beyond_too(both))
}

/// "container.cpu.utilization: 0.91 for the last minute, at most 0.8 is allowed".
pub(super) fn resource(gate: &Gate, latest: Option<f64>, (max, unit): (f64, &str), both: bool, unknown: Option<&str>) -> String {
    let name = shortened(&gate.name);
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    match (latest, unknown) {
        (_, Some(why)) => format!("{name} cannot be read: {}", shortened(why)),
        (None, None) => format!("{name}: no minute of the canary yet"),
        (Some(value), None) => {
            format!("{name}: {}{unit} in the last minute, at most {}{unit} is allowed{}", significant(value), exact(max), beyond_too(both))
        }
    }
}

/// A limit as it was given.
fn exact(limit: f64) -> String {
    format!("{}", (limit * 1e9).round() / 1e9)
}

fn beyond_too(both: bool) -> &'static str {
    if both { "; the baseline is beyond it too, so that a rollback would mend nothing" } else { "" }
}

/// "probe: 3 wrong answers in a row: …".
pub(super) fn probe(gate: &Gate, wrong: Option<usize>, last: Option<&str>) -> String {
    let name = shortened(&gate.name);
    let last = last.map(|last| format!(": {}", shortened(last))).unwrap_or_default();
    match wrong {
        None => format!("{name}: not answered yet{last}"),
        Some(0) => format!("{name}: answered as it should"),
        Some(1) => format!("{name}: a wrong answer{last}"),
        Some(wrong) => format!("{name}: {wrong} wrong answers in a row{last}"),
    }
}

/// "min_traffic: 0.4 requests a second, at least 2 are needed".
pub(super) fn traffic(gate: &Gate, value: Option<f64>, least: f64) -> String {
    let name = shortened(&gate.name);
    match value {
        None => format!("{name}: no time has passed yet"),
        Some(value) => format!("{name}: {} requests a second, at least {} are needed", significant(value), exact(least)),
    }
}

/// Three significant digits, of any size.
fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 1e15 || (size < 1e-3 && size > 0.0) => format!("{value:.2e}"),
        size if size >= 100.0 => {
            if value < 0.0 {
                format!("-{}", count(size))
            } else {
                count(size)
            }
        }
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// "2 calls changed: …".
pub(super) fn calls(changes: &[Change], has_data: bool) -> String {
    match changes {
        _ if !has_data => "no calls to compare".into(),
        [] => "calls the same, as often".into(),
        [only] => format!("calls changed: {}", only.reason),
        [first, rest @ ..] => format!("calls changed: {}; and {} more", first.reason, rest.len()),
    }
}

/// "instance pod-3 12 × the canary's other instances (…): 40 of 900 against 3 of 2,700".
pub(super) fn instance(name: &str, ratio: Option<&RatioInterval>, pair: &PairCounts) -> String {
    let much = ratio.map(|ratio| times(ratio.estimate, ratio.low, ratio.high).replace("baseline", "the canary's other instances"));
    format!(
        "instance {} {}: {} of {} against {} of {}",
        shortened(name),
        much.unwrap_or_default(),
        count(pair.canary_events),
        count(pair.canary_requests),
        count(pair.baseline_events),
        count(pair.baseline_requests)
    )
}

/// "the canary serves 0.4 × its earlier share of the traffic".
pub(super) fn throughput(pairing: Pairing, ratio: Option<&RatioInterval>, pair: &PairCounts) -> String {
    let Some(ratio) = ratio else { return "too little traffic to compare throughput yet".into() };
    let interval = format!("(99 % interval {} to {})", number(ratio.low), number(ratio.high));
    match pairing {
        Pairing::Concurrent => format!(
            "the canary serves {} × its earlier share of the traffic {interval}: {} against {}",
            number(ratio.estimate),
            percent(pair.canary_events / pair.canary_requests),
            percent(pair.baseline_events / pair.baseline_requests)
        ),
        Pairing::Preceding => format!("the service serves {} × its earlier traffic {interval}", number(ratio.estimate)),
    }
}

/// ", in 7 of 8 instances": nothing where one instance is all there is.
pub(super) fn affected(affected: Option<Affected>) -> String {
    match affected {
        Some(Affected { instances, of }) if of > 1 && instances == of => format!(", in all {of} instances"),
        Some(Affected { instances, of }) if of > 1 => format!(", in {instances} of {of} instances"),
        Some(_) | None => String::new(),
    }
}

/// ", by StripeSecretMissing".
pub(super) fn by(error: Option<&NamedError>) -> String {
    let name = error.map(|error| if error.error_type.is_empty() { &error.message } else { &error.error_type });
    name.map(|name| format!(", by {}", shortened(name))).unwrap_or_default()
}

/// "; counts 7 times less, for it was wrong in 9 of 200 replays of this service's past".
pub(super) fn discounted(known: &ComparisonCalibration, replays: u64) -> String {
    format!(
        "; counts {} times less, for it was wrong in {} of {replays} replays of this service's past",
        number(known.discount.exp()),
        known.alarms
    )
}

/// "; with this traffic 1.8 × would have shown by now, and a decision is expected in 9 min".
pub(super) fn outlook(detectable: Option<Detectable>) -> String {
    let ratio =
        detectable.and_then(|known| known.ratio).map(|ratio| format!("with this traffic {} × would have shown by now", number(ratio)));
    let eta = detectable.and_then(|known| known.eta).map(|eta| format!("a decision is expected in {}", minutes(eta)));
    let parts: Vec<String> = ratio.into_iter().chain(eta).collect();
    if parts.is_empty() { String::new() } else { format!("; {}", parts.join(", ")) }
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{} s", seconds.max(1)),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// `p99`, `p99.9`.
pub(super) fn quantile(q: f64) -> String {
    let text = format!("{:.3}", q * 100.0);
    format!("p{}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn on(operation: Option<&str>) -> String {
    operation.filter(|operation| !operation.is_empty()).map(|operation| format!(" on {}", shortened(operation))).unwrap_or_default()
}

fn times(estimate: f64, low: f64, high: f64) -> String {
    let interval = if high.is_finite() { format!("{} to {}", number(low), number(high)) } else { format!("at least {}", number(low)) };
    if estimate.is_finite() {
        format!("{} × baseline (99 % interval {interval})", number(estimate))
    } else {
        format!("{interval} × baseline, which has none")
    }
}

fn often(times: u64) -> String {
    match times {
        0 => "never".into(),
        1 => "once".into(),
        2 => "twice".into(),
        more => format!("{} times", count(more as f64)),
    }
}

/// Two or three significant digits.
pub(super) fn number(value: f64) -> String {
    match value {
        value if !value.is_finite() => "∞".into(),
        value if value >= 1000.0 => count(value),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// With commas between thousands.
pub(super) fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn seconds(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0} s"),
        value if value >= 1.0 => format!("{value:.2} s"),
        value if value >= 0.01 => format!("{:.0} ms", value * 1e3),
        value if value >= 0.001 => format!("{:.1} ms", value * 1e3),
        value => format!("{:.0} µs", value * 1e6),
    }
}

/// At most 120 characters: names come from outside.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_and_where_it_shows_is_said_in_words() {
        let known = |ratio, seconds: Option<u64>| Some(Detectable { ratio, eta: seconds.map(Duration::from_secs) });
        assert_eq!(
            outlook(known(Some(1.84), Some(500))),
            "; with this traffic 1.84 × would have shown by now, a decision is expected in 9 min"
        );
        assert_eq!(outlook(known(None, Some(40))), "; a decision is expected in 40 s");
        assert_eq!((outlook(known(None, None)), outlook(None)), (String::new(), String::new()));
        assert_eq!(affected(Some(Affected { instances: 7, of: 8 })), ", in 7 of 8 instances");
        assert_eq!(affected(Some(Affected { instances: 2, of: 2 })), ", in all 2 instances");
        assert_eq!(affected(Some(Affected { instances: 1, of: 1 })), "");
        let error = NamedError { error_type: "".into(), message: "no route".into() };
        assert_eq!(by(Some(&error)), ", by no route");
    }
}
