//! How much of a production replica the shadow is worth: learned from when both say something about capacity.
//!
//! A grid over ln scale, prior around the price list's size. The evidence for a scale is how well the shadow's capacity, divided by it, explains
//! production's counts of the interval; one-sided knowledge ("production takes 90 a second without failing") counts as far as it
//! goes. Successive seconds repeat each other, so each counts little. Beside the grid stands the other possibility, that size changes nothing
//! because something else is the limit (threads, connections, a lock): then the shadow's edge is a replica's. Called by [`super::Capacity`].

use super::grid::{LogEstimate, moments};

const POINTS: usize = 61;
const REACH: f64 = 0.9;
const BETWEEN: f64 = 2.0 * REACH / (POINTS - 1) as f64;
/// Doubt about the price list's size.
const PRIOR_SD: f64 = 0.18;
/// Capacity falls faster than size: fewer workers share less, and slower ones come nearer the threshold. Square-root staffing (Halfin and Whitt
/// 1981) gives exponents from 1.05 (hundreds of workers) to 1.3 (a handful); this is where the search starts.
const PRIOR_EXPONENT: f64 = 1.1;
/// Share of an interval's evidence that is new.
const NEW: f64 = 0.06;
/// Most that one interval says, in log-likelihood.
const MOST: f64 = 6.0;
/// Log-odds beforehand that size changes nothing, the most they grow to, below which it is ruled out, and below which for good: what an instance is
/// limited by does not change while the shadow stays the same, and a pool in trouble would seem to say so.
const INDIFFERENT: f64 = -0.5;
const MOST_ODDS: f64 = 4.0;
const RULED_OUT: f64 = -2.0;
const FOR_GOOD: f64 = -5.0;
/// Seconds of evidence after which what is not ruled out is believed: it is the careful side, and where it is wrong, production's ordinary load
/// refutes it sooner (a replica takes more than the whole shadow).
const HEARD_S: f64 = 30.0;
/// The shadow's edge is known well enough for this question below this standard deviation of its logarithm; halves are 0.7 apart.
const ROUGH_SD: f64 = 0.5;
/// Doubt about a scale of one.
const ONE_SD: f64 = 0.12;

/// Learns ln(shadow capacity / replica capacity).
#[derive(Debug, Clone)]
pub struct ScaleLearner {
    centre: f64,
    weights: Vec<f64>,
    evidence: f64,
    /// Log-odds that size changes nothing, and the seconds that were heard about it.
    indifferent: f64,
    heard_s: f64,
}

impl ScaleLearner {
    /// Starts from the size on the price list, and what size usually does to capacity.
    pub fn new(size: f64) -> Self {
        let mut learner =
            Self { centre: PRIOR_EXPONENT * size.ln(), weights: vec![0.0; POINTS], evidence: 0.0, indifferent: INDIFFERENT, heard_s: 0.0 };
        for (i, w) in learner.weights.iter_mut().enumerate() {
            *w = (-0.5 * (offset(i) / PRIOR_SD).powi(2)).exp();
        }
        learner
    }

