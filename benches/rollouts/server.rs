//! The real server, with its usual settings.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The real server, and what the system says of it.
pub(crate) struct Server {
    process: Child,
    doors: HashMap<&'static str, String>,
}

impl Server {
    pub(crate) fn start(folder: &std::path::Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_haldane"))
            .args(["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0", "--data"])
            .arg(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let (sender, told) = mpsc::channel();
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| sender.send(line).unwrap_or_default()));
        let mut doors = HashMap::new();
        while doors.len() < 3 {
            let line = told.recv_timeout(Duration::from_secs(60)).expect("the server says where it listens");
            for (door, before) in [("http", "HTTP at "), ("api", "REST at "), ("sql", "wire at ")] {
                let after = line.split_once(before).map(|(_, after)| after.split([',', ' ']).next().unwrap_or(after).to_owned());
                doors.extend(after.map(|address| (door, address)));
            }
        }
        // What it says later has to go somewhere.
        std::thread::spawn(move || told.iter().for_each(drop));
        Self { process, doors }
    }

    pub(crate) fn at(&self, door: &str) -> &str {
        &self.doors[door]
    }

    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        // Linux counts in hundredths of a second.
        Duration::from_secs_f64([11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum::<f64>() / 100.0)
    }

    pub(crate) fn peak_mb(&self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    }

    fn read(&self, what: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.process.id())).expect("the server runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
