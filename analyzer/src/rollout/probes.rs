//! Addresses that policies have asked, and what they answered.
//!
//! Always holds: only hosts that the settings name are asked, and no answer's text is kept. What was answered is forgotten when the rollout ends or the program does.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use haldane_store::UnixNanos;
use haldane_store::name::matches_pattern;

use super::model::{Rollout, RolloutId};
use crate::judge::{Evidence, Role, Sample};
use crate::policy::{Gate, Limit, Policy};

/// Asks an address with GET, without following redirects. The caller makes it; the analyzer knows no HTTP.
pub trait Prober: Send + Sync + std::fmt::Debug {
    /// The status of the answer, or in words why there is none; within some seconds.
    fn status<'a>(&'a self, url: &'a str) -> Pin<Box<dyn Future<Output = Result<u16, String>> + Send + 'a>>;
}

/// So many answers of a probe are kept.
const ANSWERS_MAX: usize = 200;

#[derive(Debug, Clone)]
struct Answer {
    at: UnixNanos,
    right: bool,
}

#[derive(Debug, Default)]
struct Known {
    answers: Vec<Answer>,
    /// Why the last one was wrong, or nobody was asked.
    why: Option<String>,
}

/// What was answered to the probes of live rollouts.
#[derive(Debug)]
pub(super) struct Probes {
    prober: Option<Arc<dyn Prober>>,
    hosts: Vec<String>,
    known: Mutex<HashMap<(RolloutId, String), Known>>,
}

impl Probes {
    pub(super) fn new(hosts: Vec<String>) -> Self {
        Self { prober: None, hosts, known: Mutex::default() }
    }

    pub(super) fn ask_with(&mut self, prober: Arc<dyn Prober>) {
        self.prober = Some(prober);
    }

    /// Forgets rollouts that have ended.
    pub(super) fn keep(&self, live: &[Rollout]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(id, _), _| live.iter().any(|rollout| rollout.id == *id));
    }

    /// Asks each address of the policy once.
    pub(super) async fn ask(&self, rollout: &Rollout, policy: &Policy, now: UnixNanos) {
        let probed = policy.gates().iter().filter_map(|gate| match &gate.limit {
            Limit::Probe { url, status, .. } => Some(async move { (gate, *status, self.answer(url).await) }),
            Limit::ErrorRate { .. } | Limit::Latency { .. } | Limit::Resource { .. } | Limit::Traffic { .. } => None,
        });
        for (gate, status, answered) in futures::future::join_all(probed).await {
            self.note(rollout, gate, now, (status, answered));
        }
    }

    /// Adds all answers so far to the evidence.
    pub(super) fn tell(&self, rollout: &Rollout, policy: &Policy, evidence: &mut Evidence) {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for gate in policy.gates() {
            let Some(known) = all.get(&(rollout.id.clone(), gate.name.clone())) else { continue };
            let check: Arc<str> = gate.name.as_str().into();
            let sample = |answer: &Answer| Sample {
                at: answer.at,
                cohort: Role::Canary,
                check: check.clone(),
                instance: "".into(),
                value: if answer.right { 1.0 } else { 0.0 },
            };
            evidence.samples.extend(known.answers.iter().map(sample));
            evidence.unreadable.extend(known.why.iter().map(|why| (check.clone(), why.clone())));
        }
    }

    /// The status, or why nobody was asked, or why nobody answered.
    async fn answer(&self, url: &str) -> Result<Result<u16, String>, String> {
        let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).ok_or("the address has no host")?;
        if !self.hosts.iter().any(|pattern| matches_pattern(pattern, &host)) {
            return Err(format!("{host} is not one of analyzer.probe_hosts in the settings"));
        }
        let Some(prober) = &self.prober else { return Err("nothing is probed here".to_owned()) };
        Ok(prober.status(url).await)
    }

    fn note(&self, rollout: &Rollout, gate: &Gate, at: UnixNanos, (wanted, answered): (u16, Result<Result<u16, String>, String>)) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry((rollout.id.clone(), gate.name.clone())).or_default();
        let (right, why) = match answered {
            Err(why) => (None, Some(why)),
            Ok(Ok(status)) if status == wanted => (Some(true), None),
            Ok(Ok(status)) => (Some(false), Some(format!("status {status}, {wanted} is right"))),
            Ok(Err(why)) => (Some(false), Some(why)),
        };
        known.why = why;
        known.answers.extend(right.map(|right| Answer { at, right }));
        // What was answered in an earlier stage says nothing of this one.
        known.answers.retain(|answer| answer.at >= rollout.judged_from());
        let over = known.answers.len().saturating_sub(ANSWERS_MAX);
        known.answers.drain(..over);
    }
}
