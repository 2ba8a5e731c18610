//! A Bayesian filter on a grid over the logarithm of capacity, jointly with the steepness of the failure curve and the drift rate.
//!
//! State: x = ln C on [`CELLS`] cells of [`STEP`], times [`SLOPES`], times [`DRIFTS`] (an interacting multiple-model filter, Blom and
//! Bar-Shalom 1988: the drift rate is itself learned from second to second). Exact up to the grid, deterministic, a few tens of
//! microseconds a step. Called by [`super::edge`]. The grid follows the estimate, so that any capacity can be represented.

use crate::math::{exp, sum};
use std::ops::Range;

/// Cells of the grid.
pub const CELLS: usize = 160;
/// Width of a cell in ln C: 2 %.
pub const STEP: f64 = 0.02;
/// Steepness of the failure curve per unit of ln(load / capacity).
pub const SLOPES: [f64; 4] = [8.0, 14.0, 24.0, 40.0];
/// Drift of ln C per square root of a second.
pub const DRIFTS: [f64; 3] = [0.003, 0.015, 0.06];
/// Probability a second that the drift rate changes.
const SWITCH: f64 = 0.02;
/// Prior of the two slower drift rates, also what switching leads to; the quickest has what the instance's pace gives it.
const SLOWER_PRIOR: [f64; 2] = [2.0 / 3.0, 1.0 / 3.0];
/// Share of intervals that say nothing about capacity (a pause, a hiccup): bounds the weight of any one interval.
const OUTLIER: f64 = 0.004;
const LANE: usize = SLOPES.len() * CELLS;

/// Mean and standard deviation of ln C.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogEstimate {
    /// Mean of ln C.
    pub mean: f64,
    /// Standard deviation of ln C.
    pub sd: f64,
}

impl LogEstimate {
    /// Median capacity.
    pub fn median(&self) -> f64 {
        self.mean.exp()
    }
}

/// Cells below this probability are left out of the work.
const NEGLIGIBLE: f64 = 1e-10;
/// What a cell keeps at least, so that the filter can come back to it.
const LEAST: f64 = 1e-15;
const ROWS: usize = DRIFTS.len() * SLOPES.len();

/// The filter. Only cells within `active` take part in a step; all others hold next to nothing.
#[derive(Debug, Clone)]
pub struct Grid {
    low: f64,
    weights: Vec<f64>,
    active: Range<usize>,
    rows: [f64; ROWS],
    lane: Vec<f64>,
    scratch: Vec<f64>,
    prior: [f64; 3],
}

impl Grid {
    /// A grid centred on `centre` (ln C) with a normal prior of standard deviation `sd`; `quick` is the probability of the quickest drift beforehand.
    pub fn new(centre: f64, sd: f64, quick: f64) -> Self {
        let drift_prior = [SLOWER_PRIOR[0] * (1.0 - quick), SLOWER_PRIOR[1] * (1.0 - quick), quick];
        let low = centre - STEP * (CELLS / 2) as f64;
        let mut weights = Vec::with_capacity(DRIFTS.len() * LANE);
        for prior in drift_prior {
            for _ in SLOPES {
                weights.extend((0..CELLS).map(|i| prior * (-0.5 * ((low + STEP * i as f64 - centre) / sd).powi(2)).exp()));
            }
        }
        let scratch = vec![0.0; 3 * CELLS];
        let mut grid = Self { low, weights, active: 0..CELLS, rows: [0.0; ROWS], lane: vec![0.0; LANE], scratch, prior: drift_prior };
        grid.normalise();
        grid
    }

    /// ln C of a cell.
    pub fn x(&self, cell: usize) -> f64 {
        self.low + STEP * cell as f64
    }

