//! Fitting support vector machines on examples: regression with held-out error bands, classification with held-out calibration.
//!
//! The last quarter of the examples in time never takes part in fitting; it gives the bands and the probabilities (Platt 1999), after an
//! embargo so that overlapping outcomes do not leak. Coordinates are standardised and clamped: beyond what was seen, a model repeats its edge.

use super::examples::{Example, OUTCOME_S};
use crate::features::DIM;
use crate::math::{SortedWindow, bounded, exp, sigmoid};
use linfa::Dataset;
use linfa::traits::Fit;
use linfa_svm::Svm;
use ndarray::{Array1, Array2};

/// Fewest examples to fit on.
const ENOUGH: usize = 40;
/// Fewest examples of each kind to classify.
const ENOUGH_EACH: usize = 8;
/// Most examples that a regression is fitted and judged on: its cost grows faster than their square, its bands hardly narrow.
const MOST_REGRESSED: usize = 140;
/// Width of the Gaussian kernel, in squared standard deviations: twice the number of coordinates.
const WIDTH: f64 = 2.0 * DIM as f64;
/// Support vectors taken at once.
const LANES: usize = 32;
/// Stopping tolerance of the solver.
const TOLERANCE: f64 = 1e-2;

/// Centre and spread of each coordinate.
#[derive(Debug, Clone)]
struct Standard {
    mean: [f64; DIM],
    sd: [f64; DIM],
}

impl Standard {
    fn of(examples: &[&Example]) -> Self {
        let n = examples.len().max(1) as f64;
        let (mut mean, mut sd) = ([0.0; DIM], [0.0; DIM]);
        for i in 0..DIM {
            mean[i] = examples.iter().map(|e| e.x[i]).sum::<f64>() / n;
            let variance = examples.iter().map(|e| (e.x[i] - mean[i]).powi(2)).sum::<f64>() / n;
            sd[i] = variance.sqrt().max(0.02);
        }
        Self { mean, sd }
    }

    fn apply(&self, x: &[f64; DIM]) -> [f64; DIM] {
        std::array::from_fn(|i| bounded((x[i] - self.mean[i]) / self.sd[i], -3.0, 3.0))
    }

    fn matrix(&self, examples: &[&Example]) -> Array2<f64> {
        Array2::from_shape_fn((examples.len(), DIM), |(r, c)| self.apply(&examples[r].x)[c])
    }
}

/// Splits in time with an embargo between the parts.
fn split<'a, 'b>(examples: &'b [&'a Example]) -> (&'b [&'a Example], &'b [&'a Example]) {
    let cut = examples.len() * 3 / 4;
    let Some(first) = examples.get(cut) else { return (examples, &[]) };
    let fit_end = examples[..cut].partition_point(|e| e.ended_s < first.ended_s - OUTCOME_S);
    (&examples[..fit_end], &examples[cut..])
}

/// What a trained machine computes: a weighted sum of Gaussian kernels over its support vectors, less an offset.
#[derive(Debug, Clone)]
struct Expansion {
    /// Coordinate after coordinate, each of all vectors: what compilers make vectors of.
    columns: Vec<f64>,
    weights: Vec<f64>,
    rho: f64,
}

impl Expansion {
    /// The support vectors of a machine among the points that it was trained on.
    fn of<T>(svm: &Svm<f64, T>, points: &Array2<f64>) -> Self {
        let supports = || svm.alpha.iter().enumerate().filter(|(_, a)| a.abs() > 1e-13);
        let columns = (0..DIM).flat_map(|c| supports().map(move |(i, _)| points[(i, c)])).collect();
        Self { columns, weights: supports().map(|(_, a)| *a).collect(), rho: svm.rho }
    }

