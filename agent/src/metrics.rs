//! The agent's own Prometheus metrics: every name stands in this file, they are an API.
//!
//! Set by the control loop, rendered by the server. Labels have few values, all known beforehand (drop reasons come from the proxies'
//! fixed set; more than `MOST_REASONS` are summed as `other`).

use crate::live::Latest;
use prometheus::{Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::time::Duration;

/// Most values of the label `reason`.
const MOST_REASONS: usize = 32;

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    ticks: IntCounter,
    tick_seconds: Histogram,
    /// The decision core panicked.
    pub brain_failures: IntCounter,
    gaps: IntCounterVec,
    poll_errors: IntCounter,
    history_errors: IntCounter,
    source_errors: IntCounter,
    held_back: IntGauge,
    capacity: GaugeVec,
    margin: Gauge,
    load: Gauge,
    bad: IntCounterVec,
    requests: IntCounterVec,
    replicas: GaugeVec,
    floor: GaugeVec,
    alarms: IntGauge,
    copies: GaugeVec,
    dropped: GaugeVec,
    mismatches: IntGauge,
    fraction: Gauge,
    cpu_cores: GaugeVec,
    replica_cores: Gauge,
    shadow_size: Gauge,
}

impl Metrics {
    /// Registers all of them.
    pub fn new() -> Result<Self, prometheus::Error> {
        Self::on(Registry::new())
    }

    /// The same, each with the label `workload`.
    pub fn labelled(workload: &str) -> Result<Self, prometheus::Error> {
        Self::on(Registry::new_custom(None, Some([("workload".to_owned(), workload.to_owned())].into()))?)
    }

