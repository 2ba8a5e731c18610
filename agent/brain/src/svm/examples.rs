//! Turns an instance's history into labelled examples once their future has come, and keeps a bounded, balanced store of them.

use crate::features::{DIM, State};
use std::collections::VecDeque;

/// States kept per instance.
const MOST_STATES: usize = 900;
/// Examples kept of each kind: violations are rare and worth more.
const MOST_BAD: usize = 140;
const MOST_GOOD: usize = 220;
/// Seconds over which an outcome is judged.
pub const OUTCOME_S: f64 = 5.0;
/// A violation is a bad fraction over the outcome's seconds of more than this multiple of the tolerated one: five seconds hold too few requests for 1.
pub const VIOLATION: f64 = 3.0;

/// One labelled example.
#[derive(Debug, Clone)]
pub struct Example {
    /// Coordinates.
    pub x: [f64; DIM],
    /// End of the outcome, seconds.
    pub ended_s: f64,
    /// Latency at the objective's quantile over the threshold then, logarithm.
    pub log_latency: Option<f64>,
    /// Processor use per instance then over now, logarithm.
    pub cpu_change: Option<f64>,
    /// Memory per instance then over now, logarithm.
    pub memory_change: Option<f64>,
    /// Whether the objective was violated then.
    pub violated: bool,
}

/// History of one instance.
#[derive(Debug, Clone, Default)]
pub struct History {
    states: VecDeque<State>,
}

impl History {
    /// Adds the present state.
    pub fn push(&mut self, state: State) {
        if self.states.len() == MOST_STATES {
            self.states.pop_front();
        }
        self.states.push_back(state);
    }

    /// The latest state.
    pub fn last(&self) -> Option<&State> {
        self.states.back()
    }

    /// The state at a time, within a second and a half.
    pub fn at(&self, at_s: f64) -> Option<&State> {
        let i = self.states.partition_point(|s| s.at_s <= at_s + 1e-6);
        self.states.get(i.checked_sub(1)?).filter(|s| at_s - s.at_s < 1.5)
    }

    /// Outcome around the latest state: mean ln rate, whether violated, over the last seconds.
    pub fn outcome(&self, tolerated: f64) -> Option<(f64, bool)> {
        let now = self.states.back()?.at_s;
        let recent = || self.states.iter().rev().take_while(|s| s.at_s > now - OUTCOME_S);
        let n = recent().count() as f64;
        let (requests, bad) = recent().fold((0.0, 0.0), |(r, b), s| (r + s.requests, b + s.bad));
        let log_rate = recent().map(|s| s.log_rate).sum::<f64>() / n;
        Some((log_rate, requests > 0.0 && bad >= 2.0 && bad > VIOLATION * tolerated * requests))
    }

    /// The example whose outcome is now and whose state was `horizon_s` ago.
    pub fn example(&self, horizon_s: f64, tolerated: f64) -> Option<Example> {
        let now = self.states.back()?;
        let then = self.at(now.at_s - horizon_s)?;
        let (log_rate, violated) = self.outcome(tolerated)?;
        let change = |a: Option<f64>, b: Option<f64>| {
            let (a, b) = (a.filter(|a| *a > 0.0)?, b.filter(|b| *b > 0.0)?);
            Some((b / a).ln().clamp(-3.0, 3.0))
        };
        Some(Example {
            x: then.ahead(log_rate, horizon_s),
            ended_s: now.at_s,
            log_latency: now.log_latency,
            cpu_change: change(then.cpu, now.cpu),
            memory_change: change(then.memory, now.memory),
            violated,
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.states.clear();
    }
}

/// Bounded store of examples.
#[derive(Debug, Clone, Default)]
pub struct Store {
    good: VecDeque<Example>,
    bad: VecDeque<Example>,
}

impl Store {
    /// Adds an example, dropping the oldest of its kind when full.
    pub fn push(&mut self, example: Example) {
        let (kind, most) = if example.violated { (&mut self.bad, MOST_BAD) } else { (&mut self.good, MOST_GOOD) };
        if kind.len() == most {
            kind.pop_front();
        }
        kind.push_back(example);
    }

    /// All examples, oldest outcome first.
    pub fn in_order(&self) -> Vec<&Example> {
        let mut all: Vec<&Example> = self.good.iter().chain(&self.bad).collect();
        all.sort_by(|a, b| a.ended_s.total_cmp(&b.ended_s));
        all
    }

    /// Examples without and with a violation.
    pub fn counts(&self) -> (usize, usize) {
        (self.good.len(), self.bad.len())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.good.clear();
        self.bad.clear();
    }
}
