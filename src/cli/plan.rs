//! `haldane plan`: what the judge would find in a rollout that has not begun.

use std::time::Duration;

use clap::Args;
use haldane_analyzer::policy::PolicyOverrides;
use haldane_api::http::{PlanRequestBody, parse_span, show_span};

use super::target::{PolicyArgs, ServerArgs, share};
use super::{CliError, Exit, out, pretty};

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Service that will change: its service.name.
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Where: its deployment.environment.name.
    #[arg(long, value_name = "NAME", default_value = "default")]
    environment: String,
    /// The canary's share of the traffic, such as 10%.
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = share)]
    split: f64,
    /// How long the canary will be watched, up to 6h.
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = parse_span)]
    length: Duration,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints a plan.
pub(crate) async fn run(args: PlanArgs) -> Result<Exit, CliError> {
    let body = PlanRequestBody {
        service: args.service,
        environment: Some(args.environment),
        split: args.split,
        length: show_span(args.length),
        policy: Some(args.policy.overrides()?).filter(|overrides| *overrides != PolicyOverrides::default()),
    };
    let plan = args.server.client()?.plan(&body).await?;
    if args.json {
        out::line(&pretty(&plan))?;
    } else {
        for line in &plan.summary {
            out::line(&out::plain(line))?;
        }
    }
    Ok(Exit::Done)
}
