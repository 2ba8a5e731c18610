//! Tracks the edge of one instance: the request rate at which the objective just holds.
//!
//! Evidence per interval, from early to certain: requests slower than the learned cut ([`super::knee`]); bad requests; and, once a queue stands
//! (Little's law), the rate of completions, which then is the saturated throughput. While a queue drains, latencies are the past's
//! and nothing is learned. Called by [`super::Capacity`], once for production (per replica) and once for the shadow.

use super::channel::{Channel, Curve};
use super::grid::{CELLS, Grid, LogEstimate, SLOPES, STEP};
use super::knee::Knee;
use crate::math::{Decayed, ln, logit, sigmoid};
use crate::series::PathObservation;

/// Share of requests above the cut at the edge.
const SLOW_SHARE: f64 = 0.15;
/// Steepness of their curve relative to that of bad requests.
const SLOW_STEEPNESS: f64 = 0.6;
/// Share of bad requests while the load just equals the saturated throughput: the curve's steepness then says how far below it the edge lies (a
/// small pool's curve is flat, and its edge at two thirds; a large one's steep, and its edge at nine tenths).
const SATURATED_BAD: f64 = 0.5;
/// Uncertainty of the edge that follows, in its logarithm, with the counting noise of an interval.
const SATURATION_SD: f64 = 0.15;
/// Standard deviation of ln C before anything was seen.
const PRIOR_SD: f64 = 0.8;

/// The quickest drift's probability beforehand is this over the start-up time of a replica, in seconds.
const QUICK_S: f64 = 0.5;

/// Memory per interval of what was expected and what came, in bad requests.
const TRUST_KEEP: f64 = 0.97;
/// Bad requests expected before the two are compared, and the share of them that must have come: with fewer the instance is not where it was
/// thought to be, whatever the slow requests say.
const TRUST_AFTER: f64 = 6.0;
const TRUST_SHARE: f64 = 0.35;
/// Below this standard deviation of ln C an estimate is more than a guess.
const KNOWN_SD: f64 = 0.25;
/// By how much the estimate is widened when it was wrong, in ln C.
const MISTAKEN_SD: f64 = 0.2;

/// Long-run spread of ln C around its long-run mean, and how often that prior counts.
const ANCHOR_SD: f64 = 0.5;
const ANCHOR_S: f64 = 40.0;

/// What an interval was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Regime {
    /// Nothing seen.
    #[default]
    Idle,
    /// No queue standing: counts were used.
    Flowing,
    /// A queue stood throughout: throughput was used.
    Saturated,
    /// A queue was draining: nothing was used.
    Draining,
}

/// What a tracker has learned of its instance besides capacity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
    /// Steepness of the failure curve per unit of ln(load / capacity).
    pub slope: f64,
    /// Drift of ln capacity per square root of a second.
    pub drift_sd: f64,
    /// By how much bad requests clump: variance over that of independent requests.
    pub bad_dispersion: f64,
    /// The same of slow requests.
    pub slow_dispersion: f64,
    /// Share of bad requests far below the edge.
    pub base_bad: f64,
    /// From what the filter believes from second to second to what holds over time, in ln capacity.
    pub correction: f64,
}

/// Tracker of one instance.
#[derive(Debug, Clone)]
pub struct Edge {
    sees_slow: bool,
    quick: f64,
    threshold_ms: f64,
    grid: Option<Grid>,
    bad: Channel,
    slow: Channel,
    tolerated: f64,
    cut: Option<u16>,
    knee: Knee,
    expected: f64,
    came: f64,
    due: f64,
    rate: f64,
    sojourn_ms: f64,
    regime: Regime,
    estimate: Option<LogEstimate>,
    anchor: Decayed,
    last: Evidence,
}

/// What the last interval said, kept so that others can ask what it says about their own idea of capacity.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    log_rate: f64,
    n: f64,
    bad: f64,
    slow: Option<f64>,
    throughput: Option<f64>,
}

