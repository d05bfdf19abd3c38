//! From a configuration and two scopes to a verdict, and from a verdict to Kayenta's words for it.

use std::collections::BTreeMap;
use std::time::Duration;

use haldane_analyzer::cohort::Selector;
use haldane_analyzer::judge::Pairing;
use haldane_analyzer::kayenta::{Judged, Label, ScoreConfig, score};
use haldane_analyzer::policy::{CheckOverride, JudgeName, KayentaOverrides, MetricCheckOverride, PolicyOverrides};
use haldane_analyzer::rollout::{AnalysisError, AnalysisRequest};
use haldane_analyzer::verdict::{CheckVerdict, Outcome, SideVerdict, Verdict, VerdictDecision};
use haldane_store::{Environment, ServiceName, UnixNanos};
use serde_json::{Value, json};

use super::request::{CanaryConfig, KAYENTAS, MetricConfig, OURS, Scope, ScopePair, Thresholds};
use crate::error::{Problem, ProblemKind};
use crate::http::Doors;

/// Telemetry of the last seconds may not be whole.
const LATENESS: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(10);
/// Of a longer time, the last part is judged.
const LENGTH_MAX: Duration = Duration::from_secs(24 * 3600);

/// One judgement to make: of the times in the scopes, as far as they are over.
pub(super) struct Question<'a> {
    pub(super) config: &'a CanaryConfig,
    pub(super) thresholds: Thresholds,
    pub(super) application: &'a str,
    pub(super) scopes: &'a ScopePair,
}

/// What came of it.
pub(super) enum Answer {
    /// A judge's result.
    Judged(Value),
    /// Others are being computed: ask again.
    Later,
}

