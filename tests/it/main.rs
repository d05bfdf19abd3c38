//! Stories through the public doors: the real binary on free ports, real clients, real traces.

#[cfg(test)]
mod access;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod api;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod description;
#[cfg(test)]
mod duckdb;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod integrations;
#[cfg(test)]
mod jaeger;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod world;
