//! What one production replica can take: both instances' edges fused, with the learned scale between them, and where it is heading.
//!
//! [`Capacity::observe`] once an interval; then [`Capacity::now`], [`Capacity::forecast`]. Production alone is kept as well
//! ([`Capacity::alone`]): it is what could be known without a shadow, for the verdict on the shadow's worth.

pub mod channel;
pub mod edge;
pub mod grid;
pub mod incurable;
pub mod knee;
pub mod scale;

use crate::math::{exp, ln, slope};
use crate::series::{Observation, Window};
use edge::{Edge, Regime};
use grid::{LogEstimate, moments};
use incurable::Incurable;
use scale::ScaleLearner;

/// Capacity counts as known below this standard deviation of its logarithm.
const KNOWN_SD: f64 = 0.3;
/// The same for production alone: far below its edge the filter knows only a lower bound and its own long-run mean, and is wider than this.
const KNOWN_ALONE_SD: f64 = 0.18;
/// Over how long the trend is measured, in start-up times of a replica: faster movements than one can answer are noise here.
const TREND_STARTS: f64 = 1.6;
/// Seconds of knowing capacity before its movements are taken for a trend.
const SETTLED_S: f64 = 15.0;
/// A movement of ln C over a start-up time below this is mostly the tracker's own noise.
const START_NOISE: f64 = 0.04;
/// A trend loses this share of itself per start-up time ahead.
const DAMPING: f64 = 0.6;

/// A recovery is extrapolated by this share.
const RECOVERY: f64 = 0.5;
/// Bad requests that production's load should bring within the filter's memory from which on its own numbers count for half.
const INFORMED_AT: f64 = 30.0;

/// Share of bad requests up to which capacity can still be told beside what no replica cures.
pub const MOST_EXCUSED: f64 = 0.25;

/// The fused tracker.
#[derive(Debug, Clone)]
pub struct Capacity {
    threshold_ms: f64,
    target_ratio: f64,
    production: Edge,
    shadow: Edge,
    incurable: Incurable,
    scale: ScaleLearner,
    shadow_size: f64,
    fused: Option<LogEstimate>,
    alone: Option<LogEstimate>,
    recent: Window,
    recent_alone: Window,
    start_s: f64,
}

impl Capacity {
    /// A tracker for an objective, of replicas that take so long to start: movements are judged at that pace.
    pub fn new(threshold_ms: f64, target_ratio: f64, start_s: f64) -> Self {
        Self {
            start_s,
            threshold_ms,
            target_ratio,
            production: Edge::by_bad_only(threshold_ms, target_ratio, start_s),
            shadow: Edge::new(threshold_ms, target_ratio, start_s),
            incurable: Incurable::new(1.0 - target_ratio, start_s),
            scale: ScaleLearner::new(1.0),
            shadow_size: 1.0,
            fused: None,
            alone: None,
            recent: Window::new(90f64.max(2.0 * TREND_STARTS * start_s)),
            recent_alone: Window::new(90f64.max(2.0 * TREND_STARTS * start_s)),
        }
    }

    /// Takes an interval.
    pub fn observe(&mut self, seen: &Observation) {
        self.notice_changes(seen);
        match &seen.production {
            Some(path) => self.production.observe(path, seen.replicas, seen.since_last_s, 1.5 * path.arrival_rps / seen.replicas),
            None => self.production.pass(seen.since_last_s),
        }
        self.excuse(seen);
        // Before its edge is known, the shadow is searched for where production's share of load puts it.
        let guess = 1.3 * self.production.rate() * seen.shadow_size;
        match &seen.shadow {
            Some(path) => self.shadow.observe(path, 1.0, seen.since_last_s, guess),
            None => self.shadow.pass(seen.since_last_s),
        }
        self.fuse(seen);
    }

