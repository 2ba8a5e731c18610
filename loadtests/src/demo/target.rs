//! What is put under the loop: the sample application with its known figures, or a server that is not ours with those that calibration found.
//!
//! Called by [`crate::demo::run`]. Not here: the command line, the processes.

use crate::demo::binaries::Binaries;
use crate::demo::calibrate::Found;
use crate::demo::reactive::Request;
use crate::demo::setup::Setup;
use crate::report::document::Reactive;
use std::path::PathBuf;

/// How many times faster than in a cluster the reactive scaler's periods are: sync 15 s becomes 2.5 s, stabilisation 300 s becomes 50 s, and a pod's
/// start of 30 s becomes 5 s.
const TIME_SCALE: f64 = 6.0;
/// Kubernetes' usual target, share of the requested processor cores.
const TARGET_UTILISATION: f64 = 0.7;
/// From asking for a replica until it takes traffic, in seconds.
const REPLICA_START_S: f64 = 5.0;
/// How long a replica of the sample application sleeps before it is ready, so that with its process start it takes [`REPLICA_START_S`].
const START_DELAY_S: f64 = 4.5;
/// Unjudged seconds before each arm, in which the agent learns what a replica takes.
const WARMUP_S: u32 = 25;

/// An application and how it is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Whether it is the sample application, into which faults can be put.
    pub ours: bool,
    /// Command, with `$PORT`.
    pub command: String,
    /// Request path.
    pub path: String,
    /// Path that answers with a success once a replica is ready.
    pub ready_path: String,
    /// A slower answer is bad, in milliseconds.
    pub threshold_ms: f64,
    /// Share of answers that must be good.
    pub target_ratio: f64,
    /// Mean load in requests per second.
    pub mean_rps: f64,
    /// Rate that one replica takes within the threshold when nothing is wrong, in requests per second.
    pub knee_rps: f64,
    /// Fewest and most.
    pub bounds: (u32, u32),
    /// What the reactive scaler is told that a replica requests, in cores.
    pub request_cores: f64,
    /// Limit of a replica in cores, where limits are permitted.
    pub limit_cores: f64,
    /// Memory of a replica in MiB.
    pub memory_mib: u64,
    /// Unjudged seconds before each arm.
    pub warmup_s: u32,
    /// How these figures were found.
    pub how: String,
}

impl Target {
    /// The sample application.
    pub fn sample(binaries: &Binaries, path: &str) -> Self {
        let program = binaries.path("foreshadow-app");
        Self {
            ours: true,
            command: format!("exec '{}' --port $PORT --start-delay {START_DELAY_S}", program.display()),
            path: path.into(),
            ready_path: "/healthz".into(),
            threshold_ms: 150.0,
            target_ratio: 0.99,
            mean_rps: 500.0,
            knee_rps: 105.0,
            bounds: (2, 12),
            request_cores: 0.08,
            limit_cores: 0.4,
            memory_mib: 128,
            warmup_s: WARMUP_S,
            how: "The reactive scaler is told that a replica requests the processor time which the sample application uses at the knee of its latency curve (about 105 requests a second; what a request costs on this machine is measured in the first warm-up), so that full utilisation and the limit coincide: the best that can be chosen by hand.".into(),
        }
    }

    /// A server that is not ours, before calibration.
    pub fn foreign(command: &str, path: &str) -> Self {
        let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        Self {
            ours: false,
            command: command.into(),
            path: path.into(),
            ready_path: path.into(),
            threshold_ms: 1_000.0,
            target_ratio: 0.99,
            mean_rps: 1.0,
            knee_rps: 1.0,
            bounds: (1, 8),
            request_cores: 1.0,
            // Eight replicas and a shadow at their limits leave the machine a third of its cores for proxies and load.
            limit_cores: (cores * 0.08 * 100.0).round() / 100.0,
            memory_mib: 512,
            warmup_s: WARMUP_S,
            how: String::new(),
        }
    }

    /// With what calibration found.
    pub fn calibrated(self, found: Found) -> Self {
        let Found { threshold_ms, cores, mean_rps, knee_rps, how } = found;
        Self { threshold_ms, mean_rps, knee_rps, request_cores: cores, how, ..self }
    }

    /// What the reactive scaler is told, when production gets `rps` in the warm-up.
    pub fn request(&self, rps: f64) -> Request {
        match self.ours {
            true => Request::Measured { rps, knee_rps: self.knee_rps, otherwise: self.request_cores },
            false => Request::Known(self.request_cores),
        }
    }

    /// Replicas that the reactive scaler would have settled on at this load: both arms begin there.
    pub fn replicas_for(&self, rps: f64) -> u32 {
        let wanted = (rps / (self.knee_rps * TARGET_UTILISATION)).ceil();
        (wanted as u32).clamp(self.bounds.0, self.bounds.1)
    }

    /// The agent's configuration for an arm that begins at this load.
    pub fn setup(&self, acts: bool, dir: PathBuf, server_port: u16, seed: u64, first_rps: f64) -> Setup {
        Setup {
            acts,
            dir,
            server_port,
            command: self.command.clone(),
            path: self.path.clone(),
            ready_path: self.ready_path.clone(),
            threshold_ms: self.threshold_ms,
            target_ratio: self.target_ratio,
            replicas: self.replicas_for(first_rps),
            min_replicas: self.bounds.0,
            max_replicas: self.bounds.1,
            replica_start_s: REPLICA_START_S,
            cpu_cores: self.limit_cores,
            memory_mib: self.memory_mib,
            profile: "cpu-half",
            max_copy_rps: 400.0,
            seed,
        }
    }

    /// The reactive scaler's settings.
    pub fn reactive(&self) -> Reactive {
        Reactive { target_utilisation: TARGET_UTILISATION, time_scale: TIME_SCALE, replica_start_s: REPLICA_START_S }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_arms_begin_where_the_reactive_scaler_would_be() {
        let target = Target { knee_rps: 100.0, ..Target::foreign("serve $PORT", "/") };
        assert_eq!([0.0, 69.0, 71.0, 400.0, 1e6].map(|rps| target.replicas_for(rps)), [1, 1, 2, 6, 8]);
    }
}
