//! The scenarios: what is released, into what traffic, and what verdict is right.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use super::expectation::Expected;
use super::shop::{CHARGE, Defect, Hosts, Mix, Release, Traffic, UNKNOWN_STATE, WEBHOOK, WEBHOOK_SECRET_MISSING};

/// A scenario that the demo can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum ScenarioName {
    /// A release with nothing wrong: promoted.
    Good,
    /// A secret is missing, 12 % of the requests fail on a tenth of the traffic: rolled back.
    Errors,
    /// The p99 of one operation grows by 40 %: rolled back.
    Latency,
    /// A rare exception that is new, with no more errors than before: rolled back.
    NewException,
    /// The new version gets more of the slow route: not rolled back.
    MixShift,
    /// One host is slow, for both versions: not rolled back.
    SlowInstance,
    /// The old version stops when the new one starts, which fails more: rolled back.
    Rolling,
}

impl ScenarioName {
    /// All of them, in the order in which they are played.
    pub const ALL: [Self; 7] =
        [Self::Good, Self::Errors, Self::Latency, Self::NewException, Self::MixShift, Self::SlowInstance, Self::Rolling];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::NewException => "new-exception",
            Self::MixShift => "mix-shift",
            Self::SlowInstance => "slow-instance",
            Self::Rolling => "rolling",
        }
    }
}

impl fmt::Display for ScenarioName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ScenarioName {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| UnknownScenario { text: text.to_owned() })
    }
}

/// There is no such scenario.
#[derive(Debug, thiserror::Error)]
#[error("there is no scenario {text:?}: take good, errors, latency, new-exception, mix-shift, slow-instance or rolling")]
pub struct UnknownScenario {
    text: String,
}

/// Who starts the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// A deploy tool, by `POST /v1/rollouts`.
    ByDeployTool,
    /// Haldane itself, when it sees the new version.
    ByHaldane,
}

/// `strategy` of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Both versions serve.
    Canary,
    /// The old version stops when the new one starts.
    Rolling,
}

impl Strategy {
    /// As the API has it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Rolling => "rolling",
        }
    }
}

/// A scenario, written out. All times are those of the demo's clock.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: ScenarioName,
    /// What happens, in one line.
    pub(super) story: &'static str,
    pub(super) release: Release,
    pub(super) strategy: Strategy,
    pub(super) opened: Opened,
    pub(super) hosts: Hosts,
    /// Instances of the payment service, of the old and of the new version.
    pub(super) instances: (usize, usize),
    /// How long the old version runs alone before.
    pub(super) history: Duration,
    /// No promotion before this.
    pub(super) min_duration: Duration,
    /// The traffic ends after this without a verdict.
    pub(super) at_most: Duration,
    pub(super) traffic: Traffic,
    pub(super) expected: Expected,
}

/// The version that everyone knows.
pub(super) const BASELINE: Release = Release { version: "1.4.0", defect: Defect::None };
/// The version that is rolled out.
pub(super) const CANARY_VERSION: &str = "1.5.0";

const MINUTE: Duration = Duration::from_secs(60);

