//! The clairvoyant: knows load and capacity one minute ahead, needs no shadow, and gives back at once what it will not need.
//!
//! A ceiling, not a product: what is between it and a policy is what better forecasts could still save.

use crate::sim::scenario::Scenario;
use crate::sim::{Policy, View, Want};

/// How often it decides, as a share of a start-up time, and how far it looks, in start-up times.
const EVERY: f64 = 1.0 / 6.0;
const AHEAD: f64 = 2.0;
/// Looks into the minute at so many moments.
const LOOKS: usize = 8;

/// The policy.
#[derive(Debug, Clone)]
pub struct Oracle {
    headroom: f64,
    every_s: f64,
    ahead_s: f64,
    next_s: f64,
    asks: u32,
}

impl Oracle {
    /// Uses this share of what replicas can take.
    pub fn new(headroom: f64, scenario: &Scenario) -> Self {
        let start_s = scenario.pace.start.median_s;
        Self { headroom, every_s: EVERY * start_s, ahead_s: AHEAD * start_s, next_s: 0.0, asks: scenario.replicas }
    }
}

impl Policy for Oracle {
    fn decide(&mut self, view: &View<'_>) -> Want {
        if view.at_s >= self.next_s {
            self.next_s = view.at_s + self.every_s;
            let need = |i: usize| {
                let (rps, capacity) = view.truth.at(view.at_s + self.ahead_s * i as f64 / LOOKS as f64);
                rps / (capacity.max(1e-6) * self.headroom)
            };
            self.asks = (0..=LOOKS).map(need).fold(1.0, f64::max).ceil() as u32;
        }
        Want { replicas: self.asks, ..Want::default() }
    }
}
