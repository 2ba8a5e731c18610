//! Processor time used so far, for the figures that programs say about themselves. Called by the application and the generator.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Processor time of this thread, user and system.
pub fn thread_cpu() -> Duration {
    cpu_clock(ClockId::ThreadCPUTime)
}

/// Processor time of this process, user and system.
pub fn process_cpu() -> Duration {
    cpu_clock(ClockId::ProcessCPUTime)
}

fn cpu_clock(id: ClockId) -> Duration {
    let t = clock_gettime(id);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}
