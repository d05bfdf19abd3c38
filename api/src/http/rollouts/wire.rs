//! Rollouts as JSON has them. Converted here, in both directions, and nowhere else.

use std::collections::BTreeMap;

use haldane_analyzer::cohort::Selector;
use haldane_analyzer::policy::PolicyOverrides;
use haldane_analyzer::rollout::{Origin, Rollout, RolloutPage, RolloutState, STAGES_MAX, Stage, StartRollout, Strategy};
use haldane_store::{Environment, ServiceName, UnixNanos};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Problem;
use crate::http::described::{Metadata, Name, SelectorMap};
use crate::http::extract::Caller;

/// Most entries in `metadata`.
pub(in crate::http) const METADATA_MAX: usize = 32;
/// Longest key and value in `metadata`, in bytes.
pub(in crate::http) const METADATA_KEY_MAX: usize = 255;
pub(in crate::http) const METADATA_VALUE_MAX: usize = 4096;

/// A rollout to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "service": "payment", "environment": "shop",
    "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"},
    "metadata": {"commit": "3f2a91c"}
}))]
pub struct StartRolloutBody {
    /// `service.name` of the service that changes.
    #[schema(value_type = Name)]
    pub service: String,
    /// `deployment.environment.name`; `default` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Name>)]
    pub environment: Option<String>,
    /// Resource attributes that pick the version that is known; all must match.
    #[schema(value_type = SelectorMap)]
    pub baseline: BTreeMap<String, String>,
    /// Resource attributes that pick the version to be judged; all must match.
    #[schema(value_type = SelectorMap)]
    pub canary: BTreeMap<String, String>,
    /// How the version is rolled out; `canary` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyWord>,
    /// The steps on the way, each with a verdict of its own: `promote` that is not final says that the next one may begin. At most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub stages: Vec<StageBody>,
    /// RFC 3339. From when on both are compared; when the canary was first seen in the last hour if left out, else now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// What you want to find again, such as a commit or a build's address. At most 32 entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Metadata)]
    pub metadata: BTreeMap<String, String>,
    /// What differs from the default policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyOverrides>,
}

/// A step on the way of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"traffic": 0.1, "max_duration_seconds": 1800}))]
pub struct StageBody {
    /// The canary's share of the traffic, more than 0 and at most 1, and more than in the step before.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub traffic: f64,
    /// The step is not proven before this time in it; the policy's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 7_776_000)]
    pub min_duration_seconds: Option<u64>,
    /// What is undecided after this time in the step ends the rollout; the policy's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 7_776_000)]
    pub max_duration_seconds: Option<u64>,
}

/// That a person agrees to a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalBody {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
}

/// One change of one service in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutBody {
    /// Its name.
    pub id: String,
    /// `service.name` of the service that changes.
    pub service: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// Where it stands.
    pub state: StateWord,
    /// Why it is there, once it has ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state_reason: String,
    /// Picks the version that is known.
    pub baseline: BTreeMap<String, String>,
    /// Picks the version that is judged.
    pub canary: BTreeMap<String, String>,
    /// How it is rolled out.
    pub strategy: StrategyWord,
    /// Who started it.
    pub origin: OriginWord,
    /// When it was asked for.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// From when on both are compared.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it ended.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// What the caller wants to find again.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What differs from the default policy.
    #[serde(default)]
    pub policy: PolicyOverrides,
    /// The policy of the server's folder that it began with, as `name@version`; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy_name: String,
    /// The steps on the way; none if it has one only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageBody>,
    /// The step it is in, from 1; absent without steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<usize>,
    /// When that step began; absent without steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub stage_started_at: Option<String>,
    /// That a person agrees to its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalBody>,
    /// Where to go on.
    pub links: LinksBody,
}

/// Paths that belong to a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinksBody {
    /// The rollout.
    #[serde(rename = "self")]
    pub own: String,
    /// Its verdict; add `?wait=30s` to wait for the next one.
    pub verdict: String,
    /// Its report, a page for people; with `.md` behind it in Markdown.
    pub report: String,
}

/// One page of rollouts, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutListBody {
    /// The newest first.
    pub rollouts: Vec<RolloutBody>,
    /// Give this as `cursor` for the next page; none on the last one.
    pub next: Option<String>,
}

