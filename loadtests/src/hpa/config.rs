//! Settings of the autoscaler, with the cluster's defaults. Pure.

/// Everything that can be set, durations in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Wanted mean processor use as a share of what the pods request (`averageUtilization` / 100).
    pub target_utilization: f64,
    /// Most replicas. The fewest are given with each sync, since Foreshadow raises them.
    pub max_replicas: u32,
    /// A ratio of metric to target this close to 1 changes nothing (`--horizontal-pod-autoscaler-tolerance`).
    pub tolerance: f64,
    /// Between two syncs (`--horizontal-pod-autoscaler-sync-period`).
    pub sync_s: f64,
    /// A pod that became unready within this time of its start has never been ready (`--horizontal-pod-autoscaler-initial-readiness-delay`).
    pub initial_readiness_delay_s: f64,
    /// After its start a pod's use counts only when measured while it was ready (`--horizontal-pod-autoscaler-cpu-initialization-period`).
    pub cpu_initialization_s: f64,
    /// `behavior.scaleUp`.
    pub up: Rules,
    /// `behavior.scaleDown`.
    pub down: Rules,
}

/// One direction of `behavior`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Window of past recommendations of which the most cautious is taken.
    pub stabilization_s: f64,
    /// How fast the count may change; the most permissive policy counts (`selectPolicy: Max`). Empty = no limit.
    pub policies: Vec<Policy>,
}

/// One scaling policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// What may change within the period.
    pub change: Change,
    /// The period.
    pub period_s: f64,
}

/// How much may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// So many pods.
    Pods(u32),
    /// So many per cent of what there was at the begin of the period.
    Percent(f64),
}

impl Default for Config {
    fn default() -> Self {
        let per_15_s = |change| Policy { change, period_s: 15.0 };
        Self {
            target_utilization: 0.7,
            max_replicas: 10,
            tolerance: 0.1,
            sync_s: 15.0,
            initial_readiness_delay_s: 30.0,
            cpu_initialization_s: 300.0,
            up: Rules { stabilization_s: 0.0, policies: vec![per_15_s(Change::Percent(100.0)), per_15_s(Change::Pods(4))] },
            down: Rules { stabilization_s: 300.0, policies: vec![per_15_s(Change::Percent(100.0))] },
        }
    }
}

impl Config {
    /// The same with every duration divided by `time_scale` (more than 0).
    #[must_use]
    pub fn scaled(mut self, time_scale: f64) -> Self {
        let durations = [&mut self.sync_s, &mut self.initial_readiness_delay_s, &mut self.cpu_initialization_s];
        durations.into_iter().for_each(|d| *d /= time_scale);
        for rules in [&mut self.up, &mut self.down] {
            rules.stabilization_s /= time_scale;
            rules.policies.iter_mut().for_each(|p| p.period_s /= time_scale);
        }
        self
    }
}
