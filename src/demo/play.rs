//! Plays one scenario: the old version alone, then the rollout, until there is a verdict or the time is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haldane_analyzer::verdict::Verdict;
use haldane_store::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock::TrafficClock;
use super::deploy::{DeployError, DeployTool};
use super::scenario::{BASELINE, Opened, Scenario, Strategy};
use super::screen::{Phase, Screen};
use super::shop::{Chance, InstanceError, Setting, Shop, Signals, Tally, Wire};

/// Traffic is made and sent in steps of this length: half a bucket of the roll-ups.
const STEP: Duration = Duration::from_secs(5);
/// Metrics are sent with every sixth step.
const METRICS_EVERY: u32 = 6;
/// Haldane has this long to open a rollout by itself.
const NOTICED_WITHIN: Duration = Duration::from_secs(600);

/// Why a scenario could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlayError {
    /// The shop could not send.
    #[error("the shop cannot send its telemetry")]
    Shop(#[from] InstanceError),
    /// The API did not answer.
    #[error("the deploy tool got no verdict")]
    Deploy(#[from] DeployError),
    /// Telemetry was lost on the way.
    #[error("{missing} spans and log records were not acknowledged")]
    Lost {
        /// How many.
        missing: u64,
    },
    /// A thread of the shop ended early.
    #[error("the shop was torn down")]
    Join(#[from] tokio::task::JoinError),
}

/// Where scenarios are played.
#[derive(Debug)]
pub(super) struct Stage {
    /// OTLP/gRPC of the server.
    pub(super) grpc: String,
    pub(super) tool: DeployTool,
    pub(super) clock: Arc<TrafficClock>,
    pub(super) speed: u32,
    pub(super) seed: u64,
    pub(super) stop: CancellationToken,
}

/// A scenario that was played.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) scenario: Scenario,
    /// The last verdict there was.
    pub(super) verdict: Option<Verdict>,
    /// What is wrong with it.
    pub(super) faults: Vec<String>,
    /// How long it took, by the machine's clock.
    pub(super) took: Duration,
    /// How long the rollout lasted, by the demo's clock.
    pub(super) rollout: Duration,
    pub(super) tally: Tally,
}

/// The shop with the time that passes in it.
struct Performance<'a> {
    stage: &'a Stage,
    scenario: &'a Scenario,
    shop: Shop,
    tally: Tally,
    /// When and at what time of the demo's clock the pace was last set.
    pace: (Instant, Duration),
    steps: u32,
}

/// Plays a scenario. `None` when it was stopped before its end.
pub(super) async fn play(stage: &Stage, scenario: Scenario, screen: &mut Screen) -> Result<Option<Played>, PlayError> {
    let began = Instant::now();
    let mut performance = Performance::open(stage, &scenario)?;
    screen.scenario(&scenario);
    performance.history(screen).await?;
    let stopped = || stage.stop.is_cancelled();
    if stopped() {
        return performance.close().await.map(|_| None);
    }
    let announced = match scenario.opened {
        Opened::ByDeployTool => Some(stage.tool.start(&scenario).await?),
        Opened::ByHaldane => None,
    };
    performance.release()?;
    let (verdict, rollout) = performance.rollout(announced, screen).await?;
    let tally = performance.close().await?;
    if stopped() {
        return Ok(None);
    }
    let faults = scenario.expected.find_faults(verdict.as_ref());
    Ok(Some(Played { faults, verdict, took: began.elapsed(), rollout, tally, scenario }))
}

impl<'a> Performance<'a> {
    fn open(stage: &'a Stage, scenario: &'a Scenario) -> Result<Self, PlayError> {
        let tally = Tally::default();
        let wire = Wire { endpoint: stage.grpc.clone(), clock: stage.clock.clone(), tally: tally.clone() };
        let setting = Setting { wire, chance: Chance::new(stage.seed, scenario.name.as_str()) };
        let shop = Shop::open(&scenario.environment(), BASELINE, scenario.instances.0, scenario.hosts, setting)?;
        Ok(Self { stage, scenario, shop, tally, pace: (Instant::now(), Duration::ZERO), steps: 0 })
    }