    fn value(&self, x: &[f64; DIM]) -> f64 {
        let mut sum = -self.rho;
        for from in (0..self.weights.len()).step_by(LANES) {
            let weights = &self.weights[from..self.weights.len().min(from + LANES)];
            let mut distances = [0.0; LANES];
            for (column, x) in self.columns.chunks_exact(self.weights.len()).zip(x) {
                let column = &column[from..from + weights.len()];
                distances.iter_mut().zip(column).for_each(|(d, v)| *d += (v - x) * (v - x));
            }
            let kernels = distances.map(|d| exp(d * (-1.0 / WIDTH)));
            sum += weights.iter().zip(kernels).map(|(w, k)| w * k).sum::<f64>();
        }
        sum
    }
}

/// A regression with the 10, 50 and 90 % quantiles of its held-out errors.
#[derive(Debug, Clone)]
pub struct Regression {
    standard: Standard,
    sum: Expansion,
    errors: (f64, f64, f64),
}

impl Regression {
    /// Fits the examples that have the target; None when there are too few.
    pub fn fit(examples: &[&Example], target: impl Fn(&Example) -> Option<f64>) -> Option<Self> {
        let mut usable: Vec<&Example> = examples.iter().copied().filter(|e| target(e).is_some()).collect();
        // Thinned evenly from the newest back.
        let every = usable.len().div_ceil(MOST_REGRESSED).max(1);
        usable = usable.into_iter().rev().step_by(every).collect();
        usable.reverse();
        let (fit, held) = split(&usable);
        if fit.len() < ENOUGH || held.len() < ENOUGH / 4 {
            return None;
        }
        let standard = Standard::of(fit);
        let y = Array1::from_iter(fit.iter().filter_map(|e| target(e)));
        let params = Svm::<f64, f64>::params().c_svr(2.0, Some(0.05)).eps(TOLERANCE).gaussian_kernel(WIDTH);
        let points = standard.matrix(fit);
        let svm = params.fit(&Dataset::new(points.clone(), y)).ok()?;
        let mut model = Self { standard, sum: Expansion::of(&svm, &points), errors: (0.0, 0.0, 0.0) };
        let mut errors = SortedWindow::new(held.len());
        held.iter().filter_map(|e| Some(target(e)? - model.point(&e.x))).for_each(|e| errors.push(e));
        model.errors = (errors.quantile(0.1)?, errors.quantile(0.5)?, errors.quantile(0.9)?);
        Some(model)
    }

    fn point(&self, x: &[f64; DIM]) -> f64 {
        self.sum.value(&self.standard.apply(x))
    }

    /// 10, 50 and 90 % quantiles of the target.
    pub fn predict(&self, x: &[f64; DIM]) -> (f64, f64, f64) {
        let p = self.point(x);
        let p = if p.is_finite() { p } else { 0.0 };
        (p + self.errors.0, p + self.errors.1, p + self.errors.2)
    }
}

/// A classifier with calibrated probabilities.
#[derive(Debug, Clone)]
pub struct Classifier {
    standard: Standard,
    sum: Expansion,
    platt: (f64, f64),
}

impl Classifier {
    /// Fits "violated"; None when there are too few examples of either kind.
    pub fn fit(examples: &[&Example]) -> Option<Self> {
        let (fit, held) = split(examples);
        let bad = fit.iter().filter(|e| e.violated).count();
        if fit.len() < ENOUGH || bad < ENOUGH_EACH || fit.len() - bad < ENOUGH_EACH || held.len() < ENOUGH / 4 {
            return None;
        }
        let standard = Standard::of(fit);
        let y = Array1::from_iter(fit.iter().map(|e| e.violated));
        let params = Svm::<f64, bool>::params().pos_neg_weights(2.0, 2.0).eps(TOLERANCE).gaussian_kernel(WIDTH);
        let points = standard.matrix(fit);
        let svm = params.fit(&Dataset::new(points.clone(), y)).ok()?;
        let mut model = Self { standard, sum: Expansion::of(&svm, &points), platt: (1.0, 0.0) };
        let scores: Vec<(f64, bool)> = held.iter().map(|e| (model.score(&e.x), e.violated)).collect();
        model.platt = platt(&scores);
        Some(model)
    }

    fn score(&self, x: &[f64; DIM]) -> f64 {
        bounded(self.sum.value(&self.standard.apply(x)), -20.0, 20.0)
    }

