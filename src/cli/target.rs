//! Flags that several commands share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use haldane_analyzer::cohort::Selector;
use haldane_analyzer::policy::{CheckOverride, JudgeName, KayentaOverrides, PolicyFile, PolicyOverrides};
use haldane_api::http::{StageBody, StartRolloutBody, StrategyWord, parse_span};

use super::CliError;
use super::client::{Client, ClientError, DEFAULT_URL};

/// Heading of the flags that change the policy.
const POLICY: &str = "Policy";

/// Which server to talk to.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Address of the running server.
    #[arg(long, value_name = "URL", env = "HALDANE_URL", default_value = DEFAULT_URL, hide_env_values = true)]
    pub(crate) url: String,
    /// Token to show to it. Better in the variable: others see command lines.
    #[arg(long, value_name = "TOKEN", env = "HALDANE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Roots of its certificate, in PEM, where the system does not know them.
    #[arg(long, value_name = "FILE", env = "HALDANE_CA_FILE", hide_env_values = true)]
    ca_file: Option<PathBuf>,
}

impl ServerArgs {
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        Client::new(&self.url, self.token.as_deref(), self.ca_file.as_deref())
    }
}

/// What is rolled out.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChangeArgs {
    /// Service that changes: its service.name.
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Where: its deployment.environment.name.
    #[arg(long, value_name = "NAME", default_value = "default")]
    environment: String,
    /// Resource attributes that pick the version that is known, such as service.version=1.4.0.
    #[arg(long, value_name = "KEY=VALUE[,…]", value_parser = selector)]
    baseline: Selector,
    /// Resource attributes that pick the version to be judged, such as service.version=1.5.0.
    #[arg(long, value_name = "KEY=VALUE[,…]", value_parser = selector)]
    canary: Selector,
    /// How it is rolled out.
    #[arg(long, value_enum, default_value_t = StrategyFlag::Canary)]
    strategy: StrategyFlag,
    /// Steps of the canary's traffic, each with a verdict of its own, such as 10%,50%,100%.
    #[arg(long, value_name = "SHARE[,…]", value_delimiter = ',', value_parser = step)]
    stages: Vec<f64>,
    /// From when on both are compared (RFC 3339); when the canary was first seen in the last hour if left out, else now.
    #[arg(long, value_name = "TIME")]
    started_at: Option<String>,
    /// What you want to find again, such as commit=3f2a91c; may be given several times.
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The same key finds the same rollout, even one that has ended; such as the number of the CI job.
    #[arg(long, value_name = "TEXT")]
    pub(crate) idempotency_key: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// What differs from the default policy.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PolicyArgs {
    /// What differs from the default policy, in YAML or JSON; the flags below beat it.
    #[arg(long, help_heading = POLICY, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Chance of a false rollback over the whole rollout [default: 0.01].
    #[arg(long, help_heading = POLICY, value_name = "P")]
    policy_alpha: Option<f64>,
    /// Chance of a false promotion, per check [default: 0.05].
    #[arg(long, help_heading = POLICY, value_name = "P")]
    policy_beta: Option<f64>,
    /// Errors may grow by this share before a rollback; 0.25 is 25 %.
    #[arg(long, help_heading = POLICY, value_name = "SHARE")]
    policy_error_relative: Option<f64>,
    /// Errors may grow by this much of all requests before a rollback; 0.0005 is 0.05 percentage points.
    #[arg(long, help_heading = POLICY, value_name = "SHARE")]
    policy_error_absolute: Option<f64>,
    /// Latency may grow by this share before a rollback.
    #[arg(long, help_heading = POLICY, value_name = "SHARE")]
    policy_latency_relative: Option<f64>,
    /// A promotion shows that errors grew by less than this share.
    #[arg(long, help_heading = POLICY, value_name = "SHARE")]
    policy_promote_error_relative: Option<f64>,
    /// … or by less than this much of all requests.
    #[arg(long, help_heading = POLICY, value_name = "SHARE")]
    policy_promote_error_absolute: Option<f64>,
    /// A promotion shows that latency grew by less than this share.
    #[arg(long, help_heading = POLICY, value_name = "SHARE")]
    policy_promote_latency_relative: Option<f64>,
    /// No promotion before this time.
    #[arg(long, help_heading = POLICY, value_name = "TIME", value_parser = parse_span)]
    policy_min_duration: Option<Duration>,
    /// Errors logged for as many requests may grow by this share before a rollback; 1 is twice as many.
    #[arg(long, help_heading = POLICY, value_name = "SHARE")]
    policy_log_error_relative: Option<f64>,
    /// What is undecided after this time ends inconclusive.
    #[arg(long, help_heading = POLICY, value_name = "TIME", value_parser = parse_span)]
    policy_max_duration: Option<Duration>,
    /// No promotion with fewer requests in either cohort.
    #[arg(long, help_heading = POLICY, value_name = "COUNT")]
    policy_min_requests: Option<u64>,
    /// The canary's share of the traffic that the router is configured for, such as 10%; where the canary surely gets another one, nothing is decided.
    #[arg(long, help_heading = POLICY, value_name = "SHARE", value_parser = share)]
    policy_canary_share: Option<f64>,
    /// A person has to agree before a promotion, with `haldane rollout approve`.
    #[arg(long, help_heading = POLICY)]
    policy_approval: bool,
    /// Who judges.
    #[arg(long, help_heading = POLICY, value_name = "NAME", value_parser = judge)]
    policy_judge: Option<JudgeName>,
    /// How often Kayenta's judge looks.
    #[arg(long, help_heading = POLICY, value_name = "TIME", value_parser = parse_span)]
    policy_kayenta_interval: Option<Duration>,
    /// A score of this or more at the end promotes, where Kayenta judges.
    #[arg(long, help_heading = POLICY, value_name = "SCORE")]
    policy_kayenta_pass: Option<f64>,
    /// One of this or less at any look rolls back, where Kayenta judges.
    #[arg(long, help_heading = POLICY, value_name = "SCORE")]
    policy_kayenta_marginal: Option<f64>,
    /// Make only this check: error_rate, latency, throughput, new_errors, log_errors, calls or sample_ratio; may be given several times.
    #[arg(long = "policy-check", help_heading = POLICY, value_name = "NAME")]
    policy_checks: Vec<String>,
}

