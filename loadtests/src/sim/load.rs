//! The load curve: requests per second over time.
//!
//! Called when a scenario is made. Pure. A curve has evenly spaced points and is straight between them. Not here: reading files
//! (by `scaling`), arrivals (drawn by the world).

use crate::sim::random::{Drift, Stream, between, stream};

/// Spread of the slow fluctuation of synthetic load, and its correlation time in seconds.
const FLUCTUATION: (f64, f64) = (0.08, 1_200.0);
/// How far the synthetic day swings about its mean.
const SWING: f64 = 0.45;
const DAY_S: f64 = 86_400.0;

/// Requests per second over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    points: Vec<f64>,
    every_s: f64,
    /// Where between the first two points it begins, in seconds.
    start_s: f64,
}

impl Curve {
    /// Points every so many seconds; missing, negative and endless ones count as none.
    pub fn new(points: Vec<f64>, every_s: f64) -> Self {
        let points = points.into_iter().map(|p| if p.is_finite() { p.max(0.0) } else { 0.0 }).collect();
        Self { points, every_s: every_s.max(1e-3), start_s: 0.0 }
    }

    /// The same rate always.
    pub fn constant(rps: f64) -> Self {
        Self::new(vec![rps], 1.0)
    }

    /// A day's swing with fluctuations, a point a minute.
    pub fn synthetic(mean_rps: f64, seconds: f64, seed: u64) -> Self {
        let mut rng = stream(seed ^ 0x5eed, Stream::Drift);
        let mut drift = Drift::new(FLUCTUATION.0, FLUCTUATION.1, 60.0, &mut rng);
        let phase = between(&mut rng, 0.0, DAY_S);
        let n = (seconds / 60.0).ceil() as usize + 2;
        let day = |i: usize| 1.0 + SWING * ((60.0 * i as f64 + phase) * std::f64::consts::TAU / DAY_S).sin();
        let points = (0..n).map(|i| day(i) * drift.next(&mut rng).exp()).collect();
        Self::new(points, 60.0).scaled(mean_rps)
    }

    /// A lively minute or two for the demonstration: a point a second, peak 10 to 30 % above the mean.
    pub fn lively(mean_rps: f64, seconds: f64, seed: u64) -> Self {
        let mut rng = stream(seed ^ 0x5eed, Stream::Drift);
        let mut drift = Drift::new(0.06, 25.0, 1.0, &mut rng);
        let mut rough = Drift::new(0.04, 1.0, 1.0, &mut rng);
        let points = (0..seconds.ceil() as usize + 2).map(|_| (drift.next(&mut rng) + rough.next(&mut rng)).exp()).collect();
        Self::new(points, 1.0).scaled(mean_rps)
    }

    /// The same shape with this mean.
    pub fn scaled(mut self, mean_rps: f64) -> Self {
        let mean = self.mean();
        if mean > 0.0 {
            self.points.iter_mut().for_each(|p| *p *= mean_rps / mean);
        }
        self
    }

    /// Mean of the points.
    pub fn mean(&self) -> f64 {
        self.points.iter().sum::<f64>() / self.points.len().max(1) as f64
    }

    /// Highest point.
    pub fn peak(&self) -> f64 {
        self.points.iter().copied().fold(0.0, f64::max)
    }

    /// Length in seconds; endless when constant.
    pub fn seconds(&self) -> f64 {
        if self.points.len() < 2 { f64::INFINITY } else { (self.points.len() - 1) as f64 * self.every_s - self.start_s }
    }

    /// The part that begins at `from_s` and is `seconds` long.
    pub fn window(&self, from_s: f64, seconds: f64) -> Self {
        // Whole points, and where between them it begins: a window that was sampled anew would cut off peaks.
        let start_s = self.start_s + from_s.max(0.0);
        let first = ((start_s / self.every_s) as usize).min(self.points.len().saturating_sub(1));
        let start_s = start_s - first as f64 * self.every_s;
        let n = ((start_s + seconds) / self.every_s).ceil() as usize + 1;
        let points = self.points.iter().skip(first).take(n).copied().collect();
        Self { start_s, ..Self::new(points, self.every_s) }
    }

    /// Rate at `t`; before the first and after the last point, theirs.
    pub fn at(&self, t: f64) -> f64 {
        let x = ((self.start_s + t.max(0.0)) / self.every_s).max(0.0);
        let i = x as usize;
        match (self.points.get(i), self.points.get(i + 1)) {
            (Some(a), Some(b)) => a + (b - a) * (x - i as f64),
            _ => self.points.last().copied().unwrap_or(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_straight_between_points() {
        let curve = Curve::new(vec![10.0, 20.0, f64::NAN, -1.0], 60.0);
        assert_eq!([curve.at(-5.0), curve.at(30.0), curve.at(90.0), curve.at(1e9)], [10.0, 15.0, 10.0, 0.0]);
        assert_eq!((curve.seconds(), curve.peak()), (180.0, 20.0));
        let window = curve.window(30.0, 60.0);
        assert_eq!([window.at(0.0), window.at(30.0), window.at(60.0)], [15.0, 20.0, 10.0], "the peak between its ends is kept");
    }

    #[test]
    fn synthetic_load_has_the_mean_wished() {
        let curve = Curve::synthetic(200.0, 86_400.0, 1);
        assert!((curve.mean() - 200.0).abs() < 1e-6 && curve.peak() > 250.0);
        assert_ne!(curve, Curve::synthetic(200.0, 86_400.0, 2));
    }
}
