//! What the nodes last reported of one workload, and the look that it makes: from here on everything is as on one machine.
//!
//! Written by the server with every report, read by the holder's control loop. Pure, with injected time. Promises: a node that falls
//! silent makes its sidecars "did not answer" at once and takes its pods off the board after a while; nothing stale passes for new; what is
//! kept is bounded by the pods that run.

use super::wire::{FractionOrder, PodReport};
use crate::act::copies::Telling;
use crate::http::HttpError;
use crate::local::api::{Instance, Scale, State, Workload};
use crate::observe::look::{Look, without_details};
use crate::observe::usage::Usage;
use foreshadow_snapshot::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A report older than this is not of this tick, milliseconds.
const FRESH_MS: u64 = 2_500;
/// The pods of a node that said nothing for this long are gone, milliseconds: the kubelet's own grace.
const FORGET_MS: u64 = 40_000;
/// Clusters whose names start so carry probes and our own questions: not production's traffic.
const ASIDE: &str = "foreshadow-";
/// Most nodes of one workload.
const MOST_NODES: usize = 10_000;

/// The board of one workload.
#[derive(Debug, Default)]
pub struct Board {
    nodes: BTreeMap<String, Page>,
    orders: BTreeMap<String, Vec<FractionOrder>>,
}

#[derive(Debug)]
struct Page {
    agent: String,
    sequence: u64,
    at_ms: u64,
    pods: Vec<Pod>,
}

#[derive(Debug)]
struct Pod {
    instance: Instance,
    shadow: bool,
    release: String,
    usage: Option<Usage>,
    snapshot: Result<Arc<Snapshot>, String>,
}

impl Board {
    /// Pins up what a node reports and hands out what waits for it. A report that overtook a newer one is left out.
    pub fn report(&mut self, node: &str, agent: &str, sequence: u64, pods: Vec<PodReport>, now_ms: u64) -> Vec<FractionOrder> {
        self.nodes.retain(|_, page| page.at_ms + FORGET_MS > now_ms);
        let stale = self.nodes.get(node).is_some_and(|page| page.agent == agent && page.sequence >= sequence);
        let full = self.nodes.len() >= MOST_NODES && !self.nodes.contains_key(node);
        if stale || full {
            return Vec::new();
        }
        if pods.is_empty() {
            self.nodes.remove(node);
            return self.orders.remove(node).unwrap_or_default();
        }
        let pods = pods.into_iter().map(Pod::read).collect();
        self.nodes.insert(node.to_owned(), Page { agent: agent.to_owned(), sequence, at_ms: now_ms, pods });
        self.orders.remove(node).unwrap_or_default()
    }

    /// Nodes that reported lately.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Leaves an order for the nodes whose sidecars it is about; returns the sidecars that no node has.
    pub fn order(&mut self, tellings: Vec<Telling>, fraction: f64, ttl_s: f64) -> Vec<String> {
        let mut homeless = Vec::new();
        let mut by_node: BTreeMap<String, Vec<Telling>> = BTreeMap::new();
        for telling in tellings {
            let has = |page: &Page| page.pods.iter().any(|p| p.instance.admin_url.as_deref() == Some(telling.admin.as_str()));
            match self.nodes.iter().find(|(_, page)| has(page)) {
                Some((node, _)) => by_node.entry(node.clone()).or_default().push(telling),
                None => homeless.push(telling.admin),
            }
        }
        // The newest order for a node replaces the one that waits: it says the same or better.
        for (node, tellings) in by_node {
            self.orders.insert(node, vec![FractionOrder { tellings, fraction, ttl_s }]);
        }
        homeless
    }

    /// What is seen now. `scale` is the scaler's side, `profile` and `size` describe the shadow.
    pub fn look(&self, name: &str, scale: Scale, profile: &str, size: f64, now_ms: u64) -> Look {
        let mut look = Look::default();
        let mut workload = Workload { name: name.to_owned(), scale, ..Workload::default() };
        let mut releases: BTreeMap<&str, usize> = BTreeMap::new();
        for (node, page) in self.nodes.iter().filter(|(_, page)| page.at_ms + FORGET_MS > now_ms) {
            let silent_ms = now_ms.saturating_sub(page.at_ms);
            for pod in &page.pods {
                look.usage.extend(pod.usage.filter(|_| silent_ms <= FRESH_MS).map(|u| (pod.instance.name.clone(), u)));
                if pod.shadow {
                    let shadow = Instance { profile: profile.to_owned(), size, ..pod.instance.clone() };
                    prefer(&mut workload.shadow, shadow);
                    continue;
                }
                if let Some(admin) = &pod.instance.admin_url {
                    let snapshot = if silent_ms <= FRESH_MS {
                        pod.snapshot.clone().map_err(HttpError::Transport)
                    } else {
                        Err(HttpError::Transport(format!("node {node} has not reported for {:.1} s", silent_ms as f64 / 1_000.0)))
                    };
                    look.snapshots.insert(admin.clone(), snapshot);
                }
                *releases.entry(&pod.release).or_default() += 1;
                workload.replicas.push(pod.instance.clone());
            }
        }
        workload.release = releases.iter().max_by_key(|(_, n)| **n).map(|(release, _)| (*release).to_owned()).unwrap_or_default();
        workload.replicas.sort_by(|a, b| (a.started_unix_ms, &a.name).cmp(&(b.started_unix_ms, &b.name)));
        if workload.replicas.is_empty() {
            look.source_error = Some("no node reports a pod of this workload".into());
        }
        look.workload = Arc::new(workload);
        look
    }
}

/// During a rollout there are two shadows: the one that is ready counts, then the younger one.
fn prefer(kept: &mut Option<Instance>, other: Instance) {
    let key = |i: &Instance| (i.state == State::Ready, i.started_unix_ms);
    if kept.as_ref().is_none_or(|k| key(&other) > key(k)) {
        *kept = Some(other);
    }
}

impl Pod {
    fn read(report: PodReport) -> Self {
        let PodReport { instance, shadow, release, usage, snapshot, error } = report;
        let snapshot = match snapshot {
            Some(text) => serde_json::from_str::<Snapshot>(text.get()).map_err(|e| format!("snapshot cannot be understood: {e}")),
            None => Err(error.unwrap_or_else(|| "not scraped yet".into())),
        };
        let snapshot = snapshot.map(|mut s| {
            s.clusters.retain(|c| !c.name.starts_with(ASIDE));
            Arc::new(without_details(s))
        });
        Self { instance, shadow, release, usage, snapshot }
    }
}

#[cfg(test)]
mod tests;
