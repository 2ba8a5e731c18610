//! The reactive scaler of the demo: Kubernetes' HPA and the metrics pipeline behind it, fed with the processor use of production's applications.
//!
//! Called by [`crate::demo::arm`] at every look, in both arms alike. Promises: it sees only production's applications (not sidecars, not the
//! shadow); it is never told of a floor: the orchestrator takes the larger of what it asks for and the floor, and it goes on from the replicas
//! there are, as it would in a cluster. Not here: the algorithm ([`crate::hpa`]).

use crate::demo::processor::by_group;
use crate::demo::wire::{Instance, Workload};
use crate::hpa::{Config, Hpa, MetricsPipeline, Phase, PipelineConfig, Pod};
use crate::report::document;

/// Between two readings of processor time, in seconds; well below the pipeline's own periods.
const READ_EVERY_S: f64 = 0.5;

/// The scaler.
#[derive(Debug)]
pub struct Reactive {
    hpa: Hpa,
    pipeline: MetricsPipeline,
    request_cores: f64,
    least: u32,
    read_s: f64,
    /// How long it only watches at first, and until when.
    quiet_s: f64,
    quiet_until_s: Option<f64>,
}

/// Rounds of the metrics pipeline that are let pass before the first sync: a scaler that has been running for long never saw the moment before
/// the load began, and would otherwise act on it.
const ROUNDS_BEFORE: f64 = 4.0;

impl Reactive {
    /// A scaler with these settings; `bounds` are the fewest and most replicas.
    pub fn new(settings: &document::Reactive, request_cores: f64, bounds: (u32, u32)) -> Self {
        let pipeline = PipelineConfig::default().scaled(settings.time_scale);
        let config = Config { target_utilization: settings.target_utilisation, max_replicas: bounds.1, ..Config::default() };
        Self {
            hpa: Hpa::new(config.scaled(settings.time_scale)),
            pipeline: MetricsPipeline::new(pipeline),
            quiet_s: pipeline.resolution_s * ROUNDS_BEFORE,
            request_cores,
            least: bounds.0,
            read_s: f64::NEG_INFINITY,
            quiet_until_s: None,
        }
    }

    /// Takes a look; the replicas to ask for when a sync was due. `now_unix_ms` is the same moment as `now_s`.
    pub fn look(&mut self, now_s: f64, now_unix_ms: u64, workload: &Workload) -> Option<u32> {
        if now_s - self.read_s >= READ_EVERY_S {
            self.read_s = now_s;
            let used = by_group();
            for instance in &workload.replicas {
                if let Some(cpu_s) = used.get(&instance.pid) {
                    self.pipeline.observe(&instance.name, now_s, *cpu_s);
                }
            }
            self.pipeline.retain(|name| workload.replicas.iter().any(|i| i.name == name));
            self.pipeline.advance(now_s);
        }
        let quiet_until_s = *self.quiet_until_s.get_or_insert(now_s + self.quiet_s);
        if now_s < quiet_until_s || !self.hpa.due(now_s) {
            return None;
        }
        let pods: Vec<Pod> = workload.replicas.iter().map(|i| self.pod(i, now_s, now_unix_ms)).collect();
        let said = self.hpa.sync(now_s, workload.scale.desired, self.least, &pods);
        Some(said.desired)
    }

    fn pod(&self, instance: &Instance, now_s: f64, now_unix_ms: u64) -> Pod {
        let moment = |unix_ms: u64| now_s - now_unix_ms.saturating_sub(unix_ms) as f64 / 1_000.0;
        let started_s = moment(instance.started_unix_ms);
        Pod {
            phase: if instance.state == "draining" { Phase::Terminating } else { Phase::Running },
            started_s,
            ready: instance.is_ready(),
            ready_changed_s: instance.ready_unix_ms.map_or(started_s, moment),
            request_cores: self.request_cores,
            metric: self.pipeline.metric(&instance.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::wire::Scale;

    fn scaler() -> Reactive {
        let settings = document::Reactive { target_utilisation: 0.7, time_scale: 6.0, replica_start_s: 5.0 };
        Reactive::new(&settings, 0.1, (2, 12))
    }

    fn instance(state: &str) -> Instance {
        let ready_unix_ms = (state == "ready").then_some(6_000);
        Instance { name: "a".into(), pid: u32::MAX, state: state.into(), started_unix_ms: 1_000, ready_unix_ms, ..Instance::default() }
    }

    #[test]
    fn an_instance_becomes_a_pod_on_the_arms_own_clock() {
        let pod = scaler().pod(&instance("ready"), 5.0, 10_000);
        assert_eq!((pod.started_s, pod.ready_changed_s, pod.ready, pod.phase), (-4.0, 1.0, true, Phase::Running));
        let starting = scaler().pod(&instance("starting"), 5.0, 10_000);
        assert_eq!((starting.ready, starting.ready_changed_s), (false, -4.0));
        assert_eq!(scaler().pod(&instance("draining"), 5.0, 10_000).phase, Phase::Terminating);
    }

    #[test]
    fn it_syncs_on_its_beat_and_keeps_the_count_without_metrics() {
        let mut scaler = scaler();
        let workload =
            Workload { scale: Scale { desired: 5, ..Scale::default() }, replicas: vec![instance("ready")], ..Workload::default() };
        let syncs: Vec<_> = (0..60).filter_map(|i| Some((i, scaler.look(f64::from(i) * 0.25, 10_000, &workload)?))).collect();
        assert_eq!(syncs, [(40, 5), (50, 5)], "nothing for four rounds of 15 s, then a sync every 15 s, all six times faster");
    }
}
