//! Time as the state machine is given it.

use std::time::Duration;

/// One moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the orchestrator's start, never jumps: every deadline is on this one.
    pub mono: Duration,
    /// Milliseconds since the Unix epoch: only told to readers.
    pub unix_ms: u64,
}

#[cfg(test)]
impl Now {
    /// For tests: seconds after the start.
    pub fn at_s(seconds: f64) -> Self {
        Self { mono: Duration::from_secs_f64(seconds), unix_ms: 1_000_000 + (seconds * 1_000.0) as u64 }
    }
}
