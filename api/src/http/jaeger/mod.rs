//! As much of Jaeger's query API as Grafana's trace view and other tools ask for: services, operations, traces, dependencies. Read only.
//!
//! Always holds: a trace that is not known is 404, for Grafana reads the first one unchecked; an error has Jaeger's form.

mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use haldane_analyzer::traces::{Call, TraceError, TraceSearch, calls, find_traces, operations, parse_trace_id, read_traces, services};
use haldane_store::{Classified as _, Fault, UnixNanos};
use serde_json::{Value, json};

use super::Doors;
use super::integrations::foreign;
use crate::error::chain;

/// Services are those that sent spans so lately.
const SERVICES_SINCE: Duration = Duration::from_secs(3 * 86_400);
/// Operations are those of spans so lately: they are read span by span.
const OPERATIONS_SINCE: Duration = Duration::from_secs(86_400);
/// Where a search, or a question for dependencies, names no time it is about the last hour.
const SEARCHED: Duration = Duration::from_secs(3600);
const TRACES_DEFAULT: usize = 20;
const TRACES_MAX: usize = 1_500;
/// Dependencies are of at most so long.
const LOOK_BACK_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The routes.
pub(super) fn routes() -> Router<Doors> {
    Router::new()
        .route("/api/services", get(list_services))
        .route("/api/services/{service}/operations", get(list_operations))
        .route("/api/operations", get(list_operations_of))
        .route("/api/traces", get(search))
        .route("/api/traces/{id}", get(trace))
        .route("/api/dependencies", get(dependencies))
}

async fn list_services(State(doors): State<Doors>) -> Response {
    let since = doors.rollouts.now().minus(SERVICES_SINCE);
    answer(services(&doors.engine, since).await, |name| json!(name))
}

async fn list_operations(State(doors): State<Doors>, Path(service): Path<String>) -> Response {
    let since = doors.rollouts.now().minus(OPERATIONS_SINCE);
    answer(operations(&doors.engine, &service, since).await, |name| json!(name))
}

/// The form that newer clients ask for: with the span kinds, of which none is named here.
async fn list_operations_of(State(doors): State<Doors>, RawQuery(query): RawQuery) -> Response {
    let Some(service) = Asked::new(query.as_deref()).text("service") else { return refused("the parameter service is needed") };
    let since = doors.rollouts.now().minus(OPERATIONS_SINCE);
    answer(operations(&doors.engine, &service, since).await, |name| json!({ "name": name, "spanKind": "" }))
}

async fn search(State(doors): State<Doors>, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::new(query.as_deref());
    let ids = asked.all("traceID");
    if !ids.is_empty() {
        let Some(ids) = ids.iter().take(TRACES_MAX).map(|id| parse_trace_id(id)).collect::<Option<Vec<_>>>() else {
            return refused("traceID has to be 1 to 32 hexadecimal digits");
        };
        return answer(read_traces(&doors.engine, &ids, None).await, wire::trace);
    }
    match asked.search(doors.rollouts.now()) {
        Ok(search) => answer(find_traces(&doors.engine, &search).await, wire::trace),
        Err(wrong) => refused(&wrong),
    }
}

async fn trace(State(doors): State<Doors>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    let Some(id) = parse_trace_id(&id) else { return refused("a trace's id has 1 to 32 hexadecimal digits") };
    let asked = Asked::new(query.as_deref());
    let within = match (asked.micros("start"), asked.micros("end")) {
        (Ok(from), Ok(until)) => from.zip(until),
        (Err(wrong), _) | (_, Err(wrong)) => return refused(&wrong),
    };
    match read_traces(&doors.engine, std::slice::from_ref(&id), within).await {
        Ok(traces) if traces.is_empty() => error(StatusCode::NOT_FOUND, "trace not found"),
        traces => answer(traces, wire::trace),
    }
}

