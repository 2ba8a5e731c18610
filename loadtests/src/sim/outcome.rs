//! What came of a run.

use crate::sim::faults::Fault;

/// One step of the run, as clients and the bill see it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Requests that clients began.
    pub requests: u32,
    /// Those of them that were slower than the threshold or failed for good, retries included.
    pub bad: u32,
    /// Replicas asked for.
    pub desired: u16,
    /// Replicas that take traffic.
    pub ready: u16,
    /// The policy's alarm stands.
    pub alarm: bool,
    /// The policy's floor (0 = none).
    pub floor: u16,
    /// What the reactive scaler inside the policy asks for.
    pub reactive: u16,
}

/// What came of a run; sums are over the judged part.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Requests that clients began.
    pub requests: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Replica-seconds of production from when a pod was asked for.
    pub replica_seconds: f64,
    /// The shadow's, weighted by its size.
    pub shadow_replica_seconds: f64,
    /// Length of the judged part in seconds.
    pub seconds: f64,
    /// Length of a step in seconds.
    pub step_s: f64,
    /// Steps before the judged part.
    pub warmup_steps: usize,
    /// Changes of the replicas asked for.
    pub actions: u64,
    /// Attempts that sidecars saw begin, retries included, warm-up included.
    pub attempts: u64,
    /// Attempts that sidecars saw end, and those under way at the end of the run.
    pub ended: u64,
    /// Retries that were not made because too many were waiting.
    pub retries_dropped: u64,
    /// Instances that ran out of memory.
    pub restarts: u64,
    /// Every step, warm-up included.
    pub points: Vec<Point>,
    /// What went wrong when.
    pub faults: Vec<Fault>,
}

impl Outcome {
    /// Mean replicas, shadow counted.
    pub fn mean_replicas(&self) -> f64 {
        (self.replica_seconds + self.shadow_replica_seconds) / self.seconds.max(1e-9)
    }

    /// Bad requests over requests.
    pub fn bad_ratio(&self) -> f64 {
        self.bad as f64 / self.requests.max(1) as f64
    }
}
