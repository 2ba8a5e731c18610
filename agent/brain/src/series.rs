//! Alignment: turns samples into clean per-interval observations, with explicit gaps, and keeps short windows of them.
//!
//! Called by [`crate::Brain`] first thing each tick. Promises: every number handed on is finite and not negative, bad <= requests,
//! time never runs backwards, and a gap is a gap, never a zero. Not here: any estimate.

use crate::latency::Latencies;
use crate::math::{bounded, reading};
use crate::sample::{PathSample, Sample};
use std::collections::VecDeque;

/// One path over one interval, cleaned.
#[derive(Debug, Clone, Default)]
pub struct PathObservation {
    /// Requests that started, per second.
    pub arrival_rps: f64,
    /// Requests that ended without failing, per second.
    pub done_rps: f64,
    /// Requests that ended.
    pub requests: f64,
    /// Bad ones among them.
    pub bad: f64,
    /// Failed ones among the bad.
    pub failed: f64,
    /// Latencies of those that did not fail.
    pub latency: Latencies,
    /// Requests under way at the end.
    pub in_flight: f64,
    /// Cores used, summed.
    pub cpu_cores: Option<f64>,
    /// Bytes resident, summed.
    pub memory_bytes: Option<f64>,
    /// Share of scheduler periods throttled.
    pub throttled: Option<f64>,
    /// CPU pressure.
    pub psi_cpu: Option<f64>,
}

impl PathObservation {
    fn from(path: &PathSample, seconds: f64) -> Self {
        const MOST: f64 = 1e9;
        let requests = (path.requests as f64).min(MOST);
        let bad = (path.bad as f64).min(requests);
        let failed = (path.failed as f64).min(bad);
        let arrivals = if path.arrivals > 0 { (path.arrivals as f64).min(MOST) } else { requests };
        Self {
            arrival_rps: arrivals / seconds,
            done_rps: (requests - failed) / seconds,
            requests,
            bad,
            failed,
            latency: path.latency.clone(),
            in_flight: bounded(path.in_flight, 0.0, MOST),
            cpu_cores: reading(path.cpu_cores),
            memory_bytes: reading(path.memory_bytes),
            throttled: reading(path.throttled_ratio),
            psi_cpu: reading(path.psi_cpu),
        }
    }

    /// Bad requests over requests; None without requests.
    pub fn bad_fraction(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.bad / self.requests)
    }

    /// How long the requests under way take at the present rate of completions (Little's law), in milliseconds.
    pub fn sojourn_ms(&self) -> f64 {
        if self.in_flight < 1.0 { 0.0 } else { bounded(1_000.0 * self.in_flight / self.done_rps.max(0.1), 0.0, 1e9) }
    }

    /// A latency quantile in milliseconds, failed requests left out.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.latency.quantile_us(q).map(|us| bounded(us / 1_000.0, 0.0, 1e9))
    }
}

/// One interval, cleaned and placed in time.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// End of the interval, seconds since the Unix epoch.
    pub at_s: f64,
    /// Length of the interval in seconds.
    pub seconds: f64,
    /// Seconds since the observation before; the interval's length when there was none.
    pub since_last_s: f64,
    /// Production, when it could be read.
    pub production: Option<PathObservation>,
    /// The shadow, when it could be read and is to be learned from.
    pub shadow: Option<PathObservation>,
    /// Whether there is a shadow at all, ready or not.
    pub shadow_present: bool,
    /// Cost of the shadow in replicas.
    pub shadow_size: f64,
    /// Replicas that take traffic, at least one.
    pub replicas: f64,
    /// Whether the release changed at this interval.
    pub new_release: bool,
    /// Whether the shadow's profile changed at this interval.
    pub new_profile: bool,
}

/// Turns samples into observations.
#[derive(Debug, Clone, Default)]
pub struct Aligner {
    last_ms: Option<u64>,
    release: Option<String>,
    profile: Option<String>,
}

impl Aligner {
    /// The observation of a sample; None when its time is not after the one before (a repeated or late sample).
    pub fn align(&mut self, sample: &Sample) -> Option<Observation> {
        if self.last_ms.is_some_and(|last| sample.at_ms <= last) {
            return None;
        }
        let seconds = if sample.interval_ms == 0 { 1.0 } else { bounded(f64::from(sample.interval_ms) / 1_000.0, 0.01, 600.0) };
        let since_last_s = self.last_ms.map_or(seconds, |last| ((sample.at_ms - last) as f64 / 1_000.0).clamp(0.001, 1e7));
        self.last_ms = Some(sample.at_ms);
        let shadow = sample.shadow.as_ref();
        Some(Observation {
            at_s: sample.at_ms as f64 / 1_000.0,
            seconds,
            since_last_s,
            production: sample.production.as_ref().map(|p| PathObservation::from(p, seconds)),
            shadow: shadow.filter(|s| s.ready).map(|s| PathObservation::from(&s.path, seconds)),
            shadow_present: shadow.is_some(),
            shadow_size: shadow.map_or(1.0, |s| if s.size > 0.0 { bounded(s.size, 0.01, 100.0) } else { 1.0 }),
            replicas: f64::from(sample.scale.ready.max(1)),
            new_release: changed(&mut self.release, Some(&sample.scale.release)),
            new_profile: changed(&mut self.profile, shadow.map(|s| &s.profile)),
        })
    }
}

