//! What the brain is told: objective, bounds, timing. All of it is recorded with the history, so that a replay has it.

use crate::math::bounded;
use serde::{Deserialize, Serialize};

/// Horizons forecast at, at most.
const MOST_HORIZONS: usize = 12;

/// Settings of one workload's brain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// A request slower than this is bad, in milliseconds.
    pub threshold_ms: f64,
    /// Share of requests that must be good, e.g. 0.99.
    pub target_ratio: f64,
    /// Fewest replicas the plan may ask for.
    pub min_replicas: u32,
    /// Most replicas the plan may ask for.
    pub max_replicas: u32,
    /// From asking for a replica until it takes traffic, in seconds: the horizon that matters most. Learned further while running.
    pub replica_start_s: f64,
    /// Horizons to forecast at, in seconds, ascending.
    pub horizons_s: Vec<f64>,
    /// Replicas are asked for such that forecast load <= replicas x capacity x headroom. 1.0 is the measured limit.
    pub headroom: f64,
    /// A raised floor holds for this long unless renewed, in seconds.
    pub floor_ttl_s: f64,
    /// A floor is lowered only after the need has been lower for this long, in seconds.
    pub lower_after_s: f64,
    /// Most replicas added by one decision.
    pub max_step_up: u32,
    /// Data older than this is stale, in seconds.
    pub stale_after_s: f64,
    /// Least and most copies a second the shadow may be asked to take.
    pub copy_rate_rps: (f64, f64),
    /// Most copies per production request, e.g. 4.0 = 400 %.
    pub max_fraction: f64,
    /// Seconds between two trainings of the support vector machines.
    pub train_every_s: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// How sure the plan is to be of capacity, as a standard normal deviate: 0 = even odds, 0.52 = 70 %, 1.28 = 90 %. Of load it takes an upper quantile
    /// of what its forecasts missed ([`crate::load::LogLoad`]).
    pub risk_z: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threshold_ms: 250.0,
            target_ratio: 0.99,
            min_replicas: 1,
            max_replicas: 10,
            replica_start_s: 30.0,
            horizons_s: vec![10.0, 30.0, 60.0, 120.0, 300.0],
            headroom: 0.9,
            floor_ttl_s: 120.0,
            lower_after_s: 60.0,
            max_step_up: 4,
            stale_after_s: 10.0,
            copy_rate_rps: (0.5, 5_000.0),
            max_fraction: 8.0,
            train_every_s: 60.0,
            seed: 0,
            risk_z: 0.52,
        }
    }
}

impl Settings {
    /// The same with every number inside what makes sense; NaN becomes the lower bound. Brain uses only this.
    pub fn sane(mut self) -> Self {
        self.threshold_ms = bounded(self.threshold_ms, 0.1, 3.6e6);
        self.target_ratio = bounded(self.target_ratio, 0.5, 0.9999);
        self.max_replicas = self.max_replicas.max(1);
        self.min_replicas = self.min_replicas.min(self.max_replicas);
        self.replica_start_s = bounded(self.replica_start_s, 0.1, 3_600.0);
        self.horizons_s.retain(|h| h.is_finite() && *h > 0.0);
        self.horizons_s.truncate(MOST_HORIZONS);
        self.headroom = bounded(self.headroom, 0.05, 20.0);
        self.floor_ttl_s = bounded(self.floor_ttl_s, 1.0, 86_400.0);
        self.lower_after_s = bounded(self.lower_after_s, 0.0, 86_400.0);
        self.stale_after_s = bounded(self.stale_after_s, 0.5, 86_400.0);
        self.copy_rate_rps = (bounded(self.copy_rate_rps.0, 0.0, 1e9), bounded(self.copy_rate_rps.1, 0.0, 1e9));
        self.max_fraction = bounded(self.max_fraction, 0.0, 1e3);
        self.train_every_s = bounded(self.train_every_s, 5.0, 86_400.0);
        self.risk_z = bounded(self.risk_z, 0.0, 4.0);
        self
    }

    /// Most replicas added by one decision, at least one.
    pub fn step_up(&self) -> u32 {
        self.max_step_up.max(1)
    }
}
