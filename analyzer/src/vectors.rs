//! Named functions on inputs from a file: for checking this judge's numbers against reference tables. `docs/judge.md` has the format.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::compare::{
    Alternative, CompareError, Method, cliffs_delta, fisher, hodges_lehmann, kolmogorov_smirnov, mann_whitney, rate_ratio, two_proportions,
};
use crate::kayenta;
use crate::stats::eprocess::{Noise, Side, ln_evidence, ln_evidence_exact};
use crate::stats::likelihood::{PairCounts, RatioLikelihood};

/// What is asked for: a function and its input.
#[derive(Debug, Clone, Deserialize)]
pub struct Vector {
    /// What the asker calls it.
    #[serde(default)]
    pub id: Value,
    /// Which function.
    pub function: String,
    /// Its input.
    #[serde(default)]
    pub input: Value,
}

/// A file of them.
#[derive(Debug, Clone, Deserialize)]
pub struct Vectors {
    /// In the order in which they are answered.
    pub vectors: Vec<Vector>,
}

/// Why a vector has no result.
#[derive(Debug, thiserror::Error)]
enum VectorError {
    #[error("the input does not fit the function: {0}")]
    Input(#[from] serde_json::Error),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error("there is no function {name}; those that there are: {}", FUNCTIONS.join(", "))]
    Unknown { name: String },
}

const FUNCTIONS: [&str; 10] = [
    "mannwhitney",
    "ks",
    "hodges_lehmann",
    "cliffs_delta",
    "fisher",
    "rate_ratio",
    "two_proportions",
    "eprocess",
    "kayenta_classify",
    "kayenta_score",
];

/// The results, one for each vector: `result`, or `error` with what is wrong.
pub fn compute(vectors: &Vectors) -> Value {
    let answer = |vector: &Vector| match one(vector) {
        Ok(result) => json!({"id": vector.id, "function": vector.function, "result": result}),
        Err(error) => json!({"id": vector.id, "function": vector.function, "error": error.to_string()}),
    };
    json!({"results": vectors.vectors.iter().map(answer).collect::<Vec<_>>()})
}

fn one(vector: &Vector) -> Result<Value, VectorError> {
    let input = vector.input.clone();
    Ok(match vector.function.as_str() {
        "mannwhitney" => {
            let Ranks { x, y, alternative, method, continuity } = serde_json::from_value(input)?;
            json!(mann_whitney(&x, &y, alternative, method, continuity)?)
        }
        "ks" => {
            let Samples { x, y, alternative } = serde_json::from_value(input)?;
            json!(kolmogorov_smirnov(&x, &y, alternative)?)
        }
        "hodges_lehmann" => {
            let Shifted { x, y, level } = serde_json::from_value(input)?;
            json!(hodges_lehmann(&x, &y, level)?)
        }
        "cliffs_delta" => {
            let Shifted { x, y, level } = serde_json::from_value(input)?;
            json!(cliffs_delta(&x, &y, level)?)
        }
        "fisher" => {
            let Table { table, alternative, level } = serde_json::from_value(input)?;
            json!(fisher(table, alternative, level)?)
        }
        "rate_ratio" => {
            let Rates { x_events, x_exposure, y_events, y_exposure, ratio, alternative, level } = serde_json::from_value(input)?;
            json!(rate_ratio((x_events, x_exposure), (y_events, y_exposure), ratio, alternative, level)?)
        }
        "two_proportions" => {
            let Shares { x_events, x_trials, y_events, y_trials, alternative, level } = serde_json::from_value(input)?;
            json!(two_proportions((x_events, x_trials), (y_events, y_trials), alternative, level)?)
        }
        "eprocess" => eprocess(&serde_json::from_value(input)?),
        "kayenta_classify" => {
            let KayentaMetric { experiment, control, config } = serde_json::from_value(input)?;
            let values = |values: Vec<Option<f64>>| values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<_>>();
            json!(kayenta::classify(&values(experiment), &values(control), &config))
        }
        "kayenta_score" => {
            let KayentaMetrics { metrics, config } = serde_json::from_value(input)?;
            json!(kayenta::score(&metrics, &config))
        }
        other => return Err(VectorError::Unknown { name: other.to_owned() }),
    })
}

fn usual_level() -> f64 {
    0.95
}

fn one_to_one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ranks {
    x: Vec<f64>,
    y: Vec<f64>,
    #[serde(default)]
    alternative: Alternative,
    #[serde(default)]
    method: Method,
    #[serde(default = "yes")]
    continuity: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Samples {
    x: Vec<f64>,
    y: Vec<f64>,
    #[serde(default)]
    alternative: Alternative,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shifted {
    x: Vec<f64>,
    y: Vec<f64>,
    #[serde(default = "usual_level")]
    level: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    table: [[u64; 2]; 2],
    #[serde(default)]
    alternative: Alternative,
    #[serde(default = "usual_level")]
    level: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    x_events: u64,
    #[serde(default = "one_to_one")]
    x_exposure: f64,
    y_events: u64,
    #[serde(default = "one_to_one")]
    y_exposure: f64,
    #[serde(default = "one_to_one")]
    ratio: f64,
    #[serde(default)]
    alternative: Alternative,
    #[serde(default = "usual_level")]
    level: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shares {
    x_events: u64,
    x_trials: u64,
    y_events: u64,
    y_trials: u64,
    #[serde(default)]
    alternative: Alternative,
    #[serde(default = "usual_level")]
    level: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KayentaMetric {
    experiment: Vec<Option<f64>>,
    control: Vec<Option<f64>>,
    #[serde(default)]
    config: kayenta::MetricConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KayentaMetrics {
    metrics: Vec<kayenta::Judged>,
    #[serde(default)]
    config: kayenta::ScoreConfig,
}

/// Counts in windows, as they come.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    windows: Vec<[f64; 4]>,
    #[serde(default)]
    margin: f64,
    #[serde(default = "one_to_one")]
    phi: f64,
    #[serde(default)]
    tau: f64,
    #[serde(default)]
    side: Which,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Which {
    #[default]
    Above,
    Below,
    FarAbove,
}

impl From<Which> for Side {
    fn from(which: Which) -> Self {
        match which {
            Which::Above => Self::Above,
            Which::Below => Self::Below,
            Which::FarAbove => Self::FarAbove,
        }
    }
}

/// `ln E` after each window.
fn eprocess(evidence: &Evidence) -> Value {
    let pairs: Vec<PairCounts> = evidence
        .windows
        .iter()
        .map(|[canary_requests, canary_events, baseline_requests, baseline_events]| PairCounts {
            canary_requests: *canary_requests,
            canary_events: *canary_events,
            baseline_requests: *baseline_requests,
            baseline_events: *baseline_events,
        })
        .collect();
    let noise = Noise { phi: evidence.phi.max(1.0), tau: evidence.tau.max(0.0) };
    let so_far = |windows: usize| {
        if noise.tau == 0.0 {
            return ln_evidence_exact(&pairs[..windows], evidence.margin.ln_1p(), noise.phi, evidence.side.into());
        }
        let likelihood = RatioLikelihood::new(&pairs[..windows], evidence.margin.ln_1p());
        ln_evidence(&likelihood, noise, evidence.side.into())
    };
    let ln_e: Vec<f64> = (1..=pairs.len()).map(so_far).collect();
    let most = ln_e.iter().copied().fold(0.0, f64::max);
    json!({"ln_e": ln_e, "anytime_p": (-most).exp()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_answers_and_a_mistake_is_told() {
        let asked = json!({"vectors": [
            {"id": 1, "function": "mannwhitney", "input": {"x": [1.0, 2.0], "y": [3.0, 4.0]}},
            {"id": 2, "function": "ks", "input": {"x": [1.0, 2.0], "y": [3.0, 4.0]}},
            {"id": 3, "function": "hodges_lehmann", "input": {"x": [1.0, 2.0], "y": [3.0, 4.0], "level": 0.6}},
            {"id": 4, "function": "cliffs_delta", "input": {"x": [1.0, 2.0], "y": [3.0, 4.0]}},
            {"id": 5, "function": "fisher", "input": {"table": [[3, 1], [1, 3]]}},
            {"id": 6, "function": "rate_ratio", "input": {"x_events": 11, "x_exposure": 800.0, "y_events": 23, "y_exposure": 3000.0}},
            {"id": 7, "function": "two_proportions", "input": {"x_events": 5, "x_trials": 50, "y_events": 1, "y_trials": 50}},
            {"id": 8, "function": "eprocess", "input": {"windows": [[100, 0, 100, 0], [100, 12, 100, 1]], "margin": 0.25}},
            {"id": 9, "function": "kayenta_classify", "input": {"experiment": [1.0, null, 2.0, 3.0], "control": [1.0, 2.0, 2.0]}},
            {"id": 10, "function": "kayenta_score", "input": {"metrics": [{"name": "m", "classification": "Pass", "groups": ["g"]}]}},
            {"id": 11, "function": "ks", "input": {"x": [1.0]}},
            {"id": 12, "function": "anova"},
        ]});
        let answers = compute(&serde_json::from_value(asked).unwrap());
        let answers = answers["results"].as_array().unwrap();
        for answer in &answers[..10] {
            assert!(answer["result"].is_object(), "{answer}");
        }
        assert_eq!(answers[1]["result"]["statistic"], 1.0);
        assert_eq!(answers[7]["result"]["ln_e"][0], 0.0);
        // F1 written out in NumPy: 24 alternatives from 1.1 to 64 beyond the margin.
        let ln_e = answers[7]["result"]["ln_e"][1].as_f64().unwrap();
        assert!((ln_e - 3.203389941629029).abs() < 1e-9, "{ln_e}");
        assert!(answers[10]["error"].as_str().unwrap().contains("missing field `y`"), "{}", answers[10]);
        assert!(answers[11]["error"].as_str().unwrap().contains("no function anova"), "{}", answers[11]);
    }
}
