mod world;

mod alarms;
mod broken;
mod scenarios;
