//! Foreshadow: the decision core as it ships, its floor over the processor autoscaler at 70 %, its shadow in the bill.

use crate::scaling::policies::hpa::CpuHpa;
use crate::sim::scenario::Scenario;
use crate::sim::shadow::Profile;
use crate::sim::{Policy, View, Want};
use foreshadow_brain::{Brain, Decision, Settings};

/// Target of the autoscaler beneath.
const REACTIVE_TARGET: f64 = 0.7;
/// Alarms that announce trouble.
const FORECASTS: [&str; 2] = ["forecast_violation", "capacity_falling"];

/// The policy.
#[derive(Debug, Clone)]
pub struct Foreshadow {
    brain: Brain,
    hpa: CpuHpa,
    profile: Profile,
    last: Decision,
}

impl Foreshadow {
    /// With these settings and this shadow.
    pub fn new(settings: Settings, profile: Profile, scenario: &Scenario) -> Self {
        Self { brain: Brain::new(settings), hpa: CpuHpa::new(REACTIVE_TARGET, &scenario.pace), profile, last: Decision::default() }
    }

    /// The defaults for a scenario; `headroom` is theirs when not given.
    pub fn default_for(scenario: &Scenario, headroom: Option<f64>, seed: u64) -> Self {
        let mut settings = settings(scenario, seed);
        settings.headroom = headroom.unwrap_or(settings.headroom);
        Self::new(settings, scenario.profile, scenario)
    }

    /// The last decision, for inspection.
    pub fn last(&self) -> &Decision {
        &self.last
    }
}

/// What an installation would configure for a scenario: its objective, bounds and pace; the rest are the product's defaults.
pub fn settings(scenario: &Scenario, seed: u64) -> Settings {
    let common = Settings {
        threshold_ms: 1_000.0 * scenario.workload.threshold_s,
        target_ratio: scenario.workload.target_ratio,
        min_replicas: scenario.bounds.0,
        max_replicas: scenario.bounds.1,
        replica_start_s: scenario.pace.start.median_s,
        seed,
        ..Settings::default()
    };
    if scenario.name != "demo" {
        return common;
    }
    // As the demonstration's configuration file has it, six times as fast as a cluster.
    Settings {
        headroom: 0.9,
        floor_ttl_s: 20.0,
        lower_after_s: 8.0,
        max_step_up: 4,
        horizons_s: vec![5.0, 10.0, 20.0, 40.0],
        train_every_s: 20.0,
        stale_after_s: 5.0,
        copy_rate_rps: (1.0, 400.0),
        max_fraction: 4.0,
        ..common
    }
}

impl Policy for Foreshadow {
    fn decide(&mut self, view: &View<'_>) -> Want {
        let reactive = self.hpa.replicas(view);
        if let Some(sample) = view.sample {
            self.last = self.brain.tick(sample);
        }
        let d = &self.last;
        let stands = |kinds: &[&str]| d.alarms.iter().any(|a| kinds.contains(&a.kind.as_str()));
        Want {
            replicas: reactive.max(d.plan.floor.unwrap_or(0)),
            fraction: d.copies.fraction,
            synthetic_rps: d.copies.synthetic_rps,
            reactive: Some(reactive),
            floor: d.plan.floor,
            alarm: stands(&FORECASTS),
            cannot_help: stands(&["cannot_help"]),
        }
    }

    fn shadow(&self) -> Option<Profile> {
        Some(self.profile)
    }
}
