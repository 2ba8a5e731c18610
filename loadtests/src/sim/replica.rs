//! One instance: workers, a bounded first-come-first-served queue, memory that may leak.
//!
//! Called for every request and every copy, in order of time. Exact without events: a request starts when the worker that is free first is
//! free; a caller that has gone away by then costs no work. Not here: which replica a request goes to.

use crate::sim::service::Work;
use std::collections::VecDeque;

/// How soon a refused request is answered, in seconds.
pub const REFUSED_S: f64 = 0.001;
/// From running out of memory until the kernel has ended the process, in seconds.
const LAST_BREATH_S: f64 = 0.5;
/// Share of the memory limit from which collecting garbage slows the instance.
const PRESSURE: f64 = 0.8;
/// How much slower it is at the limit.
const PRESSED: f64 = 1.5;

/// Sizes of an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Workers.
    pub workers: usize,
    /// Requests that may wait.
    pub queue: usize,
}

impl Size {
    /// A fraction of an instance: its share of the workers, at least one, and the same queue a worker.
    pub fn fraction(self, size: f64) -> Self {
        let workers = ((self.workers as f64 * size - 1e-9).ceil().max(1.0)) as usize;
        Self { workers, queue: (self.queue * workers).div_ceil(self.workers.max(1)) }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// When it began to hold a worker; None when it never did.
    pub start_s: Option<f64>,
    /// When its caller had an answer or gave up.
    pub end_s: f64,
    /// 5xx, reset or timeout.
    pub failed: bool,
}

/// An instance.
#[derive(Debug, Clone)]
pub struct Replica {
    free: Vec<f64>,
    starts: VecDeque<f64>,
    queue: usize,
    /// Share of the workers that still work.
    share: f64,
    whole: usize,
    /// Holds are multiplied by this: a slow node, a cold cache, a bad release.
    pub slower: f64,
    /// When it began to take traffic.
    pub since_s: f64,
    /// Release it runs.
    pub release: u32,
    /// Used memory over the limit.
    pub memory: f64,
    /// When it ends for want of memory.
    pub dies_s: f64,
    /// Whether its node is a slow one, as a number drawn once: the smaller, the sooner chosen.
    pub luck: f64,
}

impl Replica {
    /// An idle instance.
    pub fn new(size: Size, now_s: f64, release: u32, luck: f64) -> Self {
        Self {
            free: vec![f64::NEG_INFINITY; size.workers],
            starts: VecDeque::with_capacity(size.queue.min(1 << 16)),
            queue: size.queue,
            share: 1.0,
            whole: size.workers,
            slower: 1.0,
            since_s: now_s,
            release,
            memory: 0.4,
            dies_s: f64::INFINITY,
            luck,
        }
    }

    /// Withdraws workers: a fraction of one works that fraction of the time.
    pub fn set_share(&mut self, share: f64) {
        self.share = share.clamp(0.0, 1.0);
        self.whole = (self.free.len() as f64 * self.share + 1e-9).floor() as usize;
    }

    /// Requests that wait or are served at `t`.
    pub fn under_way(&mut self, t: f64) -> usize {
        self.forget(t);
        self.starts.len() + self.free.iter().filter(|f| **f > t).count()
    }

    fn forget(&mut self, t: f64) {
        while self.starts.front().is_some_and(|s| *s <= t) {
            self.starts.pop_front();
        }
    }

