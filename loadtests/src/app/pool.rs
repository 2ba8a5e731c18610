//! The worker pool and the bounded first-come-first-served queue in front of it: the application's bottleneck.
//!
//! Called by the handlers. Promises: at most `size x factor` workers are held (a withdrawn worker first finishes what it does); waiting is
//! in order of arrival; a full queue refuses at once; a caller that goes away frees its place. A fraction of a worker is exact on average:
//! after it has been held for t it rests for t x (1 - fraction) / fraction. Not here: what a worker does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A pool; clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    size: usize,
    queue: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Workers that still work, with a fraction.
    effective: f64,
    busy: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
    /// Since when the fractional worker is held.
    extra_since: Option<Instant>,
    /// Until when the fractional worker rests.
    rests_until: Option<Instant>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A held worker; dropped, it is free again.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
}

/// The pool right now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Workers that still work.
    pub pool: f64,
    /// Workers held.
    pub busy: usize,
    /// Requests that wait.
    pub queue: usize,
}

impl Pool {
    /// A pool of `size` workers with room for `queue` waiting requests.
    pub fn new(size: usize, queue: usize) -> Self {
        let state = State { effective: size as f64, busy: 0, waiting: VecDeque::new(), extra_since: None, rests_until: None };
        Self { shared: Arc::new(Shared { size, queue, state: Mutex::new(state) }) }
    }

    /// Waits for a worker.
    pub async fn acquire(&self) -> Result<Permit, Full> {
        let waiting = {
            let mut state = self.shared.lock();
            let idle = state.waiting.is_empty();
            if idle && state.take(Instant::now()) {
                return Ok(Permit { shared: self.shared.clone() });
            }
            if state.waiting.len() >= self.shared.queue {
                state.waiting.retain(|w| !w.is_closed());
            }
            if state.waiting.len() >= self.shared.queue {
                return Err(Full);
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            receiver
        };
        // Senders are only dropped together with the pool.
        waiting.await.map_err(|_| Full)
    }

    /// Sets the share of the pool that still works, 0 to 1.
    pub fn set_factor(&self, factor: f64) {
        {
            let mut state = self.shared.lock();
            state.effective = self.shared.size as f64 * factor.clamp(0.0, 1.0);
            state.rests_until = None;
            state.extra_since = None;
        }
        self.shared.hand_out();
    }

    /// The pool right now.
    pub fn usage(&self) -> Usage {
        let state = self.shared.lock();
        let queue = state.waiting.iter().filter(|w| !w.is_closed()).count();
        Usage { pool: state.effective, busy: state.busy, queue }
    }
}

impl State {
    fn whole(&self) -> usize {
        // Tolerates 8 x 0.375 = 2.9999999999999996.
        (self.effective + 1e-9).floor() as usize
    }

    fn fraction(&self) -> f64 {
        (self.effective - self.whole() as f64).max(0.0)
    }

    /// Takes a worker when one is free.
    fn take(&mut self, now: Instant) -> bool {
        let whole = self.whole();
        if self.busy < whole {
            self.busy += 1;
            return true;
        }
        let rested = self.rests_until.is_none_or(|until| now >= until);
        if self.busy == whole && self.fraction() > 1e-6 && rested {
            self.busy += 1;
            self.extra_since = Some(now);
            return true;
        }
        false
    }

    /// Gives a worker back; how long the fractional worker now rests, if it was that one.
    fn give_back(&mut self, now: Instant) -> Option<Duration> {
        self.busy -= 1;
        if self.busy != self.whole() {
            return None;
        }
        let held = now.saturating_duration_since(self.extra_since.take()?);
        let fraction = self.fraction();
        if fraction <= 1e-6 {
            return None;
        }
        // A rest has an end even when almost nothing of the worker is left.
        let rest = held.mul_f64((1.0 - fraction) / fraction).min(Duration::from_secs(10));
        self.rests_until = Some(now + rest);
        Some(rest)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands free workers to those who wait, first come first served.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                while state.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                    state.waiting.pop_front();
                }
                if state.waiting.is_empty() || !state.take(Instant::now()) {
                    return;
                }
                state.waiting.pop_front()
            };
            let permit = Permit { shared: self.clone() };
            if let Some(next) = next {
                // A caller that left in this moment drops the permit, which frees the worker again.
                let _ = next.send(permit);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let rest = self.shared.lock().give_back(Instant::now());
        self.shared.hand_out();
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            let pool = Arc::downgrade(&self.shared);
            runtime.spawn(async move {
                tokio::time::sleep(rest).await;
                if let Some(pool) = pool.upgrade() {
                    pool.hand_out();
                }
            });
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
