pub(crate) mod world;

mod alarms;
mod broken;
mod instances;
mod rules;
mod scenarios;
mod telemetry;
