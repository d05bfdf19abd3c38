//! What an operator may set.

use serde::Deserialize;

/// Settings of the analyzer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyzerConfig {
    /// How often running rollouts are looked at, in seconds; up to 10 also whenever a window is complete. They are judged when there is something new.
    pub judge_every_seconds: u64,
    /// How long after its end a window is taken as complete, in seconds; exporters hold data back for some seconds.
    pub lateness_seconds: u64,
    /// How much of the baseline before a rollout is learnt from, in seconds.
    pub history_seconds: u64,
    /// Whether a new `service.version` opens a rollout by itself.
    pub detect_versions: bool,
    /// Services for which it does not.
    pub detect_except: Vec<String>,
    /// How often the judge is tried on the past of each service, in seconds; 0 for never.
    pub calibrate_every_seconds: u64,
    /// Hosts that a policy's probes may ask, such as `*.shop.svc.cluster.local`; none if empty.
    pub probe_hosts: Vec<String>,
}

impl Default for AnalyzerConfig {
    fn default() -> Self {
        Self {
            judge_every_seconds: 5,
            lateness_seconds: 15,
            history_seconds: 1800,
            detect_versions: true,
            detect_except: Vec::new(),
            calibrate_every_seconds: 3600,
            probe_hosts: Vec::new(),
        }
    }
}
