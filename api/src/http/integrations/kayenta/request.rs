//! What is sent: configurations and requests, as far as they matter here. What else is in them is kept and given back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Problem;

/// A canary configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct CanaryConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) applications: Vec<String>,
    pub(super) judge: JudgeConfig,
    pub(super) metrics: Vec<MetricConfig>,
    pub(super) classifier: ClassifierConfig,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JudgeConfig {
    pub(super) name: String,
    pub(super) judge_configurations: BTreeMap<String, Value>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct MetricConfig {
    pub(super) name: String,
    pub(super) query: BTreeMap<String, Value>,
    pub(super) groups: Vec<String>,
    pub(super) analysis_configurations: BTreeMap<String, Value>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ClassifierConfig {
    pub(super) group_weights: BTreeMap<String, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score_thresholds: Option<Thresholds>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

/// When a score is good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Thresholds {
    pub(super) pass: f64,
    pub(super) marginal: f64,
}

/// An execution that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExecutionRequest {
    pub(super) scopes: BTreeMap<String, ScopePair>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) thresholds: Option<Thresholds>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScopePair {
    pub(super) control_scope: Scope,
    pub(super) experiment_scope: Scope,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Scope {
    pub(super) scope: String,
    #[serde(alias = "region")]
    pub(super) location: String,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) step: Value,
    pub(super) extended_scope_params: BTreeMap<String, String>,
}

/// A configuration and a request in one body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdHoc<R> {
    pub(super) canary_config: CanaryConfig,
    pub(super) execution_request: R,
}

/// What stands behind the question mark. Accounts are Kayenta's: there are none here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct AccountParams {
    pub(super) application: String,
    pub(super) parent_pipeline_execution_id: String,
    pub(super) user: String,
    pub(super) metrics_account_name: String,
    pub(super) configuration_account_name: String,
    pub(super) storage_account_name: String,
}

impl CanaryConfig {
    /// What Kayenta itself refuses.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if self.name.is_empty() || self.name.len() > 255 || !self.name.bytes().all(plain) {
            return Err(Problem::invalid("name: it needs 1 to 255 of the characters a-z A-Z 0-9 - _"));
        }
        if self.applications.is_empty() {
            return Err(Problem::invalid("applications: it needs one at least"));
        }
        self.check_metrics()
    }

    pub(super) fn check_metrics(&self) -> Result<(), Problem> {
        let mut names = std::collections::BTreeSet::new();
        match self.metrics.iter().find(|metric| !names.insert(metric.name.as_str())) {
            Some(twice) => Err(Problem::invalid(format!("metrics: there are two of the name {:?}", twice.name))),
            None => Ok(()),
        }
    }

    /// The one that is always there.
    pub(super) fn built_in(application: &str) -> Self {
        Self {
            id: Some(BUILT_IN.to_owned()),
            name: BUILT_IN.to_owned(),
            applications: vec![application.to_owned()],
            judge: JudgeConfig { name: OURS.to_owned(), ..JudgeConfig::default() },
            rest: [("configVersion".to_owned(), "1".into()), ("description".to_owned(), "Haldane's default checks".into())].into(),
            ..Self::default()
        }
    }

    /// The thresholds of a request, or else of the configuration.
    pub(super) fn thresholds(&self, given: Option<Thresholds>) -> Result<Thresholds, Problem> {
        let found = given.or(self.classifier.score_thresholds);
        let found = found.ok_or_else(|| Problem::invalid("thresholds: give pass and marginal"))?;
        match (0.0..=100.0).contains(&found.marginal) && (0.0..=100.0).contains(&found.pass) && found.marginal <= found.pass {
            true => Ok(found),
            false => Err(Problem::invalid("thresholds: marginal and pass have to lie between 0 and 100, marginal not above pass")),
        }
    }
}

/// The name of the configuration that is always there.
pub(super) const BUILT_IN: &str = "haldane";
/// The name of our judge.
pub(super) const OURS: &str = "haldane-v1.0";
/// The name of Kayenta's.
pub(super) const KAYENTAS: &str = "NetflixACAJudge-v1.0";
