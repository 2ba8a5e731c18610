//! Production's replicas: the balancer before them, pods that start and go, releases that roll, instances that die and restart.
//!
//! Called by the world: [`Pool::choose`] for every request, [`Pool::step`] once a step. Replicas that go finish what they have; newest go first,
//! those not ready before all others, as in Kubernetes. Not here: how many there should be.

use crate::sim::faults::Effects;
use crate::sim::random::{Stream, between, normal, stream};
use crate::sim::replica::{Replica, Size};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Memory limit of an instance.
pub const MEMORY_BYTES: f64 = 512.0 * 1024.0 * 1024.0;
/// Share of the nodes that are slow when one is.
const SLOW_NODES: f64 = 0.25;
/// How fast a cache warms up, in seconds.
const WARM_S: f64 = 60.0;
/// Used memory of a fresh instance over its limit.
const FRESH_MEMORY: f64 = 0.4;

/// How requests are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// The less loaded of two replicas chosen at random.
    LeastRequest,
    /// One after the other.
    RoundRobin,
}

/// How long pods take to start: median in seconds, and sigma of the logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// Median in seconds.
    pub median_s: f64,
    /// Sigma of the logarithm.
    pub sigma: f64,
}

#[derive(Debug, Clone, Copy)]
struct Starting {
    ready_s: f64,
    release: u32,
    replaces: bool,
}

/// The replicas.
#[derive(Debug)]
pub struct Pool {
    size: Size,
    balance: Balance,
    start: Start,
    ready: Vec<Replica>,
    starting: Vec<Starting>,
    down: Vec<(f64, f64)>,
    turn: usize,
    balancing: ChaCha8Rng,
    pods: ChaCha8Rng,
    /// Restarts for want of memory.
    pub restarts: u64,
}

impl Pool {
    /// `replicas` instances that are ready.
    pub fn new(replicas: u32, size: Size, balance: Balance, start: Start, seed: u64) -> Self {
        let mut pods = stream(seed, Stream::Pods);
        let ready = (0..replicas.max(1)).map(|_| Replica::new(size, f64::NEG_INFINITY, 0, between(&mut pods, 0.0, 1.0))).collect();
        let balancing = stream(seed, Stream::Balance);
        Self { size, balance, start, ready, starting: Vec::new(), down: Vec::new(), turn: 0, balancing, pods, restarts: 0 }
    }

    /// Replicas that take traffic.
    pub fn ready(&self) -> u32 {
        self.ready.len() as u32
    }

    /// Replicas that start or restart.
    pub fn starting(&self) -> u32 {
        (self.starting.len() + self.down.len()) as u32
    }

    /// Replicas that start in place of others.
    fn surplus(&self) -> usize {
        self.starting.iter().filter(|s| s.replaces).count()
    }

    /// Where a request that comes at `t` goes; None when no replica takes traffic.
    pub fn choose(&mut self, t: f64) -> Option<&mut Replica> {
        let n = self.ready.len();
        let chosen = match (n, self.balance) {
            (0, _) => return None,
            (1, _) => 0,
            (_, Balance::RoundRobin) => {
                self.turn = (self.turn + 1) % n;
                self.turn
            }
            (_, Balance::LeastRequest) => {
                let a = self.balancing.random_range(0..n);
                let b = (a + 1 + self.balancing.random_range(0..n - 1)) % n;
                if self.ready[b].under_way(t) < self.ready[a].under_way(t) { b } else { a }
            }
        };
        self.ready.get_mut(chosen)
    }

    /// Asks for so many replicas.
    pub fn scale(&mut self, desired: u32, now_s: f64, release: u32) {
        let desired = desired.max(1) as usize;
        let have = self.ready.len() + self.down.len() + self.starting.len() - self.surplus();
        for _ in have..desired {
            let ready_s = now_s + self.start_time();
            self.starting.push(Starting { ready_s, release, replaces: false });
        }
        for _ in desired..have {
            if let Some(i) = self.starting.iter().rposition(|s| !s.replaces) {
                self.starting.remove(i);
            } else if self.down.pop().is_none() && self.ready.len() > 1 {
                self.ready.pop();
            }
        }
    }

    /// A start time, drawn.
    pub fn start_time(&mut self) -> f64 {
        self.start.median_s * (self.start.sigma * normal(&mut self.pods)).exp()
    }

    /// What happens between two steps: pods get ready, die, restart, are replaced; effects take hold.
    pub fn step(&mut self, now_s: f64, release: u32, effects: &Effects, costs: &[f64]) {
        self.arrive(now_s);
        self.die(now_s);
        self.roll(now_s, release);
        for replica in &mut self.ready {
            replica.set_share(effects.share);
            replica.slower = slowness(replica, now_s, effects, costs);
        }
    }