async fn dependencies(State(doors): State<Doors>, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::new(query.as_deref());
    let times = asked.number("endTs").and_then(|until| Ok((until, asked.number("lookback")?)));
    let (until, look_back) = match times {
        Ok((until, look_back)) => {
            let until = until.map_or(doors.rollouts.now(), |millis| UnixNanos::new(millis.saturating_mul(1_000_000)));
            let look_back = look_back.map_or(SEARCHED, |millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
            (until, look_back.min(LOOK_BACK_MAX))
        }
        Err(wrong) => return refused(&wrong),
    };
    let link = |call: &Call| json!({ "parent": call.parent, "child": call.child, "callCount": call.count });
    answer(calls(&doors.engine, until.minus(look_back), until).await, link)
}

/// The parameters of a request.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn new(query: Option<&str>) -> Self {
        Self(url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str()).collect()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.all(name).first().map(|value| (*value).to_owned())
    }

    fn number(&self, name: &str) -> Result<Option<i64>, String> {
        let number = |text: String| text.parse::<i64>().map_err(|_| format!("{name} has to be a whole number"));
        self.text(name).map(number).transpose()
    }

    fn micros(&self, name: &str) -> Result<Option<UnixNanos>, String> {
        Ok(self.number(name)?.map(|micros| UnixNanos::new(micros.saturating_mul(1_000))))
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, String> {
        let duration = |text: String| parse_duration(&text).ok_or_else(|| format!("{name} is {text}: write it like 100ms, 1.5s or 2m"));
        self.text(name).map(duration).transpose()
    }

    fn search(&self, now: UnixNanos) -> Result<TraceSearch, String> {
        let until = self.micros("end")?.unwrap_or(now);
        let limit = match self.number("limit")? {
            None => TRACES_DEFAULT,
            Some(limit) => {
                usize::try_from(limit).ok().filter(|limit| (1..=TRACES_MAX).contains(limit)).ok_or("limit has to lie between 1 and 1500")?
            }
        };
        Ok(TraceSearch {
            service: self.text("service").ok_or("the parameter service is needed")?,
            operation: self.text("operation").filter(|operation| operation != "all"),
            tags: self.tags()?,
            min_duration: self.duration("minDuration")?,
            max_duration: self.duration("maxDuration")?,
            from: self.micros("start")?.unwrap_or(until.minus(SEARCHED)),
            until,
            limit,
        })
    }

    /// `tags={"key":"value"}`, and `tag=key:value` as often as one likes.
    fn tags(&self) -> Result<BTreeMap<String, String>, String> {
        let mut tags = BTreeMap::new();
        if let Some(text) = self.text("tags") {
            let object: BTreeMap<String, Value> =
                serde_json::from_str(&text).map_err(|_| "tags has to be a JSON object of texts, such as {\"error\":\"true\"}")?;
            tags.extend(object.into_iter().map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned))));
        }
        for tag in self.all("tag") {
            let (key, value) = tag.split_once(':').ok_or("tag has to be key:value")?;
            tags.insert(key.to_owned(), value.to_owned());
        }
        Ok(tags)
    }
}

/// A duration as Go writes it: `100ms`, `1.5s`, `1h2m`.
fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text.trim(), 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = behind;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// What was found, each in this form.
fn answer<T>(found: Result<Vec<T>, TraceError>, form: impl Fn(&T) -> Value) -> Response {
    match found {
        Ok(found) => {
            let data: Vec<Value> = found.iter().map(form).collect();
            let total = data.len();
            axum::Json(json!({ "data": data, "total": total, "limit": 0, "offset": 0, "errors": null })).into_response()
        }
        Err(failed) => {
            let status = match failed.fault() {
                Fault::Invalid => StatusCode::BAD_REQUEST,
                Fault::Missing | Fault::Conflict | Fault::Busy | Fault::Unavailable | Fault::Bug => StatusCode::SERVICE_UNAVAILABLE,
            };
            let told = chain(&failed);
            tracing::warn!(error = told, "traces could not be read");
            error(status, &told)
        }
    }
}

fn refused(wrong: &str) -> Response {
    error(StatusCode::BAD_REQUEST, wrong)
}

fn error(status: StatusCode, told: &str) -> Response {
    let errors = json!([{ "code": status.as_u16(), "msg": told }]);
    foreign((status, axum::Json(json!({ "data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors }))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(seconds("100ms"), Some(0.1));
        assert_eq!(seconds("1.5s"), Some(1.5));
        assert_eq!(seconds("1h2m3s"), Some(3723.0));
        assert_eq!(seconds("5µs"), Some(5e-6));
        for wrong in ["", "5", "s", "1.2.3s", "1d", "-1s", "é"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_search_says_what_is_wrong_with_it() {
        let now = UnixNanos::new(10_000_000_000_000_000);
        let search = |query| Asked::new(Some(query)).search(now);
        let good = search("service=shop&operation=all&tags=%7B%22error%22%3Atrue%7D&tag=a%3Ab%3Ac&minDuration=10ms&start=5000000&limit=7")
            .unwrap();
        assert_eq!((good.service.as_str(), &good.operation, good.limit), ("shop", &None, 7));
        assert_eq!(good.tags, BTreeMap::from([("a".into(), "b:c".into()), ("error".into(), "true".into())]));
        assert_eq!((good.from, good.until, good.min_duration), (UnixNanos::new(5_000_000_000), now, Some(Duration::from_millis(10))));
        for (wrong, told) in [
            ("", "service is needed"),
            ("service=a&limit=0", "between 1 and 1500"),
            ("service=a&tags=x", "JSON object"),
            ("service=a&tag=x", "key:value"),
            ("service=a&start=now", "whole number"),
            ("service=a&maxDuration=long", "like 100ms"),
        ] {
            assert!(search(wrong).unwrap_err().contains(told), "{wrong}");
        }
    }
}
