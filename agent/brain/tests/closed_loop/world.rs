//! The simulated world: production replicas behind a balancer, a shadow fed with copies, faults, and the brain in the loop.

use crate::pool::Pool;
use foreshadow_brain::sample::{PathSample, Sample, ShadowSample};
use foreshadow_brain::{Brain, Decision, Settings};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const WORKERS: usize = 8;
pub const START_S: u64 = 4;

/// What happens to every instance at a time: share of workers alive, cost factor.
#[derive(Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    /// Hidden loss of 45 % over 20 s from a time, back after 20 s more.
    Loss {
        at: f64,
    },
    /// Requests cost 1.3 times as much, over 10 s.
    Cost {
        at: f64,
    },
    /// Losses and costlier requests in turn, one a minute and a half from 60 s on.
    Mixed,
    /// A dependency of production and shadow answers 200 ms later, from a time on, for 30 s.
    Slow {
        at: f64,
    },
    /// The same loss, in the shadow only.
    ShadowOnly {
        at: f64,
    },
}

impl Fault {
    fn at(self, t: f64) -> (f64, f64) {
        let ramp = |from: f64, over: f64| ((t - from) / over).clamp(0.0, 1.0);
        match self {
            Self::None | Self::ShadowOnly { .. } => (1.0, 1.0),
            Self::Loss { at } => (1.0 - 0.45 * (ramp(at, 20.0) - ramp(at + 40.0, 3.0)), 1.0),
            Self::Mixed => {
                let turn = ((t - 60.0) / 80.0).floor();
                let at = 60.0 + 80.0 * turn;
                if t < 60.0 {
                    (1.0, 1.0)
                } else if turn as i64 % 2 == 0 {
                    Self::Loss { at }.at(t)
                } else {
                    Self::Cost { at }.at(t)
                }
            }
            Self::Slow { at } => (1.0, if t >= at && t < at + 30.0 { 5.0 } else { 1.0 }),
            Self::Cost { at } => (1.0, 1.0 + 0.3 * (ramp(at, 10.0) - ramp(at + 40.0, 3.0))),
        }
    }

    fn at_shadow(self, t: f64) -> (f64, f64) {
        match self {
            Self::ShadowOnly { at } => Self::Loss { at }.at(t),
            other => other.at(t),
        }
    }
}

pub struct World {
    pub fault: Fault,
    /// Offered load at a time, requests per second.
    pub load: fn(f64) -> f64,
    pub replicas: usize,
    pub shadow_workers: Option<usize>,
    /// Size that the shadow is said to have; what its workers say when None.
    pub told_size: Option<f64>,
    /// Whether the floor is carried out.
    pub act: bool,
    pub seed: u64,
}

impl Default for World {
    fn default() -> Self {
        Self { fault: Fault::None, load: |_| 460.0, replicas: 4, shadow_workers: Some(WORKERS / 2), told_size: None, act: true, seed: 1 }
    }
}

/// One second: what the brain saw and said.
pub struct Second {
    pub sample: Sample,
    pub decision: Decision,
}

pub fn settings() -> Settings {
    Settings {
        threshold_ms: crate::pool::THRESHOLD_MS,
        target_ratio: 0.99,
        min_replicas: 2,
        max_replicas: 12,
        replica_start_s: START_S as f64,
        horizons_s: vec![5.0, 10.0, 20.0, 40.0],
        headroom: 0.9,
        floor_ttl_s: 30.0,
        lower_after_s: 15.0,
        copy_rate_rps: (1.0, 400.0),
        max_fraction: 4.0,
        train_every_s: 20.0,
        ..Default::default()
    }
}

impl World {
    pub fn run(&self, seconds: u64) -> Vec<Second> {
        self.run_with(seconds, &mut Brain::new(settings()))
    }