    /// Probability of a violation.
    pub fn predict(&self, x: &[f64; DIM]) -> f64 {
        sigmoid(self.platt.0 * self.score(x) + self.platt.1).clamp(0.001, 0.999)
    }
}

/// Slope and offset of a logistic curve through scores (Platt 1999 with Lin's Newton iteration, 2007), with a weak prior of slope 2 and
/// offset 0 so that few or one-sided held-out examples do not run away.
fn platt(scores: &[(f64, bool)]) -> (f64, f64) {
    const PRIOR: f64 = 1.0;
    let (mut a, mut b) = (2.0, 0.0);
    for _ in 0..25 {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (PRIOR * (a - 2.0), 0.3 * PRIOR * b, PRIOR, 0.0, 0.3 * PRIOR);
        for &(s, y) in scores {
            let p = sigmoid(a * s + b);
            let (d, w) = (p - f64::from(u8::from(y)), (p * (1.0 - p)).max(1e-6));
            ga += d * s;
            gb += d;
            haa += w * s * s;
            hab += w * s;
            hbb += w;
        }
        let det = haa * hbb - hab * hab;
        let (da, db) = ((hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det);
        a -= bounded(da, -2.0, 2.0);
        b -= bounded(db, -2.0, 2.0);
        if da.abs() + db.abs() < 1e-6 {
            break;
        }
    }
    // A negative slope would mean that the machine learned the opposite of what held since: then only the base rate is left.
    (a.clamp(0.0, 10.0), b.clamp(-8.0, 8.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Violated iff the load to come exceeds capacity; latency grows with it.
    fn examples(n: u32) -> Vec<Example> {
        let u = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1u32 << 24) - 0.7;
        (0..n)
            .map(|i| {
                let mut x = [0.0; DIM];
                x[0] = u(i);
                x[DIM - 2] = u(i + 10_000);
                Example {
                    x,
                    ended_s: f64::from(i),
                    log_latency: Some(x[DIM - 2]),
                    cpu_change: None,
                    memory_change: None,
                    violated: x[DIM - 2] > 0.0,
                }
            })
            .collect()
    }

    #[test]
    fn a_classifier_learns_the_edge_and_is_calibrated() {
        let examples = examples(300);
        let all: Vec<&Example> = examples.iter().collect();
        let model = Classifier::fit(&all).expect("enough of both kinds");
        let at = |u: f64| {
            let mut x = [0.0; DIM];
            x[0] = -0.2;
            x[DIM - 2] = u;
            model.predict(&x)
        };
        assert!(at(-0.4) < 0.1 && at(0.25) > 0.85, "{} {}", at(-0.4), at(0.25));
    }

    #[test]
    fn permuted_labels_have_no_skill() {
        let mut examples = examples(300);
        let labels: Vec<bool> = examples.iter().map(|e| e.violated).collect();
        for (i, e) in examples.iter_mut().enumerate() {
            e.violated = labels[(i * 7 + 13) % labels.len()];
        }
        let all: Vec<&Example> = examples.iter().collect();
        let base = labels.iter().filter(|v| **v).count() as f64 / 300.0;
        let Some(model) = Classifier::fit(&all) else { return };
        let brier =
            |p: &dyn Fn(&Example) -> f64| all[225..].iter().map(|e| (p(e) - f64::from(u8::from(e.violated))).powi(2)).sum::<f64>() / 75.0;
        assert!(brier(&|e| model.predict(&e.x)) > 0.93 * brier(&|_| base));
    }

    #[test]
    fn a_regression_follows_and_states_its_error() {
        let examples = examples(300);
        let all: Vec<&Example> = examples.iter().collect();
        let model = Regression::fit(&all, |e| e.log_latency).expect("enough");
        let (low, mid, high) = model.predict(&all[299].x);
        assert!((mid - all[299].x[DIM - 2]).abs() < 0.1 && low <= mid && mid <= high && high - low < 0.3);
        assert!(Regression::fit(&all, |e| e.cpu_change).is_none());
    }
}
