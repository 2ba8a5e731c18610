//! Foreshadow in its default mode: it watches and changes nothing. The autoscaler as found decides; what each forecaster saw coming is noted, and beside
//! it what processor use says, and what the tracked capacity says without any forecast: how much of what stands is in use, and for how long that stands.

use crate::scaling::policies::foreshadow::settings;
use crate::scaling::policies::hpa::CpuHpa;
use crate::sim::policy::{Learned, Observer};
use crate::sim::scenario::Scenario;
use crate::sim::shadow::Profile;
use crate::sim::{Policy, View, Want};
use foreshadow_brain::math::SortedWindow;
use foreshadow_brain::portfolio::{MEMBERS, REACTIVE};
use foreshadow_brain::{Brain, Decision, Settings};

/// Target of the autoscaler, and of processor use as a sign.
const TARGET: f64 = 0.7;
/// Memory of processor use a step: metrics are means over some seconds, too.
const KEEP: f64 = 0.9;
/// Names of what is watched beside the forecasters.
const PROCESSOR: &str = "processor use";
const STATED: &str = "stated probability";
const STANDING: &str = "standing use";
/// Steps over which load, and then its share of what stands, are taken together for the latter: medians.
const LOAD_STEPS: usize = 10;
const STANDING_STEPS: usize = 20;

/// The policy.
#[derive(Debug, Clone)]
pub struct Observing {
    brain: Brain,
    hpa: CpuHpa,
    profile: Profile,
    last: Decision,
    used: f64,
    load: SortedWindow,
    standing: SortedWindow,
    observers: Vec<Observer>,
}

impl Observing {
    /// With the product's defaults but this headroom.
    pub fn new(scenario: &Scenario, headroom: f64, seed: u64) -> Self {
        let settings = Settings { headroom, ..settings(scenario, seed) };
        let names =
            [PROCESSOR, STATED, STANDING].into_iter().chain(MEMBERS.into_iter().enumerate().filter(|m| m.0 != REACTIVE).map(|m| m.1));
        Self {
            brain: Brain::new(settings),
            hpa: CpuHpa::new(TARGET, &scenario.pace),
            profile: scenario.profile,
            last: Decision::default(),
            used: 0.0,
            load: SortedWindow::new(LOAD_STEPS),
            standing: SortedWindow::new(STANDING_STEPS),
            observers: names.map(|name| Observer { name, scores: Vec::new() }).collect(),
        }
    }

    /// How near each says that trouble is: processor use over its target, odds of a violation, load over what
    /// stands, replicas needed over those asked for.
    fn note(&mut self, desired: f64, arrival_rps: f64) {
        self.load.push(arrival_rps);
        let stands = self.last.capacity_rps.map_or(f64::INFINITY, |capacity| desired * capacity.p50);
        self.standing.push(self.load.quantile(0.5).unwrap_or(0.0) / stands);
        let odds = self.last.forecasts.last().and_then(|f| f.p_violation).map(|p| p / (1.0 - p).max(1e-6));
        let asked = self.brain.asked().iter().enumerate().filter(|m| m.0 != REACTIVE).map(|m| m.1.map(|ask| ask / desired.max(1.0)));
        let scores = [Some(self.used / TARGET), odds, self.standing.quantile(0.5)].into_iter().chain(asked);
        for (observer, score) in self.observers.iter_mut().zip(scores) {
            observer.scores.push(score.unwrap_or(0.0) as f32);
        }
    }
}

impl Policy for Observing {
    fn decide(&mut self, view: &View<'_>) -> Want {
        let replicas = self.hpa.replicas(view);
        self.used = KEEP * self.used + (1.0 - KEEP) * view.utilisation;
        if let Some(sample) = view.sample {
            self.last = self.brain.tick(sample);
        }
        self.note(f64::from(replicas), view.arrival_rps);
        let copies = &self.last.copies;
        Want { replicas, fraction: copies.fraction, synthetic_rps: copies.synthetic_rps, reactive: Some(replicas), ..Want::default() }
    }

    fn shadow(&self) -> Option<Profile> {
        Some(self.profile)
    }

    fn learned(&self) -> Learned {
        Learned { verdict: self.last.shadow_verdict.clone(), observers: self.observers.clone(), ..Learned::default() }
    }
}
