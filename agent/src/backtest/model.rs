//! The failure curve: the share of requests that are bad at a load over capacity, fitted on the first part of the history.
//!
//! bad(u) = base + (1 - base) sigmoid(a u + c), u = ln(load / (replicas x capacity)), c such that u = 0 is the objective's limit. Capacity at a time is
//! the median of the tracker's estimates around it, in hindsight: what a policy is judged by, never what it sees.

use crate::backtest::walk::Past;
use foreshadow_brain::math::{logit, sigmoid};

/// Estimates so many seconds before and after a time tell its capacity.
const AROUND_S: f64 = 30.0;
/// Steepnesses tried; the middle one is that of a pool of a few workers.
const STEEPNESS: [f64; 7] = [6.0, 9.0, 14.0, 20.0, 28.0, 40.0, 60.0];
const USUAL: f64 = 14.0;
/// Below this load over capacity (logarithm) what is bad is not the load's doing.
const FAR_BELOW: f64 = -0.3;

/// The curve and the truth in hindsight.
#[derive(Debug, Clone)]
pub struct Model {
    /// Share of requests that is bad whatever the load.
    pub base: f64,
    /// Steepness a.
    pub steepness: f64,
    /// Share that the objective tolerates.
    pub tolerated: f64,
    /// Capacity of one replica at each point, in hindsight, requests per second.
    pub capacity: Vec<Option<f64>>,
}

impl Model {
    /// Fits the points before `judged`.
    pub fn fit(past: &Past, judged: usize) -> Self {
        let tolerated = 1.0 - past.settings.target_ratio;
        let mut model = Self { base: 0.0, steepness: USUAL, tolerated, capacity: hindsight(past) };
        let seen: Vec<(f64, f64, f64)> = (0..judged)
            .filter_map(|i| Some((model.load(past, i, past.points[i].ready)?, past.points[i].requests, past.points[i].bad)))
            .collect();
        let quiet = seen.iter().filter(|s| s.0 < FAR_BELOW).fold((0.0, 0.0), |s, x| (s.0 + x.1, s.1 + x.2));
        model.base = if quiet.0 > 0.0 { (quiet.1 / quiet.0).min(0.7 * tolerated) } else { 0.0 };
        let near: Vec<_> = seen.into_iter().filter(|s| s.0 > -0.25).collect();
        if near.iter().map(|s| s.2).sum::<f64>() < 30.0 {
            return model; // too little went wrong to tell one curve from another
        }
        let fits = |a: f64| {
            let p = |u: f64| model.curve(a, u).clamp(1e-6, 1.0 - 1e-6);
            near.iter().map(|(u, n, k)| k * p(*u).ln() + (n - k) * (1.0 - p(*u)).ln()).sum::<f64>()
        };
        model.steepness = STEEPNESS.into_iter().max_by(|a, b| fits(*a).total_cmp(&fits(*b))).unwrap_or(USUAL);
        model
    }

    fn curve(&self, steepness: f64, u: f64) -> f64 {
        let at_limit = ((self.tolerated - self.base) / (1.0 - self.base)).max(1e-6);
        self.base + (1.0 - self.base) * sigmoid(steepness * u + logit(at_limit))
    }

    /// ln(load / what so many replicas take) at a point.
    pub fn load(&self, past: &Past, i: usize, replicas: u32) -> Option<f64> {
        let rps = past.points[i].load_rps.filter(|l| *l > 0.0)?;
        Some((rps / (f64::from(replicas.max(1)) * self.capacity[i]?)).ln())
    }

    /// Share of bad requests at a point with so many replicas.
    pub fn bad(&self, past: &Past, i: usize, replicas: u32) -> f64 {
        self.load(past, i, replicas).map_or(0.0, |u| self.curve(self.steepness, u))
    }
}

fn hindsight(past: &Past) -> Vec<Option<f64>> {
    let points = &past.points;
    let (mut from, mut to) = (0, 0);
    let mut known = None;
    let around = |i: usize| {
        while points[from].at_s < points[i].at_s - AROUND_S {
            from += 1;
        }
        while to < points.len() && points[to].at_s <= points[i].at_s + AROUND_S {
            to += 1;
        }
        let mut near: Vec<f64> = points[from..to].iter().filter_map(|p| p.capacity).map(|c| c.mean).collect();
        near.sort_by(f64::total_cmp);
        known = near.get(near.len() / 2).map(|m| m.exp()).or(known);
        known
    };
    (0..points.len()).map(around).collect()
}