    /// Moves time on: the drift rate may switch, and ln C drifts.
    pub fn predict(&mut self, seconds: f64) {
        let cells = DRIFTS.map(|drift| drift * seconds.min(120.0).sqrt() / STEP);
        self.grow(cells[DRIFTS.len() - 1]);
        let switch = 1.0 - (1.0 - SWITCH).powf(seconds);
        for slope in 0..SLOPES.len() {
            for i in self.active.clone() {
                let at = slope * CELLS + i;
                let all: f64 = (0..DRIFTS.len()).map(|d| self.weights[d * LANE + at]).sum();
                for (d, prior) in self.prior.iter().enumerate() {
                    let w = &mut self.weights[d * LANE + at];
                    *w = *w * (1.0 - switch) + all * prior * switch;
                }
            }
        }
        for (lane, cells) in self.weights.chunks_exact_mut(LANE).zip(cells) {
            let kernel = Kernel::new(cells);
            for row in lane.chunks_exact_mut(CELLS) {
                kernel.spread(&mut row[self.active.clone()], &mut self.scratch);
            }
        }
    }

    /// Makes room for what a spread of so many cells moves outwards.
    fn grow(&mut self, cells: f64) {
        let reach = (4.0 * cells).ceil().min(CELLS as f64) as usize + 2;
        self.active = self.active.start.saturating_sub(reach)..(self.active.end + reach).min(CELLS);
    }

    /// Pulls ln C towards a long-run value, as weakly as a normal prior of standard deviation `sd` seen once in `memory_s` would: without
    /// it, one-sided evidence ("no failure at this rate") would let the random walk run away upwards.
    pub fn recall(&mut self, anchor: f64, sd: f64, seconds: f64, memory_s: f64) {
        let weight = 0.5 * (seconds / memory_s).min(1.0) / (sd * sd);
        for i in self.active.clone() {
            let x = self.low + STEP * i as f64 - anchor;
            self.scratch[i] = exp(-weight * x * x).max(1e-3);
        }
        let active = self.active.clone();
        for row in self.weights.chunks_exact_mut(CELLS) {
            row[active.clone()].iter_mut().zip(&self.scratch[active.clone()]).for_each(|(w, s)| *w *= s);
        }
        self.normalise();
    }

    /// Widens ln C by a standard deviation, whatever the drift: after a gap, a new release.
    pub fn widen(&mut self, sd: f64) {
        self.grow(sd / STEP);
        let kernel = Kernel::new(sd / STEP);
        for row in self.weights.chunks_exact_mut(CELLS) {
            kernel.spread(&mut row[self.active.clone()], &mut self.scratch);
        }
        self.normalise();
    }

    /// Multiplies by a likelihood. `fill` is given a steepness, the ln C of a first cell and a row, and writes the logarithm of the likelihood of
    /// that cell and those after it, [`STEP`] apart.
    pub fn update(&mut self, mut fill: impl FnMut(f64, f64, &mut [f64])) {
        let (active, from) = (self.active.clone(), self.x(self.active.start));
        let mut best = f64::NEG_INFINITY;
        for (slope, row) in SLOPES.iter().zip(self.lane.chunks_exact_mut(CELLS)) {
            fill(*slope, from, &mut row[active.clone()]);
            best = row[active.clone()].iter().copied().fold(best, f64::max);
        }
        if !best.is_finite() {
            return;
        }
        for row in self.lane.chunks_exact_mut(CELLS) {
            row[active.clone()].iter_mut().for_each(|l| *l = exp(*l - best) + OUTLIER);
        }
        for lane in self.weights.chunks_exact_mut(LANE) {
            for (row, said) in lane.chunks_exact_mut(CELLS).zip(self.lane.chunks_exact(CELLS)) {
                row[active.clone()].iter_mut().zip(&said[active.clone()]).for_each(|(w, l)| *w *= l);
            }
        }
        self.normalise();
    }

