pub(crate) mod world;

mod alarms;
mod broken;
mod gates;
mod instances;
mod numbers;
mod rules;
mod scenarios;
mod telemetry;
