//! The reactive scaler of the demo: Kubernetes' HPA and the metrics pipeline behind it, fed with the processor use of production's applications.
//!
//! Called by [`crate::demo::arm`] at every look, in both arms alike. Promises: it sees only production's applications (not sidecars, not the
//! shadow); it is never told of a floor: the orchestrator takes the larger of what it asks for and the floor, and it goes on from the replicas
//! there are, as it would in a cluster. Not here: the algorithm ([`crate::hpa`]).

use crate::demo::processor::by_group;
use crate::demo::wire::{Instance, Workload};
use crate::hpa::{Config, Hpa, MetricsPipeline, Phase, PipelineConfig, Pod};
use crate::report::document;
use std::collections::HashMap;

/// Between two readings of processor time, in seconds; well below the pipeline's own periods.
const READ_EVERY_S: f64 = 0.5;

/// What the scaler is told that a replica requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Request {
    /// So many cores.
    Known(f64),
    /// What a replica uses at `knee_rps`, measured while the scaler only watches and production gets `rps`; `otherwise` where no processor time can be read.
    /// What a request costs differs by machine: one that is told too little keeps replicas that nobody needs, and meets no trouble.
    Measured {
        /// Requests a second to all of production meanwhile.
        rps: f64,
        /// Requests a second that one replica takes within the objective.
        knee_rps: f64,
        /// Cores.
        otherwise: f64,
    },
}

/// The scaler.
#[derive(Debug)]
pub struct Reactive {
    hpa: Hpa,
    pipeline: MetricsPipeline,
    request: Request,
    /// The first reading that a measurement begins with: when, and processor time of all replicas.
    measured_from: Option<(f64, f64)>,
    least: u32,
    read_s: f64,
    /// How long it only watches at first, and until when.
    quiet_s: f64,
    quiet_until_s: Option<f64>,
}

/// Rounds of the metrics pipeline that are let pass before the first sync: a scaler that has been running for long never saw the moment before
/// the load began, and would otherwise act on it.
const ROUNDS_BEFORE: f64 = 6.0;
/// Rounds of them that a measurement of what a request costs leaves out: connections are made, pages are touched for the first time.
const ROUNDS_COLD: f64 = 1.5;

impl Reactive {
    /// A scaler with these settings; `bounds` are the fewest and most replicas.
    pub fn new(settings: &document::Reactive, request: Request, bounds: (u32, u32)) -> Self {
        let pipeline = PipelineConfig::default().scaled(settings.time_scale);
        let config = Config { target_utilization: settings.target_utilisation, max_replicas: bounds.1, ..Config::default() };
        Self {
            hpa: Hpa::new(config.scaled(settings.time_scale)),
            pipeline: MetricsPipeline::new(pipeline),
            quiet_s: pipeline.resolution_s * ROUNDS_BEFORE,
            request,
            measured_from: None,
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
            self.measure(now_s, workload, &used);
        }
        let quiet_until_s = *self.quiet_until_s.get_or_insert(now_s + self.quiet_s);
        if now_s < quiet_until_s || !self.hpa.due(now_s) {
            return None;
        }
        let pods: Vec<Pod> = workload.replicas.iter().map(|i| self.pod(i, now_s, now_unix_ms)).collect();
        let said = self.hpa.sync(now_s, workload.scale.desired, self.least, &pods);
        Some(said.desired)
    }

    /// What a replica requests, in cores, as far as it is known.
    pub fn request_cores(&self) -> f64 {
        match self.request {
            Request::Known(cores) => cores,
            Request::Measured { otherwise, .. } => otherwise,
        }
    }

    /// Measures what a request costs while the scaler only watches.
    fn measure(&mut self, now_s: f64, workload: &Workload, used: &HashMap<u32, f64>) {
        let (Request::Measured { rps, knee_rps, .. }, Some(until_s)) = (self.request, self.quiet_until_s) else { return };
        let read = workload.replicas.iter().map(|i| used.get(&i.pid)).sum::<Option<f64>>();
        let Some(cpu_s) = read.filter(|_| now_s > until_s - self.quiet_s * (1.0 - ROUNDS_COLD / ROUNDS_BEFORE)) else { return };
        let (from_s, before_s) = *self.measured_from.get_or_insert((now_s, cpu_s));
        if now_s + READ_EVERY_S >= until_s && now_s > from_s && rps > 0.0 {
            let cores = knee_rps * (cpu_s - before_s) / ((now_s - from_s) * rps);
            self.request = Request::Known(if cores > 0.0 { cores } else { self.request_cores() });
        }
    }

    fn pod(&self, instance: &Instance, now_s: f64, now_unix_ms: u64) -> Pod {
        let moment = |unix_ms: u64| now_s - now_unix_ms.saturating_sub(unix_ms) as f64 / 1_000.0;
        let started_s = moment(instance.started_unix_ms);
        Pod {
            phase: if instance.state == "draining" { Phase::Terminating } else { Phase::Running },
            started_s,
            ready: instance.is_ready(),
            ready_changed_s: instance.ready_unix_ms.map_or(started_s, moment),
            request_cores: self.request_cores(),
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
        Reactive::new(&settings, Request::Known(0.1), (2, 12))
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
        let syncs: Vec<_> = (0..80).filter_map(|i| Some((i, scaler.look(f64::from(i) * 0.25, 10_000, &workload)?))).collect();
        assert_eq!(syncs, [(60, 5), (70, 5)], "nothing for six rounds of 15 s, then a sync every 15 s, all six times faster");
    }

    #[test]
    fn what_a_request_costs_is_measured_while_it_only_watches() {
        let request = Request::Measured { rps: 400.0, knee_rps: 100.0, otherwise: 0.5 };
        let mut scaler = Reactive { request, ..scaler() };
        let workload = Workload { replicas: vec![instance("ready")], ..Workload::default() };
        let quiet_s = scaler.quiet_s;
        scaler.quiet_until_s = Some(quiet_s);
        for i in 0..40 {
            // Dear at first, then 2 ms of processor time a request.
            let now_s = f64::from(i) * 0.5;
            let cpu_s = if now_s < 2.0 { 5.0 * now_s } else { 10.0 + 0.8 * (now_s - 2.0) };
            scaler.measure(now_s, &workload, &HashMap::from([(u32::MAX, cpu_s)]));
        }
        assert!((scaler.request_cores() - 0.2).abs() < 1e-9, "{}", scaler.request_cores());
        let mut blind = Reactive { request, quiet_until_s: Some(quiet_s), ..self::scaler() };
        (0..40).for_each(|i| blind.measure(f64::from(i) * 0.5, &workload, &HashMap::new()));
        assert!((blind.request_cores() - 0.5).abs() < 1e-9);
    }
}
