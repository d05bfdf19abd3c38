//! How far verdicts are behind, by `/metrics`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use haldane_store::clock::{Clock as _, SystemClock};

/// What the server waits for late data, as it is by default.
const LATENESS: Duration = Duration::from_secs(15);
const WINDOW: Duration = Duration::from_secs(10);
/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// What is seen of the verdicts, by `/metrics`.
pub(crate) struct Watch {
    pub(crate) api: String,
    pub(crate) client: reqwest::Client,
}

/// In seconds.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) behind: Vec<f64>,
    pub(crate) rounds: Vec<f64>,
}

impl Watch {
    pub(crate) async fn look_for(&self, long: Duration) -> Seen {
        let (began, mut seen) = (Instant::now(), Seen::default());
        // By service: up to when its verdict has seen all data.
        let mut known: HashMap<String, f64> = HashMap::new();
        while began.elapsed() < long {
            let text =
                self.client.get(format!("{}/metrics", self.api)).send().await.expect("the server answers").text().await.expect("a text");
            let now = SystemClock.now().as_nanos() as f64 / 1e9;
            seen.rounds.extend(text.lines().find_map(|line| line.strip_prefix("haldane_judge_round_seconds ")?.parse::<f64>().ok()));
            for line in text.lines().filter(|line| line.starts_with("haldane_rollout_data_age_seconds{")) {
                let (labels, age) = line.rsplit_once(' ').expect("a series has a value");
                let until = now - age.parse::<f64>().expect("a number");
                let window = (until / WINDOW.as_secs_f64()).round();
                if let Some(before) = known.insert(labels.to_owned(), window)
                    && window > before
                {
                    // Of several windows that came at once the first was the latest.
                    seen.behind.push(now - (before + 1.0) * WINDOW.as_secs_f64() - LATENESS.as_secs_f64());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        seen
    }
}
