//! The server under load: the real binary on a core of its own, and what the system says of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::Value;

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Linux counts processor time in these.
const TICKS_PER_SECOND: f64 = 100.0;

/// What takes the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Haldane,
    /// Writes Parquet files too, of what it has in memory; takes HTTP only. `benches/ingest/peers.sh` installs it.
    Otlp2Parquet,
}

pub(crate) struct Server {
    process: Child,
    data: PathBuf,
    program: Program,
    pub(crate) grpc: String,
    pub(crate) http: String,
}

impl Server {
    /// Starts it on core 0 with an empty folder.
    pub(crate) fn start(data: &Path) -> Self {
        let _ = std::fs::remove_dir_all(data);
        Self::start_on(data)
    }

    /// Starts it on core 0 with what the folder has.
    pub(crate) fn start_on(data: &Path) -> Self {
        Self::start_build(data, Path::new(env!("CARGO_BIN_EXE_haldane")), &[])
    }

    /// Starts any build of it, with settings from the environment.
    pub(crate) fn start_build(data: &Path, build: &Path, settings: &[(&str, &str)]) -> Self {
        let mut process = Command::new("taskset")
            .args(["-c", "0"])
            .arg(build)
            .arg("serve")
            .args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("taskset of util-linux is installed");
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let (sender, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("WARN") || line.contains("ERROR") {
                    crate::say(&format!("server: {line}"));
                }
                let _ = sender.send(line);
            }
        });
        let mut doors = HashMap::new();
        while doors.len() < 2 {
            let line = told.recv_timeout(PATIENCE).expect("the server says where it listens");
            for (door, before) in [("grpc", "gRPC at "), ("http", "HTTP at ")] {
                let after = line.split_once(before).map(|(_, after)| after.split([',', ' ']).next().unwrap_or(after).to_owned());
                doors.extend(after.map(|address| (door, address)));
            }
        }
        let address = |door: &str| doors.get(door).cloned().expect("both were told");
        Self { grpc: address("grpc"), http: address("http"), process, data: data.to_owned(), program: Program::Haldane }
    }

    /// The peer, on core 0 with an empty folder; `None` when it is not installed.
    pub(crate) fn start_peer(data: &Path, program: &Path) -> Option<Self> {
        let _ = std::fs::remove_dir_all(data);
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let process = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(["--log-level", "error", "--port", &free.port().to_string(), "--output"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let http = format!("http://{free}");
        let server = Self { grpc: String::new(), http, process, data: data.to_owned(), program: Program::Otlp2Parquet };
        let start = Instant::now();
        while std::net::TcpStream::connect(free).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
        Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
    }

    /// The most memory it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    }

    fn read(&self, what: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.process.id())).expect("the server runs")
    }

    /// Rows and bytes in the live files of a table, as its Delta log tells; of a peer, in all its files.
    pub(crate) fn committed(&self, table: &str) -> (u64, u64) {
        match self.program {
            Program::Haldane => committed(&self.data.join("tables").join(table)),
            Program::Otlp2Parquet => written(&self.data),
        }
    }

    /// Waits until the rows of a table are joined in so few files.
    pub(crate) fn wait_for_files(&self, table: &str, files_max: usize) {
        let start = Instant::now();
        while live_files(&self.data.join("tables").join(table)).len() > files_max {
            assert!(start.elapsed() < PATIENCE, "the files of {table} are not joined");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a table has this many rows.
    pub(crate) fn wait_for(&self, table: &str, rows: u64) {
        let start = Instant::now();
        loop {
            let (found, _) = self.committed(table);
            if found >= rows {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{found} of {rows} rows in {table}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn committed(table: &Path) -> (u64, u64) {
    live_files(table).values().fold((0, 0), |(rows, bytes), file| (rows + file.0, bytes + file.1))
}

/// Rows and bytes of each live file.
fn live_files(table: &Path) -> HashMap<String, (u64, u64)> {
    let Ok(entries) = std::fs::read_dir(table.join("_delta_log")) else { return HashMap::new() };
    let mut commits: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    commits.sort();
    let mut live: HashMap<String, (u64, u64)> = HashMap::new();
    for commit in commits {
        for line in std::fs::read_to_string(commit).unwrap_or_default().lines() {
            let Ok(action) = serde_json::from_str::<Value>(line) else { continue };
            if let Some(add) = action.get("add") {
                let stats: Value = serde_json::from_str(add["stats"].as_str().unwrap_or("{}")).unwrap_or_default();
                let file = (stats["numRecords"].as_u64().unwrap_or(0), add["size"].as_u64().unwrap_or(0));
                live.insert(add["path"].as_str().unwrap_or_default().to_owned(), file);
            }
            if let Some(remove) = action.get("remove") {
                live.remove(remove["path"].as_str().unwrap_or_default());
            }
        }
    }
    live
}

/// Of the files in a folder that have been written whole.
fn written(folder: &Path) -> (u64, u64) {
    let Ok(entries) = std::fs::read_dir(folder) else { return (0, 0) };
    let entry = |path: PathBuf| {
        if path.is_dir() {
            return written(&path);
        }
        let whole = File::open(&path).ok().filter(|_| path.extension().is_some_and(|extension| extension == "parquet"));
        let rows = whole.and_then(|file| SerializedFileReader::new(file).ok()).map(|file| file.metadata().file_metadata().num_rows());
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        rows.and_then(|rows| u64::try_from(rows).ok()).map_or((0, 0), |rows| (rows, bytes))
    };
    entries.filter_map(|found| Some(entry(found.ok()?.path()))).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}