impl Edge {
    /// A tracker for an objective: threshold in milliseconds, share of requests that must be good; `start_s` is how long a replica takes to start. A
    /// filter that expects quick movements sees them in noise, too: it is as quick as can be answered.
    pub fn new(threshold_ms: f64, target_ratio: f64, start_s: f64) -> Self {
        Self {
            sees_slow: true,
            quick: (QUICK_S / start_s).clamp(0.01, 0.1),
            threshold_ms,
            grid: None,
            bad: Channel::new(1.0 - target_ratio, 1.0),
            slow: Channel::new(SLOW_SHARE, SLOW_STEEPNESS),
            tolerated: 1.0 - target_ratio,
            cut: None,
            knee: Knee::default(),
            expected: 0.0,
            came: 0.0,
            due: 0.0,
            rate: 0.0,
            sojourn_ms: 0.0,
            regime: Regime::Idle,
            estimate: None,
            anchor: Decayed::default(),
            last: Evidence::default(),
        }
    }

    /// The same without the evidence of slow requests: for an instance that is seldom at its edge, where alone they tell anything.
    pub fn by_bad_only(threshold_ms: f64, target_ratio: f64, start_s: f64) -> Self {
        Self { sees_slow: false, ..Self::new(threshold_ms, target_ratio, start_s) }
    }

    /// Takes an interval of `instances` equal instances. `guess` is a capacity to start the search from when nothing is known.
    pub fn observe(&mut self, path: &PathObservation, instances: f64, since_last_s: f64, guess: f64) {
        let rate = path.arrival_rps / instances;
        self.bad.pool(instances);
        self.slow.pool(instances);
        if rate <= 0.0 && path.requests <= 0.0 {
            self.regime = Regime::Idle;
            return self.pass(since_last_s);
        }
        // The queue at the end of an interval remembers the seconds before it: the rate that matters is a short mean.
        let rate_before = std::mem::replace(&mut self.rate, rate);
        if since_last_s <= 5.0 && rate_before > 0.0 {
            self.rate = rate_before + 0.6 * (rate - rate_before);
        }
        if self.grid.is_none() {
            let centre = guess.max(rate).max(0.05).ln();
            self.grid = Some(Grid::new(centre, PRIOR_SD, self.quick));
            self.anchor.add(centre, 1.0);
        }
        self.predict(since_last_s);
        let before = std::mem::replace(&mut self.sojourn_ms, path.sojourn_ms());
        self.regime = if before > self.threshold_ms && self.sojourn_ms > self.threshold_ms && path.done_rps > 0.0 {
            self.take_throughput(path.done_rps / instances);
            Regime::Saturated
        } else if before > self.threshold_ms && rate < 0.75 * rate_before {
            self.rate = rate;
            Regime::Draining
        } else {
            self.take_counts(path);
            Regime::Flowing
        };
        self.settle(path);
    }

    /// Lets time pass without evidence.
    pub fn pass(&mut self, since_last_s: f64) {
        self.predict(since_last_s);
        self.estimate = self.grid.as_mut().map(Grid::settle);
    }

    /// Sets the share of requests that is bad whatever the load. When it comes or goes, what was believed was wrong.
    pub fn excuse(&mut self, share: f64) {
        if self.bad.excuse(share) {
            self.widen(MISTAKEN_SD);
        }
    }

    /// Widens the estimate: after a gap or a new release.
    pub fn widen(&mut self, sd: f64) {
        if let Some(grid) = &mut self.grid {
            grid.widen(sd);
        }
    }

    fn predict(&mut self, seconds: f64) {
        self.last = Evidence::default();
        if let Some(grid) = &mut self.grid {
            grid.predict(seconds);
            if let Some(anchor) = self.anchor.get() {
                grid.recall(anchor, ANCHOR_SD, seconds, ANCHOR_S);
            }
        }
    }

    fn take_throughput(&mut self, done_rps: f64) {
        self.last = Evidence { throughput: Some(done_rps.ln() - self.load_for_bad(SATURATED_BAD)), ..Default::default() };
        self.apply();
    }

    fn take_counts(&mut self, path: &PathObservation) {
        if self.rate <= 0.0 {
            return;
        }
        let (n, log_rate) = (path.requests, self.rate.ln());
        let slow_count = self.cut.map(|cut| (Knee::above(&path.latency, cut) + path.failed).min(n));
        self.last = Evidence { log_rate, n, bad: path.bad, slow: slow_count, throughput: None };
        let (bad, slow) = (self.bad.curve(), self.slow.curve());
        let fill = |c: Curve| move |a: f64, x: f64, row: &mut [f64]| c.fill(a, log_rate - x, STEP, row);
        let expect = |c: Curve| self.grid.as_ref().map_or(0.0, |g| g.expect(fill(c)));
        let (expected_bad, expected_slow) = (expect(bad), expect(slow));
        self.apply();
        let u = log_rate - self.estimate.map_or(log_rate, |e| e.mean);
        self.bad.learn(n, path.bad, expected_bad, u);
        if self.estimate.is_some_and(|e| e.sd < 0.2) {
            self.bad.calibrate(n, path.bad, self.slope(), u);
        }
        if let Some(k) = slow_count {
            self.slow.learn(n, k, expected_slow, u);
        }
        self.trust(n, n * self.bad.curve().probability(self.slope(), u), path.bad);
    }