/// How a version is rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StrategyFlag {
    /// A part of the traffic goes to the canary while the baseline goes on.
    Canary,
    /// All traffic is switched at once.
    BlueGreen,
    /// Instances are replaced one after the other.
    Rolling,
}

impl ChangeArgs {
    /// The request to the server.
    pub(crate) fn body(&self) -> Result<StartRolloutBody, CliError> {
        Ok(StartRolloutBody {
            service: self.service.clone(),
            environment: Some(self.environment.clone()),
            baseline: self.baseline.matchers().clone(),
            canary: self.canary.matchers().clone(),
            strategy: Some(match self.strategy {
                StrategyFlag::Canary => StrategyWord::Canary,
                StrategyFlag::BlueGreen => StrategyWord::BlueGreen,
                StrategyFlag::Rolling => StrategyWord::Rolling,
            }),
            stages: self
                .stages
                .iter()
                .map(|traffic| StageBody { traffic: *traffic, min_duration_seconds: None, max_duration_seconds: None })
                .collect(),
            started_at: self.started_at.clone(),
            metadata: self.metadata.iter().cloned().collect::<BTreeMap<_, _>>(),
            policy: Some(self.policy.overrides()?).filter(|overrides| *overrides != PolicyOverrides::default()),
        })
    }
}

impl PolicyArgs {
    /// What they change.
    pub(crate) fn overrides(&self) -> Result<PolicyOverrides, CliError> {
        let file = self.policy.as_deref().map(read_policy).transpose()?.unwrap_or_default();
        let kayenta = KayentaOverrides {
            interval_seconds: self.policy_kayenta_interval.map(|span| span.as_secs()),
            pass: self.policy_kayenta_pass,
            marginal: self.policy_kayenta_marginal,
        };
        let check = |name: &String| CheckOverride { name: name.clone(), ..CheckOverride::default() };
        let flags = PolicyOverrides {
            alpha: self.policy_alpha,
            beta: self.policy_beta,
            error_relative: self.policy_error_relative,
            error_absolute: self.policy_error_absolute,
            latency_relative: self.policy_latency_relative,
            log_error_relative: self.policy_log_error_relative,
            promote_error_relative: self.policy_promote_error_relative,
            promote_error_absolute: self.policy_promote_error_absolute,
            promote_latency_relative: self.policy_promote_latency_relative,
            min_duration_seconds: self.policy_min_duration.map(|span| span.as_secs()),
            max_duration_seconds: self.policy_max_duration.map(|span| span.as_secs()),
            min_requests: self.policy_min_requests,
            canary_share: self.policy_canary_share,
            judge: self.policy_judge,
            kayenta: Some(kayenta).filter(|given| *given != KayentaOverrides::default()),
            metrics: None,
            gates: None,
            groups: None,
            approval: self.policy_approval.then_some(true),
            checks: Some(self.policy_checks.iter().map(check).collect()).filter(|checks: &Vec<_>| !checks.is_empty()),
        };
        Ok(flags.over(file))
    }
}

fn selector(text: &str) -> Result<Selector, String> {
    Selector::parse(text).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

/// What a policy file says: what differs from the default by itself, or a file of the server's folder, whose `policy` counts.
pub(crate) fn read_policy(file: &Path) -> Result<PolicyOverrides, CliError> {
    let told = |cause: &dyn std::fmt::Display| CliError::Usage(format!("cannot take the policy from {}: {cause}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| told(&error))?;
    if text.lines().any(|line| line.starts_with("policy:")) {
        let parsed: PolicyFile = serde_saphyr::from_str(&text).map_err(|error| told(&error))?;
        return Ok(parsed.policy);
    }
    serde_saphyr::from_str(&text).map_err(|error| told(&error))
}

/// `10%` or `0.1`, less than all.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    step(text).ok().filter(|share| *share < 1.0).ok_or_else(|| format!("{text:?} is no share of the traffic: write it as 10% or 0.1"))
}

/// `10%` or `0.1`, or all of it.
fn step(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no step: write it as 10% or 0.1, up to 100%");
    let (number, unit) = text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |number| (number, 100.0));
    number.trim().parse::<f64>().ok().map(|number| number / unit).filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(wrong)
}

fn judge(text: &str) -> Result<JudgeName, String> {
    match text {
        "default" => Ok(JudgeName::Default),
        "kayenta" => Ok(JudgeName::Kayenta),
        _ => Err("take default or kayenta".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        assert_eq!((share("10%"), share("0.25"), share("50 %")), (Ok(0.1), Ok(0.25), Ok(0.5)));
        for text in ["10", "0", "100%", "x", "", "NaN"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
