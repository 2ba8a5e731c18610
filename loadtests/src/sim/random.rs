//! Independent streams of random numbers, so that what a policy does never shifts what the load does.
//!
//! Called when a world is made. ChaCha with 8 rounds: portable, seedable by stream, a few nanoseconds a number.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What a stream is for; the order is the stream's number.
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    /// Arrivals and service times of production.
    Load,
    /// Slow common fluctuations of load and service time.
    Drift,
    /// The balancer's choices.
    Balance,
    /// Copies and their service times.
    Copies,
    /// Start times of pods.
    Pods,
    /// Noise of the processor measurements.
    Processor,
    /// Clients' retries.
    Retries,
    /// When and how deep faults are.
    Faults,
}

/// The stream of a seed.
pub fn stream(seed: u64, which: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(which as u64);
    rng
}

/// A first-order autoregressive process with mean zero.
#[derive(Debug, Clone)]
pub struct Drift {
    value: f64,
    keep: f64,
    shock: f64,
}

impl Drift {
    /// Standard deviation in the long run, correlation time and step in seconds.
    pub fn new(sd: f64, time_s: f64, step_s: f64, rng: &mut ChaCha8Rng) -> Self {
        let keep = (-step_s / time_s.max(1e-9)).exp();
        Self { value: sd * normal(rng), keep, shock: sd * (1.0 - keep * keep).sqrt() }
    }

    /// The next value.
    pub fn next(&mut self, rng: &mut ChaCha8Rng) -> f64 {
        self.value = self.keep * self.value + self.shock * normal(rng);
        self.value
    }
}

/// A standard normal deviate.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Uniform between two bounds.
pub fn between(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// The fractional count `x` as a whole number that is right on average.
pub fn whole(rng: &mut ChaCha8Rng, x: f64) -> usize {
    x.floor() as usize + usize::from(rng.random::<f64>() < x.fract())
}