    /// Posterior mean of a function of steepness and ln C, given as in [`Grid::update`].
    pub fn expect(&self, mut fill: impl FnMut(f64, f64, &mut [f64])) -> f64 {
        let (active, from) = (self.active.clone(), self.x(self.active.start));
        let (mut row, mut products) = ([0.0; CELLS], [0.0; CELLS]);
        let values = &mut row[active.clone()];
        let mut expected = 0.0;
        for (s, slope) in SLOPES.iter().enumerate() {
            fill(*slope, from, values);
            for d in 0..DRIFTS.len() {
                let at = d * LANE + s * CELLS;
                let weights = &self.weights[at + active.start..at + active.end];
                products.iter_mut().zip(weights.iter().zip(&*values)).for_each(|(p, (w, f))| *p = w * f);
                expected += sum(&products[..values.len()]);
            }
        }
        expected
    }

    /// Posterior mean of a function of steepness.
    pub fn expect_slope(&self, f: impl Fn(f64) -> f64) -> f64 {
        let weight = |s: usize| -> f64 { (0..DRIFTS.len()).map(|d| self.rows[d * SLOPES.len() + s]).sum() };
        SLOPES.iter().enumerate().map(|(s, slope)| weight(s) * f(*slope)).sum()
    }

    /// Probability of each cell.
    pub fn marginal(&self) -> Vec<f64> {
        let mut marginal = vec![0.0; CELLS];
        let active = self.active.clone();
        for row in self.weights.chunks_exact(CELLS) {
            marginal[active.clone()].iter_mut().zip(&row[active.clone()]).for_each(|(m, w)| *m += w);
        }
        marginal
    }

    /// Expected variance of the drift, per second.
    pub fn drift_variance(&self) -> f64 {
        DRIFTS.iter().zip(self.rows.chunks_exact(SLOPES.len())).map(|(d, lane)| d * d * lane.iter().sum::<f64>()).sum()
    }

    /// Mean and spread of ln C; keeps the grid under the estimate, and the active cells to those that matter.
    pub fn settle(&mut self) -> LogEstimate {
        let marginal = self.marginal();
        let estimate = moments(&marginal, |i| self.x(i));
        let first = marginal.iter().position(|p| *p > NEGLIGIBLE).unwrap_or(0);
        let last = marginal.iter().rposition(|p| *p > NEGLIGIBLE).unwrap_or(CELLS - 1);
        for row in self.weights.chunks_exact_mut(CELLS) {
            row[..first].fill(LEAST);
            row[last + 1..].fill(LEAST);
        }
        self.active = first..last + 1;
        let cell = ((estimate.mean - self.low) / STEP).round() as i64 - (CELLS / 2) as i64;
        if cell.unsigned_abs() as usize > CELLS / 5 {
            self.shift(cell);
        }
        estimate
    }

    /// Moves the window by whole cells; what comes in new takes the weight of the edge it joins, thinning out.
    fn shift(&mut self, cells: i64) {
        self.low += STEP * cells as f64;
        for row in self.weights.chunks_exact_mut(CELLS) {
            self.scratch[..CELLS].copy_from_slice(row);
            for (i, w) in row.iter_mut().enumerate() {
                let from = i as i64 + cells;
                let inside = from.clamp(0, CELLS as i64 - 1);
                *w = self.scratch[inside as usize] * (-0.1 * (from - inside).abs() as f64).exp();
            }
        }
        self.active = 0..CELLS;
        self.normalise();
    }

    fn normalise(&mut self) {
        let active = self.active.clone();
        for (kept, row) in self.rows.iter_mut().zip(self.weights.chunks_exact(CELLS)) {
            *kept = sum(&row[active.clone()]);
        }
        let total: f64 = self.rows.iter().sum();
        if total > 0.0 && total.is_finite() {
            self.rows.iter_mut().for_each(|r| *r /= total);
            for row in self.weights.chunks_exact_mut(CELLS) {
                row[active.clone()].iter_mut().for_each(|w| *w = *w / total + LEAST);
            }
        } else {
            self.active = 0..CELLS;
            self.rows = [1.0 / ROWS as f64; ROWS];
            let even = 1.0 / self.weights.len() as f64;
            self.weights.iter_mut().for_each(|w| *w = even);
        }
    }
}

