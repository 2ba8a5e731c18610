//! Which request is due when: an inhomogeneous Poisson process and a mix, both drawn from the plan's seed.
//!
//! Called by the engine. Pure: the same plan gives the same arrivals. Moments and kinds come from separate random streams, so that a change
//! of the mix leaves the moments as they were. Not here: sending.

use crate::generator::curve::Curve;
use crate::generator::plan::{Plan, PlanError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1};

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Seconds after the begin.
    pub at_s: f64,
    /// Place in [`Plan::requests`].
    pub request: usize,
}

/// The arrivals of a plan in order of time.
#[derive(Debug)]
pub struct Arrivals {
    curve: Curve,
    end_s: f64,
    now_s: f64,
    moments: ChaCha8Rng,
    kinds: ChaCha8Rng,
    /// (seconds, weight of each request).
    mix: Vec<(f64, Vec<f64>)>,
}

impl Arrivals {
    /// The arrivals of a plan.
    ///
    /// # Errors
    /// When the plan does not pass its checks.
    pub fn new(plan: &Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let weights = |of: &dyn Fn(&str) -> f64| plan.requests.iter().map(|r| of(&r.name)).collect::<Vec<_>>();
        let mut mix: Vec<_> = plan.mix.iter().map(|m| (m.t_s, weights(&|name| m.weights.get(name).copied().unwrap_or(0.0)))).collect();
        if mix.is_empty() {
            mix.push((0.0, weights(&|_| 1.0)));
        }
        let mut kinds = ChaCha8Rng::seed_from_u64(plan.seed);
        kinds.set_stream(1);
        let moments = ChaCha8Rng::seed_from_u64(plan.seed);
        Ok(Self { curve: plan.curve()?, end_s: plan.duration_s, now_s: 0.0, moments, kinds, mix })
    }

    /// The rate offered at a moment.
    pub fn rate(&self, at_s: f64) -> f64 {
        self.curve.at(at_s)
    }

    fn kind(&mut self, at_s: f64) -> usize {
        let after = self.mix.partition_point(|m| m.0 <= at_s);
        let low = &self.mix[after.saturating_sub(1)];
        let high = self.mix.get(after).filter(|_| after > 0).unwrap_or(low);
        let part = if high.0 > low.0 { (at_s - low.0) / (high.0 - low.0) } else { 0.0 };
        let weight = |i: usize| low.1[i] + (high.1[i] - low.1[i]) * part;
        let kinds = low.1.len();
        let mut left = self.kinds.random_range(0.0..1.0) * (0..kinds).map(weight).sum::<f64>();
        for i in 0..kinds {
            left -= weight(i);
            if left < 0.0 {
                return i;
            }
        }
        // Rounding may leave a hair: the last kind that has any weight.
        (0..kinds).rev().find(|i| weight(*i) > 0.0).unwrap_or(0)
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let gap: f64 = Exp1.sample(&mut self.moments);
        let Some(at_s) = self.curve.advance(self.now_s, gap, self.end_s) else {
            self.now_s = self.end_s;
            return None;
        };
        self.now_s = at_s;
        Some(Arrival { at_s, request: self.kind(at_s) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::plan::{Mix, RequestTemplate};

    fn plan() -> Plan {
        let mut plan = Plan::constant("http://x/", 0.0, 200.0).unwrap();
        plan.rate = vec![(0.0, 50.0), (100.0, 150.0), (100.0, 20.0)];
        plan.requests = vec![RequestTemplate::get("a", "/a"), RequestTemplate::get("b", "/b")];
        let mix = |t_s, a: f64| Mix { t_s, weights: [("a".to_string(), a), ("b".to_string(), 1.0 - a)].into() };
        plan.mix = vec![mix(0.0, 1.0), mix(100.0, 0.0)];
        plan.seed = 3;
        plan
    }

    #[test]
    fn the_same_seed_gives_the_same_requests_and_another_gives_others() {
        let all = |plan: &Plan| Arrivals::new(plan).unwrap().collect::<Vec<_>>();
        let mut plan = plan();
        let first = all(&plan);
        assert_eq!(first, all(&plan));
        plan.mix.clear();
        let moments = |v: &[Arrival]| v.iter().map(|a| a.at_s).collect::<Vec<_>>();
        assert_eq!(moments(&first), moments(&all(&plan)), "the mix does not move the moments");
        plan.seed = 4;
        assert_ne!(moments(&first), moments(&all(&plan)));
    }

    #[test]
    fn counts_follow_the_curve_and_shares_the_mix() {
        let all: Vec<_> = Arrivals::new(&plan()).unwrap().collect();
        let count = |from: f64, to: f64| all.iter().filter(|a| (from..to).contains(&a.at_s)).count() as f64;
        // Within four standard deviations of a Poisson count.
        for (from, to, mean) in [(0.0, 50.0, 3_750.0_f64), (50.0, 100.0, 6_250.0), (100.0, 200.0, 2_000.0)] {
            let n = count(from, to);
            assert!((n - mean).abs() < 4.0 * mean.sqrt(), "{from}..{to}: {n} instead of {mean}");
        }
        let b = |from: f64, to: f64| all.iter().filter(|a| a.request == 1 && (from..to).contains(&a.at_s)).count() as f64 / count(from, to);
        assert!((b(45.0, 55.0) - 0.5).abs() < 0.06, "{}", b(45.0, 55.0));
        assert_eq!(b(100.0, 200.0), 1.0);
        assert!(all.windows(2).all(|w| w[0].at_s <= w[1].at_s) && all.iter().all(|a| a.at_s < 200.0));
    }

    #[test]
    fn gaps_are_exponential() {
        let mut plan = plan();
        plan.rate = vec![(0.0, 100.0)];
        let at: Vec<_> = Arrivals::new(&plan).unwrap().map(|a| a.at_s).collect();
        let gaps: Vec<_> = at.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "coefficient of variation {}", variance.sqrt() / mean);
    }
}
