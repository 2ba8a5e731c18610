//! KEDA with a requests-per-second trigger: the total rate over a target per replica.
//!
//! The rate is a query over the last minute, scraped every fifteen seconds, as its documentation's Prometheus example has it; replicas follow
//! through the same autoscaler behaviour as on processor use.

use crate::scaling::policies::cluster::Behaviour;
use crate::sim::scenario::Pace;
use crate::sim::{Policy, View, Want};
use std::collections::VecDeque;

/// Scrapes that the query spans.
const SCRAPES: usize = 4;

/// The scaler.
#[derive(Debug, Clone)]
pub struct Keda {
    target_rps: f64,
    scrape_s: f64,
    scrape_due_s: f64,
    seen: (f64, f64),
    scrapes: VecDeque<f64>,
    behaviour: Behaviour,
    asks: Option<u32>,
}

impl Keda {
    /// Requests per second and replica.
    pub fn new(target_rps: f64, pace: &Pace) -> Self {
        Self {
            target_rps: target_rps.max(1e-6),
            scrape_s: pace.sync_s,
            scrape_due_s: pace.sync_s,
            seen: (0.0, 0.0),
            scrapes: VecDeque::with_capacity(SCRAPES + 1),
            behaviour: Behaviour::new(pace),
            asks: None,
        }
    }

    fn scrape(&mut self, view: &View<'_>) {
        self.seen.0 += view.arrival_rps * view.step_s;
        self.seen.1 += view.step_s;
        if view.at_s < self.scrape_due_s {
            return;
        }
        self.scrape_due_s += self.scrape_s;
        self.scrapes.push_back(self.seen.0 / self.seen.1);
        self.seen = (0.0, 0.0);
        if self.scrapes.len() > SCRAPES {
            self.scrapes.pop_front();
        }
    }
}

impl Policy for Keda {
    fn decide(&mut self, view: &View<'_>) -> Want {
        self.scrape(view);
        let mut asks = self.asks.unwrap_or(view.desired);
        if !self.scrapes.is_empty() && self.behaviour.due(view.at_s) {
            let rps = self.scrapes.iter().sum::<f64>() / self.scrapes.len() as f64;
            asks = self.behaviour.apply(view.at_s, rps / self.target_rps, view.desired);
            self.asks = Some(asks);
        }
        Want { replicas: asks, ..Want::default() }
    }
}
