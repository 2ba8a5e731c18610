//! Percentile bootstrap over seeds.
//!
//! Pure and seeded. Few seeds give rough intervals; one gives none. Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Resamples.
const RESAMPLES: usize = 1_000;

/// A mean and the 90 % interval of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// 5 % quantile of the resampled means.
    pub low: f64,
    /// 95 % quantile.
    pub high: f64,
}

/// Mean of the values with its interval.
pub fn mean(values: &[f64]) -> Estimate {
    let n = values.len();
    if n == 0 {
        return Estimate::default();
    }
    let average = |sum: f64| sum / n as f64;
    let mean = average(values.iter().sum());
    if n == 1 {
        return Estimate { mean, low: mean, high: mean };
    }
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| average((0..n).map(|_| values[rng.random_range(0..n)]).sum())).collect();
    means.sort_by(f64::total_cmp);
    Estimate { mean, low: means[RESAMPLES / 20], high: means[RESAMPLES - 1 - RESAMPLES / 20] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_mean_and_shrink() {
        let few = mean(&[1.0, 2.0, 3.0, 4.0]);
        assert!(few.low < 2.5 && few.mean == 2.5 && few.high > 2.5);
        let many: Vec<f64> = (0..400).map(|i| f64::from(i % 4) + 1.0).collect();
        assert!(mean(&many).high - mean(&many).low < 0.3 * (few.high - few.low));
        assert_eq!(mean(&[7.0]), Estimate { mean: 7.0, low: 7.0, high: 7.0 });
    }
}