impl Question<'_> {
    /// When the time of the canary ends.
    pub(super) fn end(&self) -> Result<UnixNanos, Problem> {
        time("experimentScope.end", &self.scopes.experiment_scope.end)
    }

    /// Checks all that can be checked without the data.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let request = self.request(self.end()?)?;
        for (field, scope) in [("controlScope", &self.scopes.control_scope), ("experimentScope", &self.scopes.experiment_scope)] {
            if time(field, &scope.end)? < time(field, &scope.start)? {
                return Err(Problem::invalid(format!("{field}: its end lies before its start")));
            }
        }
        if request.baseline == request.canary && request.pairing == Pairing::Concurrent {
            return Err(Problem::invalid("controlScope and experimentScope pick the same at the same time: there is nothing to compare"));
        }
        Ok(())
    }

    pub(super) async fn judge(&self, doors: &Doors) -> Result<Answer, Problem> {
        let now = doors.rollouts.now();
        let request = self.request(self.end()?.min(now.minus(LATENESS)).bucket(WINDOW))?;
        if request.until <= request.from {
            return Ok(Answer::Judged(self.result(None)));
        }
        match doors.rollouts.analyse(&request).await {
            Ok(verdict) => Ok(Answer::Judged(self.result(Some(&verdict)))),
            Err(AnalysisError::Busy) => Ok(Answer::Later),
            Err(error) => Err(Problem::from_error(&error, ProblemKind::InvalidRequest)),
        }
    }

    fn request(&self, until: UnixNanos) -> Result<AnalysisRequest, Problem> {
        let ScopePair { control_scope: control, experiment_scope: experiment } = self.scopes;
        let from = time("experimentScope.start", &experiment.start)?.bucket(WINDOW).max(until.minus(LENGTH_MAX));
        let before = time("controlScope.end", &control.end)? <= time("experimentScope.start", &experiment.start)?;
        let params = &experiment.extended_scope_params;
        let said = |keys: [&str; 2]| keys.into_iter().find_map(|key| params.get(key)).map(String::as_str);
        let service = said(["service.name", "service"]).unwrap_or(self.application);
        let place = said(["deployment.environment.name", "environment"]).unwrap_or(&experiment.location);
        let wrong = |field: &str, error: &dyn std::fmt::Display| Problem::invalid(format!("{field}: {error}"));
        Ok(AnalysisRequest {
            service: ServiceName::parse(service).map_err(|error| wrong("application", &error))?,
            environment: match place {
                "" => Environment::unnamed(),
                place => Environment::parse(place).map_err(|error| wrong("location", &error))?,
            },
            baseline: selector("controlScope", control)?,
            canary: selector("experimentScope", experiment)?,
            from,
            until,
            pairing: if before { Pairing::Preceding } else { Pairing::Concurrent },
            policy: self.policy(until.since(from))?,
        })
    }

    fn policy(&self, length: Duration) -> Result<PolicyOverrides, Problem> {
        let given = self.config.judge.judge_configurations.get("policy").cloned();
        let mut policy: PolicyOverrides = match given {
            Some(given) => {
                serde_json::from_value(given).map_err(|error| Problem::invalid(format!("judgeConfigurations.policy: {error}")))?
            }
            None => PolicyOverrides::default(),
        };
        let ours: Vec<&MetricConfig> = self.config.metrics.iter().filter(|metric| is_ours(metric)).collect();
        let checks: Vec<CheckOverride> = ours.iter().filter_map(|metric| check_of(metric)).collect();
        if !checks.is_empty() {
            policy.checks = Some(checks);
        }
        let numbers = ours.iter().filter(|metric| !metric.query.contains_key("check")).map(|metric| number_of(metric));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        if !numbers.is_empty() {
            policy.metrics = Some(numbers);
        }
        if self.config.judge.name == KAYENTAS {
            policy.judge = Some(JudgeName::Kayenta);
            let Thresholds { pass, marginal } = self.thresholds;
            // One look, at the end.
            let interval_seconds = Some(length.as_secs().max(60));
            policy.kayenta = Some(KayentaOverrides { interval_seconds, pass: Some(pass), marginal: Some(marginal) });
        }
        Ok(policy)
    }

    /// Kayenta's `CanaryJudgeResult`.
    fn result(&self, verdict: Option<&Verdict>) -> Value {
        let mut results: Vec<(Judged, Value)> = Vec::new();
        for check in verdict.map_or(&[][..], |verdict| &verdict.checks) {
            results.push(self.result_of(check));
        }
        for metric in self.config.metrics.iter().filter(|metric| !is_ours(metric)) {
            let kind = metric.query.get("type").and_then(Value::as_str).unwrap_or("none");
            let reason = format!("query.type is {kind}: Haldane reads its own data only (type haldane)");
            results.push(uncompared(metric, &reason));
        }
        let judged: Vec<Judged> = results.iter().map(|(judged, _)| judged.clone()).collect();
        let Thresholds { pass, marginal } = self.thresholds;
        let weights = self.config.classifier.group_weights.clone();
        let groups = score(&judged, &ScoreConfig { group_weights: weights, pass, marginal }).groups;
        let points = self.points(verdict);
        let word = |points: f64| match points {
            _ if points >= pass => "Pass",
            _ if points >= marginal => "Marginal",
            _ => "Fail",
        };
        let groups: Vec<Value> = groups
            .iter()
            .map(|group| {
                let said = if group.no_data { "Nodata" } else { word(group.score) };
                json!({ "name": group.name, "score": group.score, "classification": said, "classificationReason": "" })
            })
            .collect();
        let reason = verdict.map_or("no telemetry of the canary's time is complete yet", |verdict| verdict.reason.as_str());
        let name = if self.config.judge.name == KAYENTAS { KAYENTAS } else { OURS };
        json!({
            "judgeName": name, "results": results.into_iter().map(|(_, result)| result).collect::<Vec<_>>(), "groupScores": groups,
            "score": { "score": points, "classification": word(points), "classificationReason": reason },
            "haldane": { "decision": verdict.map(|verdict| verdict.decision), "culprits": verdict.map(|verdict| &verdict.culprits) }
        })
    }

    fn points(&self, verdict: Option<&Verdict>) -> f64 {
        let Thresholds { pass, marginal } = self.thresholds;
        // Neither a pass nor a failure, where the thresholds leave room for that; else no pass.
        let between = if pass > marginal { (pass + marginal) / 2.0 } else { pass - 1.0 };
        let Some(verdict) = verdict else { return between };
        if self.config.judge.name == KAYENTAS {
            return f64::from(verdict.score);
        }
        match verdict.decision {
            VerdictDecision::Promote => 100.0,
            VerdictDecision::Rollback => 0.0,
            VerdictDecision::Continue | VerdictDecision::Inconclusive => between,
        }
    }

    fn result_of(&self, check: &CheckVerdict) -> (Judged, Value) {
        let asked = self.config.metrics.iter().find(|metric| metric.name == check.name || says(metric, "check") == Some(&check.name));
        let lower = matches!((check.baseline.value, check.canary.value), (Some(baseline), Some(canary)) if canary < baseline);
        let label = match check.outcome {
            Outcome::Regressed if lower => Label::Low,
            Outcome::Regressed => Label::High,
            Outcome::NotWorse | Outcome::Undecided => Label::Pass,
            Outcome::NoData => Label::Nodata,
        };
        let groups =
            asked.map(|metric| metric.groups.clone()).filter(|groups| !groups.is_empty()).unwrap_or_else(|| vec!["haldane".to_owned()]);
        let name = asked.map_or(&check.name, |metric| &metric.name);
        let judged = Judged { name: name.clone(), classification: label, groups: groups.clone(), critical: false, muted: false };
        let stats = |side: &SideVerdict| json!({ "stats": { "count": side.requests, "mean": side.value, "events": side.events } });
        let ratio = check.effect.as_ref().and_then(|effect| effect.estimate);
        let result = json!({
            "name": name, "id": name, "tags": {}, "classification": label, "classificationReason": check.reason, "groups": groups,
            "experimentMetadata": stats(&check.canary), "controlMetadata": stats(&check.baseline), "resultMetadata": { "ratio": ratio },
            "critical": check.required, "muted": false
        });
        (judged, result)
    }
}

