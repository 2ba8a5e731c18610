//! One kind of evidence about the edge: how many of the requests of an interval exceeded something, against load over capacity.
//!
//! P(exceed) = base + (1 - base) sigmoid(a u + c), u = ln(load / capacity), c such that P = `anchor` at u = 0. A pool fails more suddenly than one
//! alone: `a` grows with the root of the instances that share the load (square-root staffing, Halfin and Whitt 1981). Requests of one
//! interval are correlated (one queue serves them), so counts weigh less than they seem: the likelihood is tempered by the dispersion
//! seen in the past (quasi-likelihood, McCullagh and Nelder 1989). Called by [`super::edge`].

use crate::math::{Decayed, bounded, logit};

/// Memory of dispersion and base, per interval.
const KEEP: f64 = 0.985;
/// Gain of the calibration per interval, and its bounds, in log-odds.
const CALIBRATION: f64 = 0.03;
const SHIFT: (f64, f64) = (-1.0, 4.0);

/// Instances beyond which a curve is steep enough.
const MOST_POOLED: f64 = 10_000.0;

/// ln(load / capacity) below which what exceeds is not the load's doing.
const FAR_BELOW: f64 = -0.3;

/// Curve and dispersion of one kind of evidence.
#[derive(Debug, Clone)]
pub struct Channel {
    anchor: f64,
    steepness: f64,
    pooled: f64,
    base: Decayed,
    dispersion: Decayed,
    shift: f64,
    excused: f64,
}

/// The curve with its present base, ready to be evaluated many times.
#[derive(Debug, Clone, Copy)]
pub struct Curve {
    base: f64,
    steepness: f64,
    offset: f64,
}

impl Curve {
    /// Probability at `u` for a grid steepness `slope`.
    pub fn probability(&self, slope: f64, u: f64) -> f64 {
        let s = 1.0 / (1.0 + (-(slope * self.steepness * u + self.offset)).exp());
        (self.base + (1.0 - self.base) * s).clamp(1e-6, 1.0 - 1e-6)
    }

    /// Probabilities at `u`, `u - step`, and so on, for a grid steepness `slope`: the exponential of the first gives all others.
    pub fn fill(&self, slope: f64, u: f64, step: f64, row: &mut [f64]) {
        let z = bounded(slope * self.steepness * u + self.offset, -300.0, 300.0);
        let (mut e, grows) = ((-z).exp(), (slope * self.steepness * step).exp());
        for p in row {
            *p = (self.base + (1.0 - self.base) / (1.0 + e)).clamp(1e-6, 1.0 - 1e-6);
            e = (e * grows).min(1e200);
        }
    }

    /// Load over capacity, as a logarithm, at which the probability is `p`.
    pub fn inverse(&self, slope: f64, p: f64) -> f64 {
        (logit((p - self.base) / (1.0 - self.base)) - self.offset) / (slope * self.steepness)
    }
}

impl Channel {
    /// Evidence that exceeds with probability `anchor` at the edge; `steepness` multiplies the grid's slope.
    pub fn new(anchor: f64, steepness: f64) -> Self {
        let mut dispersion = Decayed::default();
        dispersion.add_weighted(2.5, 10.0, 1.0);
        Self { anchor: anchor.clamp(1e-4, 0.5), steepness, pooled: 1.0, base: Decayed::default(), dispersion, shift: 0.0, excused: 0.0 }
    }

    /// The same evidence with another anchor (the cut moved a little).
    pub fn with_anchor(mut self, anchor: f64) -> Self {
        self.anchor = anchor.clamp(1e-4, 0.5);
        self
    }

    /// So many equal instances share the load from now on.
    pub fn pool(&mut self, instances: f64) {
        self.pooled = bounded(instances, 1.0, MOST_POOLED).sqrt();
    }

    /// What the grid's slope is multiplied by.
    pub fn steepness(&self) -> f64 {
        self.steepness * self.pooled
    }

    /// The curve as known now.
    pub fn curve(&self) -> Curve {
        let base = bounded(self.base.get().unwrap_or(0.0), 0.0, 0.7 * self.anchor);
        if self.excused > base {
            // The objective cannot be met: the edge is where load adds to what is bad what it tolerates.
            return Curve { base: self.excused, steepness: self.steepness(), offset: logit(self.anchor) };
        }
        Curve { base, steepness: self.steepness(), offset: logit((self.anchor - base) / (1.0 - base)) }
    }

