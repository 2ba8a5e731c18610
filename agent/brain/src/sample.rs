//! What the brain sees: one aligned observation of a workload per interval, both sides at once.
//!
//! A side that could not be read in an interval is `None` (an explicit gap), never zeros. Written by the agent's alignment stage,
//! by the simulator and by the history store; the format only grows (every field defaults).

use crate::latency::Latencies;
use serde::{Deserialize, Serialize};

/// One interval of one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// End of the interval, milliseconds since the Unix epoch (simulated time in the simulator).
    pub at_ms: u64,
    /// Length of the interval in milliseconds.
    pub interval_ms: u32,
    /// All production replicas together.
    pub production: Option<PathSample>,
    /// The shadow instance.
    pub shadow: Option<ShadowSample>,
    /// What the scaler side looks like.
    pub scale: ScaleState,
}

/// Numbers of one path (production or shadow) over one interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathSample {
    /// Requests that ended in the interval (answered or failed; clients that went away are left out).
    pub requests: u64,
    /// Bad requests among them: slower than the objective's threshold, or 5xx, timeout, reset.
    pub bad: u64,
    /// 5xx, timeouts, resets, refused connections among the bad.
    pub failed: u64,
    /// Requests that started in the interval: the offered load.
    pub arrivals: u64,
    /// Latencies of the requests that did not fail.
    pub latency: Latencies,
    /// Requests under way at the end of the interval.
    pub in_flight: f64,
    /// Processor use, in cores, summed over instances.
    pub cpu_cores: Option<f64>,
    /// Share of scheduler periods in which the instance was throttled, 0..1.
    pub throttled_ratio: Option<f64>,
    /// Resident memory, in bytes, summed over instances.
    pub memory_bytes: Option<f64>,
    /// Pressure stall information, `some`, share of the interval stalled 0..1: cpu.
    pub psi_cpu: Option<f64>,
    /// The same: memory.
    pub psi_memory: Option<f64>,
    /// The same: io.
    pub psi_io: Option<f64>,
    /// Smoothed TCP round trip time in microseconds.
    pub rtt_us: Option<f64>,
    /// Bytes received and sent, bodies.
    pub bytes: u64,
}

/// The shadow's numbers, and what it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShadowSample {
    /// Copies (or synthetic requests) that reached it.
    pub path: PathSample,
    /// Profile now running, e.g. `same`, `cpu-half`.
    pub profile: String,
    /// Size relative to one production replica by the price list (cpu-half = 0.5): its cost.
    pub size: f64,
    /// Copies wished per production request at the time.
    pub fraction: f64,
    /// Requests of the synthetic stream among `path.requests`.
    pub synthetic: u64,
    /// False while the instance is starting, or for a moment after a change of profile: its numbers are not to be learned from.
    pub ready: bool,
}

/// The scaler side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScaleState {
    /// Replicas asked for now.
    pub desired: u32,
    /// Replicas that take traffic.
    pub ready: u32,
    /// Replicas started but not ready.
    pub starting: u32,
    /// What the reactive scaler alone asks for, when there is one and it is known.
    pub reactive: Option<u32>,
    /// The floor in force (0 = none).
    pub floor: u32,
    /// Cores that one production replica may use (its limit, else its request), when known.
    pub replica_cores: Option<f64>,
    /// Release of the workload (pod-template-hash or its like): a change resets what must not be carried over.
    pub release: String,
}
