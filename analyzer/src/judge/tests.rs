pub(crate) mod world;

mod alarms;
mod broken;
mod instances;
mod scenarios;
mod telemetry;
