//! Small numeric helpers shared by the forecasters: logistic functions, sorted windows, decayed averages.
//!
//! Called by every other module of the crate; knows nothing about workloads. Every function is total: it answers finite numbers for
//! any input, NaN and infinities included.

use crate::decision::Band;
use std::collections::VecDeque;

/// z of the 10 % and 90 % quantiles of a normal distribution.
pub const Z90: f64 = 1.281_551_565_5;

/// Logistic function.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// e to the x within 1e-8 of its value, for hot loops: only additions and multiplications, so that compilers make vectors of it and every machine
/// gives the same bits. Below about -690 it answers the least it can, above 690 the most.
pub fn exp(x: f64) -> f64 {
    /// Adding this puts the nearest whole number into the lowest bits of the mantissa.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    /// Powers of ln 2 over factorials: the series of two to the power of a half at most.
    const SERIES: [f64; 7] = [
        1.525_273_380_405_984e-5,
        1.540_353_039_338_161e-4,
        1.333_355_814_642_844_3e-3,
        9.618_129_107_628_477e-3,
        5.550_410_866_482_158e-2,
        0.240_226_506_959_100_7,
        std::f64::consts::LN_2,
    ];
    let t = bounded(x, -690.0, 690.0) * std::f64::consts::LOG2_E;
    let shifted = t + SHIFT;
    let part = t - (shifted - SHIFT);
    let series = SERIES.iter().fold(0.0, |sum, c| sum * part + c) * part + 1.0;
    series * f64::from_bits(shifted.to_bits().wrapping_add(1_023) << 52)
}

/// Natural logarithm of a positive, normal number within 1e-10, for the same loops as [`exp`].
pub fn ln(x: f64) -> f64 {
    /// Bits of the root of one half: mantissas are taken between it and twice as much, where the series is shortest.
    const LEAST: u64 = 0x3fe6_a09e_667f_3bcd;
    const MANTISSA: u64 = (1 << 52) - 1;
    /// Keeps the exponent positive, so that it becomes a number by its bits alone.
    const BIAS: u64 = 2_048;
    const TWO_TO_52: f64 = 4_503_599_627_370_496.0;
    /// Odd powers of (m - 1) / (m + 1): the series of half the logarithm (area hyperbolic tangent).
    const SERIES: [f64; 6] = [1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
    let bits = x.to_bits().wrapping_sub(LEAST);
    let exponent = f64::from_bits((bits.wrapping_add(BIAS << 52) >> 52) | TWO_TO_52.to_bits()) - (TWO_TO_52 + BIAS as f64);
    let m = f64::from_bits((bits & MANTISSA).wrapping_add(LEAST));
    let part = (m - 1.0) / (m + 1.0);
    let square = part * part;
    exponent * std::f64::consts::LN_2 + 2.0 * part * SERIES.iter().fold(0.0, |sum, c| sum * square + c)
}

/// Sum of many numbers in four parts: one after the other, each addition would wait for the one before.
pub fn sum(xs: &[f64]) -> f64 {
    let (fours, rest) = xs.as_chunks::<4>();
    let parts = fours.iter().fold([0.0; 4], |sum, x| std::array::from_fn(|i| sum[i] + x[i]));
    (parts[0] + parts[2]) + (parts[1] + parts[3]) + rest.iter().sum::<f64>()
}

/// Inverse of [`sigmoid`], bounded to probabilities in [1e-9, 1 - 1e-9].
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    (p / (1.0 - p)).ln()
}

/// `x` when it is finite and inside the bounds, else the nearest bound (`low` for NaN).
pub fn bounded(x: f64, low: f64, high: f64) -> f64 {
    if x.is_nan() { low } else { x.clamp(low, high) }
}

/// An optional reading: None unless finite and not negative; at most 1e15.
pub fn reading(x: Option<f64>) -> Option<f64> {
    x.filter(|x| x.is_finite() && *x >= 0.0).map(|x| x.min(1e15))
}

/// Probability that a standard normal variable is below `z` (logistic approximation, error under 0.01; Bowling et al. 2009).
pub fn normal_cdf(z: f64) -> f64 {
    sigmoid(1.5976 * z + 0.070_56 * z * z * z)
}

/// Exponentially weighted mean that starts as a plain mean, so that its first values are not dominated by a made-up one.
#[derive(Debug, Clone, Default)]
pub struct Decayed {
    mean: f64,
    weight: f64,
}

impl Decayed {
    /// Takes `x` with weight 1 after fading what was there by `keep` (0..1).
    pub fn add(&mut self, x: f64, keep: f64) {
        self.add_weighted(x, 1.0, keep);
    }

    /// The same with a weight.
    pub fn add_weighted(&mut self, x: f64, weight: f64, keep: f64) {
        if !x.is_finite() || weight <= 0.0 {
            return;
        }
        self.weight = self.weight * keep + weight;
        self.mean += (x - self.mean) * weight / self.weight;
    }

