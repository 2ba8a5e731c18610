//! From looks to samples: differences of cumulative numbers, merged over sidecars, both paths over the same interval.
//!
//! Called by the control loop once a tick. Promises:
//! * a missed poll loses nothing and invents nothing: while a ready sidecar has not answered, both paths of the sample are an explicit
//!   gap, no baseline moves, and the next whole look covers the whole time since the last one (`interval_ms` says so);
//! * a sidecar that stays away is waited for twice, then left out; what it did meanwhile is counted when it answers again;
//! * a sidecar that restarted is counted from its own beginning; one that was there before the agent, from the first look at it.
//!
//! Not here: polling, and what the numbers mean.

use super::counts::Counts;
use super::look::Look;
use super::usage::{Rates, Usage, rates};
use crate::kubernetes::names::ASIDE;
use crate::local::api::{Instance, State, Workload};
use foreshadow_brain::Sample;
use foreshadow_brain::sample::{PathSample, ScaleState, ShadowSample};
use foreshadow_snapshot::{ClusterRole, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A ready sidecar that misses more polls in a row than this is left out until it answers again.
const MISSES_WAITED_FOR: u32 = 2;
/// A shadow that became ready less than this ago is still warming up.
const SETTLE_MS: u64 = 2_000;

/// Turns looks into samples.
#[derive(Debug)]
pub struct Aligner {
    threshold_us: u64,
    began_ms: u64,
    baselines: BTreeMap<String, Arc<Snapshot>>,
    misses: BTreeMap<String, u32>,
    used: BTreeMap<String, Usage>,
    last_whole_ms: Option<u64>,
    last_ms: u64,
}

/// What the two paths did.
#[derive(Debug, Default)]
struct Both {
    production: Counts,
    mirror: Option<Counts>,
    seen: bool,
}

impl Aligner {
    /// For answers slower than `threshold_ms` to be bad; `now_ms` is when the agent began.
    pub fn new(threshold_ms: f64, now_ms: u64) -> Self {
        Self {
            threshold_us: (threshold_ms * 1_000.0) as u64,
            began_ms: now_ms,
            baselines: BTreeMap::new(),
            misses: BTreeMap::new(),
            used: BTreeMap::new(),
            last_whole_ms: None,
            last_ms: 0,
        }
    }

    /// The sample that a look makes. `synthetic` is asked for the synthetic stream's counts only when the sample is whole.
    pub fn align(&mut self, now_ms: u64, look: &Look, synthetic: impl FnOnce() -> Counts) -> Sample {
        let at_ms = now_ms.max(self.last_ms + 1);
        let previous_ms = std::mem::replace(&mut self.last_ms, at_ms);
        let mut sample = Sample { at_ms, scale: scale_state(&look.workload), ..Sample::default() };
        if self.must_wait(look) {
            sample.interval_ms = interval(previous_ms, at_ms);
            return sample;
        }
        let both = self.advance(look);
        let since = self.last_whole_ms.replace(at_ms).unwrap_or(previous_ms);
        sample.interval_ms = interval(since, at_ms);
        let serving: Vec<&Instance> = look.workload.replicas.iter().filter(|i| i.state != State::Starting).collect();
        sample.production = both.seen.then(|| with_rates(both.production.into_path(), self.rates(&serving, look)));
        let synthetic = synthetic();
        let known = both.seen || synthetic.requests > 0;
        sample.shadow = self.shadow(at_ms, look, both.mirror, synthetic).filter(|_| known);
        self.used = look.usage.clone();
        sample
    }

    /// Whether a ready sidecar is missing that is still waited for.
    fn must_wait(&mut self, look: &Look) -> bool {
        self.misses.retain(|admin, _| look.snapshots.contains_key(admin));
        for (admin, snapshot) in &look.snapshots {
            match snapshot {
                Ok(_) => drop(self.misses.remove(admin)),
                Err(_) => *self.misses.entry(admin.clone()).or_default() += 1,
            }
        }
        let ready = look.workload.replicas.iter().filter(|i| i.state == State::Ready);
        ready.filter_map(|i| i.admin_url.as_ref()).any(|admin| self.misses.get(admin).is_some_and(|n| *n <= MISSES_WAITED_FOR))
    }

    /// Differences of all snapshots to their baselines, which move on.
    fn advance(&mut self, look: &Look) -> Both {
        let mut both = Both::default();
        for (admin, snapshot) in look.snapshots.iter().filter_map(|(a, s)| Some((a, s.as_ref().ok()?))) {
            let baseline = self.baselines.insert(admin.clone(), snapshot.clone());
            let same = baseline.filter(|b| b.proxy_id == snapshot.proxy_id && b.start_time_unix_ms == snapshot.start_time_unix_ms);
            if same.is_none() && snapshot.start_time_unix_ms < self.began_ms {
                continue;
            }
            both.seen = true;
            self.add(&mut both, same.as_deref(), snapshot);
        }
        let named: Vec<&String> = look.workload.replicas.iter().filter_map(|i| i.admin_url.as_ref()).collect();
        self.baselines.retain(|admin, _| named.contains(&admin));
        both
    }

    fn add(&self, both: &mut Both, old: Option<&Snapshot>, new: &Snapshot) {
        for cluster in &new.clusters {
            let before = old.and_then(|o| o.clusters.iter().find(|c| c.name == cluster.name));
            let Some(counts) = Counts::between(before, cluster, self.threshold_us) else {
                tracing::warn!(proxy = %new.proxy_id, cluster = %cluster.name, "counters ran backwards without a restart: interval left out");
                continue;
            };
            match cluster.role {
                // Probes, and our own questions on their way through an injected sidecar.
                ClusterRole::Production if cluster.name.starts_with(ASIDE) => {}
                ClusterRole::Production => both.production.add(&counts),
                ClusterRole::Mirror => both.mirror.get_or_insert_default().add(&counts),
            }
        }
    }

    fn rates(&self, instances: &[&Instance], look: &Look) -> Rates {
        let pairs: Vec<(Option<Usage>, Usage)> =
            instances.iter().filter_map(|i| Some((self.used.get(&i.name).copied(), *look.usage.get(&i.name)?))).collect();
        rates(&pairs)
    }

    fn shadow(&self, at_ms: u64, look: &Look, mirror: Option<Counts>, synthetic: Counts) -> Option<ShadowSample> {
        let instance = look.workload.shadow.as_ref()?;
        let synthetic_requests = synthetic.requests;
        let mut counts = mirror.unwrap_or_default();
        counts.add(&synthetic);
        let settled = instance.ready_unix_ms.is_none_or(|ready| at_ms >= ready + SETTLE_MS);
        Some(ShadowSample {
            path: with_rates(counts.into_path(), self.rates(&[instance], look)),
            profile: instance.profile.clone(),
            size: instance.size,
            fraction: fraction(look),
            synthetic: synthetic_requests,
            ready: instance.state == State::Ready && settled,
        })
    }
}

/// Mean fraction now in force over all mirror policies seen.
fn fraction(look: &Look) -> f64 {
    let (sum, count) = look
        .snapshots
        .values()
        .flatten()
        .flat_map(|s| &s.mirrors)
        .fold((0.0, 0_u32), |(sum, count), mirror| (sum + mirror.fraction, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

fn interval(from_ms: u64, to_ms: u64) -> u32 {
    if from_ms == 0 { 0 } else { u32::try_from(to_ms - from_ms).unwrap_or(u32::MAX) }
}

fn with_rates(path: PathSample, rates: Rates) -> PathSample {
    let [psi_cpu, psi_memory, psi_io] = rates.stalled;
    let (cpu_cores, throttled_ratio, memory_bytes) = (rates.cpu_cores, rates.throttled_ratio, rates.memory_bytes);
    PathSample { cpu_cores, throttled_ratio, memory_bytes, psi_cpu, psi_memory, psi_io, ..path }
}

fn scale_state(workload: &Workload) -> ScaleState {
    let count = |state| workload.replicas.iter().filter(|i| i.state == state).count() as u32;
    ScaleState {
        desired: workload.scale.desired,
        ready: count(State::Ready),
        starting: count(State::Starting),
        reactive: workload.scale.requested,
        floor: workload.scale.floor,
        replica_cores: workload.replicas.iter().find_map(|i| i.cpu_limit_cores),
        release: workload.release.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpError;
    use foreshadow_snapshot::{ClusterSnapshot, MirrorSnapshot};

    fn snapshot(start: u64, good: u64, copies: u64) -> Snapshot {
        let cluster = |name: &str, role, n: u64| {
            let mut c = ClusterSnapshot { name: name.into(), role, requests: n, responses: [0, n, 0, 0, 0], ..ClusterSnapshot::default() };
            (0..n).for_each(|_| c.total_us.record_us(1_000));
            c
        };
        let clusters = vec![cluster("app", ClusterRole::Production, good), cluster("shadow", ClusterRole::Mirror, copies)];
        let mirrors = vec![MirrorSnapshot { fraction: 0.5, ..MirrorSnapshot::default() }];
        Snapshot { proxy_id: "p".into(), start_time_unix_ms: start, clusters, mirrors, ..Snapshot::default() }
    }

    fn instance(name: &str, state: State) -> Instance {
        Instance { name: name.into(), admin_url: Some(name.into()), state, ..Instance::default() }
    }

    fn look(instances: &[(&str, State, Option<Snapshot>)]) -> Look {
        let replicas = instances.iter().map(|(name, state, _)| instance(name, *state)).collect();
        let shadow = Some(Instance { ready_unix_ms: Some(9_000), state: State::Ready, ..Instance::default() });
        let answer = |s: &Option<Snapshot>| s.clone().map(Arc::new).ok_or_else(|| HttpError::Transport("refused".into()));
        Look {
            workload: Arc::new(Workload { replicas, shadow, ..Workload::default() }),
            snapshots: instances.iter().map(|(name, _, s)| ((*name).to_owned(), answer(s))).collect(),
            ..Look::default()
        }
    }

    fn arrivals(sample: &Sample) -> Option<u64> {
        sample.production.as_ref().map(|p| p.arrivals)
    }

    #[test]
    fn a_sidecar_that_stays_away_is_waited_for_twice_then_left_out_and_counted_when_it_is_back() {
        let mut aligner = Aligner::new(100.0, 500);
        let mut align = |second: u64, a: u64, b: Option<u64>| {
            let b = b.map(|n| snapshot(1, n, 0));
            aligner.align(second * 1_000, &look(&[("a", State::Ready, Some(snapshot(1, a, 0))), ("b", State::Ready, b)]), Counts::default)
        };
        assert_eq!(arrivals(&align(1, 10, Some(10))), None, "the first look is a baseline");
        assert_eq!(arrivals(&align(2, 20, Some(20))), Some(20));
        assert_eq!(arrivals(&align(3, 30, None)), None);
        assert_eq!(arrivals(&align(4, 40, None)), None);
        let without = align(5, 50, None);
        assert_eq!((arrivals(&without), without.interval_ms), (Some(30), 3_000), "the rest, over the whole time");
        assert_eq!(arrivals(&align(6, 60, None)), Some(10));
        assert_eq!(arrivals(&align(7, 70, Some(70))), Some(10 + 50), "what it did meanwhile is not lost");
    }

    #[test]
    fn instances_that_are_not_ready_are_counted_but_not_waited_for() {
        let mut aligner = Aligner::new(100.0, 500);
        let ready = |n| ("a", State::Ready, Some(snapshot(1, n, 0)));
        aligner.align(1_000, &look(&[ready(10), ("b", State::Draining, Some(snapshot(1, 5, 0)))]), Counts::default);
        let sample = aligner.align(2_000, &look(&[ready(20), ("b", State::Draining, Some(snapshot(1, 6, 0)))]), Counts::default);
        assert_eq!(arrivals(&sample), Some(11));
        let sample = aligner.align(3_000, &look(&[ready(30), ("c", State::Starting, None)]), Counts::default);
        assert_eq!((arrivals(&sample), sample.scale.starting), (Some(10), 1));
        let fresh = ("c", State::Ready, Some(snapshot(2_500, 4, 0)));
        let sample = aligner.align(4_000, &look(&[ready(40), fresh]), Counts::default);
        assert_eq!(arrivals(&sample), Some(14), "a sidecar younger than the agent counts from its beginning");
    }

    #[test]
    fn the_shadow_s_numbers_are_the_copies_and_the_synthetic_stream() {
        let mut aligner = Aligner::new(100.0, 500);
        aligner.align(1_000, &look(&[("a", State::Ready, Some(snapshot(1, 10, 10)))]), Counts::default);
        let synthetic = || Counts { requests: 3, arrivals: 3, ..Counts::default() };
        let warming = aligner.align(10_000, &look(&[("a", State::Ready, Some(snapshot(1, 10, 15)))]), synthetic).shadow.unwrap();
        assert_eq!((warming.path.requests, warming.synthetic, warming.fraction, warming.ready), (8, 3, 0.5, false));
        let warm = aligner.align(11_000, &look(&[("a", State::Ready, Some(snapshot(1, 10, 15)))]), Counts::default).shadow.unwrap();
        assert_eq!((warm.path.requests, warm.ready), (0, true), "idle is not a gap");
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut aligner = Aligner::new(100.0, 0);
        let it = look(&[]);
        let times: Vec<u64> = [5_000, 4_000, 4_500].map(|now| aligner.align(now, &it, Counts::default).at_ms).to_vec();
        assert_eq!(times, [5_000, 5_001, 5_002]);
    }
}
