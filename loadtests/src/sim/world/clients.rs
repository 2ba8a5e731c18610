//! Clients that try again: failed attempts that are waiting for their next try.
//!
//! Called by the world. Bounded: beyond the bound clients give up, and that is counted.

use crate::sim::random::between;
use crate::sim::service::Work;
use rand_chacha::ChaCha8Rng;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Waiting tries at most.
const MOST: usize = 200_000;
/// Pause before the next try, in seconds; the second of two bounds.
const PAUSE_S: (f64, f64) = (0.05, 0.15);

/// An attempt of a client.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    /// When it is made.
    pub at_s: f64,
    /// When the client made its first.
    pub first_s: f64,
    /// The step of the first.
    pub step: u32,
    /// Tries before this one.
    pub tries: u8,
    /// The request.
    pub work: Work,
}

impl PartialEq for Try {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Try {}

impl PartialOrd for Try {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Try {
    /// The earliest is the greatest, as the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_s.total_cmp(&self.at_s)
    }
}

/// Clients that will try again.
#[derive(Debug)]
pub struct Clients {
    retries: u8,
    waiting: BinaryHeap<Try>,
    rng: ChaCha8Rng,
    dropped: u64,
}

impl Clients {
    /// Clients that try again so often.
    pub fn new(retries: u8, rng: ChaCha8Rng) -> Self {
        Self { retries, waiting: BinaryHeap::new(), rng, dropped: 0 }
    }

    /// An attempt failed at `end_s`; whether the client tries again.
    pub fn again(&mut self, failed: &Try, end_s: f64) -> bool {
        if failed.tries >= self.retries {
            return false;
        }
        if self.waiting.len() >= MOST {
            self.dropped += 1;
            return false;
        }
        let at_s = end_s + between(&mut self.rng, PAUSE_S.0, PAUSE_S.1);
        self.waiting.push(Try { at_s, tries: failed.tries + 1, ..*failed });
        true
    }

    /// The next try before `t`.
    pub fn next_before(&mut self, t: f64) -> Option<Try> {
        if self.waiting.peek()?.at_s < t { self.waiting.pop() } else { None }
    }

    /// Tries that were not made because too many were waiting.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