    fn arrive(&mut self, now_s: f64) {
        for i in (0..self.starting.len()).rev() {
            if self.starting[i].ready_s <= now_s {
                let pod = self.starting.remove(i);
                let luck = between(&mut self.pods, 0.0, 1.0);
                self.ready.push(Replica::new(self.size, now_s, pod.release, luck));
                if pod.replaces
                    && self.ready.len() > 1
                    && let Some(old) = self.ready.iter().position(|r| r.release != pod.release)
                {
                    self.ready.remove(old);
                }
            }
        }
        let release = self.ready.last().map_or(0, |r| r.release);
        for i in (0..self.down.len()).rev() {
            if self.down[i].0 <= now_s {
                let (_, luck) = self.down.remove(i);
                self.ready.push(Replica::new(self.size, now_s, release, luck));
            }
        }
    }

    fn die(&mut self, now_s: f64) {
        for i in (0..self.ready.len()).rev() {
            if self.ready[i].dies_s <= now_s {
                let dead = self.ready.remove(i);
                let back_s = now_s + self.start_time();
                self.down.push((back_s, dead.luck));
                self.restarts += 1;
            }
        }
    }

    /// Replaces replicas of another release, a quarter at a time.
    fn roll(&mut self, now_s: f64, release: u32) {
        let old = self.ready.iter().filter(|r| r.release != release).count();
        for s in &mut self.starting {
            s.release = release;
        }
        let at_once = self.ready.len().div_ceil(4);
        for _ in self.surplus()..at_once.min(old) {
            let ready_s = now_s + self.start_time();
            self.starting.push(Starting { ready_s, release, replaces: true });
        }
    }

    /// Memory of all replicas in bytes.
    pub fn memory_bytes(&self) -> f64 {
        self.ready.iter().map(|r| r.memory * MEMORY_BYTES).sum()
    }

    /// The leak is over and the instances are fresh again.
    pub fn heal(&mut self) {
        self.ready.iter_mut().for_each(|r| r.memory = r.memory.min(FRESH_MEMORY));
    }
}

/// How many times longer a replica holds its workers now.
pub fn slowness(replica: &Replica, now_s: f64, effects: &Effects, costs: &[f64]) -> f64 {
    let release = costs.get(replica.release as usize).copied().unwrap_or(1.0);
    let noisy = if replica.luck < SLOW_NODES { effects.noisy } else { 1.0 };
    let since = replica.since_s.max(effects.flushed_s);
    release * noisy * (1.0 + effects.cold * (-(now_s - since).max(0.0) / WARM_S).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(replicas: u32) -> Pool {
        Pool::new(replicas, Size { workers: 4, queue: 10 }, Balance::LeastRequest, Start { median_s: 30.0, sigma: 0.0 }, 1)
    }

    #[test]
    fn pods_take_their_time_and_newest_go_first() {
        let mut p = pool(2);
        p.scale(4, 0.0, 0);
        p.step(29.0, 0, &Effects::NONE, &[]);
        assert_eq!((p.ready(), p.starting()), (2, 2));
        p.step(30.0, 0, &Effects::NONE, &[]);
        assert_eq!((p.ready(), p.starting()), (4, 0));
        p.scale(5, 31.0, 0);
        p.scale(3, 32.0, 0);
        assert_eq!((p.ready(), p.starting()), (3, 0));
    }

    #[test]
    fn a_release_rolls_without_losing_replicas() {
        let mut p = pool(4);
        let mut least = 4;
        for t in 0..400 {
            p.step(f64::from(t), 1, &Effects::NONE, &[1.0, 2.0]);
            p.scale(4, f64::from(t), 1);
            least = least.min(p.ready());
        }
        assert_eq!((p.ready(), p.starting(), least), (4, 0, 4));
        assert!(p.ready.iter().all(|r| r.release == 1 && r.slower == 2.0));
    }

    #[test]
    fn the_dead_come_back() {
        let mut p = pool(3);
        p.ready[1].leak(1.0, 0.0);
        p.step(1.0, 0, &Effects::NONE, &[]);
        assert_eq!((p.ready(), p.starting(), p.restarts), (2, 1, 1));
        p.scale(3, 1.0, 0);
        p.step(31.0, 0, &Effects::NONE, &[]);
        assert_eq!((p.ready(), p.starting()), (3, 0));
    }
}