/// Notes `now` (when given) and says whether it differs from a value noted before.
fn changed(known: &mut Option<String>, now: Option<&String>) -> bool {
    let Some(now) = now.filter(|n| !n.is_empty()) else { return false };
    if known.as_ref() == Some(now) {
        return false;
    }
    known.replace(now.clone()).is_some()
}

/// The last `seconds` of `(time, value)` points, bounded in number as well.
#[derive(Debug, Clone)]
pub struct Window {
    seconds: f64,
    points: VecDeque<(f64, f64)>,
}

impl Window {
    /// Most points held, whatever the interval.
    const MOST: usize = 4_096;

    /// An empty window.
    pub fn new(seconds: f64) -> Self {
        Self { seconds, points: VecDeque::new() }
    }

    /// Adds a point and drops those too old.
    pub fn push(&mut self, at_s: f64, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.points.push_back((at_s, value));
        self.expire(at_s);
    }

    /// Drops points that are too old.
    pub fn expire(&mut self, now_s: f64) {
        while self.points.len() > Self::MOST || self.points.front().is_some_and(|p| p.0 < now_s - self.seconds) {
            self.points.pop_front();
        }
    }

    /// Oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + '_ {
        self.points.iter().copied()
    }

    /// Largest value held.
    pub fn max(&self) -> Option<f64> {
        self.points.iter().map(|p| p.1).reduce(f64::max)
    }

    /// Mean of the values not older than `seconds`.
    pub fn mean_since(&self, from_s: f64) -> Option<f64> {
        let (sum, n) = self.points.iter().rev().take_while(|p| p.0 >= from_s).fold((0.0, 0.0), |(s, n), p| (s + p.1, n + 1.0));
        (n > 0.0).then(|| sum / n)
    }

    /// The newest value at or before a time.
    pub fn at_or_before(&self, at_s: f64) -> Option<f64> {
        let after = self.points.partition_point(|p| p.0 <= at_s);
        after.checked_sub(1).map(|i| self.points[i].1)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.points.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::ShadowSample;

    #[test]
    fn garbage_is_cleaned_and_late_samples_are_refused() {
        let mut aligner = Aligner::default();
        let path =
            PathSample { requests: 3, bad: 9, failed: 99, in_flight: f64::NAN, cpu_cores: Some(f64::INFINITY), ..Default::default() };
        let mut sample = Sample { at_ms: 5_000, production: Some(path), ..Default::default() };
        let seen = aligner.align(&sample).expect("first");
        let production = seen.production.expect("given");
        assert_eq!((production.bad, production.failed, production.in_flight, production.cpu_cores), (3.0, 3.0, 0.0, None));
        assert!(aligner.align(&sample).is_none());
        sample.at_ms = 15_000;
        assert_eq!(aligner.align(&sample).expect("later").since_last_s, 10.0);
    }

    #[test]
    fn a_starting_shadow_is_present_but_not_learned_from() {
        let sample = Sample { at_ms: 1, shadow: Some(ShadowSample::default()), ..Default::default() };
        let seen = Aligner::default().align(&sample).expect("first");
        assert!(seen.shadow_present && seen.shadow.is_none());
    }

    #[test]
    fn a_release_is_new_only_when_another_was_known() {
        let mut aligner = Aligner::default();
        let at = |at_ms, release: &str| {
            let mut s = Sample { at_ms, ..Default::default() };
            s.scale.release = release.into();
            s
        };
        let news: Vec<_> =
            [at(1, "a"), at(2, "a"), at(3, ""), at(4, "b")].iter().map(|s| aligner.align(s).expect("in order").new_release).collect();
        assert_eq!(news, [false, false, false, true]);
    }

    #[test]
    fn a_window_answers_the_newest_value_before_a_time() {
        let mut window = Window::new(10.0);
        for t in 0..20 {
            window.push(f64::from(t), f64::from(t));
        }
        assert_eq!(window.at_or_before(12.5), Some(12.0));
        assert_eq!(window.at_or_before(1.0), None);
        assert_eq!(window.max(), Some(19.0));
        assert_eq!(window.mean_since(18.0), Some(18.5));
    }
}
