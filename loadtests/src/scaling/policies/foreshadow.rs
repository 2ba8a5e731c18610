//! Foreshadow: the decision core as it ships, its floor over a processor autoscaler or alone, its shadow in the bill.

use crate::hpa::{Config, Hpa};
use crate::scaling::policies::cluster::{config, time_scale};
use crate::scaling::policies::hpa::CpuHpa;
use crate::sim::policy::Learned;
use crate::sim::scenario::{Pace, Scenario};
use crate::sim::shadow::Profile;
use crate::sim::{Policy, View, Want};
use foreshadow_brain::{Brain, Decision, Settings};

/// Alarms that announce trouble.
const FORECASTS: [&str; 2] = ["forecast_violation", "capacity_falling"];

/// What runs beneath the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Beneath {
    /// The autoscaler as it was found: 70 %, down after five minutes.
    AsFound,
    /// The autoscaler as recommended beside Foreshadow: 90 %, down after one minute. It stays the safety net, no longer what decides the size.
    Recommended,
    /// None: the floor is the count.
    Nothing,
}

impl Beneath {
    fn autoscaler(self, pace: &Pace) -> Option<CpuHpa> {
        match self {
            Self::AsFound => Some(CpuHpa::new(0.7, pace)),
            Self::Recommended => {
                let mut lean: Config = config(0.9, pace);
                lean.down.stabilization_s = 60.0 / time_scale(pace);
                Some(CpuHpa::with(Hpa::new(lean), pace))
            }
            Self::Nothing => None,
        }
    }
}

/// The policy.
#[derive(Debug, Clone)]
pub struct Foreshadow {
    brain: Brain,
    hpa: Option<CpuHpa>,
    profile: Option<Profile>,
    last: Decision,
    cannot_help_s: f64,
}

impl Foreshadow {
    /// With these settings, this shadow (none: what production's own numbers tell) and this autoscaler beneath.
    pub fn new(settings: Settings, profile: Option<Profile>, beneath: Beneath, scenario: &Scenario) -> Self {
        let hpa = beneath.autoscaler(&scenario.pace);
        Self { brain: Brain::new(settings), hpa, profile, last: Decision::default(), cannot_help_s: 0.0 }
    }

    /// The defaults for a scenario; `headroom` is theirs when not given.
    pub fn default_for(scenario: &Scenario, headroom: Option<f64>, seed: u64) -> Self {
        Self::variant(scenario, headroom, seed, Beneath::Recommended, true)
    }

    /// The defaults over something else, with or without a shadow.
    pub fn variant(scenario: &Scenario, headroom: Option<f64>, seed: u64, beneath: Beneath, shadow: bool) -> Self {
        let mut settings = settings(scenario, seed);
        settings.headroom = headroom.unwrap_or(settings.headroom);
        Self::new(settings, shadow.then_some(scenario.profile), beneath, scenario)
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
        headroom: 0.95,
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
        let reactive = self.hpa.as_mut().map(|hpa| hpa.replicas(view));
        if let Some(sample) = view.sample {
            self.last = self.brain.tick(sample);
        }
        let d = &self.last;
        let stands = |kinds: &[&str]| d.alarms.iter().any(|a| kinds.contains(&a.kind.as_str()));
        let cannot_help = stands(&["cannot_help"]);
        self.cannot_help_s += if cannot_help { view.step_s } else { 0.0 };
        Want {
            replicas: reactive.map_or(d.plan.floor.unwrap_or(view.desired), |r| r.max(d.plan.floor.unwrap_or(0))),
            fraction: d.copies.fraction,
            synthetic_rps: d.copies.synthetic_rps,
            reactive,
            floor: d.plan.floor,
            alarm: stands(&FORECASTS),
            cannot_help,
        }
    }

    fn shadow(&self) -> Option<Profile> {
        self.profile
    }

    fn learned(&self) -> Learned {
        let judged = |m: &foreshadow_brain::decision::MemberScore| Some((m.name.clone(), m.loss?));
        Learned {
            members: self.last.portfolio.iter().filter_map(judged).collect(),
            verdict: self.last.shadow_verdict.clone(),
            cannot_help_s: self.cannot_help_s,
            observers: Vec::new(),
        }
    }
}
