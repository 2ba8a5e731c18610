//! The node agent's own metrics: every name stands in this file, they are an API. Those of the workloads that it holds are in `metrics`.

use super::wire::PodReport;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use std::collections::BTreeMap;
use std::time::Duration;

/// All of them.
#[derive(Debug)]
pub struct Counts {
    /// They are registered here.
    pub registry: Registry,
    pods: IntGauge,
    workloads: IntGauge,
    look_seconds: Histogram,
    scrape_errors: IntCounter,
    reports: IntCounterVec,
    told: IntCounterVec,
    /// Workloads held.
    pub held: IntGauge,
    /// Leases won and lost.
    pub leases: IntCounterVec,
    /// Refusals of the API server to what was asked of it, by reason.
    pub refusals: IntCounterVec,
    /// What was overdue and put back.
    pub expired: IntCounter,
}

impl Counts {
    /// Registers all of them.
    ///
    /// # Errors
    /// A name that Prometheus does not allow.
    pub fn new() -> Result<Self, prometheus::Error> {
        let r = Registry::new();
        let vec = |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
        let look = HistogramOpts::new("foreshadow_node_look_seconds", "Duration of a look at all pods of the node");
        let all = Self {
            pods: IntGauge::new("foreshadow_node_pods", "Pods of this node that are looked after")?,
            workloads: IntGauge::new("foreshadow_node_workloads", "Workloads with pods on this node")?,
            look_seconds: Histogram::with_opts(look.buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0]))?,
            scrape_errors: IntCounter::new("foreshadow_node_scrape_errors_total", "Looks at a sidecar without an answer")?,
            reports: vec("foreshadow_node_reports_total", "Reports to holders, by outcome", "outcome")?,
            told: vec("foreshadow_node_sidecars_told_total", "Sidecars told a share to copy, by outcome", "outcome")?,
            held: IntGauge::new("foreshadow_node_workloads_held", "Workloads whose Lease this agent holds")?,
            leases: vec("foreshadow_node_lease_changes_total", "Leases won, lost, handed over", "change")?,
            refusals: vec("foreshadow_node_refusals_total", "What the API server refused, by reason", "reason")?,
            expired: IntCounter::new("foreshadow_node_expired_total", "Overdue changes put back")?,
            registry: r,
        };
        all.register()?;
        Ok(all)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let r = &self.registry;
        r.register(Box::new(self.pods.clone()))?;
        r.register(Box::new(self.workloads.clone()))?;
        r.register(Box::new(self.look_seconds.clone()))?;
        r.register(Box::new(self.scrape_errors.clone()))?;
        r.register(Box::new(self.reports.clone()))?;
        r.register(Box::new(self.told.clone()))?;
        r.register(Box::new(self.held.clone()))?;
        r.register(Box::new(self.leases.clone()))?;
        r.register(Box::new(self.refusals.clone()))?;
        r.register(Box::new(self.expired.clone()))
    }

    /// A look has ended.
    pub fn looked(&self, seen: &BTreeMap<String, Vec<PodReport>>, took: Duration) {
        let pods = || seen.values().flatten();
        self.pods.set(pods().count() as i64);
        self.workloads.set(seen.len() as i64);
        self.scrape_errors.inc_by(pods().filter(|p| p.error.is_some()).count() as u64);
        self.look_seconds.observe(took.as_secs_f64());
    }

    /// A report was sent.
    pub fn reported(&self, answered: bool) {
        self.reports.with_label_values(&[if answered { "answered" } else { "failed" }]).inc();
    }

    /// A sidecar was told.
    pub fn told(&self, answered: bool) {
        self.told.with_label_values(&[if answered { "answered" } else { "failed" }]).inc();
    }
}
