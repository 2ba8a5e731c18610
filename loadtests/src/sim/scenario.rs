//! A scenario: a workload, its load, what goes wrong, and the pace of the cluster around it.
//!
//! Made by callers through [`Scenario::demo`] and [`Scenario::cluster`]; read by the world and by policies. A plain value; everything in it
//! that is random comes from the seed it is made with.

use crate::sim::faults::{Fault, Kind, plan};
use crate::sim::judge::Rule;
use crate::sim::load::Curve;
use crate::sim::pool::{Balance, Start};
use crate::sim::random::{Stream, between, stream};
use crate::sim::shadow::Profile;
use crate::sim::workload::Workload;

/// How fast the cluster around the workload moves, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Step of the simulation: policies are asked, pods change state.
    pub step_s: f64,
    /// Interval of the samples.
    pub sample_s: f64,
    /// Period of the reactive scaler, and of the processor metrics that it reads.
    pub sync_s: f64,
    /// Start of a pod.
    pub start: Start,
    /// The part before anything is judged.
    pub warmup_s: f64,
    /// Length of the judged part.
    pub seconds: f64,
}

/// Everything but the policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The application.
    pub workload: Workload,
    /// Its load, seconds since the start of the warm-up.
    pub load: Curve,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The cluster's pace.
    pub pace: Pace,
    /// Fewest and most replicas.
    pub bounds: (u32, u32),
    /// Replicas at the start.
    pub replicas: u32,
    /// The balancer.
    pub balance: Balance,
    /// The shadow that fits.
    pub profile: Profile,
    /// What a violation is.
    pub rule: Rule,
}

impl Scenario {
    /// The demonstration: everything six times as fast as in a cluster, two faults in 85 seconds.
    pub fn demo(seed: u64) -> Self {
        let workload = Workload::demo();
        let (warmup_s, seconds) = (25.0, 85.0);
        Self {
            name: "demo".into(),
            load: Curve::lively(500.0, warmup_s + seconds, seed),
            faults: demo_faults(seed, warmup_s, seconds),
            pace: Pace { step_s: 0.5, sample_s: 1.0, sync_s: 2.5, start: Start { median_s: 5.0, sigma: 0.08 }, warmup_s, seconds },
            bounds: (2, 12),
            replicas: 7,
            balance: Balance::LeastRequest,
            profile: Profile::HALF,
            rule: Rule::demo(workload.target_ratio),
            workload,
        }
    }

    /// A service in a cluster that needs about `replicas` on average at 70 % of what they take, under a load of any shape.
    pub fn cluster(name: &str, kinds: &[Kind], replicas: f64, shape: &Curve, seconds: f64, seed: u64) -> Self {
        let workload = Workload::service();
        let warmup_s = 900.0;
        let load = shape.clone().scaled(0.7 * replicas * workload.knee_rps());
        let most = (load.peak() / workload.knee_rps() * 6.0).max(4.0 * replicas).min(2_000.0);
        Self {
            name: name.into(),
            faults: plan(kinds, seed, warmup_s, seconds),
            pace: Pace { step_s: 1.0, sample_s: 1.0, sync_s: 15.0, start: Start { median_s: 30.0, sigma: 0.2 }, warmup_s, seconds },
            bounds: (1, most.ceil() as u32),
            replicas: (load.at(0.0) / workload.knee_rps() / 0.65).ceil().max(1.0) as u32,
            balance: Balance::LeastRequest,
            profile: if replicas < 6.0 { Profile::QUARTER } else { Profile::HALF },
            rule: Rule::cluster(workload.target_ratio),
            load,
            workload,
        }
    }
}

/// Hidden loss, then costlier requests: each rises within 16 seconds, stands, and goes.
fn demo_faults(seed: u64, warmup_s: f64, seconds: f64) -> Vec<Fault> {
    let mut rng = stream(seed, Stream::Faults);
    let slot = seconds * 0.88 / 2.0;
    let depths = [(Kind::HiddenLoss, 0.55, 0.04), (Kind::CostlierMix, 1.7, 0.1)];
    let mut faults = Vec::with_capacity(depths.len());
    for (i, (kind, middle, spread)) in depths.into_iter().enumerate() {
        let start_s = warmup_s + seconds * 0.08 + slot * (i as f64 + between(&mut rng, 0.0, 0.08));
        let full_s = start_s + (slot * 0.42).min(20.0);
        let easing_s = full_s + slot * 0.30;
        let depth = middle + spread * between(&mut rng, -1.0, 1.0);
        faults.push(Fault { kind, start_s, full_s, easing_s, end_s: easing_s + slot * 0.08, depth });
    }
    faults
}
