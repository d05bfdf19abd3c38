//! A server that gives prepared replies in order, the last one for ever: for what a real one does not do on demand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// What to answer.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A rollout.
    Rollout,
    /// A verdict.
    Verdict(Value),
    /// A problem document.
    Problem(u16, &'static str),
    /// A status with nothing in it, as a proxy gives.
    Status(u16),
    /// A page of something else.
    Text(&'static str),
    /// The connection breaks.
    HangUp,
}

pub(crate) struct Server {
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut left = replies.into_iter().peekable();
            for connection in listener.incoming() {
                let (mut connection, mut repeated) = (connection.unwrap(), None);
                if read_request(&mut connection).is_none() {
                    continue;
                }
                if left.len() == 1 {
                    repeated = left.peek().cloned();
                    // As a long poll does.
                    std::thread::sleep(Duration::from_millis(50));
                }
                let reply = repeated.unwrap_or_else(|| left.next().expect("one is always left"));
                let _ = connection.write_all(text(reply).as_bytes());
            }
        });
        Self { url }
    }
}

/// A verdict on the rollout `0193`.
pub(crate) fn verdict(sequence: u64, decision: &str, last: bool) -> Value {
    let status = match decision {
        "promote" => "succeeded",
        "rollback" => "failed",
        "inconclusive" => "inconclusive",
        _ => "running",
    };
    json!({
        "rollout_id": "0193", "sequence": sequence, "service": "payment", "environment": "shop", "strategy": "canary",
        "decision": decision, "final": last, "status": status, "progress": "collecting", "reason": "because",
        "baseline": {"requests": 9}, "canary": {"requests": 1}, "risk": {"alpha": 0.01}, "promotion": {"beta": 0.05},
        "started_at": "2026-11-20T21:00:00Z", "data_until": "2026-11-20T21:10:00Z", "decided_at": "2026-11-20T21:10:05Z"
    })
}

fn read_request(connection: &mut TcpStream) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()
}

fn text(reply: Reply) -> String {
    let (status, kind, body) = match reply {
        Reply::HangUp => return String::new(),
        Reply::Rollout => (201, "application/json", rollout().to_string()),
        Reply::Verdict(verdict) => (200, "application/json", verdict.to_string()),
        Reply::Problem(status, detail) => {
            let problem = json!({"type": "/problems/x", "title": "x", "status": status, "detail": detail});
            (status, "application/problem+json", problem.to_string())
        }
        Reply::Status(status) => (status, "text/html", String::new()),
        Reply::Text(text) => (200, "text/html", text.to_owned()),
    };
    format!("HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn rollout() -> Value {
    json!({
        "id": "0193", "service": "payment", "environment": "shop", "state": "pending", "strategy": "canary", "origin": "requested",
        "baseline": {"service.version": "1.4.0"}, "canary": {"service.version": "1.5.0"},
        "created_at": "2026-11-20T21:00:00Z", "started_at": "2026-11-20T21:00:00Z",
        "links": {"self": "/", "verdict": "/", "report": "/"}
    })
}