    /// A request arrives; its caller waits `timeout_s` at most.
    pub fn arrive(&mut self, t: f64, work: Work, timeout_s: f64) -> Answer {
        if t >= self.dies_s {
            return Answer { start_s: None, end_s: t + REFUSED_S, failed: true };
        }
        self.forget(t);
        let (worker, free_s, fraction) = self.next_worker(t);
        let start_s = free_s.max(t);
        let waits = start_s > t;
        if waits && self.starts.len() >= self.queue {
            return Answer { start_s: None, end_s: t + REFUSED_S, failed: true };
        }
        if start_s - t >= timeout_s {
            self.starts.push_back(t + timeout_s);
            return Answer { start_s: None, end_s: t + timeout_s, failed: true };
        }
        if waits {
            self.starts.push_back(start_s);
        }
        let hold = work.hold_s * self.slower * self.pressure();
        let done = start_s + hold;
        // A worker that works part of the time rests in proportion to what it has worked, but not for ever.
        let rest = if fraction < 1.0 { (hold * (1.0 - fraction) / fraction.max(1e-3)).min(10.0) } else { 0.0 };
        if let Some(free) = self.free.get_mut(worker) {
            *free = done + rest;
        }
        let end_s = done.min(t + timeout_s);
        let dies = done > self.dies_s;
        Answer { start_s: Some(start_s), end_s: if dies { end_s.min(self.dies_s) } else { end_s }, failed: dies || done > end_s }
    }

    /// The worker that is free first, whole ones preferred: its place, when it is free, and which part of it works.
    fn next_worker(&self, t: f64) -> (usize, f64, f64) {
        let (mut best, mut at) = (usize::MAX, f64::INFINITY);
        for (i, free) in self.free[..self.whole].iter().enumerate() {
            if *free < at {
                (best, at) = (i, *free);
            }
        }
        let fraction = self.free.len() as f64 * self.share - self.whole as f64;
        if at > t && fraction > 1e-6 && self.whole < self.free.len() && self.free[self.whole] < at {
            return (self.whole, self.free[self.whole], fraction);
        }
        (best, at, 1.0)
    }

    fn pressure(&self) -> f64 {
        if self.memory > PRESSURE { 1.0 + PRESSED * ((self.memory - PRESSURE) / (1.0 - PRESSURE)).min(1.0) } else { 1.0 }
    }

    /// Leaks a share of the memory limit.
    pub fn leak(&mut self, share: f64, t: f64) {
        self.memory += share;
        if self.memory >= 1.0 && self.dies_s.is_infinite() {
            self.dies_s = t + LAST_BREATH_S;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(hold_s: f64) -> Work {
        Work { class: 1, hold_s, cpu_s: 0.0 }
    }

    fn replica(workers: usize, queue: usize) -> Replica {
        Replica::new(Size { workers, queue }, 0.0, 0, 0.5)
    }

    #[test]
    fn requests_wait_in_order_and_a_full_queue_refuses() {
        let mut r = replica(1, 2);
        let ends: Vec<f64> = (0..3).map(|_| r.arrive(0.0, work(1.0), 100.0).end_s).collect();
        assert_eq!(ends, [1.0, 2.0, 3.0]);
        let refused = r.arrive(0.5, work(1.0), 100.0);
        assert!(refused.failed && refused.start_s.is_none());
        assert_eq!(r.under_way(0.5), 3);
        assert!(!r.arrive(1.0, work(1.0), 100.0).failed);
        assert_eq!(r.under_way(10.0), 0);
    }

    #[test]
    fn a_caller_that_left_costs_no_work() {
        let mut r = replica(1, 10);
        r.arrive(0.0, work(5.0), 100.0);
        let gone = r.arrive(0.0, work(5.0), 2.0);
        assert_eq!((gone.failed, gone.end_s, gone.start_s), (true, 2.0, None));
        assert_eq!(r.arrive(3.0, work(1.0), 100.0).end_s, 6.0);
    }

    #[test]
    fn half_a_worker_works_half_the_time() {
        let mut r = replica(1, 1_000_000);
        r.set_share(0.5);
        let mut end = 0.0;
        for _ in 0..1_000 {
            end = r.arrive(0.0, work(0.1), 1e9).end_s;
        }
        assert!((end - 200.0).abs() < 1.0, "{end}");
    }

    #[test]
    fn out_of_memory_fails_what_is_under_way() {
        let mut r = replica(2, 10);
        r.leak(0.7, 10.0);
        assert!(r.arrive(10.1, work(5.0), 100.0).failed);
        assert!(r.arrive(10.6, work(0.1), 100.0).failed);
    }
}
