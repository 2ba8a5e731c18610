//! Processor time that is really spent: a calibrated number of arithmetic steps on threads of their own.
//!
//! Called by the handlers. Promises: the same work is the same number of steps whatever else runs, so that a slow or throttled processor
//! makes it take longer, as with real code; the event loop does not wait; no more than the configured threads burn at once. Not here: how
//! much work a request is.

use crate::cpu::thread_cpu;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Does processor work.
#[derive(Debug, Clone)]
pub struct Burner {
    steps_per_us: f64,
    threads: Arc<Semaphore>,
}

impl Burner {
    /// Measures this machine (some milliseconds) and allows `threads` to burn at once.
    pub fn calibrated(threads: usize) -> Self {
        Self { steps_per_us: calibrate(), threads: Arc::new(Semaphore::new(threads.max(1))) }
    }

    /// Spends `work` of processor time, as measured when nothing else ran. Waits for its turn when all threads burn.
    pub async fn burn(&self, work: Duration) {
        let steps = (work.as_secs_f64() * 1e6 * self.steps_per_us) as u64;
        if steps == 0 {
            return;
        }
        // Never closed, hence never an error.
        let Ok(turn) = self.threads.clone().acquire_owned().await else { return };
        let burning = tokio::task::spawn_blocking(move || {
            std::hint::black_box(spin(steps));
            drop(turn);
        });
        let _ = burning.await;
    }
}

/// A chain of dependent steps (xorshift64), which no compiler shortens and no core overlaps.
fn spin(steps: u64) -> u64 {
    let mut x = std::hint::black_box(0x9E37_79B9_7F4A_7C15_u64);
    for _ in 0..steps {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

/// Steps per microsecond of this thread's processor time: the best of several rounds, since disturbances only slow down.
fn calibrate() -> f64 {
    const STEPS: u64 = 200_000;
    let round = || {
        let before = thread_cpu();
        std::hint::black_box(spin(STEPS));
        thread_cpu().saturating_sub(before)
    };
    let best = (0..7).map(|_| round()).min().unwrap_or_default();
    STEPS as f64 / (best.as_secs_f64() * 1e6).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::process_cpu;

    #[tokio::test]
    async fn work_costs_processor_time_and_leaves_the_event_loop_alone() {
        let burner = Burner::calibrated(1);
        let (process, thread) = (process_cpu(), thread_cpu());
        for _ in 0..20 {
            burner.burn(Duration::from_millis(5)).await;
        }
        let (process, thread) = (process_cpu() - process, thread_cpu() - thread);
        // Other tests of this process may run meanwhile, hence a lower bound only.
        assert!(process >= Duration::from_millis(80), "{process:?}");
        assert!(thread < Duration::from_millis(60), "{thread:?} on the event loop's own thread");
    }
}
