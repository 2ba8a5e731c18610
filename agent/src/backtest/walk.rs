//! Leads the decision core through a history once, and keeps of each sample what policies may know then.
//!
//! Memory: some hundred bytes a sample. A new session goes on with the core that there is, under that session's settings when they differ.

use foreshadow_brain::capacity::grid::LogEstimate;
use foreshadow_brain::load::LogLoad;
use foreshadow_brain::math::Z90;
use foreshadow_brain::{Brain, Sample, Settings};

/// One sample, and what was known then.
#[derive(Debug, Clone, Default)]
pub struct Point {
    /// Seconds since the Unix epoch.
    pub at_s: f64,
    /// Length of the interval.
    pub seconds: f64,
    /// Arrivals per second; None: production could not be read.
    pub load_rps: Option<f64>,
    /// Requests that ended, and bad ones among them.
    pub requests: f64,
    /// See `requests`.
    pub bad: f64,
    /// Replicas that took traffic.
    pub ready: u32,
    /// Replicas asked for.
    pub desired: u32,
    /// Processor seconds of production per request.
    pub cpu_per_request: Option<f64>,
    /// Cores that a replica may use.
    pub replica_cores: Option<f64>,
    /// The shadow's size (0 = none).
    pub shadow: f64,
    /// ln capacity of one replica as estimated then.
    pub capacity: Option<LogEstimate>,
    /// Forecast of ln load when a replica asked for now would take traffic.
    pub load_then: Option<LogLoad>,
    /// The same of ln capacity, with the shadow's numbers and without.
    pub capacity_then: Option<LogEstimate>,
    /// See `capacity_then`.
    pub capacity_then_alone: Option<LogEstimate>,
    /// More replicas would not help, in words.
    pub cannot_help: Option<String>,
}

/// A history as it was walked through.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Settings of the last session; the defaults when the history has none.
    pub settings: Settings,
    /// Whether the history had settings.
    pub configured: bool,
    /// Samples in order.
    pub points: Vec<Point>,
    /// What the core said of the shadow's worth at the end.
    pub shadow_verdict: String,
}

/// The walk.
#[derive(Debug, Default)]
pub struct Walk {
    brain: Option<Brain>,
    past: Past,
}

impl Walk {
    /// A session begins.
    pub fn session(&mut self, settings: &Settings) {
        if !self.past.configured || self.past.settings != *settings {
            self.brain = Some(Brain::new(settings.clone()));
        }
        self.past.settings = settings.clone();
        self.past.configured = true;
    }

    /// The next sample. One that is not newer than the last is left out.
    pub fn sample(&mut self, sample: &Sample) {
        let at_s = sample.at_ms as f64 / 1_000.0;
        if self.past.points.last().is_some_and(|last| at_s <= last.at_s) {
            return;
        }
        let settings = &self.past.settings;
        let brain = self.brain.get_or_insert_with(|| Brain::new(settings.clone()));
        let decision = brain.tick(sample);
        let start_s = settings.replica_start_s;
        let seconds = f64::from(sample.interval_ms.max(1)) / 1_000.0;
        let path = sample.production.as_ref();
        let arrivals = path.map(|p| if p.arrivals > 0 { p.arrivals } else { p.requests } as f64 / seconds);
        let band =
            decision.capacity_rps.map(|c| LogEstimate { mean: c.p50.max(1e-9).ln(), sd: (c.p90 / c.p10.max(1e-9)).ln() / (2.0 * Z90) });
        self.past.points.push(Point {
            at_s,
            seconds,
            load_rps: arrivals,
            requests: path.map_or(0.0, |p| p.requests as f64),
            bad: path.map_or(0.0, |p| p.bad as f64),
            ready: sample.scale.ready.max(1),
            desired: sample.scale.desired.max(1),
            cpu_per_request: path.and_then(|p| p.cpu_cores).zip(arrivals).filter(|(_, rps)| *rps > 0.5).map(|(cores, rps)| cores / rps),
            replica_cores: sample.scale.replica_cores.filter(|c| *c > 0.0),
            shadow: sample.shadow.as_ref().map_or(0.0, |s| if s.size > 0.0 { s.size } else { 1.0 }),
            capacity: band,
            load_then: brain.load_then(),
            capacity_then: brain.capacity().forecast(start_s),
            capacity_then_alone: brain.capacity().forecast_alone(start_s),
            cannot_help: decision.alarms.iter().find(|a| a.kind == "cannot_help").map(|a| a.text.clone()),
        });
        self.past.shadow_verdict = decision.shadow_verdict;
    }

    /// What was walked through.
    pub fn past(self) -> Past {
        self.past
    }
}