    /// What they are now, to be put together with others.
    pub fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }

    fn on(r: Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ticks: keep(&r, IntCounter::new("foreshadow_agent_ticks_total", "Ticks of the control loop"))?,
            tick_seconds: keep(
                &r,
                Histogram::with_opts(
                    HistogramOpts::new("foreshadow_agent_tick_seconds", "Duration of a tick, from looking to having acted")
                        .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]),
                ),
            )?,
            brain_failures: keep(&r, IntCounter::new("foreshadow_agent_brain_failures_total", "Ticks in which the decision core failed"))?,
            gaps: counters(&r, "foreshadow_agent_gaps_total", "Ticks in which a path could not be read", "path")?,
            poll_errors: keep(&r, IntCounter::new("foreshadow_agent_poll_errors_total", "Polls of a sidecar without an answer"))?,
            history_errors: keep(&r, IntCounter::new("foreshadow_agent_history_errors_total", "Ticks that could not be recorded"))?,
            source_errors: keep(
                &r,
                IntCounter::new("foreshadow_agent_source_errors_total", "Ticks in which the instances could not be asked for"),
            )?,
            held_back: keep(&r, IntGauge::new("foreshadow_agent_floor_changes_held_back", "Floor changes that the rate limit held back"))?,
            capacity: gauges(
                &r,
                "foreshadow_agent_capacity_rps",
                "Requests per second that one replica takes within the objective",
                "quantile",
            )?,
            margin: keep(&r, Gauge::new("foreshadow_agent_margin_ratio", "Forecast load over what the ready replicas take"))?,
            load: keep(&r, Gauge::new("foreshadow_agent_load_rps", "Offered load of production"))?,
            bad: counters(&r, "foreshadow_agent_bad_requests_total", "Requests beyond the objective", "path")?,
            requests: counters(&r, "foreshadow_agent_requests_total", "Requests that ended", "path")?,
            replicas: gauges(&r, "foreshadow_agent_replicas", "Production replicas", "state")?,
            floor: gauges(&r, "foreshadow_agent_floor_replicas", "The floor (0 = none)", "kind")?,
            alarms: keep(&r, IntGauge::new("foreshadow_agent_alarms", "Alarms standing"))?,
            copies: gauges(&r, "foreshadow_agent_copies", "Account of copies of all sidecars seen, since they started", "state")?,
            dropped: gauges(
                &r,
                "foreshadow_agent_copies_dropped",
                "Copies not made or not finished, of all sidecars seen, since they started",
                "reason",
            )?,
            mismatches: keep(&r, IntGauge::new("foreshadow_agent_account_mismatches", "Snapshots whose account of copies did not close"))?,
            fraction: keep(&r, Gauge::new("foreshadow_agent_copy_fraction", "Copies per request now in force"))?,
            cpu_cores: gauges(&r, "foreshadow_agent_cpu_cores", "Processor cores in use, all instances of the path together", "path")?,
            replica_cores: keep(
                &r,
                Gauge::new("foreshadow_agent_replica_cores", "Processor cores that one production replica may use (NaN: not known)"),
            )?,
            shadow_size: keep(
                &r,
                Gauge::new("foreshadow_agent_shadow_size_ratio", "Cost of the shadow, in production replicas (0 = there is none)"),
            )?,
            registry: r,
        })
    }

    /// A tick has ended.
    pub fn tick(&self, took: Duration) {
        self.ticks.inc();
        self.tick_seconds.observe(took.as_secs_f64());
    }

    /// Takes over what a tick found.
    pub fn publish(&self, latest: &Latest, held_back: u64) {
        self.poll_errors.inc_by(latest.proxies.1 as u64);
        self.history_errors.inc_by(u64::from(latest.history_error.is_some()));
        self.source_errors.inc_by(u64::from(latest.source_error.is_some()));
        self.held_back.set(held_back as i64);
        self.mismatches.set(latest.account_mismatches as i64);
        self.sample(latest);
        self.decision(latest);
        self.account(latest);
    }

    fn sample(&self, latest: &Latest) {
        let Some(sample) = &latest.sample else { return };
        let seconds = f64::from(sample.interval_ms.max(1)) / 1_000.0;
        let paths = [("production", sample.production.as_ref()), ("shadow", sample.shadow.as_ref().map(|s| &s.path))];
        for (name, path) in paths {
            match path {
                Some(path) => {
                    self.requests.with_label_values(&[name]).inc_by(path.requests);
                    self.bad.with_label_values(&[name]).inc_by(path.bad);
                    // A path whose processor use is not read has no such series rather than a zero.
                    path.cpu_cores.inspect(|cores| self.cpu_cores.with_label_values(&[name]).set(*cores));
                }
                None => self.gaps.with_label_values(&[name]).inc(),
            }
        }
        if let Some(production) = &sample.production {
            self.load.set(production.arrivals as f64 / seconds);
        }
        self.fraction.set(sample.shadow.as_ref().map_or(0.0, |s| s.fraction));
        self.shadow_size.set(sample.shadow.as_ref().map_or(0.0, |s| s.size));
        self.replica_cores.set(sample.scale.replica_cores.unwrap_or(f64::NAN));
        for (state, count) in [("ready", sample.scale.ready), ("starting", sample.scale.starting), ("desired", sample.scale.desired)] {
            self.replicas.with_label_values(&[state]).set(count.into());
        }
        self.floor.with_label_values(&["in_force"]).set(sample.scale.floor.into());
    }

    fn decision(&self, latest: &Latest) {
        let Some(decision) = &latest.decision else { return };
        if let Some(band) = decision.capacity_rps {
            for (quantile, value) in [("0.1", band.p10), ("0.5", band.p50), ("0.9", band.p90)] {
                self.capacity.with_label_values(&[quantile]).set(value);
            }
        }
        self.margin.set(decision.margin.unwrap_or(f64::NAN));
        self.floor.with_label_values(&["planned"]).set(decision.plan.floor.unwrap_or(0).into());
        self.alarms.set(decision.alarms.len() as i64);
    }

    fn account(&self, latest: &Latest) {
        let a = &latest.account;
        for (state, count) in [("eligible", a.eligible), ("completed", a.completed), ("in_flight", a.in_flight)] {
            self.copies.with_label_values(&[state]).set(count as f64);
        }
        let mut other = 0;
        for (index, (reason, count)) in a.dropped.iter().enumerate() {
            if index < MOST_REASONS {
                self.dropped.with_label_values(&[reason]).set(*count as f64);
            } else {
                other += count;
            }
        }
        if other > 0 {
            self.dropped.with_label_values(&["other"]).set(other as f64);
        }
    }

    /// The text exposition format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

fn keep<C: prometheus::core::Collector + Clone + 'static>(r: &Registry, made: prometheus::Result<C>) -> prometheus::Result<C> {
    let metric = made?;
    r.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauges(r: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<GaugeVec> {
    keep(r, GaugeVec::new(Opts::new(name, help), &[label]))
}

fn counters(r: &Registry, name: &str, help: &str, label: &str) -> prometheus::Result<IntCounterVec> {
    keep(r, IntCounterVec::new(Opts::new(name, help), &[label]))
}
