//! The cluster's side of a scaler: pods as the autoscaler sees them, their processor use through the metrics pipeline, and the behaviour rules.
//!
//! Used by [`super::CpuHpa`], [`super::Phpa`] and [`super::Keda`]; the algorithm itself is [`crate::hpa`]. All replicas of a pool show the
//! same mean use here; which of them are new is told apart, since the autoscaler judges new pods differently.

use crate::hpa::behavior::History;
use crate::hpa::{Config, MetricsPipeline, Phase, PipelineConfig, Pod};
use crate::sim::View;
use crate::sim::scenario::Pace;

/// Sync period of a cluster in seconds; a scenario with another moves in proportion.
const SYNC_S: f64 = 15.0;
/// Name of the mean pod in the pipeline.
const MEAN: &str = "mean";
/// Started so long ago that start-up rules no longer apply.
const LONG_AGO_S: f64 = -1e6;

/// How many times faster than a cluster the scenario moves.
pub fn time_scale(pace: &Pace) -> f64 {
    SYNC_S / pace.sync_s
}

/// The autoscaler's settings at a scenario's pace.
pub fn config(target: f64, pace: &Pace) -> Config {
    Config { target_utilization: target, max_replicas: u32::MAX, ..Config::default() }.scaled(time_scale(pace))
}

/// Pods and their metrics.
#[derive(Debug, Clone)]
pub struct Pods {
    pipeline: MetricsPipeline,
    used_s: f64,
    since_s: Vec<f64>,
    start_s: f64,
}

impl Pods {
    /// Nothing seen yet.
    pub fn new(pace: &Pace) -> Self {
        let pipeline = MetricsPipeline::new(PipelineConfig::default().scaled(time_scale(pace)));
        Self { pipeline, used_s: 0.0, since_s: Vec::new(), start_s: pace.start.median_s }
    }

    /// Takes a look after a step.
    pub fn look(&mut self, view: &View<'_>) {
        self.used_s += view.utilisation * view.step_s;
        self.pipeline.observe(MEAN, view.at_s, self.used_s);
        self.pipeline.advance(view.at_s);
        let since = if self.since_s.is_empty() { LONG_AGO_S } else { view.at_s };
        // Newest pods go first.
        self.since_s.resize(view.ready as usize, since);
    }

    /// Mean use over request as published now.
    pub fn utilisation(&self) -> Option<f64> {
        self.pipeline.metric(MEAN).map(|m| m.cores)
    }

    /// The pods as the autoscaler sees them; each requests one unit.
    pub fn list(&self, view: &View<'_>) -> Vec<Pod> {
        let metric = self.pipeline.metric(MEAN);
        let ready = self.since_s.iter().map(|since| Pod {
            phase: Phase::Running,
            started_s: since - self.start_s,
            ready: true,
            ready_changed_s: *since,
            request_cores: 1.0,
            metric,
        });
        let starting = (0..view.starting).map(|_| Pod {
            phase: Phase::Pending,
            started_s: view.at_s,
            ready: false,
            ready_changed_s: view.at_s,
            request_cores: 1.0,
            metric: None,
        });
        ready.chain(starting).collect()
    }
}

/// Behaviour rules for a count that comes from elsewhere.
#[derive(Debug, Clone)]
pub struct Behaviour {
    config: Config,
    history: History,
    due_s: f64,
}

impl Behaviour {
    /// The cluster's defaults at a scenario's pace.
    pub fn new(pace: &Pace) -> Self {
        Self { config: config(1.0, pace), history: History::default(), due_s: f64::NEG_INFINITY }
    }

    /// Whether it is time for a sync; the next is scheduled then.
    pub fn due(&mut self, at_s: f64) -> bool {
        let due = at_s >= self.due_s;
        if due {
            self.due_s = at_s + self.config.sync_s - 1e-9;
        }
        due
    }

    /// What a fractional need becomes with `current` replicas: within the tolerance nothing changes.
    pub fn apply(&mut self, at_s: f64, need: f64, current: u32) -> u32 {
        let steady = (need / f64::from(current.max(1)) - 1.0).abs() <= self.config.tolerance;
        let wanted = if steady { current } else { (need - 1e-9).ceil().clamp(1.0, 1e6) as u32 };
        let stable = self.history.stabilize(&self.config, at_s, current, wanted);
        let limited = self.history.limit(&self.config, at_s, current, stable).max(1);
        self.history.changed(&self.config, at_s, current, limited);
        limited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Scenario;

    #[test]
    fn down_waits_for_the_window_and_up_is_limited() {
        let pace = Pace { sync_s: 15.0, ..Scenario::demo(1).pace };
        let mut b = Behaviour::new(&pace);
        assert_eq!(b.apply(0.0, 40.0, 10), 20);
        assert_eq!(b.apply(15.0, 3.7, 20), 20);
        assert_eq!(b.apply(299.0, 3.7, 20), 20);
        assert_eq!(b.apply(301.0, 3.7, 20), 4);
        assert_eq!(b.apply(400.0, 4.3, 4), 4);
        assert_eq!(Behaviour::new(&pace).apply(0.0, 9.0, 1), 5);
    }
}
