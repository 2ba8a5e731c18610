//! What each profile of the shadow takes, remembered: the shadow runs one at a time, and a choice between sizes wants them all.
//!
//! Fed by the lease holder with every tick. Pure. A profile is remembered as its share of a replica's capacity, because that stays when
//! requests get costlier or a dependency slows down, and capacity does not. Promises: nothing is said of a profile that has not run long
//! enough, or not within the last day, or beside replicas of another size; memory is bounded by the spec's profiles.

use foreshadow_brain::capacity::grid::LogEstimate;
use foreshadow_brain::{Decision, Sample};
use std::collections::BTreeMap;

/// Ticks of a profile after which its share is believed: the estimate has left its prior behind.
const SETTLED: u32 = 120;
/// The share follows with this memory, in ticks.
const MEMORY: f64 = 60.0;
/// A share is forgotten after this.
const KEPT_MS: u64 = 24 * 3_600_000;
/// Doubt that is always left, standard deviation of the logarithm.
const LEAST_DOUBT: f64 = 0.05;
/// Profiles remembered at most; a spec has no more.
const MOST: usize = 16;

/// Shares of all profiles.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    cores: Option<f64>,
    shares: BTreeMap<String, Share>,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    ln: f64,
    variance: f64,
    ticks: u32,
    at_ms: u64,
}

impl Measured {
    /// Takes note of a tick.
    pub fn learn(&mut self, sample: &Sample, decision: &Decision) {
        let cores = sample.scale.replica_cores;
        if cores.is_some() && cores != self.cores {
            // Shares of replicas of another size.
            self.shares.clear();
            self.cores = cores;
        }
        let Some(shadow) = sample.shadow.as_ref().filter(|s| s.ready && !s.profile.is_empty()) else { return };
        let Some(ln) = decision.shadow_scale.filter(|s| s.is_finite() && *s > 0.0).map(f64::ln) else { return };
        if decision.capacity_rps.is_none() || (self.shares.len() >= MOST && !self.shares.contains_key(&shadow.profile)) {
            return;
        }
        let share = self.shares.entry(shadow.profile.clone()).or_insert(Share { ln, variance: 0.0, ticks: 0, at_ms: 0 });
        share.ticks = share.ticks.saturating_add(1);
        let weight = 1.0 / f64::from(share.ticks).min(MEMORY);
        let off = ln - share.ln;
        share.ln += weight * off;
        share.variance = (1.0 - weight) * (share.variance + weight * off * off);
        share.at_ms = sample.at_ms;
    }

    /// The capacity of a replica that is what this profile is, given that of one that runs now.
    pub fn capacity(&self, profile: &str, now: LogEstimate, now_ms: u64) -> Option<LogEstimate> {
        let share = self.shares.get(profile)?;
        let fresh = now_ms.saturating_sub(share.at_ms) <= KEPT_MS;
        let doubt = now.sd.hypot(share.variance.sqrt()).max(LEAST_DOUBT);
        (fresh && share.ticks >= SETTLED).then_some(LogEstimate { mean: now.mean + share.ln, sd: doubt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshadow_brain::decision::Band;
    use foreshadow_brain::sample::{ScaleState, ShadowSample};

    fn tick(measured: &mut Measured, at_s: u64, profile: &str, share: f64, cores: f64) {
        let shadow = ShadowSample { profile: profile.into(), ready: true, ..ShadowSample::default() };
        let scale = ScaleState { replica_cores: Some(cores), ..ScaleState::default() };
        let sample = Sample { at_ms: at_s * 1_000, shadow: Some(shadow), scale, ..Sample::default() };
        let decision = Decision { shadow_scale: Some(share), capacity_rps: Some(Band::default()), ..Decision::default() };
        measured.learn(&sample, &decision);
    }

    fn hundred() -> LogEstimate {
        LogEstimate { mean: 100_f64.ln(), sd: 0.02 }
    }

    #[test]
    fn profiles_that_ran_long_enough_are_remembered_for_a_day() {
        let mut measured = Measured::default();
        (0..119).for_each(|s| tick(&mut measured, s, "cpu-half", 0.4, 1.0));
        assert_eq!(measured.capacity("cpu-half", hundred(), 119_000), None, "not yet");
        tick(&mut measured, 119, "cpu-half", 0.4, 1.0);
        (120..300).for_each(|s| tick(&mut measured, s, "cpu-double", 1.9, 1.0));
        let half = measured.capacity("cpu-half", hundred(), 300_000).unwrap();
        assert!((half.median() - 40.0).abs() < 1e-6 && half.sd == LEAST_DOUBT, "{half:?}");
        assert!((measured.capacity("cpu-double", hundred(), 300_000).unwrap().median() - 190.0).abs() < 1e-6);
        assert_eq!(measured.capacity("cpu-half", hundred(), 119_000 + KEPT_MS + 1), None, "yesterday's");
        assert_eq!(measured.capacity("never", hundred(), 300_000), None);
    }

    #[test]
    fn replicas_of_another_size_begin_anew() {
        let mut measured = Measured::default();
        (0..200).for_each(|s| tick(&mut measured, s, "cpu-half", 0.4, 1.0));
        tick(&mut measured, 200, "cpu-half", 0.2, 2.0);
        assert_eq!(measured.capacity("cpu-half", hundred(), 200_000), None);
    }

    #[test]
    fn a_share_that_trembles_is_doubted() {
        let mut measured = Measured::default();
        (0..200).for_each(|s| tick(&mut measured, s, "cpu-half", if s % 2 == 0 { 0.3 } else { 0.5 }, 1.0));
        assert!(measured.capacity("cpu-half", hundred(), 200_000).unwrap().sd > 0.2);
    }
}
