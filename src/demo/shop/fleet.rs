//! Fleets: the instances of one version of one service, and who gets which request.

use super::catalog::Service;
use super::chance::Chance;
use super::instance::{Identity, Instance, InstanceError, Wire};
use super::release::{Defect, Release};

/// The version of the services that are not released anew.
const STEADY: Release = Release { version: "2.3.1", defect: Defect::None };

/// Instances of each of those services.
const STEADY_INSTANCES: usize = 2;

/// How a fleet's instances are placed on hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Hosts {
    /// All hosts are well.
    Well,
    /// The last instance of every fleet of the judged service runs on `host-7`, where all takes this many times as long.
    OneSlow {
        /// How many times as long.
        slowness: f64,
    },
}

/// Where a fleet runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement<'a> {
    /// `deployment.environment.name`.
    pub(crate) environment: &'a str,
    /// On which hosts.
    pub(crate) hosts: Hosts,
}

/// An instance and the host it is on.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Instance,
    /// How many times as long everything takes here.
    pub(super) slowness: f64,
}

/// The instances of one version.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(super) release: Release,
    members: Vec<Member>,
}

impl Fleet {
    /// Starts `count` instances of a release, at least one.
    pub(crate) fn start(service: Service, release: Release, count: usize, on: Placement<'_>, wire: &Wire) -> Result<Self, InstanceError> {
        let count = count.max(1);
        let member = |number: usize| {
            let slow = matches!(on.hosts, Hosts::OneSlow { .. }) && number == count;
            let slowness = match on.hosts {
                Hosts::OneSlow { slowness } if slow => slowness,
                Hosts::OneSlow { .. } | Hosts::Well => 1.0,
            };
            let host = if slow { "host-7".to_owned() } else { format!("host-{number}") };
            let identity = Identity { service, version: release.version, environment: on.environment.to_owned(), number, host };
            Ok(Member { instance: Instance::start(identity, wire)?, slowness })
        };
        Ok(Self { release, members: (1..=count).map(member).collect::<Result<_, InstanceError>>()? })
    }

    /// The member that a request goes to: all are equally likely.
    pub(super) fn route(&self, chance: &mut Chance) -> &Member {
        &self.members[chance.index(self.members.len())]
    }

    /// The instances.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.members.iter().map(|member| &member.instance)
    }
}

/// The fleets of the services around the judged one.
#[derive(Debug)]
pub(crate) struct Fleets {
    pub(super) frontend: Fleet,
    pub(super) checkout: Fleet,
    pub(super) inventory: Fleet,
}

impl Fleets {
    /// Starts them.
    pub(crate) fn start(environment: &str, wire: &Wire) -> Result<Self, InstanceError> {
        let fleet = |service| Fleet::start(service, STEADY, STEADY_INSTANCES, Placement { environment, hosts: Hosts::Well }, wire);
        Ok(Self { frontend: fleet(Service::Frontend)?, checkout: fleet(Service::Checkout)?, inventory: fleet(Service::Inventory)? })
    }

    /// The instances.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Instance> {
        [&self.frontend, &self.checkout, &self.inventory].into_iter().flat_map(Fleet::instances)
    }
}
