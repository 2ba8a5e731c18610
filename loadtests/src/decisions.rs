//! What the decision core costs: processor time of a decision, and of training, on the samples of a simulated workload in trouble.
//!
//! The simulator runs the scenario once with the core in charge and keeps the samples; a fresh core then decides on each of them again, the thread's
//! processor time read around every tick. Promises: nothing but the core's tick is counted. Called by the program `bench-brain`. Not here: what
//! observing costs (the agent's own bench of a node).

use crate::cpu::thread_cpu;
use crate::demo::error::Error;
use crate::entry::write_figures;
use crate::say;
use crate::scaling::cases::{Load, MIXED};
use crate::scaling::policies::Foreshadow;
use crate::scaling::policies::foreshadow::settings;
use crate::sim::policy::Want;
use crate::sim::shadow::Profile;
use crate::sim::{self, Policy, Scenario, View};
use foreshadow_brain::{Brain, Sample};
use serde::Serialize;
use std::path::PathBuf;

/// The bars: a decision in milliseconds, training in processor seconds a minute.
const DECISION_MS: f64 = 10.0;
const TRAINING_S: f64 = 1.0;
/// Ticks in a minute.
const MINUTE: usize = 60;

/// Processor time of the decision core: a decision, and training.
#[derive(Debug, clap::Parser)]
#[command(name = "bench-brain", version)]
pub struct Args {
    /// Simulated hours of mixed trouble, on a workload of twelve replicas
    #[arg(long, default_value_t = 2.0, value_parser = hours)]
    hours: f64,
    /// Seed of the scenario
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn hours(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|h| (0.5..=240.0).contains(h)).ok_or_else(|| format!("{text:?} is not a number of hours from 0.5 to 240"))
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Decisions timed.
    pub decisions: usize,
    /// Median of a tick in milliseconds: most of them train nothing.
    pub decision_ms_p50: f64,
    /// 99 % quantile.
    pub decision_ms_p99: f64,
    /// The dearest tick, which fits a machine.
    pub decision_ms_max: f64,
    /// Processor seconds a minute beyond that many median ticks: training, on average.
    pub training_s_per_minute: f64,
    /// The same of the dearest minute.
    pub training_s_per_minute_max: f64,
}

impl Figures {
    /// Figures of ticks of so many seconds each, in their order.
    fn of(ticks: &[f64]) -> Self {
        let mut sorted = ticks.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| sorted.get((q * sorted.len() as f64) as usize).or(sorted.last()).copied().unwrap_or(0.0);
        let usual = at(0.5);
        let beyond: Vec<f64> = ticks.chunks_exact(MINUTE).map(|m| m.iter().map(|t| (t - usual).max(0.0)).sum()).collect();
        Self {
            decisions: ticks.len(),
            decision_ms_p50: 1e3 * usual,
            decision_ms_p99: 1e3 * at(0.99),
            decision_ms_max: 1e3 * at(1.0),
            training_s_per_minute: beyond.iter().sum::<f64>() / beyond.len().max(1) as f64,
            training_s_per_minute_max: beyond.iter().copied().fold(0.0, f64::max),
        }
    }

    fn table(&self) -> String {
        let held = |x: f64, bar: f64| if x < bar { "holds" } else { "FALLS SHORT" };
        format!(
            "decision   median {:.2} ms, 99 % within {:.2} ms, dearest {:.2} ms   (bar {DECISION_MS} ms: {})\n\
             training   {:.3} s of processor time a minute, dearest minute {:.3} s   (bar {TRAINING_S} s: {})\n\
             {} decisions, one a simulated second",
            self.decision_ms_p50,
            self.decision_ms_p99,
            self.decision_ms_max,
            held(self.decision_ms_p99, DECISION_MS),
            self.training_s_per_minute,
            self.training_s_per_minute_max,
            held(self.training_s_per_minute_max, TRAINING_S),
            self.decisions,
        )
    }
}

/// Keeps what the policy inside is shown.
struct Tape {
    inner: Foreshadow,
    samples: Vec<Sample>,
}

impl Policy for Tape {
    fn decide(&mut self, view: &View<'_>) -> Want {
        self.samples.extend(view.sample.cloned());
        self.inner.decide(view)
    }

    fn shadow(&self) -> Option<Profile> {
        self.inner.shadow()
    }
}

/// The samples of a scenario under the core's own decisions.
fn samples(scenario: &Scenario, seed: u64) -> Vec<Sample> {
    let mut tape = Tape { inner: Foreshadow::default_for(scenario, None, seed), samples: Vec::new() };
    sim::run(scenario, &mut tape, seed);
    tape.samples
}

/// Times the core on a scenario.
pub fn measure(scenario: &Scenario, seed: u64) -> Figures {
    let mut brain = Brain::new(settings(scenario, seed));
    let timed = |sample: &Sample| {
        let before = thread_cpu();
        brain.tick(sample);
        thread_cpu().saturating_sub(before).as_secs_f64()
    };
    Figures::of(&samples(scenario, seed).iter().map(timed).collect::<Vec<_>>())
}

/// Measures, prints, writes.
///
/// # Errors
/// When the file of figures cannot be written.
pub async fn run(args: &Args) -> Result<(), Error> {
    say!("simulating {} h of mixed trouble, then deciding on its samples", args.hours);
    let scenario = Load::synthetic().scenario(MIXED, 12.0, args.hours / 24.0, args.seed);
    let figures = measure(&scenario, args.seed);
    say!("{}", figures.table());
    write_figures(args.json.as_deref(), &figures).map_err(Error::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_is_what_is_beyond_the_usual_tick() {
        let mut ticks = vec![0.001; 120];
        ticks[70] = 0.201;
        let f = Figures::of(&ticks);
        assert!((f.decision_ms_p50 - 1.0).abs() < 1e-9 && (f.decision_ms_max - 201.0).abs() < 1e-9);
        assert!((f.training_s_per_minute - 0.1).abs() < 1e-9 && (f.training_s_per_minute_max - 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_scenario_is_timed_sample_by_sample() {
        let scenario = Scenario::demo(1);
        let f = measure(&scenario, 1);
        assert_eq!(f.decisions as f64, (scenario.pace.warmup_s + scenario.pace.seconds) / scenario.pace.sample_s);
        assert!(f.decision_ms_p50 > 0.0 && f.decision_ms_p50 <= f.decision_ms_p99 && f.decision_ms_p99 <= f.decision_ms_max, "{f:?}");
    }
}