    /// Slow requests are told apart by a cut that was learned at the edge. Where the service itself is what makes them slow, their share hardly falls
    /// with load, and they would hold the estimate to any load there is. Bad requests are what the objective counts: when far fewer come than belong
    /// to the load believed, the cut is given up and the estimate widened.
    fn trust(&mut self, n: f64, expected: f64, came: f64) {
        self.expected = self.expected * TRUST_KEEP + expected;
        self.came = self.came * TRUST_KEEP + came;
        // What was only a guess at capacity brought nothing due: traffic that sets in looks like a load far beyond the first second's.
        let known = self.estimate.is_some_and(|e| e.sd < KNOWN_SD);
        self.due = self.due * TRUST_KEEP + if known { (expected - n * self.bad.base()).max(0.0) } else { 0.0 };
        if self.cut.is_some() && self.expected > TRUST_AFTER && self.came < TRUST_SHARE * self.expected {
            self.knee = Knee::default();
            self.cut = None;
            (self.expected, self.came) = (0.0, 0.0);
            self.widen(MISTAKEN_SD);
        }
    }

    /// Bad requests that the load believed should have brought lately, those that come without load left out: how much the instance's own numbers
    /// tell of its edge.
    pub fn bad_due(&self) -> f64 {
        self.due
    }

    /// Whether bad requests themselves say that the instance is about at its edge.
    fn at_edge(&self) -> bool {
        self.expected > 0.5 * TRUST_AFTER && self.came > TRUST_SHARE * self.expected
    }

    fn apply(&mut self) {
        let view = self.view();
        if let Some(grid) = &mut self.grid {
            grid.update(|a, x, row| view.fill(a, x, STEP, row));
        }
    }

    fn view(&self) -> View {
        View { evidence: self.last, bad: self.bad.curve(), slow: self.slow.curve(), weights: self.weights() }
    }

    /// Expected steepness of the curve.
    fn slope(&self) -> f64 {
        self.grid.as_ref().map_or(14.0, |g| g.expect_slope(|a| a))
    }

    /// From what the filter believes to what holds over time, in ln C (see [`Channel::calibrate`]).
    fn correction(&self) -> f64 {
        -self.bad.shift() / (self.slope() * self.bad.steepness())
    }

    fn weights(&self) -> (f64, f64) {
        (1.0 / self.bad.dispersion(), 1.0 / self.slow.dispersion())
    }

    /// Log-likelihoods of the last interval if ln C were `x`, `x + step`, and so on, each under the steepness that suits it best; 0 everywhere when it said
    /// nothing. Far below its edge an instance does not tell how steep its curve is, and the flattest would refute, second by second, every capacity
    /// near the load: what holds whatever the steepness is all that may be added up. A row is as long as the grid's at most.
    pub fn says_of(&self, x: f64, step: f64, row: &mut [f64]) {
        if self.grid.is_none() {
            return row.fill(0.0);
        }
        let (view, x) = (self.view(), x - self.correction());
        let mut one = [0.0; CELLS];
        let one = &mut one[..row.len()];
        row.fill(f64::NEG_INFINITY);
        for slope in SLOPES {
            view.fill(slope, x, step, one);
            row.iter_mut().zip(&*one).for_each(|(best, l)| *best = best.max(*l));
        }
    }

    fn settle(&mut self, path: &PathObservation) {
        let Some(estimate) = self.grid.as_mut().map(Grid::settle) else { return };
        self.estimate = Some(estimate);
        if estimate.sd < 0.25 {
            self.anchor.add(estimate.mean, 0.995);
        }
        let u = self.rate.max(1e-9).ln() - estimate.mean;
        if self.regime == Regime::Flowing && u.abs() < 0.12 && estimate.sd < 0.15 && self.sees_slow && self.at_edge() {
            self.knee.learn(&path.latency, path.bad, path.failed);
            if let Some((cut, share)) = self.knee.cut(SLOW_SHARE) {
                self.follow_cut(cut, share);
            }
        }
    }

