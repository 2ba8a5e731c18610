//! Relative coordinates of an instance: the same numbers for a production replica and for a shadow of any size.
//!
//! Raw rates and milliseconds would tie what is learned to one size and one load; a kernel machine cannot extrapolate beyond them. Load over
//! capacity, latency over threshold and the like let the shadow's failures label production's own coordinates. Called by [`crate::svm`].

use crate::math::bounded;
use crate::series::PathObservation;

/// Coordinates of a state.
pub const STATE: usize = 7;
/// Coordinates of an example: the state, the load to come over capacity, and how far ahead.
pub const DIM: usize = STATE + 2;

/// An instance (one of equals) at a time.
#[derive(Debug, Clone)]
pub struct State {
    /// Seconds since the epoch.
    pub at_s: f64,
    /// ln requests per second per instance.
    pub log_rate: f64,
    /// ln capacity then believed.
    pub log_capacity: f64,
    /// The state's coordinates.
    pub x: [f64; STATE],
    /// Requests that ended, all instances.
    pub requests: f64,
    /// Bad ones.
    pub bad: f64,
    /// Latency at the objective's quantile over the threshold, as a logarithm.
    pub log_latency: Option<f64>,
    /// Cores per instance.
    pub cpu: Option<f64>,
    /// Bytes per instance.
    pub memory: Option<f64>,
}

/// What is known besides the interval itself.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Equal instances behind the numbers.
    pub instances: f64,
    /// ln capacity of one of them.
    pub log_capacity: f64,
    /// Slope of ln capacity per second.
    pub capacity_trend: f64,
    /// Long-run processor seconds per request.
    pub cpu_per_request: Option<f64>,
    /// Threshold in milliseconds.
    pub threshold_ms: f64,
    /// Share of requests that must be good.
    pub target_ratio: f64,
}

impl State {
    /// State of an interval; None without traffic.
    pub fn of(at_s: f64, path: &PathObservation, context: &Context) -> Option<Self> {
        let rate = path.arrival_rps / context.instances;
        if rate <= 0.0 || path.requests < 1.0 {
            return None;
        }
        let over = |ms: Option<f64>| ms.map_or(0.0, |ms| bounded((ms.max(0.01) / context.threshold_ms).ln(), -6.0, 4.0));
        let log_rate = rate.ln();
        let cost = path.cpu_cores.zip(context.cpu_per_request).filter(|(_, usual)| *usual > 0.0);
        let cost = cost.map_or(0.0, |(cores, usual)| bounded((cores / path.arrival_rps.max(0.01) / usual).max(1e-3).ln(), -2.0, 2.0));
        Some(Self {
            at_s,
            log_rate,
            log_capacity: context.log_capacity,
            x: [
                bounded(log_rate - context.log_capacity, -3.0, 3.0),
                over(path.quantile_ms(0.9)),
                over(path.quantile_ms(0.5)),
                (1.0 + path.sojourn_ms() / context.threshold_ms).ln(),
                cost,
                (path.bad / path.requests).sqrt(),
                bounded(10.0 * context.capacity_trend, -1.0, 1.0),
            ],
            requests: path.requests,
            bad: path.bad,
            log_latency: path.quantile_ms(context.target_ratio).map(|ms| over(Some(ms))),
            cpu: path.cpu_cores.map(|c| c / context.instances),
            memory: path.memory_bytes.map(|m| m / context.instances),
        })
    }

    /// Coordinates of an example: this state, the load (ln requests per second per instance) that comes `horizon_s` later.
    pub fn ahead(&self, log_rate_then: f64, horizon_s: f64) -> [f64; DIM] {
        let mut x = [0.0; DIM];
        x[..STATE].copy_from_slice(&self.x);
        x[STATE] = bounded(log_rate_then - self.log_capacity, -3.0, 3.0);
        x[STATE + 1] = (horizon_s / 10.0).max(1e-3).ln();
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_instance_at_half_the_load_has_the_same_coordinates() {
        let path = |scale: f64| PathObservation {
            arrival_rps: 80.0 * scale,
            done_rps: 80.0 * scale,
            requests: 80.0 * scale,
            bad: 4.0 * scale,
            in_flight: 8.0 * scale,
            ..Default::default()
        };
        let context = |capacity: f64| Context {
            instances: 1.0,
            log_capacity: capacity.ln(),
            capacity_trend: 0.0,
            cpu_per_request: None,
            threshold_ms: 150.0,
            target_ratio: 0.99,
        };
        let whole = State::of(0.0, &path(1.0), &context(100.0)).expect("traffic");
        let half = State::of(0.0, &path(0.5), &context(50.0)).expect("traffic");
        assert!(whole.x.iter().zip(half.x).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
