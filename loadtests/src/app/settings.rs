//! What an instance of the sample application is made of. Called by its command line and by tests; pure.

use std::time::Duration;

/// Sizes and costs of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Workers when no fault stands.
    pub workers: usize,
    /// Requests that may wait for a worker; one more is refused with 503.
    pub queue: usize,
    /// Mean I/O wait of a normal request.
    pub io: Duration,
    /// Processor time of a normal request.
    pub cpu: Duration,
    /// Threads that burn processor time; no more than the cores that the instance may use.
    pub cpu_threads: usize,
    /// Bytes that a normal request touches and holds.
    pub request_bytes: usize,
    /// Length of the answer's body in bytes.
    pub answer_bytes: usize,
    /// From the start until the instance is ready.
    pub start_delay: Duration,
    /// Resident memory at which the instance is out of memory and ends, in bytes; None = no limit.
    pub memory_limit: Option<u64>,
    /// Seed of the service times.
    pub seed: u64,
}

/// Exit code of an instance that ran out of memory: 128 + SIGKILL, as when the kernel ends it.
pub const OUT_OF_MEMORY: u8 = 137;

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: workers(20.0, 400),
            queue: 256,
            io: Duration::from_millis(54),
            cpu: Duration::from_micros(550),
            cpu_threads: 1,
            request_bytes: 64 << 10,
            answer_bytes: 1 << 10,
            start_delay: Duration::ZERO,
            memory_limit: None,
            seed: 0,
        }
    }
}

/// Size of the pool of an instance with this many thousandths of a core; at least one.
pub fn workers(per_core: f64, cpu_limit_millis: u32) -> usize {
    // A hair is taken off, so that 20 x 0.4 does not become 9 by rounding error.
    let exact = per_core * f64::from(cpu_limit_millis) / 1_000.0;
    (exact - 1e-9).ceil().max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_processor_is_half_the_pool() {
        assert_eq!(workers(20.0, 400), 8);
        assert_eq!(workers(20.0, 200), 4);
        assert_eq!(workers(20.0, 100), 2);
        assert_eq!(workers(80.0, 100), 8);
        assert_eq!(workers(20.0, 1), 1);
        assert_eq!(workers(20.0, 210), 5);
    }
}