    /// The cut moves with the knee, the curve's anchor with it. More bad requests than the objective tolerates while learning mean that
    /// the cut was learned beyond the edge: at the edge itself fewer exceed it.
    fn follow_cut(&mut self, cut: u16, share: f64) {
        let bad = self.knee.bad_share(self.tolerated).clamp(0.2 * self.tolerated, 0.5);
        let anchor = sigmoid(logit(share) - SLOW_STEEPNESS * (logit(bad) - logit(self.tolerated)));
        self.cut = Some(cut);
        self.slow = self.slow.clone().with_anchor(anchor);
    }

    /// ln C of one instance; None before the first traffic.
    pub fn estimate(&self) -> Option<LogEstimate> {
        self.estimate.map(|e| LogEstimate { mean: e.mean + self.correction(), sd: e.sd })
    }

    /// Probability per grid cell with the cells' ln C.
    pub fn distribution(&self) -> Option<Vec<(f64, f64)>> {
        let grid = self.grid.as_ref()?;
        let correction = self.correction();
        Some(grid.marginal().iter().enumerate().map(|(i, p)| (grid.x(i) + correction, *p)).collect())
    }

    /// Expected variance of ln C per second.
    pub fn drift_variance(&self) -> f64 {
        self.grid.as_ref().map_or(4e-4, Grid::drift_variance)
    }

    /// ln(load / capacity) at which a share of requests is bad, averaged over what is believed of the curve.
    pub fn load_for_bad(&self, share: f64) -> f64 {
        let curve = self.bad.curve();
        self.grid.as_ref().map_or(0.0, |g| g.expect_slope(|a| curve.inverse(a, share)))
    }

    /// Probability that a request is bad at ln(load / capacity) = `u`.
    pub fn bad_probability(&self, u: f64) -> f64 {
        let curve = self.bad.curve();
        self.grid.as_ref().map_or_else(|| curve.probability(14.0, u), |g| g.expect_slope(|a| curve.probability(a, u)))
    }

    /// Share of bad requests far below the edge.
    pub fn base_bad(&self) -> f64 {
        self.bad.base()
    }

    /// What the filter has learned besides capacity, for inspection.
    pub fn learned(&self) -> Learned {
        Learned {
            slope: self.slope() * self.bad.steepness(),
            drift_sd: self.drift_variance().sqrt(),
            bad_dispersion: self.bad.dispersion(),
            slow_dispersion: self.slow.dispersion(),
            base_bad: self.bad.base(),
            correction: self.correction(),
        }
    }

    /// What the last interval was good for.
    pub fn regime(&self) -> Regime {
        self.regime
    }

    /// Smoothed requests per second per instance.
    pub fn rate(&self) -> f64 {
        self.rate
    }
}

struct View {
    evidence: Evidence,
    bad: Curve,
    slow: Curve,
    weights: (f64, f64),
}

impl View {
    /// The log-likelihoods of ln C = `x`, `x + step`, and so on: a row as long as the grid's at most.
    fn fill(&self, slope: f64, x: f64, step: f64, row: &mut [f64]) {
        let e = &self.evidence;
        if let Some(throughput) = e.throughput {
            let off = |i: usize| (x + step * i as f64 - throughput) / SATURATION_SD;
            row.iter_mut().enumerate().for_each(|(i, l)| *l = -0.5 * off(i) * off(i));
            return;
        }
        let mut p = [0.0; CELLS];
        let p = &mut p[..row.len()];
        self.bad.fill(slope, e.log_rate - x, step, p);
        row.iter_mut().zip(&*p).for_each(|(l, p)| *l = self.weights.0 * log_likelihood(e.n, e.bad, *p));
        if let Some(k) = e.slow {
            self.slow.fill(slope, e.log_rate - x, step, p);
            row.iter_mut().zip(&*p).for_each(|(l, p)| *l += self.weights.1 * log_likelihood(e.n, k, *p));
        }
    }
}

fn log_likelihood(n: f64, k: f64, p: f64) -> f64 {
    k * ln(p) + (n - k) * ln(1.0 - p)
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;
