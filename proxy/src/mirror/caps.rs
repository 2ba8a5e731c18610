//! What the copies of one policy use together, in all workers: places, bytes of bodies, the rate. A policy's limits hold for the whole process.
//!
//! Atomics, and the only ones of a copy; requests that are not copied touch none of them. Kept by the policy's name, so that copies under way go on
//! counting after a reload.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

/// What the clock of rates counts from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The use of every policy.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<String, Arc<Caps>>>);

impl Registry {
    /// The use of the policy of this name, new or old.
    pub fn of(&self, policy: &str) -> Arc<Caps> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Policies that are no more, and have no copies under way.
        all.retain(|name, caps| name == policy || Arc::strong_count(caps) > 1);
        all.entry(policy.to_owned()).or_default().clone()
    }
}

/// The use of one policy.
#[derive(Debug, Default)]
pub struct Caps {
    in_flight: AtomicU64,
    bytes: AtomicU64,
    /// When the next copy would be due if copies came evenly, in nanoseconds since [`START`].
    due_ns: AtomicU64,
}

impl Caps {
    /// Takes a place among `most`, if there is one.
    pub fn enter(&self, most: u64) -> bool {
        self.in_flight.fetch_update(Relaxed, Relaxed, |n| (n < most).then_some(n + 1)).is_ok()
    }

    /// Gives a place back.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Takes so many bytes of `most`, if they are free.
    pub fn take_bytes(&self, n: u64, most: u64) -> bool {
        self.bytes.fetch_update(Relaxed, Relaxed, |held| (held + n <= most).then_some(held + n)).is_ok()
    }

    /// Whether so many bytes of `most` are free.
    pub fn has_bytes(&self, n: u64, most: u64) -> bool {
        self.bytes.load(Relaxed) + n <= most
    }

    /// Gives bytes back.
    pub fn give_bytes(&self, n: u64) {
        self.bytes.fetch_sub(n, Relaxed);
    }

    /// Whether one more copy keeps to the rate; if so it is counted.
    pub fn keeps_rate(&self, per_second: f64) -> bool {
        self.keeps_rate_at(per_second, START.elapsed().as_nanos() as u64)
    }

    /// The generic cell rate algorithm (ITU-T I.371): a tenth of a second's worth, and at least one, may come at once.
    fn keeps_rate_at(&self, per_second: f64, now_ns: u64) -> bool {
        let every = 1e9 / per_second;
        let ahead = ((per_second / 10.0).max(1.0) - 1.0) * every;
        let next = |due: u64| {
            let due = due.max(now_ns);
            ((due - now_ns) as f64 <= ahead).then_some(due + every as u64)
        };
        self.due_ns.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_any_time() {
        let caps = Caps::default();
        // 10 seconds at 1,000 a second.
        let taken = (0..10_000).filter(|ms| caps.keeps_rate_at(100.0, ms * 1_000_000)).count();
        assert!((1_000..=1_011).contains(&taken), "{taken}");
        let slow = Caps::default();
        let taken = (0..100).filter(|s| slow.keeps_rate_at(0.5, s * 1_000_000_000)).count();
        assert!((50..=51).contains(&taken), "{taken}");
    }

    #[test]
    fn limits_hold_over_threads() {
        let registry = Registry::default();
        let taken: u64 = std::thread::scope(|threads| {
            let one = || (0..1_000).filter(|_| registry.of("a").enter(100)).count() as u64;
            let all: Vec<_> = (0..4).map(|_| threads.spawn(one)).collect();
            all.into_iter().map(|t| t.join().unwrap()).sum()
        });
        // Nobody holds the policy between the calls, and yet it is counted on.
        let caps = registry.of("a");
        assert_eq!((taken, caps.enter(100)), (100, false));
        caps.leave();
        assert!(caps.enter(100) && caps.take_bytes(8, 10) && !caps.take_bytes(3, 10) && caps.has_bytes(2, 10));
    }
}
