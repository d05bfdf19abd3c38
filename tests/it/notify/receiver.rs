//! A receiver of notifications that does what real ones do on a bad day.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// `webhook-id`; empty without.
    pub(crate) id: String,
    pub(crate) body: Value,
}

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reply {
    Status(u16),
    /// Takes the request and never answers.
    Hang,
    /// Sends the sender elsewhere.
    Redirect,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    replies: Arc<Mutex<Vec<Reply>>>,
}

impl Receiver {
    /// Gives these replies in order, the last one for ever.
    pub(crate) fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let replies = Arc::new(Mutex::new(replies.to_vec()));
        let (log, left) = (received.clone(), replies.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (log, left) = (log.clone(), left.clone());
                std::thread::spawn(move || serve(connection, &log, &left));
            }
        });
        Self { url: format!("http://127.0.0.1:{port}/hook"), received, replies }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// From now on.
    pub(crate) fn answer(&self, reply: Reply) {
        *self.replies.lock().unwrap() = vec![reply];
    }
}

fn serve(mut connection: TcpStream, log: &Mutex<Vec<Received>>, left: &Mutex<Vec<Reply>>) {
    while let Some(received) = read(&mut connection) {
        let reply = {
            let mut left = left.lock().unwrap();
            if left.len() > 1 { left.remove(0) } else { left[0] }
        };
        log.lock().unwrap().push(received);
        let (status, more) = match reply {
            Reply::Status(status) => (status, String::new()),
            Reply::Redirect => (302, "location: http://169.254.169.254/latest/meta-data\r\n".to_owned()),
            Reply::Hang => {
                std::thread::sleep(Duration::from_secs(600));
                return;
            }
        };
        let answer = format!("HTTP/1.1 {status} x\r\n{more}content-length: 0\r\n\r\n");
        if connection.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(connection: &mut TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(connection);
    let (mut length, mut id) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "webhook-id" => id = value.trim().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { id, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}
