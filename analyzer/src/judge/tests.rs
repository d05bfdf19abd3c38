mod world;

mod alarms;
mod broken;
mod cost;
mod scenarios;
