//! A first-come-first-served worker pool (M/G/c) with a bounded queue: one instance of the simulated application.

use foreshadow_brain::sample::PathSample;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Mean service time in seconds.
pub const SERVICE_S: f64 = 0.045;
/// Longest queue in requests per worker; beyond it, requests are refused.
const QUEUE_PER_WORKER: usize = 25;
pub const THRESHOLD_MS: f64 = 150.0;

/// An instance: workers that are free again at a time, and requests under way.
pub struct Pool {
    free_at: Vec<f64>,
    under_way: BinaryHeap<Reverse<(u64, u64, bool)>>,
    arrivals: u64,
}

impl Pool {
    pub fn new(workers: usize) -> Self {
        Self { free_at: vec![0.0; workers], under_way: BinaryHeap::new(), arrivals: 0 }
    }

    /// A request arrives at `t`; `share` of the workers are alive, requests cost `cost` times the usual.
    pub fn arrive(&mut self, t: f64, share: f64, cost: f64, rng: &mut ChaCha8Rng) {
        self.arrivals += 1;
        let alive = self.free_at.len() as f64 * share;
        // A fractional worker is alive for that share of the requests.
        let alive = (alive.floor() as usize + usize::from(rng.random::<f64>() < alive.fract())).clamp(1, self.free_at.len());
        if self.under_way.len() > QUEUE_PER_WORKER * self.free_at.len() {
            self.under_way.push(Reverse((us(t + 0.002), 2_000, true)));
            return;
        }
        let first = (0..alive).min_by(|a, b| self.free_at[*a].total_cmp(&self.free_at[*b])).unwrap_or(0);
        let service = cost * SERVICE_S * LogNormal::new(-0.08, 0.4).expect("valid").sample(rng);
        let done = t.max(self.free_at[first]) + service;
        self.free_at[first] = done;
        self.under_way.push(Reverse((us(done), us(done - t), false)));
    }

    /// Adds what ended up to `t` to a sample, and what is under way then.
    pub fn collect(&mut self, t: f64, into: &mut PathSample) {
        into.arrivals += std::mem::take(&mut self.arrivals);
        while let Some(Reverse((done, latency_us, failed))) = self.under_way.peek().copied() {
            if done > us(t) {
                break;
            }
            self.under_way.pop();
            into.requests += 1;
            if failed {
                into.failed += 1;
            } else {
                into.latency.add(latency_us, 1);
            }
            into.bad += u64::from(failed || latency_us as f64 > 1_000.0 * THRESHOLD_MS);
        }
        into.in_flight += self.under_way.len() as f64;
    }
}

fn us(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

/// Requests per second one pool takes while 99 % are good: found by bisection, the truth to compare with.
pub fn true_capacity(workers: usize, share: f64, cost: f64, seed: u64) -> f64 {
    use rand::SeedableRng;
    let bad_at = |rps: f64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut pool, mut sample, mut t) = (Pool::new(workers), PathSample::default(), 0.0);
        for _ in 0..(rps * 400.0) as usize {
            t += -(1.0 - rng.random::<f64>()).ln() / rps;
            pool.arrive(t, share, cost, &mut rng);
            if sample.requests % 64 == 0 {
                pool.collect(t, &mut sample);
            }
            pool.collect(t, &mut sample);
        }
        sample.bad as f64 / sample.requests.max(1) as f64
    };
    let (mut low, mut high) = (1.0, 1.2 * workers as f64 * share / (SERVICE_S * cost));
    for _ in 0..14 {
        let middle = 0.5 * (low + high);
        if bad_at(middle) > 0.01 { high = middle } else { low = middle }
    }
    low
}
