//! `/judge`: Kayenta's judge for samples that are sent along, so that a Kayenta can have Haldane judge in its place (its remote judge).

use std::collections::BTreeMap;

use axum::Json;
use haldane_analyzer::kayenta::{Judged, MetricConfig as Settings, ScoreConfig, classify, score};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::{CanaryConfig, KAYENTAS, OURS, Thresholds};
use crate::error::Problem;
use crate::http::extract::JsonBody;

/// Most values of one sample.
const VALUES_MAX: usize = 50_000;

/// What a Kayenta sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemoteRequest {
    canary_config: CanaryConfig,
    #[serde(default)]
    score_thresholds: Option<Thresholds>,
    metric_set_pair_list: Vec<MetricSetPair>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricSetPair {
    name: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    values: Values,
}

/// What is no number is sent as text or null.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Values {
    control: Vec<Value>,
    experiment: Vec<Value>,
}

pub(super) async fn judge(JsonBody(body): JsonBody<RemoteRequest>) -> Result<Json<Value>, Problem> {
    let RemoteRequest { canary_config: config, score_thresholds, metric_set_pair_list: pairs } = body;
    let Thresholds { pass, marginal } = config.thresholds(score_thresholds)?;
    let mut judged = Vec::new();
    let mut results = Vec::new();
    for pair in &pairs {
        let asked = config.metrics.iter().find(|metric| metric.name == pair.name);
        let groups = asked.map(|metric| metric.groups.clone()).unwrap_or_default();
        let settings = asked.and_then(|metric| metric.analysis_configurations.get("canary")).cloned().unwrap_or_else(|| json!({}));
        let muted = settings["muted"].as_bool().unwrap_or(false);
        let settings = read(settings).map_err(|error| Problem::invalid(format!("metrics {:?}: {error}", pair.name)))?;
        if pair.values.control.len().max(pair.values.experiment.len()) > VALUES_MAX {
            return Err(Problem::invalid(format!("{:?} has more than {VALUES_MAX} values", pair.name)));
        }
        let (control, experiment) = (numbers(&pair.values.control), numbers(&pair.values.experiment));
        let said = classify(&experiment, &control, &settings);
        judged.push(Judged {
            name: pair.name.clone(),
            classification: said.classification,
            groups: groups.clone(),
            critical: said.critical,
            muted,
        });
        results.push(json!({
            "name": pair.name, "id": pair.id, "tags": pair.tags, "classification": said.classification, "classificationReason": null, "groups": groups,
            "experimentMetadata": stats(&experiment), "controlMetadata": stats(&control), "resultMetadata": { "ratio": said.ratio },
            "critical": said.critical, "muted": muted
        }));
    }
    let score = score(&judged, &ScoreConfig { group_weights: config.classifier.group_weights.clone(), pass, marginal });
    let groups: Vec<Value> = score
        .groups
        .iter()
        .map(|group| json!({ "name": group.name, "score": group.score, "classification": "", "classificationReason": "" }))
        .collect();
    Ok(Json(json!({
        "judgeName": "RemoteJudge-v1.0", "results": results, "groupScores": groups,
        "score": { "score": score.score, "classification": score.classification, "classificationReason": score.reason }
    })))
}

/// The settings that the judge knows; what else stands there is for others.
fn read(settings: Value) -> Result<Settings, serde_json::Error> {
    const KNOWN: [&str; 6] = ["direction", "nanStrategy", "outliers", "critical", "mustHaveData", "effectSize"];
    let Value::Object(mut fields) = settings else { return Ok(Settings::default()) };
    fields.retain(|key, _| KNOWN.contains(&key.as_str()));
    serde_json::from_value(Value::Object(fields))
}

fn numbers(values: &[Value]) -> Vec<f64> {
    values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

fn stats(values: &[f64]) -> Value {
    let known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
    let (min, max) = known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(*value), max.max(*value)));
    let bound = |value: f64| value.is_finite().then_some(value);
    json!({ "stats": { "count": known.len(), "mean": mean, "min": bound(min), "max": bound(max) } })
}

/// `GET /judges`.
pub(super) async fn judges() -> Json<Value> {
    Json(json!([{ "name": OURS, "visible": true }, { "name": KAYENTAS, "visible": true }]))
}

/// There are no accounts.
pub(super) async fn nothing() -> Json<Value> {
    Json(json!([]))
}

/// As Spring has it.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "UP" }))
}
