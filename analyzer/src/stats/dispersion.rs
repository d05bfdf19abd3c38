//! How noisy a service is: burstiness of its events (F8) and differences between its instances (F9).
//!
//! Both are measured on the evidence itself, for there may be no history. They only ever make the judge more careful: `phi` is
//! never below one, and few observations are drawn towards a prior.

use super::likelihood::newton;

/// Events of one cohort in one window, and how many its own average rates would give there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WindowCount {
    /// Number of the window.
    pub(crate) window: i64,
    /// Requests, each weighted by the cohort's rate for its operation.
    pub(crate) expected: f64,
    /// Events.
    pub(crate) events: f64,
}

/// Fewer blocks than this say nothing about the spread between blocks.
const BLOCKS_MIN: usize = 4;

/// From this much information on, the paired estimate alone is believed.
const INFORMATION_ENOUGH: f64 = 10.0;

/// The windows of two cohorts, or of two halves of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arms<'a> {
    /// One of them, sorted by window.
    pub(crate) canary: &'a [WindowCount],
    /// The other, sorted by window.
    pub(crate) baseline: &'a [WindowCount],
}

/// Burstiness of the two arms' events in blocks of the given numbers of windows, the first of which is one window.
///
/// The larger of the paired and the serial estimate. The paired one (F8) is blind to what hits both arms; it knows
/// nothing while the arms have few events, so that until then the serial one counts, whose weight falls as information grows.
pub(crate) fn burstiness(arms: Arms<'_>, blocks: &[i64]) -> f64 {
    let (paired, information) = paired_burstiness(arms, blocks);
    let weight = (INFORMATION_ENOUGH / information.max(1e-9)).min(1.0);
    let short = if weight < 1.0 { &blocks[..1] } else { &blocks[..blocks.len().min(2)] };
    let serial = short
        .iter()
        .flat_map(|block| [serial_burstiness(arms.canary, *block), serial_burstiness(arms.baseline, *block)])
        .fold(1.0, f64::max);
    paired.max(1.0 + weight * (serial - 1.0))
}

/// F8: the variance of block sums of the score, over its expectation for independent events, at the fitted rate ratio. It is taken between
/// neighbouring blocks, not about the mean: a fault that begins in the middle is one step there, and not noise ever after.
///
/// Returns the largest over the block sizes, at least one, and the information it rests on (0 when it rests on nothing).
pub(crate) fn paired_burstiness(arms: Arms<'_>, blocks: &[i64]) -> (f64, f64) {
    let pairs = pair_up(arms);
    let (x, y) = pairs.iter().fold((0.0, 0.0), |(x, y), pair| (x + pair.canary.events, y + pair.baseline.events));
    if x <= 0.0 || y <= 0.0 {
        return (1.0, 0.0);
    }
    let d = newton(0.0, |d| {
        pairs.iter().fold((x, 0.0), |(score, information), pair| {
            let theta = pair.theta(d);
            let events = pair.canary.events + pair.baseline.events;
            (score - events * theta, information + events * theta * (1.0 - theta))
        })
    });
    let mut phi: f64 = 1.0;
    let mut known = 0.0;
    for block in blocks {
        let sums = block_scores(&pairs, d, *block);
        let filled = sums.iter().filter(|(_, information)| *information > 0.0).count();
        let information: f64 = sums.iter().map(|(_, information)| information).sum();
        if filled < BLOCKS_MIN || information <= 0.0 {
            continue;
        }
        phi = phi.max(between_neighbours(&sums));
        known = f64::max(known, information);
    }
    (phi, known)
}

/// `sum (s_i v_j - s_j v_i)^2 / (v_i v_j) / sum (v_i + v_j)` over neighbours `i`, `j` with scores `s` of information `v`, the mean of which is one. Few blocks are
/// drawn towards that, as if three more had been just as expected.
fn between_neighbours(blocks: &[(f64, f64)]) -> f64 {
    let filled: Vec<(f64, f64)> = blocks.iter().copied().filter(|(_, information)| *information > 0.0).collect();
    let (mut squares, mut information) = (0.0, 0.0);
    for pair in filled.windows(2) {
        let ((s, v), (t, w)) = (pair[0], pair[1]);
        squares += (s * w - t * v).powi(2) / (v * w);
        information += v + w;
    }
    let freedom = filled.len().saturating_sub(1) as f64;
    (PRIOR_GROUPS + squares / information.max(1e-300) * freedom) / (PRIOR_GROUPS + freedom)
}

/// The variance of events between neighbouring blocks of one cohort, over its expectation for independent events.
///
/// `sum (x_i e_j - x_j e_i)^2 / (e_i e_j) / sum (x_i + x_j)` over neighbours `i`, `j`: given `x_i + x_j`, its mean is one. Slow drift
/// cancels. Few blocks with events are drawn towards one. One
/// window alone may hold a single episode, so its events count as one.
pub(crate) fn serial_burstiness(counts: &[WindowCount], block: i64) -> f64 {
    let merged = merge_blocks(counts, block);
    match merged.as_slice() {
        [only] if block <= 1 => return only.events.max(1.0),
        few if block > 1 && few.len() < BLOCKS_MIN => return 1.0,
        _ => {}
    }
    let (mut squares, mut events) = (0.0, 0.0);
    for pair in merged.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        squares += (a.events * b.expected - b.events * a.expected).powi(2) / (a.expected * b.expected);
        events += a.events + b.events;
    }
    if events <= 0.0 {
        return 1.0;
    }
    let freedom = merged.iter().filter(|count| count.events > 0.0).count() as f64;
    ((PRIOR_GROUPS + squares / events * freedom) / (PRIOR_GROUPS + freedom)).max(1.0)
}