/// Mean and standard deviation of a distribution over cells.
pub fn moments(p: &[f64], x: impl Fn(usize) -> f64) -> LogEstimate {
    let total: f64 = p.iter().sum::<f64>().max(1e-300);
    let mean = p.iter().enumerate().map(|(i, w)| w * x(i)).sum::<f64>() / total;
    let variance = p.iter().enumerate().map(|(i, w)| w * (x(i) - mean).powi(2)).sum::<f64>() / total;
    LogEstimate { mean, sd: variance.max(0.25 * STEP * STEP).sqrt() }
}

/// A normal kernel over cells: the weight of a cell itself, then those of its neighbours on either side.
struct Kernel(Vec<f64>);

impl Kernel {
    /// Standard deviation `cells`.
    fn new(cells: f64) -> Self {
        let variance = cells * cells;
        if variance <= 0.0 || !variance.is_finite() {
            return Self(vec![1.0]);
        }
        if variance < 0.6 {
            // Three taps with the right variance: a normal kernel this narrow would be lost between the cells.
            return Self(vec![1.0 - variance, variance / 2.0]);
        }
        let reach = ((3.0 * cells).ceil() as usize).min(CELLS - 1);
        let mut taps: Vec<f64> = (0..=reach).map(|k| (-0.5 * (k * k) as f64 / variance).exp()).collect();
        let total = taps[0] + 2.0 * taps[1..].iter().sum::<f64>();
        taps.iter_mut().for_each(|t| *t /= total);
        Self(taps)
    }

    /// Spreads a row; what would leave stays at the edge.
    fn spread(&self, row: &mut [f64], scratch: &mut [f64]) {
        let (reach, n) = (self.0.len() - 1, row.len());
        let (Some(first), Some(last)) = (row.first().copied(), row.last().copied()) else { return };
        scratch[..reach].fill(first);
        scratch[reach..reach + n].copy_from_slice(row);
        scratch[reach + n..n + 2 * reach].fill(last);
        row.iter_mut().for_each(|w| *w *= self.0[0]);
        for (k, tap) in self.0.iter().enumerate().skip(1) {
            let sides = scratch[reach - k..].iter().zip(&scratch[reach + k..]);
            row.iter_mut().zip(sides).for_each(|(w, (left, right))| *w += tap * (left + right));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(mean: f64, sd: f64) -> impl Fn(f64, f64, &mut [f64]) {
        move |_, from, row| row.iter_mut().enumerate().for_each(|(i, l)| *l = -0.5 * ((from + STEP * i as f64 - mean) / sd).powi(2))
    }

    #[test]
    fn prediction_widens_and_evidence_narrows() {
        let mut grid = Grid::new(4.0, 0.3, 0.1);
        let prior = grid.settle();
        assert!((prior.mean - 4.0).abs() < 0.02 && (prior.sd - 0.3).abs() < 0.02);
        grid.update(normal(4.3, 0.05));
        let seen = grid.settle();
        assert!((seen.mean - 4.29).abs() < 0.03 && seen.sd < 0.12, "{seen:?}");
        grid.predict(100.0);
        assert!(grid.settle().sd > seen.sd * 1.5);
    }

    #[test]
    fn the_grid_follows_far_away_truth() {
        let mut grid = Grid::new(0.0, 1.0, 0.1);
        for _ in 0..200 {
            grid.predict(1.0);
            grid.update(normal(9.0, 0.3));
            grid.settle();
        }
        assert!((grid.settle().mean - 9.0).abs() < 0.1);
    }

    #[test]
    fn nonsense_evidence_is_ignored() {
        let mut grid = Grid::new(1.0, 0.2, 0.1);
        let before = grid.settle();
        grid.update(|_, _, row| row.fill(f64::NEG_INFINITY));
        grid.update(|_, _, row| row.fill(f64::INFINITY));
        let after = grid.settle();
        assert!((after.mean - before.mean).abs() < 1e-6 && (after.sd - before.sd).abs() < 1e-6, "{before:?} {after:?}");
    }
}
