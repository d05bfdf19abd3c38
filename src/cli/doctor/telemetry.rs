//! What the telemetry of the last hour lacks that verdicts need.

use haldane_api::http::{QueryBody, RowsBody};
use haldane_store::clock::{Clock as _, SystemClock};

use super::{Client, Finding, told};

/// Services that are named in one line.
const NAMED_MAX: usize = 5;

/// A question, and what its answers mean. Each asks for the services it is about.
struct Question {
    about: &'static str,
    sql: &'static str,
    means: &'static str,
}

const QUESTIONS: [Question; 5] = [
    Question {
        about: "requests",
        sql: "SELECT service_name FROM red WHERE time > now() - INTERVAL '1 hour' GROUP BY 1
              HAVING sum(CASE WHEN span_kind IN ('SERVER', 'CONSUMER') THEN requests ELSE 0 END) = 0 ORDER BY 1",
        means: "send spans, but none of kind SERVER or CONSUMER: there are no requests to judge; instrument what takes requests in",
    },
    Question {
        about: "versions",
        sql: "SELECT DISTINCT service_name FROM red WHERE time > now() - INTERVAL '1 hour' AND coalesce(service_version, '') = '' ORDER BY 1",
        means: "send no service.version: new versions do not open rollouts by themselves, and cohorts need other attributes; \
                set OTEL_RESOURCE_ATTRIBUTES=service.version=…",
    },
    Question {
        about: "instances",
        sql: "SELECT DISTINCT service_name FROM red WHERE time > now() - INTERVAL '1 hour' AND coalesce(service_instance_id, '') = '' ORDER BY 1",
        means: "send no service.instance.id: one bad instance cannot be told from a bad version; set it, one value for each process",
    },
    Question {
        about: "environments",
        sql: "SELECT DISTINCT service_name FROM red WHERE time > now() - INTERVAL '1 hour' AND coalesce(deployment_environment_name, '') = '' ORDER BY 1",
        means: "send no deployment.environment.name: all their environments are one, `default`",
    },
    Question {
        about: "clocks",
        sql: "SELECT DISTINCT service_name FROM red WHERE time > now() + INTERVAL '1 minute' ORDER BY 1",
        means: "send spans from the future: the clocks of their machines are wrong, and their newest requests are judged late",
    },
];

/// Asks all questions.
pub(super) async fn look(client: &Client) -> Vec<Finding> {
    let mut findings = Vec::new();
    for question in &QUESTIONS {
        match services(client, question.sql).await {
            Ok(found) if found.is_empty() => {}
            Ok(found) => findings.push(Finding::warning(question.about, format!("{} {}", listed(&found), question.means))),
            Err(why) => {
                findings.push(Finding::warning(question.about, format!("not looked at: {why}")));
                return findings;
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("telemetry", "what came in the last hour says all that verdicts need"));
    }
    findings
}

async fn services(client: &Client, sql: &str) -> Result<Vec<String>, String> {
    let body = QueryBody { sql: sql.to_owned(), limit: None };
    let (answer, _) = client.query(&body, "application/json").await.map_err(|error| told(&error))?;
    let rows: RowsBody = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    let name = |row: &Vec<serde_json::Value>| row.first().and_then(|name| name.as_str()).map(str::to_owned);
    Ok(rows.rows.iter().filter_map(name).collect())
}

/// "a, b and 3 others".
fn listed(services: &[String]) -> String {
    let named = services.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match services.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} others"),
    }
}

/// The time by this machine's clock.
pub(super) fn now_seconds() -> f64 {
    SystemClock.now().as_nanos() as f64 / 1e9
}
