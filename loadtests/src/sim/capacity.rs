//! What one replica really takes within the objective: the truth that trackers are compared with and that a clairvoyant knows.
//!
//! Called when scenarios are made (for the reactive scaler's request) and by the oracle. Found by bisection over simulated minutes of Poisson
//! arrivals at one replica; pure, a few milliseconds each.

use crate::sim::faults::Effects;
use crate::sim::random::{Stream, stream};
use crate::sim::replica::Replica;
use crate::sim::service::{Draw, mean, mean_cpu, mix};
use crate::sim::workload::Workload;
use rand_distr::{Distribution, Exp1};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Requests simulated for one point.
const REQUESTS: usize = 12_000;
/// Share of the most that can be served at which nothing waits.
const IDLE: f64 = 0.02;
/// Halvings of the interval.
const HALVINGS: usize = 9;

/// Requests per second that one replica takes while the objective holds, under these effects. What is bad at almost no load, too, is not the
/// load's doing and is left out.
pub fn knee(workload: &Workload, effects: &Effects) -> f64 {
    let draw = workload.draw(effects);
    let hold = draw.io_s * mean(draw.mix) * draw.slower + draw.cpu_s * draw.hotter + draw.dependency_s;
    let most = workload.size.workers as f64 * effects.share / hold.max(1e-9);
    let tolerated = 1.0 - workload.target_ratio + bad_ratio(workload, effects, &draw, IDLE * most);
    let (mut low, mut high) = (0.0, most);
    for _ in 0..HALVINGS {
        let rps = 0.5 * (low + high);
        if bad_ratio(workload, effects, &draw, rps) > tolerated { high = rps } else { low = rps }
    }
    0.5 * (low + high)
}

fn bad_ratio(workload: &Workload, effects: &Effects, draw: &Draw, rps: f64) -> f64 {
    let mut rng = stream(7, Stream::Load);
    let mut replica = Replica::new(workload.size, 0.0, 0, 0.5);
    replica.set_share(effects.share);
    let (mut t, mut bad) = (0.0, 0);
    for _ in 0..REQUESTS {
        let gap: f64 = Exp1.sample(&mut rng);
        t += gap / rps.max(1e-6);
        let answer = replica.arrive(t, draw.request(&mut rng), workload.timeout_s);
        bad += usize::from(answer.failed || answer.end_s - t > workload.threshold_s);
    }
    bad as f64 / REQUESTS as f64
}

/// Knees by what they depend on, each found once.
#[derive(Debug, Default)]
pub struct Knees(RefCell<HashMap<[u16; 4], f64>>);

impl Knees {
    /// The knee under effects rounded to about 2 %.
    pub fn of(&self, workload: &Workload, effects: &Effects) -> f64 {
        let rounded = |x: f64| (x * 50.0).round() as u16;
        let key = [rounded(effects.share), rounded(effects.cost), rounded(effects.dependency), rounded(effects.release)];
        if let Some(found) = self.0.borrow().get(&key) {
            return *found;
        }
        let back = |x: u16| f64::from(x) / 50.0;
        let at = Effects { share: back(key[0]), cost: back(key[1]), dependency: back(key[2]), release: back(key[3]), ..Effects::NONE };
        let found = knee(workload, &at);
        self.0.borrow_mut().insert(key, found);
        found
    }
}

impl Workload {
    /// Requests per second that one undisturbed replica takes within the objective.
    pub fn knee_rps(&self) -> f64 {
        static KNOWN: OnceLock<[(Workload, f64); 2]> = OnceLock::new();
        let known = KNOWN.get_or_init(|| [Self::demo(), Self::service()].map(|w| (w.clone(), knee(&w, &Effects::NONE))));
        known.iter().find(|(w, _)| w == self).map_or_else(|| knee(self, &Effects::NONE), |(_, k)| *k)
    }

    /// Cores that a replica requests: what it uses at its limit, the best guess there is without measuring.
    pub fn request_cores(&self) -> f64 {
        self.knee_rps() * self.cpu_s * mean_cpu(mix(1.0))
    }

    /// How requests are drawn under these effects.
    pub fn draw(&self, effects: &Effects) -> Draw {
        Draw {
            mix: mix(effects.cost),
            slower: effects.release,
            dependency_s: effects.dependency * self.threshold_s,
            ..Draw::new(self.io_s, self.cpu_s)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::workload::Workload;

    #[test]
    fn less_pool_and_costlier_requests_take_less() {
        let workload = Workload::demo();
        let knee = |e: Effects| knee(&workload, &e);
        let usual = knee(Effects::NONE);
        assert!((80.0..125.0).contains(&usual), "{usual}");
        assert!(knee(Effects { share: 0.55, ..Effects::NONE }) < 0.55 * usual);
        assert!(knee(Effects { cost: 1.7, ..Effects::NONE }) < 0.62 * usual);
    }
}
