//! How long a replica takes from being asked for to taking traffic: the settings' value, corrected by what is seen.
//!
//! Called by [`crate::Brain`] with the scaler's state each interval.

use crate::math::bounded;
use crate::sample::ScaleState;
use std::collections::VecDeque;

/// Openings remembered at once.
const MOST_WAITING: usize = 64;
/// Weight of a new observation.
const GAIN: f64 = 0.3;

/// Learns the start-up time.
#[derive(Debug, Clone)]
pub struct Startup {
    seconds: f64,
    desired: u32,
    waiting: VecDeque<(u32, f64)>,
}

impl Startup {
    /// Starts from the settings' value.
    pub fn new(replica_start_s: f64) -> Self {
        Self { seconds: bounded(replica_start_s, 0.1, 3_600.0), desired: 0, waiting: VecDeque::new() }
    }

    /// Takes the scaler's state at a time.
    pub fn observe(&mut self, at_s: f64, scale: &ScaleState) {
        if scale.desired > self.desired && scale.ready < scale.desired && self.desired > 0 && self.waiting.len() < MOST_WAITING {
            self.waiting.push_back((scale.desired, at_s));
        }
        if scale.desired < self.desired {
            self.waiting.retain(|w| w.0 <= scale.desired);
        }
        self.desired = scale.desired;
        while let Some((wanted, since_s)) = self.waiting.front().copied() {
            if scale.ready < wanted {
                break;
            }
            self.waiting.pop_front();
            let took = bounded(at_s - since_s, 0.1, 3_600.0);
            self.seconds += GAIN * (took - self.seconds);
        }
    }

    /// Seconds from asking to taking traffic.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_starts_are_learned() {
        let mut startup = Startup::new(5.0);
        let at = |desired, ready| ScaleState { desired, ready, ..Default::default() };
        for round in 0..10u32 {
            let t = f64::from(round) * 100.0;
            startup.observe(t, &at(2, 2));
            startup.observe(t + 1.0, &at(3, 2));
            startup.observe(t + 13.0, &at(3, 3));
        }
        assert!((startup.seconds() - 12.0).abs() < 1.0, "{}", startup.seconds());
    }
}
