//! The autoscaler: one sync turns the pods' metrics into a replica count.
//!
//! Called by whoever scales. Pure; time is given. Promises: a count is always within the least and most replicas; without usable metrics
//! nothing changes except to get within them. The least may change with every sync, and [`Hpa::between`] applies a raised one at once, as
//! the cluster's API does for a floor that does not wait for the next sync.

use crate::hpa::behavior::History;
use crate::hpa::config::Config;
use crate::hpa::pods::{Pod, wanted};

/// An autoscaler.
#[derive(Debug, Clone)]
pub struct Hpa {
    config: Config,
    history: History,
    due_s: f64,
}

/// What a sync came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recommendation {
    /// Replicas to have.
    pub desired: u32,
    /// What the metrics alone asked for; None when they could not be judged.
    pub raw: Option<u32>,
    /// Use over target; None when it could not be judged.
    pub ratio: Option<f64>,
    /// What decided.
    pub reason: Reason,
}

/// What decided a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The metrics.
    Metrics,
    /// No pod could be judged.
    NoMetrics,
    /// An earlier, more cautious recommendation still stands.
    Stabilized,
    /// A policy limits how fast it changes.
    RateLimited,
    /// The fewest or most replicas.
    Bounds,
}

impl Hpa {
    /// With these settings; the first sync is due at once.
    pub fn new(config: Config) -> Self {
        Self { config, history: History::default(), due_s: f64::NEG_INFINITY }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it is time for a sync.
    pub fn due(&self, now_s: f64) -> bool {
        now_s >= self.due_s
    }

    /// One sync: `current` replicas are asked for now, `least` is the larger of minReplicas and any floor.
    pub fn sync(&mut self, now_s: f64, current: u32, least: u32, pods: &[Pod]) -> Recommendation {
        self.schedule(now_s);
        let most = self.config.max_replicas.max(least);
        let wanted = wanted(&self.config, now_s, current, pods);
        let (desired, reason) = match wanted {
            // As in the cluster, a count outside the bounds is first brought within them.
            _ if current > most || current < least => (current.clamp(least, most), Reason::Bounds),
            None => (current, Reason::NoMetrics),
            Some(wanted) => self.behave(now_s, current, wanted.replicas, (least, most)),
        };
        self.history.changed(&self.config, now_s, current, desired);
        Recommendation { desired, raw: wanted.map(|w| w.replicas), ratio: wanted.map(|w| w.ratio), reason }
    }

    /// Syncs keep their beat, also when one is late.
    fn schedule(&mut self, now_s: f64) {
        let next = self.due_s + self.config.sync_s;
        self.due_s = if next > now_s { next } else { now_s + self.config.sync_s };
    }

    fn behave(&mut self, now_s: f64, current: u32, raw: u32, (least, most): (u32, u32)) -> (u32, Reason) {
        let stabilized = self.history.stabilize(&self.config, now_s, current, raw);
        let limited = self.history.limit(&self.config, now_s, current, stabilized);
        let desired = limited.clamp(least, most);
        let reason = match () {
            () if desired != limited => Reason::Bounds,
            () if limited != stabilized => Reason::RateLimited,
            () if stabilized != raw => Reason::Stabilized,
            () => Reason::Metrics,
        };
        (desired, reason)
    }

    /// The count between two syncs, when the least was raised meanwhile.
    pub fn between(desired: u32, least: u32) -> u32 {
        desired.max(least)
    }
}

#[cfg(test)]
#[path = "scaler_tests.rs"]
mod tests;
