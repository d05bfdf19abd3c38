//! Of all metrics: what is the canary's score, and does it pass?

use std::collections::BTreeMap;

use super::Label;

/// A metric that was classified, as far as the score needs it.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judged {
    /// The metric.
    pub name: String,
    /// What was said of it.
    pub classification: Label,
    /// The groups that it counts in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether it fails the canary unless it passes.
    #[serde(default)]
    pub critical: bool,
    /// Whether it is left out.
    #[serde(default)]
    pub muted: bool,
}

/// Weights and thresholds.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreConfig {
    /// Of groups, in percent; the others share what is left.
    pub group_weights: BTreeMap<String, f64>,
    /// A score of this or more passes.
    pub pass: f64,
    /// One of this or more is marginal.
    pub marginal: f64,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self { group_weights: BTreeMap::new(), pass: 95.0, marginal: 75.0 }
    }
}

/// The score of a group.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct GroupScore {
    /// Its name.
    pub name: String,
    /// Of 100; 0 for one without data, which counts as 100 in the sum.
    pub score: f64,
    /// Whether none of its metrics has data.
    pub no_data: bool,
}

/// What the score says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Summary {
    /// At or above the threshold to pass.
    Pass,
    /// Between the two.
    Marginal,
    /// Below both.
    Fail,
}

/// The canary's score.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Score {
    /// Of 100.
    pub score: f64,
    /// What it says.
    pub classification: Summary,
    /// Why, where it is not the sum.
    pub reason: Option<String>,
    /// By group.
    pub groups: Vec<GroupScore>,
}

/// Scores a canary.
///
/// Source: Kayenta's `ScoringHelper`, `WeightedSumScorer`, `ThresholdScoreClassifier`. Weights are taken as they are, as Kayenta does.
pub fn score(metrics: &[Judged], config: &ScoreConfig) -> Score {
    let counted: Vec<&Judged> = metrics.iter().filter(|metric| !metric.muted).collect();
    let mut by_group: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
    for metric in &counted {
        for group in &metric.groups {
            by_group.entry(group).or_default().push(metric);
        }
    }
    let groups: Vec<GroupScore> = by_group.into_iter().map(|(name, metrics)| group_score(name, &metrics)).collect();
    let classified = |score: f64| match score {
        _ if score >= config.pass => Summary::Pass,
        _ if score >= config.marginal => Summary::Marginal,
        _ => Summary::Fail,
    };
    let zero = |reason: String, groups| Score { score: 0.0, classification: classified(0.0), reason: Some(reason), groups };
    if let Some(failed) = counted.iter().find(|metric| metric.critical && metric.classification != Label::Pass) {
        let reason = format!("Canary Failed: the critical metric {} was classified as {:?}", failed.name, failed.classification);
        return zero(reason, groups);
    }
    let without_data = counted.iter().filter(|metric| metric.classification == Label::Nodata).count();
    if 2 * without_data >= counted.len() {
        return zero("at least half of the metrics have no data".to_owned(), groups);
    }
    let said: f64 = config.group_weights.values().sum();
    let silent = groups.iter().filter(|group| !config.group_weights.contains_key(&group.name)).count();
    let share = (100.0 - said) / silent as f64;
    let weighted = groups.iter().map(|group| {
        let score = if group.no_data { 100.0 } else { group.score };
        score * config.group_weights.get(&group.name).copied().unwrap_or(share) / 100.0
    });
    let score = (weighted.sum::<f64>() * 100.0).round() / 100.0;
    Score { score, classification: classified(score), reason: None, groups }
}

fn group_score(name: &str, metrics: &[&Judged]) -> GroupScore {
    let counts = |metric: &&&Judged| matches!(metric.classification, Label::Pass | Label::High | Label::Low | Label::NodataFailMetric);
    let counted = metrics.iter().filter(counts).count();
    let passed = metrics.iter().filter(|metric| metric.classification == Label::Pass).count();
    let score = if counted > 0 { 100.0 * passed as f64 / counted as f64 } else { 0.0 };
    GroupScore { name: name.to_owned(), score, no_data: counted == 0 }
}
