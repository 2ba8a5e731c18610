//! Support vector machines over relative coordinates: response time, processor and memory at the horizons, probability of a violation.
//!
//! One machine per target serves every horizon (the horizon is a coordinate). Examples come from production and shadow alike; a second
//! classifier sees production's only and without the shadow's capacity: it is what could be known without a shadow. Training is spread:
//! at most one fit per tick, a round every `train_every_s`. Called by [`crate::Brain`]; evaluation of the forecasts is in [`crate::verdict`].

pub mod examples;
pub mod models;

use crate::features::{DIM, State};
use examples::{History, Store};
use models::{Classifier, Regression};

/// What is fitted next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Latency,
    Cpu,
    Memory,
    Violation,
    ViolationAlone,
}

const ROUND: [Job; 5] = [Job::Violation, Job::Latency, Job::ViolationAlone, Job::Cpu, Job::Memory];

/// Violations of production since the last round from which there is something new to learn; with fewer the wait doubles, up to so many times
/// `train_every_s`. The shadow's are no news: it is held where it fails all the time.
const NEWS: u32 = 4;
const PATIENCE: f64 = 8.0;

/// A classifier and when its training data ended.
pub type Dated<T> = Option<(f64, T)>;

/// The machines.
#[derive(Debug, Clone)]
pub struct Machines {
    horizons: Vec<f64>,
    tolerated: f64,
    every_s: f64,
    /// Wait before the next round, and violations seen since the last.
    wait_s: f64,
    news: u32,
    turn: usize,
    next_round_s: Option<f64>,
    jobs: Vec<Job>,
    /// Production's states in coordinates relative to the fused capacity.
    pub production: History,
    /// The same relative to what production alone tells.
    pub production_alone: History,
    shadow: History,
    both: Store,
    alone: Store,
    latency: Option<Regression>,
    cpu: Option<Regression>,
    memory: Option<Regression>,
    violation: Dated<Classifier>,
    violation_alone: Dated<Classifier>,
}

impl Machines {
    /// Machines for these horizons.
    pub fn new(horizons: &[f64], tolerated: f64, every_s: f64) -> Self {
        Self {
            horizons: horizons.to_vec(),
            tolerated,
            every_s,
            wait_s: every_s,
            news: 0,
            turn: 0,
            next_round_s: None,
            jobs: Vec::new(),
            production: History::default(),
            production_alone: History::default(),
            shadow: History::default(),
            both: Store::default(),
            alone: Store::default(),
            latency: None,
            cpu: None,
            memory: None,
            violation: None,
            violation_alone: None,
        }
    }

    /// Takes the states of an interval. Each contributes the example of one horizon, in turn.
    pub fn observe(&mut self, production: Option<State>, alone: Option<State>, shadow: Option<State>) {
        self.turn = (self.turn + 1) % self.horizons.len().max(1);
        let Some(horizon) = self.horizons.get(self.turn).copied() else { return };
        let take = |state: Option<State>, history: &mut History, store: &mut Store| {
            history.push(state?);
            let example = history.example(horizon, self.tolerated)?;
            let violated = example.violated;
            store.push(example);
            Some(violated)
        };
        let failed = take(production, &mut self.production, &mut self.both);
        take(alone, &mut self.production_alone, &mut self.alone);
        take(shadow, &mut self.shadow, &mut self.both);
        self.news += u32::from(failed == Some(true));
    }

    /// Forgets examples and models: a new release is another application.
    pub fn reset(&mut self) {
        let (horizons, tolerated, every_s) = (std::mem::take(&mut self.horizons), self.tolerated, self.every_s);
        *self = Self::new(&horizons, tolerated, every_s);
    }

    /// Trains at most one machine.
    pub fn train(&mut self, now_s: f64) {
        let due = *self.next_round_s.get_or_insert(now_s + self.every_s);
        if self.jobs.is_empty() && now_s >= due {
            self.jobs = ROUND.to_vec();
            self.wait_s =
                if std::mem::take(&mut self.news) > NEWS { self.every_s } else { (2.0 * self.wait_s).min(PATIENCE * self.every_s) };
            self.next_round_s = Some(now_s + self.wait_s);
        }
        if self.jobs.is_empty() {
            return;
        }
        let job = self.jobs.remove(0);
        let (both, alone) = (self.both.in_order(), self.alone.in_order());
        // A machine that cannot be fitted again (too few recent examples of a kind) keeps its last form.
        match job {
            Job::Latency => keep(&mut self.latency, Regression::fit(&both, |e| e.log_latency)),
            Job::Cpu => keep(&mut self.cpu, Regression::fit(&both, |e| e.cpu_change)),
            Job::Memory => keep(&mut self.memory, Regression::fit(&both, |e| e.memory_change)),
            Job::Violation => keep(&mut self.violation, Classifier::fit(&both).map(|c| (now_s, c))),
            Job::ViolationAlone => keep(&mut self.violation_alone, Classifier::fit(&alone).map(|c| (now_s, c))),
        }
    }

    /// Coordinates of production now for a load (ln requests per second per replica) that far ahead.
    pub fn ahead(&self, log_rate: f64, horizon_s: f64) -> Option<[f64; DIM]> {
        self.production.last().map(|s| s.ahead(log_rate, horizon_s))
    }

    /// ln(latency at the objective's quantile / threshold): 10, 50, 90 %.
    pub fn latency(&self, x: &[f64; DIM]) -> Option<(f64, f64, f64)> {
        self.latency.as_ref().map(|m| m.predict(x))
    }

    /// ln(processor use per replica then / now): 10, 50, 90 %.
    pub fn cpu(&self, x: &[f64; DIM]) -> Option<(f64, f64, f64)> {
        self.cpu.as_ref().map(|m| m.predict(x))
    }

    /// ln(memory per replica then / now): 10, 50, 90 %.
    pub fn memory(&self, x: &[f64; DIM]) -> Option<(f64, f64, f64)> {
        self.memory.as_ref().map(|m| m.predict(x))
    }

    /// Probability of a violation.
    pub fn violation(&self, x: &[f64; DIM]) -> Option<f64> {
        self.violation.as_ref().map(|m| m.1.predict(x))
    }

    /// The classifier trained on both, and the one on production alone.
    pub fn classifiers(&self) -> (&Dated<Classifier>, &Dated<Classifier>) {
        (&self.violation, &self.violation_alone)
    }
}

fn keep<T>(slot: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *slot = new;
    }
}
