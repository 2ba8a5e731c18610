//! How much of a production replica the shadow is worth: learned from when both say something about capacity.
//!
//! A grid over ln scale, prior around the price list's size. The evidence for a scale is how well the shadow's capacity, divided by it, explains
//! production's counts of the interval; one-sided knowledge ("production takes 90 a second without failing") counts as far as it
//! goes. Successive seconds repeat each other, so each counts little. Called by [`super::Capacity`].

use super::grid::{LogEstimate, moments};

const POINTS: usize = 61;
const REACH: f64 = 0.9;
/// Doubt about the price list's size.
const PRIOR_SD: f64 = 0.18;
/// Capacity falls faster than size: fewer workers share less, and slower ones come nearer the threshold. Square-root staffing (Halfin and Whitt
/// 1981) gives exponents from 1.05 (hundreds of workers) to 1.3 (a handful); this is where the search starts.
const PRIOR_EXPONENT: f64 = 1.1;
/// Share of an interval's evidence that is new.
const NEW: f64 = 0.06;

/// Learns ln(shadow capacity / replica capacity).
#[derive(Debug, Clone)]
pub struct ScaleLearner {
    centre: f64,
    weights: Vec<f64>,
    evidence: f64,
}

impl ScaleLearner {
    /// Starts from the size on the price list, and what size usually does to capacity.
    pub fn new(size: f64) -> Self {
        let mut learner = Self { centre: PRIOR_EXPONENT * size.ln(), weights: vec![0.0; POINTS], evidence: 0.0 };
        for (i, w) in learner.weights.iter_mut().enumerate() {
            *w = (-0.5 * (offset(i) / PRIOR_SD).powi(2)).exp();
        }
        learner
    }

    /// Asks what production's interval says of the shadow's capacity, for every scale. `production` is the log-likelihood of ln C.
    pub fn learn(&mut self, production: impl Fn(f64) -> f64, shadow: LogEstimate, seconds: f64) {
        if shadow.sd > 0.25 {
            return;
        }
        let said: Vec<f64> = (0..POINTS).map(|i| production(shadow.mean - self.centre - offset(i))).collect();
        let best = said.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let worst = said.iter().copied().fold(f64::INFINITY, f64::min);
        if !best.is_finite() || best - worst < 1e-6 {
            return;
        }
        let seconds = seconds.min(5.0);
        self.evidence += NEW * (best - worst).min(2.0) * seconds;
        let prior = 2e-4 * seconds;
        for (i, w) in self.weights.iter_mut().enumerate() {
            // The shadow's own doubt, and its correlation with itself a second ago, temper what is said.
            *w *= (NEW * seconds * (said[i] - best).max(-6.0)).exp();
            *w = *w * (1.0 - prior) + prior * (-0.5 * (offset(i) / PRIOR_SD).powi(2)).exp();
        }
        let top = self.weights.iter().copied().fold(0.0, f64::max);
        self.weights.iter_mut().for_each(|w| *w /= top.max(1e-300));
    }

    /// ln scale.
    pub fn estimate(&self) -> LogEstimate {
        moments(&self.weights, |i| self.centre + offset(i))
    }

    /// Whether production said enough to correct the price list's size.
    pub fn is_learned(&self) -> bool {
        self.evidence > 1.0
    }
}

fn offset(i: usize) -> f64 {
    REACH * (2.0 * i as f64 / (POINTS - 1) as f64 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_list_is_corrected_by_evidence() {
        let mut scale = ScaleLearner::new(0.5);
        for _ in 0..300 {
            let production = |x: f64| -0.5 * ((x - 100f64.ln()) / 0.1).powi(2);
            scale.learn(production, LogEstimate { mean: 42f64.ln(), sd: 0.05 }, 1.0);
        }
        assert!((scale.estimate().mean.exp() - 0.42).abs() < 0.02, "{}", scale.estimate().mean.exp());
        assert!(scale.is_learned());
    }

    #[test]
    fn one_sided_evidence_moves_only_as_far_as_it_goes() {
        let mut scale = ScaleLearner::new(0.5);
        for _ in 0..500 {
            let at_least_90 = |x: f64| if x < 90f64.ln() { -5.0 } else { 0.0 };
            scale.learn(at_least_90, LogEstimate { mean: 42f64.ln(), sd: 0.05 }, 1.0);
        }
        let learned = scale.estimate().mean.exp();
        assert!(learned < 42.0 / 90.0 && learned > 0.36, "{learned}");
    }

    #[test]
    fn no_knowledge_changes_nothing() {
        let mut scale = ScaleLearner::new(0.5);
        (0..300).for_each(|_| scale.learn(|_| 0.0, LogEstimate { mean: 42f64.ln(), sd: 0.05 }, 1.0));
        assert!((scale.estimate().mean.exp() - 0.5f64.powf(PRIOR_EXPONENT)).abs() < 0.03 && !scale.is_learned());
    }
}