    /// Sets a share that exceeds whatever the load, as others know it (0: none); answers whether one came or went.
    pub fn excuse(&mut self, share: f64) -> bool {
        let before = std::mem::replace(&mut self.excused, bounded(share, 0.0, 0.9));
        (before > 0.0) != (self.excused > 0.0)
    }

    /// Share of requests that exceed whatever the load, as seen far below the edge.
    pub fn base(&self) -> f64 {
        self.base.get().unwrap_or(0.0)
    }

    /// By how much counts vary more than independent requests would.
    pub fn dispersion(&self) -> f64 {
        bounded(self.dispersion.get().unwrap_or(2.5), 1.0, 25.0)
    }

    /// By how many log-odds more requests exceed, over time, than the curve says at the load believed at the time: see [`Self::calibrate`].
    pub fn shift(&self) -> f64 {
        self.shift
    }

    /// Calibrates: a tracker explains every burst by a moment of low capacity and then believes the calm between bursts, a capacity
    /// that fails more often than it promises. `u` is the load over capacity believed before the interval.
    pub fn calibrate(&mut self, n: f64, k: f64, slope: f64, u: f64) {
        let promised = self.curve().probability(slope, u + self.shift / (slope * self.steepness()));
        if n >= 5.0 && promised < 0.2 {
            let surprise = (k - n * promised) / (n * promised + 1.0);
            self.shift = bounded(self.shift + CALIBRATION * surprise.clamp(-1.0, 12.0), SHIFT.0, SHIFT.1);
        }
    }

    /// Learns from an interval: `expected` probability before it was seen, `u` the load over capacity then believed.
    pub fn learn(&mut self, n: f64, k: f64, expected: f64, u: f64) {
        if n < 1.0 {
            return;
        }
        if u < FAR_BELOW {
            self.base.add_weighted(k / n, n, KEEP);
        }
        // Where next to nothing is expected, a residual says more about the curve than about dispersion.
        if n * expected > 0.3 {
            let residual = (k - n * expected).powi(2) / (n * expected * (1.0 - expected));
            self.dispersion.add(residual.min(20.0), KEEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_meets_its_anchor_and_inverts() {
        let curve = Channel::new(0.01, 1.0).curve();
        assert!((curve.probability(14.0, 0.0) - 0.01).abs() < 1e-9);
        let u = curve.inverse(14.0, 0.03);
        assert!(u > 0.0 && (curve.probability(14.0, u) - 0.03).abs() < 1e-9);
        let mut row = [0.0; 40];
        curve.fill(14.0, 0.3, 0.02, &mut row);
        assert!(row.iter().enumerate().all(|(i, p)| (p - curve.probability(14.0, 0.3 - 0.02 * i as f64)).abs() < 1e-12));
    }

    #[test]
    fn a_pool_meets_the_same_anchor_more_suddenly() {
        let alone = Channel::new(0.01, 1.0);
        let mut pool = alone.clone();
        pool.pool(16.0);
        let (alone, pool) = (alone.curve(), pool.curve());
        assert!((pool.probability(14.0, 0.0) - 0.01).abs() < 1e-9);
        assert!((alone.inverse(14.0, 0.5) / pool.inverse(14.0, 0.5) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn clumped_counts_are_trusted_less() {
        let mut channel = Channel::new(0.1, 1.0);
        for i in 0..200 {
            channel.learn(100.0, if i % 10 == 0 { 60.0 } else { 4.0 }, 0.1, 0.0);
        }
        assert!(channel.dispersion() > 3.0);
    }

    #[test]
    fn what_fails_without_load_is_the_base() {
        let mut channel = Channel::new(0.01, 1.0);
        for _ in 0..50 {
            channel.learn(1_000.0, 4.0, 0.001, -1.0);
        }
        assert!((channel.base() - 0.004).abs() < 1e-9);
        assert!((channel.curve().probability(14.0, -3.0) - 0.004).abs() < 1e-4);
    }
}