    /// What no replica cures is no evidence of either instance's edge: they run the same release and depend on the same.
    fn excuse(&mut self, seen: &Observation) {
        let Some(path) = &seen.production else { return };
        let queued = matches!(self.production.regime(), Regime::Saturated | Regime::Draining);
        self.incurable.observe(seen.since_last_s, path.arrival_rps / seen.replicas, path.requests, path.bad, queued);
        let share = self.incurable.share().min(MOST_EXCUSED);
        self.production.excuse(share);
        self.shadow.excuse(share);
    }

    fn notice_changes(&mut self, seen: &Observation) {
        if seen.new_release {
            self.production.widen(0.35);
            self.shadow.widen(0.35);
            self.recent.clear();
            self.recent_alone.clear();
        }
        let resized = seen.shadow_present && (seen.shadow_size / self.shadow_size - 1.0).abs() > 1e-9;
        if seen.new_profile || resized {
            self.shadow = Edge::new(self.threshold_ms, self.target_ratio, self.start_s);
            self.scale = ScaleLearner::new(seen.shadow_size);
            self.shadow_size = seen.shadow_size;
        }
    }

    fn fuse(&mut self, seen: &Observation) {
        let production = self.production.distribution();
        self.alone = self.production.estimate();
        let shadow = self.shadow.estimate().filter(|_| seen.shadow_present);
        if let (Some(s), true, true) = (shadow, seen.shadow.is_some(), seen.production.is_some()) {
            let before = self.scale.is_indifferent();
            self.scale.learn(|x, step, row| self.production.says_of(x, step, row), s, seen.since_last_s);
            if self.scale.is_indifferent() != before {
                self.recent.clear(); // another way of looking is not a movement
            }
        }
        let scale = self.scale.estimate();
        let through_shadow = shadow.map(|s| LogEstimate { mean: s.mean - scale.mean, sd: (s.sd * s.sd + scale.sd * scale.sd).sqrt() });
        self.fused = match (production, through_shadow) {
            (Some(p), Some(s)) => Some(self.product(&p, s)),
            (None, s) => s,
            (Some(_), None) => self.alone,
        };
        if let Some(e) = self.now() {
            self.recent.push(seen.at_s, e.mean);
        }
        if let Some(e) = self.now_alone() {
            self.recent_alone.push(seen.at_s, e.mean);
        }
    }

    /// Joins both sides' knowledge. Near its own edge production knows as much as the shadow. Far below, all it knows is that a replica takes
    /// what it takes; the rest of its distribution is a memory, which must not hold back what the shadow sees now.
    fn product(&self, production: &[(f64, f64)], shadow: LogEstimate) -> LogEstimate {
        let log_rate = self.production.rate().max(1e-9).ln();
        let due = self.production.bad_due();
        let informed = due / (due + INFORMED_AT);
        let joint: Vec<f64> = production
            .iter()
            .map(|(x, p)| {
                let at_least = 1.0 / (1.0 + exp((log_rate - x) / 0.05));
                let weight = informed * ln(p + 1e-6) + (1.0 - informed) * ln(at_least + 1e-3);
                exp(weight - 0.5 * ((x - shadow.mean) / shadow.sd).powi(2))
            })
            .collect();
        let inside = production.first().zip(production.last()).is_some_and(|(a, b)| shadow.mean > a.0 && shadow.mean < b.0);
        if inside && joint.iter().sum::<f64>() > 1e-30 { moments(&joint, |i| production[i].0) } else { shadow }
    }

    /// ln C of one production replica now; None until known.
    pub fn now(&self) -> Option<LogEstimate> {
        self.fused.filter(|e| e.sd < KNOWN_SD)
    }

    /// The same from production's numbers only.
    pub fn now_alone(&self) -> Option<LogEstimate> {
        self.alone.filter(|e| e.sd < KNOWN_ALONE_SD)
    }