/// How a version is rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyWord {
    /// A part of the traffic goes to the canary while the baseline goes on.
    Canary,
    /// All traffic is switched at once.
    BlueGreen,
    /// Instances are replaced one after the other.
    Rolling,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateWord {
    /// Known, not judged yet.
    Pending,
    /// Being judged.
    Running,
    /// Ended well.
    Promoted,
    /// Ended badly.
    RolledBack,
    /// Ended undecided.
    Inconclusive,
    /// Ended by a person, or replaced by another.
    Cancelled,
    /// Ended because no telemetry of the canary ever came.
    Expired,
}

/// Who started a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginWord {
    /// Somebody asked for it.
    Requested,
    /// Haldane saw a new version.
    Detected,
}

impl StartRolloutBody {
    /// Checks everything that can be checked without looking at the data.
    pub(crate) fn parse(self, idempotency_key: Option<String>, caller: &Caller) -> Result<StartRollout, Problem> {
        check_metadata(&self.metadata)?;
        let field = |name: &'static str| move |error: &dyn std::fmt::Display| Problem::invalid(format!("{name}: {error}"));
        let environment = match &self.environment {
            Some(text) => Environment::parse(text).map_err(|error| field("environment")(&error))?,
            None => Environment::unnamed(),
        };
        Ok(StartRollout {
            service: ServiceName::parse(&self.service).map_err(|error| field("service")(&error))?,
            environment,
            baseline: Selector::try_new(self.baseline).map_err(|error| field("baseline")(&error))?,
            canary: Selector::try_new(self.canary).map_err(|error| field("canary")(&error))?,
            strategy: self.strategy.unwrap_or(StrategyWord::Canary).into(),
            stages: stages_of(&self.stages)?,
            started_at: match &self.started_at {
                Some(text) => Some(UnixNanos::parse_rfc3339(text).map_err(|error| field("started_at")(&error))?),
                None => None,
            },
            policy: self.policy.unwrap_or_default(),
            actor: caller.named(self.metadata.get("actor").map(String::as_str)),
            metadata: self.metadata,
            idempotency_key,
        })
    }
}

fn stages_of(given: &[StageBody]) -> Result<Vec<Stage>, Problem> {
    if given.len() > STAGES_MAX {
        return Err(Problem::invalid(format!("stages: at most {STAGES_MAX}, these are {}", given.len())));
    }
    if given.iter().any(|stage| !(stage.traffic > 0.0 && stage.traffic <= 1.0)) {
        return Err(Problem::invalid("stages: traffic has to be more than 0 and at most 1"));
    }
    let time = |seconds: Option<u64>| seconds.map(std::time::Duration::from_secs);
    let stage = |stage: &StageBody| Stage {
        traffic: stage.traffic,
        min_duration: time(stage.min_duration_seconds),
        max_duration: time(stage.max_duration_seconds),
    };
    Ok(given.iter().map(stage).collect())
}

pub(in crate::http) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Problem> {
    if metadata.len() > METADATA_MAX {
        return Err(Problem::invalid(format!("metadata: at most {METADATA_MAX} entries, these are {}", metadata.len())));
    }
    match metadata.iter().find(|(key, value)| key.is_empty() || key.len() > METADATA_KEY_MAX || value.len() > METADATA_VALUE_MAX) {
        Some((key, _)) => {
            let start: String = key.chars().take(40).collect();
            Err(Problem::invalid(format!(
                "metadata: the entry {start:?} needs a key of 1 to {METADATA_KEY_MAX} bytes and a value of at most {METADATA_VALUE_MAX}"
            )))
        }
        None => Ok(()),
    }
}

impl From<&Rollout> for RolloutBody {
    fn from(rollout: &Rollout) -> Self {
        let own = format!("/v1/rollouts/{}", rollout.id);
        Self {
            id: rollout.id.to_string(),
            service: rollout.service.to_string(),
            environment: rollout.environment.to_string(),
            state: rollout.state.into(),
            state_reason: rollout.state_reason.clone(),
            baseline: rollout.baseline.matchers().clone(),
            canary: rollout.canary.matchers().clone(),
            strategy: rollout.strategy.into(),
            origin: rollout.origin.into(),
            created_at: rollout.created_at.to_rfc3339(),
            started_at: rollout.started_at.to_rfc3339(),
            ended_at: rollout.ended_at.map(UnixNanos::to_rfc3339),
            metadata: rollout.metadata.clone(),
            policy: rollout.policy.clone(),
            policy_name: rollout.policy_name.clone(),
            stages: rollout.stages.iter().map(StageBody::from).collect(),
            stage: (!rollout.stages.is_empty()).then_some(rollout.stage + 1),
            stage_started_at: (!rollout.stages.is_empty()).then(|| rollout.judged_from().to_rfc3339()),
            approval: rollout.approval.as_ref().map(|approval| ApprovalBody {
                by: approval.by.clone(),
                reason: approval.reason.clone(),
                at: approval.at.to_rfc3339(),
            }),
            links: LinksBody { verdict: format!("{own}/verdict"), report: format!("{own}/report"), own },
        }
    }
}

