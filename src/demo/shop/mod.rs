//! The shop: four services, each of several instances, that send real OTLP through the OpenTelemetry SDK.
//!
//! A browser buys (frontend → checkout → payment → inventory) or returns goods (frontend → payment); merchants and the payment provider call
//! the payment service directly. Load, latency and the usual errors drift together for all versions, as they do in real traffic.
//! Nothing here knows how it will be judged.

mod catalog;
mod chance;
mod export;
mod fleet;
mod instance;
mod release;
mod tally;
mod visit;

use std::time::Duration;

use haldane_store::UnixNanos;
use opentelemetry_sdk::propagation::TraceContextPropagator;

pub(crate) use catalog::{CHARGE, Mix, Operation, Service, WEBHOOK};
pub(crate) use chance::Chance;
pub(crate) use fleet::Hosts;
pub(crate) use instance::{InstanceError, Signals, Wire};
pub(crate) use release::{Defect, Failure, Release, UNKNOWN_STATE, WEBHOOK_SECRET_MISSING};
pub(crate) use tally::{Counted, Tally};

use fleet::{Fleet, Fleets, Placement};
use instance::Instance;
use visit::Visit;

/// How much slower, more failing and busier than usual everything is just now, for all versions alike.
#[derive(Debug, Clone, Copy)]
struct Drift {
    load: f64,
    latency: f64,
    errors: f64,
}

/// Standard deviations of the logarithms of the drift.
const DRIFT_SPREAD: Drift = Drift { load: 0.15, latency: 0.03, errors: 0.15 };
/// How much of the drift lasts from one step to the next.
const DRIFT_MEMORY: f64 = 0.95;

/// What goes on in the shop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Requests to the payment service, a second.
    pub(crate) per_second: f64,
    /// The share of them that the new version gets, while both run.
    pub(crate) canary_share: f64,
    /// What is asked of the old version.
    pub(crate) mix: Mix,
    /// What is asked of the new version.
    pub(crate) canary_mix: Mix,
}

/// A running shop in an environment of its own.
#[derive(Debug)]
pub(crate) struct Shop {
    environment: String,
    hosts: Hosts,
    wire: Wire,
    fleets: Fleets,
    old: Option<Fleet>,
    new: Option<Fleet>,
    chance: Chance,
    drift: [f64; 3],
    propagator: TraceContextPropagator,
}

impl Shop {
    /// Opens a shop with `count` instances of a release of the payment service. Has to be called within a Tokio runtime.
    pub(crate) fn open(environment: &str, release: Release, count: usize, hosts: Hosts, setting: Setting) -> Result<Self, InstanceError> {
        let Setting { wire, mut chance } = setting;
        Ok(Self {
            environment: environment.to_owned(),
            hosts,
            fleets: Fleets::start(environment, &wire)?,
            old: Some(Fleet::start(Service::Payment, release, count, Placement { environment, hosts }, &wire)?),
            new: None,
            drift: [chance.normal(), chance.normal(), chance.normal()],
            chance,
            wire,
            propagator: TraceContextPropagator::new(),
        })
    }

    /// Starts `count` instances of a new release beside the old one.
    pub(crate) fn release(&mut self, release: Release, count: usize) -> Result<(), InstanceError> {
        let placement = Placement { environment: &self.environment, hosts: self.hosts };
        self.new = Some(Fleet::start(Service::Payment, release, count, placement, &self.wire)?);
        Ok(())
    }

    /// Stops the old version: the new one gets all traffic. Blocks.
    pub(crate) fn retire(&mut self) -> Result<(), InstanceError> {
        self.old.take().map_or(Ok(()), |old| old.instances().try_for_each(Instance::stop))
    }

    /// Lets traffic pass for `span` from `from`: all its requests are made, none is sent yet.
    pub(crate) fn pass(&mut self, from: UnixNanos, span: Duration, traffic: &Traffic) {
        let drift = self.drift_on();
        let until = from.plus(span);
        let per_second = traffic.per_second * drift.load;
        let mut at = from.plus(self.chance.wait(per_second));
        while at < until {
            self.visit(at, traffic, drift);
            at = at.plus(self.chance.wait(per_second));
        }
    }

    /// Sends what was made and waits until the server has it. Blocks.
    pub(crate) fn flush(&mut self, signals: Signals) -> Result<(), InstanceError> {
        if signals == Signals::All {
            let count = self.instances().count();
            let megabytes: Vec<f64> = (0..count).map(|_| 240.0 + 15.0 * self.chance.normal()).collect();
            for (instance, megabytes) in self.instances().zip(megabytes) {
                instance.memory.record((megabytes * 1e6).round(), &[]);
            }
        }
        std::thread::scope(|scope| {
            let sending: Vec<_> = self.instances().map(|instance| scope.spawn(move || instance.flush(signals))).collect();
            sending.into_iter().try_for_each(|sent| sent.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// Stops all instances. Blocks.
    pub(crate) fn close(self) -> Result<(), InstanceError> {
        std::thread::scope(|scope| {
            let stopping: Vec<_> = self.instances().map(|instance| scope.spawn(|| instance.stop())).collect();
            stopping.into_iter().try_for_each(|stopped| stopped.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.fleets.instances().chain(self.old.iter().chain(&self.new).flat_map(Fleet::instances))
    }

    fn visit(&mut self, at: UnixNanos, traffic: &Traffic, drift: Drift) {
        let (payment, mix) = match (&self.old, &self.new) {
            (Some(old), None) => (old, traffic.mix),
            (Some(_), Some(new)) if self.chance.happens(traffic.canary_share) => (new, traffic.canary_mix),
            (Some(old), Some(_)) => (old, traffic.mix),
            (None, Some(new)) => (new, traffic.canary_mix),
            (None, None) => return,
        };
        let entry = Mix::entries()[self.chance.pick(&mix.weights())];
        let mut visit =
            Visit { fleets: &self.fleets, payment, chance: &mut self.chance, drift, tally: &self.wire.tally, propagator: &self.propagator };
        visit.enter(entry, at);
    }

    fn drift_on(&mut self) -> Drift {
        let fresh = (1.0 - DRIFT_MEMORY * DRIFT_MEMORY).sqrt();
        for level in &mut self.drift {
            *level = DRIFT_MEMORY * *level + fresh * self.chance.normal();
        }
        let [load, latency, errors] = self.drift;
        Drift {
            load: (DRIFT_SPREAD.load * load).exp(),
            latency: (DRIFT_SPREAD.latency * latency).exp(),
            errors: (DRIFT_SPREAD.errors * errors).exp(),
        }
    }
}

/// What a shop is set up with.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Where its telemetry goes.
    pub(crate) wire: Wire,
    /// All its chance.
    pub(crate) chance: Chance,
}
