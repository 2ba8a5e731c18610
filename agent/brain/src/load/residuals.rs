//! What a forecaster's past errors at one horizon say about its next one.

use crate::math::{Decayed, SortedWindow, pinball};
use std::collections::VecDeque;

/// Forecasts waiting for their time, at most.
const MOST_WAITING: usize = 1_024;
/// Errors kept.
const KEPT: usize = 240;
/// Errors kept beside them, one each quarter of the horizon: at half a minute ahead, those of an hour. A load that jumps every ten minutes has forgotten
/// it within the last four.
const KEPT_LONG: usize = 450;
const APART: f64 = 0.25;
/// The upper quantile that is reckoned with.
const UPPER: f64 = 0.95;
/// The same of the standard normal distribution.
pub const UPPER_Z: f64 = 1.645;
/// Load is never reckoned with beyond this factor of what is expected, as a logarithm.
const MOST_SURPRISE: f64 = std::f64::consts::LN_2;
/// Errors needed before a loss is stated.
const ENOUGH: usize = 12;
/// Standard deviation of ln load assumed before errors are known, at ten seconds ahead.
const PRIOR_SD: f64 = 0.10;

/// Memory of the loss, per error: ten minutes of seconds. Half an hour was no better on ten loads, and knows later what a load has become.
const LOSS_KEEP: f64 = 1.0 - 1.0 / 600.0;

/// A forecast of ln load that waits for its time, and the upper quantile of its error that was stated with it.
#[derive(Debug, Clone, Copy)]
struct Promise {
    due_s: f64,
    point: f64,
    upper: f64,
}

/// Record of one forecaster at one horizon; errors are logarithms of actual over forecast.
#[derive(Debug, Clone)]
pub struct Residuals {
    horizon_s: f64,
    waiting: VecDeque<Promise>,
    errors: SortedWindow,
    hour: SortedWindow,
    hour_s: f64,
    loss: Decayed,
}

impl Residuals {
    /// An empty record.
    pub fn new(horizon_s: f64) -> Self {
        Self {
            horizon_s,
            waiting: VecDeque::new(),
            errors: SortedWindow::new(KEPT),
            hour: SortedWindow::new(KEPT_LONG),
            hour_s: f64::NEG_INFINITY,
            loss: Decayed::default(),
        }
    }

    /// Notes a forecast made now, with what would have been reckoned with.
    pub fn promise(&mut self, at_s: f64, forecast: f64) {
        // For long horizons every few seconds suffice: neighbours share most of their errors.
        let every = self.horizon_s / 64.0;
        let due_s = at_s + self.horizon_s;
        if self.waiting.back().is_some_and(|w| due_s - w.due_s < every) || self.waiting.len() >= MOST_WAITING {
            return;
        }
        self.waiting.push_back(Promise { due_s, point: forecast.max(1e-3).ln(), upper: self.upper() });
    }

    /// Forgets the forecasts that were not judged yet.
    pub fn withdraw(&mut self) {
        self.waiting.clear();
    }

    /// Judges the forecasts whose time has come.
    pub fn resolve(&mut self, at_s: f64, actual: f64) {
        while let Some(Promise { due_s, point, upper }) = self.waiting.front().copied() {
            if due_s > at_s + 0.01 {
                break;
            }
            self.waiting.pop_front();
            if at_s - due_s > 2.0 + 0.2 * self.horizon_s {
                continue; // a gap: what came then is not known
            }
            let error = (actual.max(1e-3).ln() - point).clamp(-3.0, 3.0);
            self.loss.add(pinball(UPPER, upper, error), LOSS_KEEP);
            self.errors.push(error);
            if due_s >= self.hour_s + APART * self.horizon_s {
                self.hour_s = due_s;
                self.hour.push(error);
            }
        }
    }

    /// Mean pinball loss of the upper quantile of ln load, for that is what replicas are bought for; None until judged often enough.
    pub fn loss(&self) -> Option<f64> {
        self.loss.get().filter(|_| self.errors.len() >= ENOUGH)
    }

    /// Typical error and its spread: median, and a standard deviation read from the outer quantiles, shrunk towards a prior at first.
    pub fn spread(&self) -> (f64, f64) {
        let prior = self.prior_sd();
        let (Some(low), Some(mid), Some(high)) = (self.errors.quantile(0.1), self.errors.quantile(0.5), self.errors.quantile(0.9)) else {
            return (0.0, prior);
        };
        let n = self.errors.len() as f64;
        let weight = n / (n + 20.0);
        let sd = (high - low) / (2.0 * crate::math::Z90);
        (weight * mid.clamp(-0.3, 0.3), weight * sd + (1.0 - weight) * prior)
    }

    fn prior_sd(&self) -> f64 {
        PRIOR_SD * (self.horizon_s / 10.0).clamp(0.3, 10.0).sqrt()
    }

    /// An upper quantile of the error, of the last minutes and of the last hour in equal parts, shrunk towards a prior at first.
    pub fn upper(&self) -> f64 {
        let prior = UPPER_Z * self.prior_sd();
        let (Some(minutes), Some(hour)) = (self.errors.quantile(UPPER), self.hour.quantile(UPPER)) else { return prior };
        let n = self.hour.len() as f64;
        let weight = n / (n + 20.0);
        (weight * 0.5 * (minutes + hour) + (1.0 - weight) * prior).min(MOST_SURPRISE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of forecasts half a minute ahead that miss by a tenth for twenty seconds of every `every`, judged for an hour.
    fn record(every: u32, jump: f64) -> Residuals {
        let mut record = Residuals::new(30.0);
        for t in 0..3_600u32 {
            let actual = if t % every < 20 { 100.0 * jump } else { 100.0 };
            record.resolve(f64::from(t), actual);
            record.promise(f64::from(t), 100.0);
        }
        record
    }

    #[test]
    fn jumps_that_the_last_minutes_forgot_are_still_reckoned_with() {
        let rare = record(350, 1.5);
        assert!(rare.spread().1 < 0.05, "the last minutes were calm: {:?}", rare.spread());
        assert!(rare.upper() > 0.15, "{}", rare.upper());
        assert!(record(3_600, 1.0).upper() < 0.02);
    }

    #[test]
    fn what_is_reckoned_with_is_bounded_and_starts_from_a_prior() {
        assert!(record(40, 50.0).upper() <= MOST_SURPRISE);
        let unknown = Residuals::new(30.0);
        assert!((unknown.upper() - UPPER_Z * unknown.spread().1).abs() < 1e-9);
    }
}