impl From<&Stage> for StageBody {
    fn from(stage: &Stage) -> Self {
        let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
        Self {
            traffic: stage.traffic,
            min_duration_seconds: seconds(stage.min_duration),
            max_duration_seconds: seconds(stage.max_duration),
        }
    }
}

impl From<&RolloutPage> for RolloutListBody {
    fn from(page: &RolloutPage) -> Self {
        Self { rollouts: page.rollouts.iter().map(RolloutBody::from).collect(), next: page.next.as_ref().map(ToString::to_string) }
    }
}

impl From<StrategyWord> for Strategy {
    fn from(word: StrategyWord) -> Self {
        match word {
            StrategyWord::Canary => Self::Canary,
            StrategyWord::BlueGreen => Self::BlueGreen,
            StrategyWord::Rolling => Self::Rolling,
        }
    }
}

impl From<Strategy> for StrategyWord {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Canary => Self::Canary,
            Strategy::BlueGreen => Self::BlueGreen,
            Strategy::Rolling => Self::Rolling,
        }
    }
}

impl From<StateWord> for RolloutState {
    fn from(word: StateWord) -> Self {
        match word {
            StateWord::Pending => Self::Pending,
            StateWord::Running => Self::Running,
            StateWord::Promoted => Self::Promoted,
            StateWord::RolledBack => Self::RolledBack,
            StateWord::Inconclusive => Self::Inconclusive,
            StateWord::Cancelled => Self::Cancelled,
            StateWord::Expired => Self::Expired,
        }
    }
}

impl From<RolloutState> for StateWord {
    fn from(state: RolloutState) -> Self {
        match state {
            RolloutState::Pending => Self::Pending,
            RolloutState::Running => Self::Running,
            RolloutState::Promoted => Self::Promoted,
            RolloutState::RolledBack => Self::RolledBack,
            RolloutState::Inconclusive => Self::Inconclusive,
            RolloutState::Cancelled => Self::Cancelled,
            RolloutState::Expired => Self::Expired,
        }
    }
}

impl From<Origin> for OriginWord {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Requested => Self::Requested,
            Origin::Detected => Self::Detected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Result<StartRollout, String> {
        let body: StartRolloutBody = serde_json::from_value(json).map_err(|error| error.to_string())?;
        body.parse(None, &Caller::default()).map_err(|problem| problem.detail)
    }

    #[test]
    fn the_least_that_is_needed_is_service_baseline_and_canary() {
        let start = parse(serde_json::json!({
            "service": "payment", "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"}
        }))
        .unwrap();
        assert_eq!((start.environment.as_str(), start.strategy, start.started_at), ("default", Strategy::Canary, None));
    }

    #[test]
    fn a_mistake_is_named_by_its_field() {
        let with = |key: &str, value: serde_json::Value| {
            let mut json = serde_json::json!({"service": "a", "baseline": {"k": "1"}, "canary": {"k": "2"}});
            json[key] = value;
            parse(json).unwrap_err()
        };
        assert!(with("service", "".into()).starts_with("service: "));
        assert!(with("canary", serde_json::json!({})).starts_with("canary: a selector needs at least one attribute"));
        assert!(with("started_at", "yesterday".into()).starts_with("started_at: \"yesterday\" is not a time"));
        assert!(with("strategy", "big-bang".into()).contains("blue-green"));
        assert!(with("cannary", serde_json::json!({})).contains("unknown field `cannary`"));
        assert!(with("policy", serde_json::json!({"alfa": 0.1})).contains("unknown field `alfa`"));
        assert!(with("metadata", serde_json::json!({"": "x"})).starts_with("metadata: "));
        assert!(with("stages", serde_json::json!([{"traffic": 0}])).starts_with("stages: traffic"));
    }
}