struct Pair {
    canary: WindowCount,
    baseline: WindowCount,
}

impl Pair {
    fn theta(&self, d: f64) -> f64 {
        let odds = self.canary.expected / self.baseline.expected * d.exp();
        odds / (1.0 + odds)
    }
}

fn pair_up(arms: Arms<'_>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut others = arms.baseline.iter().filter(|count| count.expected > 0.0).peekable();
    for canary in arms.canary.iter().filter(|count| count.expected > 0.0) {
        while others.next_if(|other| other.window < canary.window).is_some() {}
        if let Some(baseline) = others.next_if(|other| other.window == canary.window) {
            pairs.push(Pair { canary: *canary, baseline: *baseline });
        }
    }
    pairs
}

/// Score and information of each block.
fn block_scores(pairs: &[Pair], d: f64, block: i64) -> Vec<(f64, f64)> {
    let mut sums: Vec<(i64, f64, f64)> = Vec::new();
    for pair in pairs {
        let theta = pair.theta(d);
        let events = pair.canary.events + pair.baseline.events;
        let key = pair.canary.window.div_euclid(block);
        let (score, information) = (pair.canary.events - theta * events, events * theta * (1.0 - theta));
        match sums.last_mut().filter(|last| last.0 == key) {
            Some(last) => (last.1, last.2) = (last.1 + score, last.2 + information),
            None => sums.push((key, score, information)),
        }
    }
    sums.into_iter().map(|(_, score, information)| (score, information)).collect()
}

fn merge_blocks(counts: &[WindowCount], block: i64) -> Vec<WindowCount> {
    let mut merged: Vec<WindowCount> = Vec::new();
    for count in counts.iter().filter(|count| count.expected > 0.0) {
        let key = count.window.div_euclid(block);
        match merged.last_mut().filter(|last| last.window == key) {
            Some(last) => (last.expected, last.events) = (last.expected + count.expected, last.events + count.events),
            None => merged.push(WindowCount { window: key, ..*count }),
        }
    }
    merged
}

/// Events of one instance, or one stretch of time, and how many the cohort's average rates would give.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct GroupCount {
    /// Requests, each weighted by the cohort's rate for its operation.
    pub(crate) expected: f64,
    /// Events.
    pub(crate) events: f64,
}

/// How far groups of one cohort lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// Standard deviation of a group's log rate.
    pub(crate) sigma: f64,
    /// How many groups it rests on beyond the prior, each counted by how precise it is.
    pub(crate) weight: f64,
}

/// As many groups, or blocks of time, as the prior is worth.
const PRIOR_GROUPS: f64 = 3.0;

/// F9: standard deviation of the log rates of groups, drawn towards a prior while there are few of them or few events.
///
/// DerSimonian and Laird (1986), Controlled Clinical Trials 7, equation 7, on `ln((y + .5) / (e + .5))` with variance `phi / (y + .5)`.
pub(crate) fn spread(groups: &[GroupCount], phi: f64, prior: f64) -> Spread {
    let points: Vec<(f64, f64)> = groups
        .iter()
        .filter(|group| group.expected > 0.0)
        .map(|group| (((group.events + 0.5) / (group.expected + 0.5)).ln(), phi / (group.events + 0.5)))
        .collect();
    let weight = (points.iter().map(|(_, variance)| prior * prior / (prior * prior + variance)).sum::<f64>() - 1.0).max(0.0);
    if points.len() < 2 || weight <= 0.0 {
        return Spread { sigma: prior, weight: 0.0 };
    }
    let (w1, w2) = points.iter().fold((0.0, 0.0), |(w1, w2), (_, variance)| (w1 + 1.0 / variance, w2 + variance.powi(-2)));
    let mean = points.iter().map(|(value, variance)| value / variance).sum::<f64>() / w1;
    let q: f64 = points.iter().map(|(value, variance)| (value - mean).powi(2) / variance).sum();
    let freedom = (points.len() - 1) as f64;
    let between = ((q - freedom) / (w1 - w2 / w1).max(1e-12)).max(0.0);
    let variance = (PRIOR_GROUPS * prior * prior + weight * between) / (PRIOR_GROUPS + weight);
    Spread { sigma: variance.sqrt(), weight }
}

/// Sum of the squared shares of a cohort's traffic: one over the number of instances if they are equal (F9).
pub(crate) fn concentration(requests: impl Iterator<Item = f64> + Clone) -> f64 {
    let total: f64 = requests.clone().sum();
    if total > 0.0 { requests.map(|n| (n / total).powi(2)).sum() } else { 1.0 }
}

#[cfg(test)]
mod tests;
