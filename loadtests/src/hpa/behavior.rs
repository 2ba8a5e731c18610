//! `behavior`: recommendations held back by a window, and limits on how fast the count may change.
//!
//! Called by [`crate::hpa::scaler`]. Pure; its memory is bounded by the longest window and period.

use crate::hpa::config::{Change, Config, Rules};
use std::collections::VecDeque;

/// What was recommended and what was changed.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// (when, replicas wanted by the metrics).
    recommendations: VecDeque<(f64, u32)>,
    /// (when, pods added; negative: taken away).
    changes: VecDeque<(f64, i64)>,
}

impl History {
    /// Holds a recommendation back: never above the smallest of the scale-up window, never below the largest of the scale-down window.
    pub fn stabilize(&mut self, config: &Config, now_s: f64, current: u32, wanted: u32) -> u32 {
        let within = |window: f64| self.recommendations.iter().filter(move |r| r.0 > now_s - window).map(|r| r.1);
        let up = within(config.up.stabilization_s).fold(wanted, u32::min);
        let down = within(config.down.stabilization_s).fold(wanted, u32::max);
        let longest = config.up.stabilization_s.max(config.down.stabilization_s);
        self.recommendations.retain(|r| r.0 > now_s - longest);
        self.recommendations.push_back((now_s, wanted));
        // `up` is never above `down`.
        current.max(up).min(down)
    }

    /// Holds a change to what the policies allow.
    pub fn limit(&self, config: &Config, now_s: f64, current: u32, wanted: u32) -> u32 {
        if wanted > current {
            let most = self.bounds(&config.up, now_s, current, |begin, change| match change {
                Change::Pods(n) => begin + f64::from(n),
                Change::Percent(p) => (begin * (1.0 + p / 100.0) - 1e-9).ceil(),
            });
            let most = most.reduce(f64::max).unwrap_or(f64::MAX);
            return wanted.min(whole(most).max(current));
        }
        let least = self.bounds(&config.down, now_s, current, |begin, change| match change {
            Change::Pods(n) => begin - f64::from(n),
            Change::Percent(p) => (begin * (1.0 - p / 100.0) + 1e-9).floor(),
        });
        let least = least.reduce(f64::min).unwrap_or(0.0);
        wanted.max(whole(least).min(current))
    }

    /// What each policy allows, from the count at the begin of its period.
    fn bounds(&self, rules: &Rules, now_s: f64, current: u32, of: impl Fn(f64, Change) -> f64) -> impl Iterator<Item = f64> {
        rules.policies.iter().map(move |policy| {
            let changed: i64 = self.changes.iter().filter(|c| c.0 > now_s - policy.period_s).map(|c| c.1).sum();
            of((i64::from(current) - changed).max(0) as f64, policy.change)
        })
    }

    /// Remembers a change that was made.
    pub fn changed(&mut self, config: &Config, now_s: f64, from: u32, to: u32) {
        let policies = config.up.policies.iter().chain(&config.down.policies);
        let longest = policies.map(|p| p.period_s).fold(0.0, f64::max);
        self.changes.retain(|c| c.0 > now_s - longest);
        if from != to {
            self.changes.push_back((now_s, i64::from(to) - i64::from(from)));
        }
    }
}

fn whole(x: f64) -> u32 {
    x.clamp(0.0, f64::from(u32::MAX)) as u32
}
