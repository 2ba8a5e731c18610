//! A bound on copies per second: a token bucket that holds a tenth of a second's worth, and at least one.

use std::cell::Cell;
use std::time::Instant;

/// The bucket of one policy in one worker.
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    tokens: Cell<f64>,
    filled: Cell<Instant>,
}

impl Rate {
    /// A full bucket.
    pub fn new(per_second: f64) -> Self {
        Self { per_second, tokens: Cell::new((per_second / 10.0).max(1.0)), filled: Cell::new(Instant::now()) }
    }

    /// Takes a token, if there is one.
    pub fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled.replace(now)).as_secs_f64();
        let tokens = (self.tokens.get() + since * self.per_second).min((self.per_second / 10.0).max(1.0));
        let taken = tokens >= 1.0;
        self.tokens.set(if taken { tokens - 1.0 } else { tokens });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_rate_holds_over_any_time() {
        let rate = Rate::new(100.0);
        let start = Instant::now();
        // 10 seconds at 1,000 a second.
        let taken = (0..10_000).filter(|ms| rate.take_at(start + Duration::from_millis(*ms))).count();
        assert!((1_000..=1_011).contains(&taken), "{taken}");
        let slow = Rate::new(0.5);
        let taken = (0..100).filter(|s| slow.take_at(start + Duration::from_secs(*s))).count();
        assert!((50..=51).contains(&taken), "{taken}");
    }
}
