//! What a request costs: classes, their mix, and one draw.
//!
//! Called for every request. The classes are those of the sample application, so that simulated and real runs can be compared.

use crate::sim::random::normal;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Mean wait as a multiple of the configured one: cheap, normal, costly.
const FACTOR: [f64; 3] = [0.5, 1.0, 1.9];
/// Sigma of the wait's logarithm.
const SIGMA: [f64; 3] = [0.40, 0.30, 0.12];
/// Processor work as a multiple of the configured one.
const CPU: [f64; 3] = [0.6, 1.0, 1.5];
/// Shares of the classes in the ordinary mix.
const ORDINARY: [f64; 3] = [0.2, 0.7, 0.1];

/// Shares of the classes: the mix whose mean wait is `cost` times that of the ordinary mix, by a larger share of costly requests.
pub fn mix(cost: f64) -> [f64; 3] {
    let others = ORDINARY[0] + ORDINARY[1];
    let other_mean = (ORDINARY[0] * FACTOR[0] + ORDINARY[1] * FACTOR[1]) / others;
    let share = ((cost * mean(ORDINARY) - other_mean) / (FACTOR[2] - other_mean)).clamp(ORDINARY[2], 1.0);
    let left = (1.0 - share) / others;
    [ORDINARY[0] * left, ORDINARY[1] * left, share]
}

/// Mean wait of a mix as a multiple of the configured one.
pub fn mean(mix: [f64; 3]) -> f64 {
    (0..3).map(|c| mix[c] * FACTOR[c]).sum()
}

/// Mean processor work of a mix as a multiple of the configured one.
pub fn mean_cpu(mix: [f64; 3]) -> f64 {
    (0..3).map(|c| mix[c] * CPU[c]).sum()
}

/// A request's work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Its class.
    pub class: u8,
    /// How long it holds a worker on an undisturbed replica, in seconds.
    pub hold_s: f64,
    /// Processor seconds.
    pub cpu_s: f64,
}

/// Draws work.
#[derive(Debug, Clone)]
pub struct Draw {
    /// Mean wait of a normal request in seconds.
    pub io_s: f64,
    /// Processor seconds of a normal request.
    pub cpu_s: f64,
    /// Shares of the classes.
    pub mix: [f64; 3],
    /// Every wait is multiplied by this.
    pub slower: f64,
    /// Every processor work is multiplied by this.
    pub hotter: f64,
    /// Wait for a dependency, with the worker held.
    pub dependency_s: f64,
    /// Sigma of all classes when given; 0 = exactly the mean. For comparison with theory.
    pub sigma: Option<Sigma>,
}

/// Service times with known theory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sigma {
    /// Always the mean: the D of M/D/c.
    Fixed,
    /// Exponential: the second M of M/M/c.
    Exponential,
}

impl Draw {
    /// The ordinary mix.
    pub fn new(io_s: f64, cpu_s: f64) -> Self {
        Self { io_s, cpu_s, mix: ORDINARY, slower: 1.0, hotter: 1.0, dependency_s: 0.0, sigma: None }
    }

    /// One request.
    pub fn request(&self, rng: &mut ChaCha8Rng) -> Work {
        let u: f64 = rng.random();
        let class = u8::from(u > self.mix[0]) + u8::from(u > self.mix[0] + self.mix[1]);
        self.of(class, rng)
    }

    /// One request of a class.
    pub fn of(&self, class: u8, rng: &mut ChaCha8Rng) -> Work {
        let c = usize::from(class.min(2));
        let cpu_s = self.cpu_s * CPU[c] * self.hotter;
        let wait = match self.sigma {
            None => FACTOR[c] * (SIGMA[c] * (normal(rng) - 0.5 * SIGMA[c])).exp(),
            Some(Sigma::Fixed) => 1.0,
            Some(Sigma::Exponential) => -(1.0 - rng.random::<f64>()).ln(),
        };
        Work { class, hold_s: self.io_s * wait * self.slower + cpu_s + self.dependency_s, cpu_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::random::{Stream, stream};

    #[test]
    fn the_mix_costs_what_it_says() {
        for cost in [1.0, 1.3, 1.7] {
            assert!((mean(mix(cost)) / mean(ORDINARY) - cost).abs() < 1e-9);
        }
        let mut rng = stream(1, Stream::Load);
        let draw = Draw { mix: mix(1.5), ..Draw::new(0.05, 0.001) };
        let got = (0..100_000).map(|_| draw.request(&mut rng).hold_s).sum::<f64>() / 1e5;
        let want = 0.05 * mean(draw.mix) + 0.001 * mean_cpu(draw.mix);
        assert!((got / want - 1.0).abs() < 0.01, "{got} {want}");
    }
}