impl Scenario {
    /// The scenario of this name.
    pub(super) fn of(name: ScenarioName) -> Self {
        match name {
            ScenarioName::Good => {
                Self::usual(name, "a release with nothing wrong gets half of the traffic", Defect::None, Expected::promote())
            }
            ScenarioName::Errors => Self {
                opened: Opened::ByHaldane,
                instances: (4, 2),
                traffic: Traffic { per_second: 30.0, canary_share: 0.1, mix: Mix::USUAL, canary_mix: Mix::USUAL },
                ..Self::usual(
                    name,
                    "the webhook secret is missing: errors 0.5 % → 12 %, on 10 % of the traffic; nobody announces the rollout",
                    Defect::WebhookSecretMissing,
                    Expected::rollback(&["error_rate", "new_errors"]).at(&WEBHOOK).by(&WEBHOOK_SECRET_MISSING),
                )
            },
            ScenarioName::Latency => Self {
                traffic: Traffic { per_second: 40.0, canary_share: 0.5, mix: Mix::SALE, canary_mix: Mix::SALE },
                ..Self::usual(
                    name,
                    "p99 of one operation +40 %, everything else as before",
                    Defect::SlowTail { operation: &CHARGE, factor: 1.4 },
                    Expected::rollback(&["latency"]).at(&CHARGE),
                )
            },
            ScenarioName::NewException => Self {
                traffic: Traffic { per_second: 40.0, canary_share: 0.25, mix: Mix::USUAL, canary_mix: Mix::USUAL },
                min_duration: 15 * MINUTE,
                ..Self::usual(
                    name,
                    "a rare exception that is new, with no more errors than before",
                    Defect::NewException { share: 0.6 },
                    Expected::rollback(&["new_errors"]).by(&UNKNOWN_STATE),
                )
            },
            ScenarioName::MixShift => Self::mix_shift(name),
            ScenarioName::SlowInstance => Self {
                hosts: Hosts::OneSlow { slowness: 3.0 },
                at_most: 12 * MINUTE,
                traffic: Traffic { per_second: 20.0, canary_share: 0.5, mix: Mix::USUAL, canary_mix: Mix::USUAL },
                ..Self::usual(
                    name,
                    "host-7 is three times as slow, and both versions have an instance there",
                    Defect::None,
                    Expected::no_rollback(),
                )
            },
            ScenarioName::Rolling => Self {
                strategy: Strategy::Rolling,
                traffic: Traffic { per_second: 30.0, canary_share: 1.0, mix: Mix::USUAL, canary_mix: Mix::USUAL },
                ..Self::usual(
                    name,
                    "the old version stops when the new one starts, which leaks connections: errors 0.5 % → 6 %",
                    Defect::ConnectionLeak { rate: 0.06 },
                    Expected::rollback(&["error_rate"]).against_what_ran_before(),
                )
            },
        }
    }

    /// How long the scenario lasts at most.
    pub(super) fn longest(&self) -> Duration {
        self.history + self.at_most
    }

    /// `deployment.environment.name`: every scenario has a shop of its own.
    pub(super) fn environment(&self) -> String {
        format!("shop-{}", self.name)
    }

    fn usual(name: ScenarioName, story: &'static str, defect: Defect, expected: Expected) -> Self {
        Self {
            name,
            story,
            release: Release { version: CANARY_VERSION, defect },
            strategy: Strategy::Canary,
            opened: Opened::ByDeployTool,
            hosts: Hosts::Well,
            instances: (4, 4),
            history: 5 * MINUTE,
            min_duration: 10 * MINUTE,
            at_most: 30 * MINUTE,
            traffic: Traffic { per_second: 30.0, canary_share: 0.5, mix: Mix::USUAL, canary_mix: Mix::USUAL },
            expected,
        }
    }

    fn mix_shift(name: ScenarioName) -> Self {
        let slower = Mix { refund: 0.25, status: Mix::USUAL.status - (0.25 - Mix::USUAL.refund), ..Mix::USUAL };
        let traffic = Traffic { per_second: 30.0, canary_share: 0.5, mix: Mix::USUAL, canary_mix: slower };
        let story = "nothing wrong, but the new version gets four times as much of the slow route";
        Self { traffic, ..Self::usual(name, story, Defect::None, Expected::no_rollback()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_unknown_ones_list_the_known() {
        for name in ScenarioName::ALL {
            assert_eq!(name.as_str().parse::<ScenarioName>().unwrap(), name);
            assert_eq!(name.to_possible_value().unwrap().get_name(), name.as_str());
        }
        assert!("slow".parse::<ScenarioName>().unwrap_err().to_string().contains("slow-instance"));
    }

    #[test]
    fn every_scenario_shifts_traffic_but_not_more_than_all_of_it() {
        for name in ScenarioName::ALL {
            let scenario = Scenario::of(name);
            for mix in [scenario.traffic.mix, scenario.traffic.canary_mix] {
                assert!((mix.weights().iter().sum::<f64>() - 1.0).abs() < 1e-9, "{name}");
                assert!(mix.weights().iter().all(|weight| *weight > 0.0), "{name}");
            }
            assert!(scenario.min_duration < scenario.at_most, "{name}");
        }
    }
}