    /// The mean, once something was added.
    pub fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.mean)
    }

    /// Sum of the faded weights: how much stands behind the mean.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// The last `capacity` values, kept sorted as well: quantiles in constant time.
#[derive(Debug, Clone)]
pub struct SortedWindow {
    capacity: usize,
    order: VecDeque<f64>,
    sorted: Vec<f64>,
}

impl SortedWindow {
    /// An empty window.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), order: VecDeque::new(), sorted: Vec::new() }
    }

    /// Adds a value, dropping the oldest when full. Values that are not finite are ignored.
    pub fn push(&mut self, x: f64) {
        if !x.is_finite() {
            return;
        }
        if self.order.len() == self.capacity
            && let Some(old) = self.order.pop_front()
        {
            let at = self.sorted.partition_point(|s| *s < old);
            if at < self.sorted.len() {
                self.sorted.remove(at);
            }
        }
        self.order.push_back(x);
        let at = self.sorted.partition_point(|s| *s < x);
        self.sorted.insert(at, x);
    }

    /// Number of values held.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The `q` quantile (linear interpolation); None when empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let last = self.sorted.len().checked_sub(1)?;
        let at = bounded(q, 0.0, 1.0) * last as f64;
        let (low, high) = (at.floor() as usize, at.ceil() as usize);
        let (a, b) = (self.sorted[low], self.sorted[high]);
        Some(a + (b - a) * (at - at.floor()))
    }
}

/// Pinball loss of quantile forecast `f` at level `q` when `y` came (Koenker and Bassett 1978).
pub fn pinball(q: f64, f: f64, y: f64) -> f64 {
    if y >= f { q * (y - f) } else { (1.0 - q) * (f - y) }
}

/// Least-squares slope of `(x, y)` pairs with its standard error; None for fewer than three distinct x.
pub fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    if points.len() < 3 {
        return None;
    }
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let sxx: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    if sxx <= 1e-12 {
        return None;
    }
    let b = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / sxx;
    let rss: f64 = points.iter().map(|p| (p.1 - my - b * (p.0 - mx)).powi(2)).sum();
    let error = (rss / (n - 2.0) / sxx).sqrt();
    (b.is_finite() && error.is_finite()).then_some((b, error))
}

/// Band of a log-normal quantity from mean and standard deviation of its logarithm.
pub fn log_band(mean: f64, sd: f64) -> Band {
    let at = |z: f64| bounded((mean + z * sd).exp(), 0.0, 1e15);
    Band { p10: at(-Z90), p50: at(0.0), p90: at(Z90) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_exponential_is_close() {
        for i in -6_000..6_000 {
            let x = f64::from(i) * 0.113;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-8, "{x}");
        }
        assert!(exp(f64::NEG_INFINITY) < 1e-290 && exp(f64::INFINITY) > 1e290 && exp(f64::NAN).is_finite());
    }

    #[test]
    fn the_quick_logarithm_is_close() {
        for i in -6_000..6_000 {
            let x = (f64::from(i) * 0.113).exp();
            assert!((ln(x) - x.ln()).abs() < 1e-10 * x.ln().abs().max(1.0), "{x}");
        }
        assert_eq!((ln(1.0), ln(4.0)), (0.0, 4f64.ln()));
    }

    #[test]
    fn a_sum_in_parts_leaves_nothing_out() {
        let xs: Vec<f64> = (0..11).map(f64::from).collect();
        assert_eq!([sum(&xs), sum(&xs[..3]), sum(&[])], [55.0, 3.0, 0.0]);
    }

    #[test]
    fn a_sorted_window_forgets_the_oldest_and_interpolates() {
        let mut window = SortedWindow::new(3);
        for x in [9.0, 1.0, f64::NAN, 2.0, 3.0] {
            window.push(x);
        }
        assert_eq!(window.len(), 3);
        assert_eq!(window.quantile(0.0), Some(1.0));
        assert_eq!(window.quantile(0.75), Some(2.5));
        assert_eq!(SortedWindow::new(3).quantile(0.5), None);
    }

    #[test]
    fn a_straight_line_has_its_slope_and_no_error() {
        let points: Vec<_> = (0..5).map(|i| (f64::from(i), 3.0 * f64::from(i) + 1.0)).collect();
        let (b, error) = slope(&points).expect("five points");
        assert!((b - 3.0).abs() < 1e-12 && error < 1e-9);
        assert!(slope(&points[..2]).is_none());
    }

    #[test]
    fn pinball_punishes_the_wrong_side_more() {
        assert!(pinball(0.9, 1.0, 2.0) > pinball(0.9, 2.0, 1.0));
    }

    #[test]
    fn a_decayed_mean_starts_as_a_plain_mean() {
        let mut mean = Decayed::default();
        assert_eq!(mean.get(), None);
        mean.add(2.0, 0.99);
        assert_eq!(mean.get(), Some(2.0));
        mean.add(4.0, 1.0);
        assert_eq!(mean.get(), Some(3.0));
    }
}