fn uncompared(metric: &MetricConfig, reason: &str) -> (Judged, Value) {
    let judged =
        Judged { name: metric.name.clone(), classification: Label::Nodata, groups: metric.groups.clone(), critical: false, muted: true };
    let empty = json!({ "stats": {} });
    let result = json!({
        "name": metric.name, "id": metric.name, "tags": {}, "classification": Label::Nodata, "classificationReason": reason, "groups": metric.groups,
        "experimentMetadata": empty, "controlMetadata": empty, "resultMetadata": {}, "critical": false, "muted": true
    });
    (judged, result)
}

fn is_ours(metric: &MetricConfig) -> bool {
    says(metric, "type") == Some("haldane")
}

fn says<'m>(metric: &'m MetricConfig, key: &str) -> Option<&'m str> {
    metric.query.get(key).and_then(Value::as_str)
}

fn check_of(metric: &MetricConfig) -> Option<CheckOverride> {
    let name = says(metric, "check")?.to_owned();
    let critical = metric.analysis_configurations.get("canary").and_then(|canary| canary.get("critical")).and_then(Value::as_bool);
    Some(CheckOverride { name, required: critical, ..CheckOverride::default() })
}

/// The query itself has the names of a policy's number, but for its type.
fn number_of(metric: &MetricConfig) -> Result<MetricCheckOverride, Problem> {
    let mut fields: BTreeMap<String, Value> = metric.query.clone();
    fields.remove("type");
    fields.remove("serviceType");
    fields.entry("name".to_owned()).or_insert_with(|| metric.name.clone().into());
    let direction = metric.analysis_configurations.get("canary").and_then(|canary| canary.get("direction")).cloned();
    if let Some(direction) = direction {
        fields.entry("direction".to_owned()).or_insert(direction);
    }
    let wrong = |error: serde_json::Error| Problem::invalid(format!("metrics {:?}: query: {error}", metric.name));
    serde_json::from_value(json!(fields)).map_err(wrong)
}

fn selector(field: &str, scope: &Scope) -> Result<Selector, Problem> {
    let wrong = |error: haldane_analyzer::cohort::SelectorError| Problem::invalid(format!("{field}.scope: {error}"));
    match scope.scope.contains('=') {
        true => Selector::parse(&scope.scope).map_err(wrong),
        false => Selector::try_new([("service.version".to_owned(), scope.scope.clone())].into()).map_err(wrong),
    }
}

pub(super) fn time(field: &str, text: &str) -> Result<UnixNanos, Problem> {
    UnixNanos::parse_rfc3339(text).map_err(|error| Problem::invalid(format!("{field}: {error}")))
}