    /// Asks what production's interval says of the shadow's capacity, for every scale. `production` is given an ln C, a step and a row, and writes the
    /// log-likelihood of that ln C and of those after it.
    pub fn learn(&mut self, production: impl Fn(f64, f64, &mut [f64]), shadow: LogEstimate, seconds: f64) {
        self.weigh_size(&production, shadow, seconds);
        if shadow.sd > 0.25 {
            return;
        }
        let mut said = [0.0; POINTS];
        production(shadow.mean - self.centre + offset(0), BETWEEN, &mut said);
        said.reverse(); // the larger the scale, the smaller a replica
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
            *w *= (NEW * seconds * (said[i] - best).max(-MOST)).exp();
            *w = *w * (1.0 - prior) + prior * (-0.5 * (offset(i) / PRIOR_SD).powi(2)).exp();
        }
        let top = self.weights.iter().copied().fold(0.0, f64::max);
        self.weights.iter_mut().for_each(|w| *w /= top.max(1e-300));
    }

    /// Whether size matters: how well a replica that takes what the shadow takes explains production's interval, against one that takes as much more as
    /// its size says. The shadow's doubt is given to the former.
    fn weigh_size(&mut self, production: impl Fn(f64, f64, &mut [f64]), shadow: LogEstimate, seconds: f64) {
        if shadow.sd > ROUGH_SD || self.centre > -2.0 * PRIOR_SD || self.indifferent < FOR_GOOD {
            return;
        }
        let (mut whole, mut part) = ([0.0; 2], [0.0; 3]);
        production(shadow.mean, shadow.sd, &mut whole);
        production(shadow.mean - self.centre - PRIOR_SD, PRIOR_SD, &mut part);
        let [one, sized] = [&whole[..], &part[..]].map(|said| said.iter().copied().fold(f64::MIN, f64::max));
        if !(one - sized).is_finite() {
            return;
        }
        let seconds = seconds.min(5.0);
        self.heard_s += seconds;
        self.indifferent = (self.indifferent + NEW * seconds * (one - sized).clamp(-MOST, MOST)).min(MOST_ODDS);
    }

    /// ln scale.
    pub fn estimate(&self) -> LogEstimate {
        if self.is_indifferent() {
            return LogEstimate { mean: 0.0, sd: ONE_SD };
        }
        moments(&self.weights, |i| self.centre + offset(i))
    }

    /// Whether size is believed to change nothing.
    pub fn is_indifferent(&self) -> bool {
        self.heard_s > HEARD_S && self.indifferent > RULED_OUT
    }

    /// Whether production said enough to correct the price list's size.
    pub fn is_learned(&self) -> bool {
        self.evidence > 1.0
    }
}

fn offset(i: usize) -> f64 {
    BETWEEN * i as f64 - REACH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of what is said of each ln C.
    fn each(said: impl Fn(f64) -> f64) -> impl Fn(f64, f64, &mut [f64]) {
        move |x, step, row| row.iter_mut().enumerate().for_each(|(i, l)| *l = said(x + step * i as f64))
    }

    #[test]
    fn the_price_list_is_corrected_by_evidence() {
        let mut scale = ScaleLearner::new(0.5);
        for _ in 0..300 {
            let production = each(|x| -0.5 * ((x - 100f64.ln()) / 0.1).powi(2));
            scale.learn(production, LogEstimate { mean: 42f64.ln(), sd: 0.05 }, 1.0);
        }
        assert!((scale.estimate().mean.exp() - 0.42).abs() < 0.02, "{}", scale.estimate().mean.exp());
        assert!(scale.is_learned());
    }

    #[test]
    fn one_sided_evidence_moves_only_as_far_as_it_goes() {
        let mut scale = ScaleLearner::new(0.5);
        for _ in 0..500 {
            let at_least_90 = each(|x| if x < 90f64.ln() { -5.0 } else { 0.0 });
            scale.learn(at_least_90, LogEstimate { mean: 42f64.ln(), sd: 0.05 }, 1.0);
        }
        let learned = scale.estimate().mean.exp();
        assert!(learned < 42.0 / 90.0 && learned > 0.36, "{learned}");
    }

    #[test]
    fn what_is_never_refuted_is_believed_in_the_end() {
        let mut scale = ScaleLearner::new(0.5);
        let mut hear = |n: usize| {
            (0..n).for_each(|_| scale.learn(each(|_| 0.0), LogEstimate { mean: 42f64.ln(), sd: 0.05 }, 1.0));
            (scale.estimate().mean.exp(), scale.is_learned())
        };
        let (first, _) = hear(20);
        assert!((first - 0.5f64.powf(PRIOR_EXPONENT)).abs() < 0.03, "{first}");
        assert_eq!(hear(300), (1.0, false));
        let whole = ScaleLearner::new(1.0).estimate();
        assert!((whole.mean.exp() - 1.0).abs() < 0.03);
    }

    #[test]
    fn production_at_its_ordinary_load_says_that_size_matters() {
        let mut scale = ScaleLearner::new(0.5);
        let takes_60 = each(|x| if x < 60f64.ln() { -5.0 } else { 0.0 });
        (0..300).for_each(|_| scale.learn(&takes_60, LogEstimate { mean: 42f64.ln(), sd: 0.05 }, 1.0));
        let sized = scale.estimate().mean.exp();
        assert!((sized - 0.5f64.powf(PRIOR_EXPONENT)).abs() < 0.04, "{sized}");
    }
}
