//! Keeps the health of all endpoints, on the main thread: hears what workers report, runs the checks, marks endpoints, and tells the workers to order
//! theirs anew.

use super::active;
use super::host::{Report, Suspicion};
use super::outlier::{Detector, Verdict};
use super::probe::Finding;
use super::registry::Registry;
use crate::config::model::{Cluster, HealthCheck};
use crate::control::Control;
use rand::RngExt as _;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often endpoints and intervals are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A running check; ended when dropped.
struct Check {
    settings: HealthCheck,
    task: JoinHandle<()>,
}

impl Drop for Check {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Keeper {
    control: Arc<Control>,
    registry: Arc<Registry>,
    detectors: BTreeMap<String, Detector>,
    checks: BTreeMap<(String, SocketAddr), Check>,
}

/// Runs until the proxy ends.
pub async fn run(control: Arc<Control>) {
    let registry = control.health();
    let Some(mut reports) = registry.take_reports() else { return };
    let mut keeper = Keeper { control, registry, detectors: BTreeMap::new(), checks: BTreeMap::new() };
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(report) = reports.recv() => keeper.heard(&report),
            _ = tick.tick() => keeper.look(),
        }
    }
}

impl Keeper {
    /// Brings detectors and checks in line with the configuration and the endpoints; ends intervals that are over.
    fn look(&mut self) {
        let config = self.control.config();
        let watched: Vec<_> = config.clusters.iter().filter(|c| c.outlier.is_some() || c.health_check.is_some()).collect();
        if watched.is_empty() && self.detectors.is_empty() && self.checks.is_empty() {
            return;
        }
        let endpoints = self.control.endpoints();
        let mut there = HashSet::new();
        for cluster in &watched {
            let of = endpoints.get(&cluster.name).map(Vec::as_slice).unwrap_or_default();
            let hosts: Vec<_> = of.iter().filter(|e| e.healthy).map(|e| e.address).collect();
            there.extend(hosts.iter().map(|h| (cluster.name.clone(), *h)));
            self.detect(cluster, &hosts);
            self.check(cluster, &hosts);
        }
        self.detectors.retain(|name, _| watched.iter().any(|c| c.name == *name && c.outlier.is_some()));
        self.checks.retain(|key, _| there.contains(key) && watched.iter().any(|c| c.name == key.0 && c.health_check.is_some()));
        self.registry.retain(|name, address| there.contains(&(name.to_owned(), address)));
    }

    fn detect(&mut self, cluster: &Cluster, hosts: &[SocketAddr]) {
        let Some(settings) = &cluster.outlier else { return };
        let now = Instant::now();
        let fresh = || Detector::new(settings.clone(), now);
        let detector = self.detectors.entry(cluster.name.clone()).or_insert_with(fresh);
        detector.configure(settings);
        detector.set_hosts(hosts);
        if !detector.is_due(now) {
            return;
        }
        let rates = |address: &SocketAddr| {
            let (answers, locals) = self.registry.known(&cluster.name, *address)?.take_rates();
            Some((*address, answers, locals))
        };
        let rates: Vec<_> = hosts.iter().filter_map(rates).collect();
        let found = detector.interval(now, &rates, &mut || rand::rng().random_range(0.0..1.0));
        for address in &found.back {
            if let Some(host) = self.registry.known(&cluster.name, *address) {
                host.set_ejected(false);
            }
            tracing::info!(cluster = cluster.name, %address, "back after an ejection");
        }
        let mut changed = !found.back.is_empty();
        for (address, why, verdict) in found.verdicts {
            changed |= self.act(&cluster.name, address, why, verdict);
        }
        if changed {
            self.control.health_changed(&cluster.name);
        }
    }

    fn heard(&mut self, report: &Report) {
        let Some(detector) = self.detectors.get_mut(&report.cluster) else { return };
        let verdict = detector.suspect(Instant::now(), report.address, report.why, &mut || rand::rng().random_range(0.0..1.0));
        if self.act(&report.cluster, report.address, report.why, verdict) {
            self.control.health_changed(&report.cluster);
        }
    }

    /// Counts a verdict and marks the endpoint; whether anything changed.
    fn act(&self, cluster: &str, address: SocketAddr, why: Suspicion, verdict: Verdict) -> bool {
        let (detected, enforced) = names(why);
        match verdict {
            Verdict::Nothing => return false,
            Verdict::Overflow => self.registry.count(cluster, "outlier_detection_ejections_overflow"),
            Verdict::Noticed | Verdict::Ejected => self.registry.count(cluster, detected),
        }
        if verdict != Verdict::Ejected {
            return false;
        }
        self.registry.count(cluster, enforced);
        self.registry.count(cluster, "outlier_detection_ejections_enforced_total");
        if let Some(host) = self.registry.known(cluster, address) {
            host.set_ejected(true);
        }
        tracing::warn!(cluster, %address, ?why, "ejected");
        true
    }

    /// Starts the checks that are missing.
    fn check(&mut self, cluster: &Cluster, hosts: &[SocketAddr]) {
        let Some(settings) = &cluster.health_check else { return };
        for address in hosts {
            let key = (cluster.name.clone(), *address);
            if self.checks.get(&key).is_some_and(|c| c.settings == *settings) {
                continue;
            }
            let Some(host) = self.registry.host(cluster, *address) else { continue };
            let (control, registry, name, address) = (self.control.clone(), self.registry.clone(), cluster.name.clone(), *address);
            let told = move |finding, change: Option<bool>| {
                registry.count(&name, "health_check_attempt");
                registry.count(&name, if finding == Finding::Well { "health_check_success" } else { "health_check_failure" });
                if let Some(unhealthy) = change {
                    host.set_failed_check(unhealthy);
                    tracing::info!(cluster = name, %address, healthy = !unhealthy, "health check");
                    control.health_changed(&name);
                }
            };
            let (contexts, of) = (self.control.clone(), cluster.name.clone());
            let tls = move || contexts.client_tls(&of);
            let task = tokio::spawn(active::run(settings.clone(), cluster.name.clone(), address, tls, told));
            self.checks.insert(key, Check { settings: settings.clone(), task });
        }
    }
}

/// Envoy's names of the counters.
fn names(why: Suspicion) -> (&'static str, &'static str) {
    match why {
        Suspicion::Consecutive5xx => {
            ("outlier_detection_ejections_detected_consecutive_5xx", "outlier_detection_ejections_enforced_consecutive_5xx")
        }
        Suspicion::ConsecutiveGateway => (
            "outlier_detection_ejections_detected_consecutive_gateway_failure",
            "outlier_detection_ejections_enforced_consecutive_gateway_failure",
        ),
        Suspicion::ConsecutiveLocal => (
            "outlier_detection_ejections_detected_consecutive_local_origin_failure",
            "outlier_detection_ejections_enforced_consecutive_local_origin_failure",
        ),
        Suspicion::SuccessRate => {
            ("outlier_detection_ejections_detected_success_rate", "outlier_detection_ejections_enforced_success_rate")
        }
        Suspicion::SuccessRateLocal => (
            "outlier_detection_ejections_detected_local_origin_success_rate",
            "outlier_detection_ejections_enforced_local_origin_success_rate",
        ),
        Suspicion::FailurePercentage => {
            ("outlier_detection_ejections_detected_failure_percentage", "outlier_detection_ejections_enforced_failure_percentage")
        }
        Suspicion::FailurePercentageLocal => (
            "outlier_detection_ejections_detected_local_origin_failure_percentage",
            "outlier_detection_ejections_enforced_local_origin_failure_percentage",
        ),
    }
}