    /// ln C `horizon_s` from now: the damped trend, with growing doubt. A fall is extrapolated in full, a recovery by half.
    pub fn forecast(&self, horizon_s: f64) -> Option<LogEstimate> {
        self.now().map(|e| extrapolate(e, self.trend(), self.drift_variance(), horizon_s, self.start_s))
    }

    /// The same from production's numbers only.
    pub fn forecast_alone(&self, horizon_s: f64) -> Option<LogEstimate> {
        self.now_alone()
            .map(|e| extrapolate(e, trend_of(&self.recent_alone, self.start_s), self.production.drift_variance(), horizon_s, self.start_s))
    }

    /// Slope of ln C per second, shrunk by the tracker's noise; 0 while unknown.
    pub fn trend(&self) -> f64 {
        trend_of(&self.recent, self.start_s)
    }

    fn drift_variance(&self) -> f64 {
        if self.shadow.estimate().is_some() { self.shadow.drift_variance() } else { self.production.drift_variance() }
    }

    /// Median capacity `ago_s` before `now_s`, when it was known then.
    pub fn before(&self, now_s: f64, ago_s: f64) -> Option<f64> {
        self.recent.at_or_before(now_s - ago_s).map(f64::exp)
    }

    /// Median capacity around a time a few seconds ago, in hindsight.
    pub fn around(&self, at_s: f64) -> Option<f64> {
        let near = self.recent.points().rev().skip_while(|p| p.0 > at_s + 3.0).take_while(|p| p.0 > at_s - 3.0);
        let (sum, n) = near.fold((0.0, 0.0), |(s, n), p| (s + p.1, n + 1.0));
        (n > 0.0).then(|| (sum / n).exp())
    }

    /// Share of requests that is bad whatever the load; 0 when nothing says so.
    pub fn incurable(&self) -> f64 {
        self.incurable.share()
    }

    /// ln C of the shadow itself.
    pub fn shadow_edge(&self) -> &Edge {
        &self.shadow
    }

    /// Production's own edge, per replica.
    pub fn production_edge(&self) -> &Edge {
        &self.production
    }

    /// Shadow's capacity relative to a production replica, once either side said something.
    pub fn scale(&self) -> Option<LogEstimate> {
        self.shadow.estimate().map(|_| self.scale.estimate())
    }

    /// Whether the scale was learned, not only read off the price list.
    pub fn scale_is_learned(&self) -> bool {
        self.scale.is_learned()
    }

    /// Whether the shadow has a queue to drain.
    pub fn shadow_overwhelmed(&self) -> bool {
        matches!(self.shadow.regime(), Regime::Saturated | Regime::Draining)
    }
}

fn trend_of(recent: &Window, start_s: f64) -> f64 {
    let (Some((last, _)), Some((first, _))) = (recent.points().next_back(), recent.points().next()) else { return 0.0 };
    if last - first < SETTLED_S.max(TREND_STARTS * start_s) {
        return 0.0; // what moves so early is the search, not capacity
    }
    let since = last - TREND_STARTS * start_s;
    let points: Vec<_> = recent.points().rev().take(256).take_while(|p| p.0 > since).map(|p| (p.0 - last, p.1)).collect();
    if points.len() < 5 {
        return 0.0;
    }
    let noise = START_NOISE / start_s;
    slope(&points).map_or(0.0, |(b, _)| b * b * b / (b * b + noise * noise))
}

fn extrapolate(e: LogEstimate, trend: f64, variance: f64, horizon_s: f64, start_s: f64) -> LogEstimate {
    let damping = DAMPING / start_s;
    let reach = (1.0 - (-damping * horizon_s).exp()) / damping;
    let trend = if trend > 0.0 { RECOVERY * trend } else { trend };
    let doubt = variance * horizon_s.min(60.0) + (0.3 * trend * reach).powi(2);
    LogEstimate { mean: e.mean + (trend * reach).clamp(-0.7, 0.3), sd: (e.sd * e.sd + doubt).sqrt() }
}