    /// The old version alone.
    async fn history(&mut self, screen: &mut Screen) -> Result<(), PlayError> {
        let mut passed = Duration::ZERO;
        while passed < self.scenario.history && !self.stage.stop.is_cancelled() {
            self.step().await?;
            passed += STEP;
            screen.traffic(Phase::History { passed, of: self.scenario.history }, &self.tally);
        }
        Ok(())
    }

    /// The new version starts; in a rolling release the old one stops.
    fn release(&mut self) -> Result<(), PlayError> {
        let (release, count, strategy) = (self.scenario.release, self.scenario.instances.1, self.scenario.strategy);
        self.blocking(move |shop| {
            shop.release(release, count)?;
            match strategy {
                Strategy::Rolling => shop.retire(),
                Strategy::Canary => Ok(()),
            }
        })
    }

    /// Traffic to both versions until the verdict is final, the time is over or the demo is stopped.
    async fn rollout(&mut self, announced: Option<String>, screen: &mut Screen) -> Result<(Option<Verdict>, Duration), PlayError> {
        let (news, mut seen) = watch::channel(None);
        let over = self.stage.stop.child_token();
        let _follower_ends_with_this = over.clone().drop_guard();
        let mut id = announced;
        let mut following = None;
        let mut passed = Duration::ZERO;
        while passed < self.scenario.at_most && !over.is_cancelled() {
            if id.is_none() && passed < NOTICED_WITHIN {
                id = self.stage.tool.find(self.scenario).await?;
            }
            if let (Some(id), None) = (&id, &following) {
                following = Some(tokio::spawn(self.stage.tool.clone().follow(id.clone(), news.clone(), over.clone())));
            }
            self.step().await?;
            passed += STEP;
            screen.traffic(Phase::Rollout { passed, of: self.scenario.at_most }, &self.tally);
            if let Some(verdict) = fresh(&mut seen) {
                screen.verdict(&verdict);
                if verdict.is_final {
                    break;
                }
            }
            if following.as_ref().is_some_and(tokio::task::JoinHandle::is_finished) && !seen.borrow().as_ref().is_some_and(|v| v.is_final) {
                break;
            }
        }
        over.cancel();
        if let Some(following) = following {
            following.await??;
        }
        let mut verdict: Option<Verdict> = seen.borrow().clone();
        if let (Some(id), false) = (&id, verdict.as_ref().is_some_and(|verdict| verdict.is_final)) {
            verdict = self.stage.tool.cancel(id).await?.or(verdict);
        }
        Ok((verdict, passed))
    }

    /// Lets one step of time pass: its traffic is made and sent, and only then does the clock show it.
    async fn step(&mut self) -> Result<(), PlayError> {
        let (from, traffic) = (self.stage.clock.now(), self.scenario.traffic);
        self.steps += 1;
        let signals = if self.steps.is_multiple_of(METRICS_EVERY) { Signals::All } else { Signals::WithoutMetrics };
        self.blocking(move |shop| {
            shop.pass(from, STEP, &traffic);
            shop.flush(signals)
        })?;
        self.stage.clock.advance(from.plus(STEP));
        self.pace.1 += STEP;
        let due = self.pace.0 + self.pace.1 / self.stage.speed;
        let now = Instant::now();
        if due > now {
            tokio::time::sleep(due - now).await;
        } else {
            // The machine is slower than the pace: what is lost is not made up for by hurrying later.
            self.pace = (now, Duration::ZERO);
        }
        Ok(())
    }

    /// Does something with the shop that blocks.
    fn blocking(&mut self, work: impl FnOnce(&mut Shop) -> Result<(), InstanceError>) -> Result<(), PlayError> {
        tokio::task::block_in_place(|| work(&mut self.shop)).map_err(PlayError::Shop)
    }

    async fn close(self) -> Result<Tally, PlayError> {
        let shop = self.shop;
        tokio::task::spawn_blocking(move || shop.close()).await??;
        match self.tally.missing() {
            0 => Ok(self.tally),
            missing => Err(PlayError::Lost { missing }),
        }
    }
}

fn fresh(seen: &mut watch::Receiver<Option<Verdict>>) -> Option<Verdict> {
    if seen.has_changed().unwrap_or(false) { seen.borrow_and_update().clone() } else { None }
}
