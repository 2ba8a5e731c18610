//! The decision core, kept alive: what the control loop asks and what a replay asks again.
//!
//! Used by `app` and `replay`, so that a replay does exactly what the run did. Promises: a defect of the core costs no more than what it
//! had learned. The tick in which it fails says so by an alarm and asks for nothing (`act` then leaves the floor to its time to live,
//! neither lowered nor renewed), and a fresh core goes on from there. The same samples fail in the same place, also in a replay.

use foreshadow_brain::decision::Alarm;
use foreshadow_brain::{Brain, Decision, Sample, Settings};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Kind of the alarm of a tick in which the core failed.
pub const FAILED: &str = "brain_failed";

/// A decision core that goes on after a defect.
#[derive(Debug)]
pub struct Mind {
    settings: Settings,
    brain: Brain,
}

impl Mind {
    /// One that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Self { brain: Brain::new(settings.clone()), settings }
    }

    /// Takes a sample and decides.
    pub fn tick(&mut self, sample: &Sample) -> Decision {
        // The core is replaced after a panic: nobody sees what it left half done.
        let decided = catch_unwind(AssertUnwindSafe(|| self.brain.tick(sample)));
        decided.unwrap_or_else(|_| {
            self.brain = Brain::new(self.settings.clone());
            failed(sample.at_ms)
        })
    }
}

/// The decision of a tick in which the core failed.
pub fn failed(at_ms: u64) -> Decision {
    let text = "the decision core failed on this sample and begins anew; the floor is left to its time to live".to_owned();
    Decision { at_ms, alarms: vec![Alarm { kind: FAILED.into(), since_ms: at_ms, text }], ..Decision::default() }
}

/// Whether the core failed in this tick.
pub fn has_failed(decision: &Decision) -> bool {
    decision.alarms.iter().any(|alarm| alarm.kind == FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_tick_is_told_and_asks_for_nothing() {
        let decision = failed(7);
        assert!(has_failed(&decision) && decision.at_ms == 7);
        assert_eq!((decision.plan.floor, decision.copies.rate_rps), (None, 0.0));
        assert!(!has_failed(&Mind::new(Settings::default()).tick(&Sample::default())));
    }
}