    pub fn run_with(&self, seconds: u64, brain: &mut Brain) -> Vec<Second> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut pools: Vec<(Pool, u64)> = (0..self.replicas).map(|_| (Pool::new(WORKERS), 0)).collect();
        let mut shadow = self.shadow_workers.map(Pool::new);
        let (mut t, mut next, mut fraction) = (0.0f64, 0usize, 0.0f64);
        let (mut history, mut floor) = (Vec::new(), 0);
        for second in 1..=seconds {
            let end = second as f64;
            let ready: Vec<usize> = (0..pools.len()).filter(|i| pools[*i].1 < second).collect();
            loop {
                let gap = -(1.0 - rng.random::<f64>()).ln() / (self.load)(t).max(0.1);
                if t + gap > end {
                    t = end;
                    break;
                }
                t += gap;
                let (share, cost) = self.fault.at(t);
                next += 1;
                pools[ready[next % ready.len()]].0.arrive(t, share, cost, &mut rng);
                if let Some(shadow) = &mut shadow {
                    let (share, cost) = self.fault.at_shadow(t);
                    let copies = fraction.floor() as usize + usize::from(rng.random::<f64>() < fraction.fract());
                    (0..copies).for_each(|_| shadow.arrive(t, share, cost, &mut rng));
                }
            }
            let mut production = PathSample::default();
            pools.iter_mut().for_each(|p| p.0.collect(end, &mut production));
            let (share, cost) = self.fault.at(end);
            production.cpu_cores = Some(production.requests as f64 * 0.003 * cost);
            production.memory_bytes = Some(pools.len() as f64 * 6e7);
            let mut sample =
                Sample { at_ms: 1_000_000 + second * 1_000, interval_ms: 1_000, production: Some(production), ..Default::default() };
            let _ = share;
            if let Some(pool) = &mut shadow {
                let mut path = PathSample::default();
                pool.collect(end, &mut path);
                path.cpu_cores = Some(path.requests as f64 * 0.003 * cost);
                let size = self.told_size.unwrap_or(self.shadow_workers.unwrap_or(WORKERS) as f64 / WORKERS as f64);
                sample.shadow = Some(ShadowSample { path, profile: "cpu".into(), size, fraction, synthetic: 0, ready: second > 3 });
            }
            sample.scale.desired = pools.len() as u32;
            sample.scale.ready = ready.len() as u32;
            sample.scale.starting = (pools.len() - ready.len()) as u32;
            sample.scale.reactive = Some(self.replicas as u32);
            sample.scale.floor = floor;
            let decision = brain.tick(&sample);
            fraction = decision.copies.fraction;
            if self.act {
                floor = decision.plan.floor.unwrap_or(0);
                let wanted = decision.plan.floor.map_or(self.replicas, |f| (f as usize).max(self.replicas));
                while pools.len() < wanted {
                    pools.push((Pool::new(WORKERS), second + START_S));
                }
                while pools.len() > wanted {
                    pools.pop();
                }
            }
            history.push(Second { sample, decision });
        }
        history
    }
}

/// First second from `from` on at which production was beyond its objective over 3 s (counted from its beginning).
pub fn violation(history: &[Second], from: usize) -> Option<usize> {
    (from.max(2)..history.len()).find(|i| {
        let of = |f: fn(&PathSample) -> u64| history[i - 2..=*i].iter().filter_map(|s| s.sample.production.as_ref()).map(f).sum::<u64>();
        of(|p| p.bad) as f64 > 0.03 * of(|p| p.requests) as f64
    })
}

/// First second from `from` on at which the floor stood above `replicas`.
pub fn raise(history: &[Second], from: usize, replicas: usize) -> Option<usize> {
    (from..history.len()).find(|i| history[*i].decision.plan.floor.is_some_and(|f| f as usize > replicas))
}

pub fn bad(history: &[Second]) -> (u64, u64) {
    let of = |f: fn(&PathSample) -> u64| history.iter().filter_map(|s| s.sample.production.as_ref()).map(f).sum();
    (of(|p| p.bad), of(|p| p.requests))
}
