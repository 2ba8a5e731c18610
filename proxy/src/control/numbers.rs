//! Snapshots: what workers say of themselves, and what they do not know: names, places, health, run-time values.

use super::{Control, Inner, sum, unix_ms};
use crate::config::model::{Cluster, Endpoint};
use crate::state::policies;
use crate::stats::role;
use crate::worker::{Order, Worker};
use foreshadow_snapshot::{ClusterSnapshot, ListenerSnapshot, MirrorSnapshot, Snapshot, VERSION};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Control {
    /// Numbers of all workers.
    pub async fn snapshot(&self) -> Snapshot {
        let (mut all, asked) = {
            let mut inner = self.inner();
            inner.sequence += 1;
            let empty = inner.empty_snapshot(&self.proxy_id, self.started_unix_ms);
            let ask = |w: &Worker| {
                let (back, wait) = oneshot::channel();
                w.tell(Order::Snapshot(Box::new(inner.blank()), back));
                wait
            };
            let asked: Vec<_> = inner.workers.iter().map(ask).collect();
            (empty, asked)
        };
        for wait in asked {
            // A worker that has ended has nothing to add.
            if let Ok(part) = wait.await {
                sum::add(&mut all, &part);
            }
        }
        all
    }
}

impl Inner {
    /// Names to be filled in by workers.
    pub(super) fn blank(&self) -> Snapshot {
        let cluster = |c: &Arc<Cluster>| ClusterSnapshot { name: c.name.clone(), role: role(c.mirror_only), ..Default::default() };
        let mirror = |name: &String| MirrorSnapshot { policy: name.clone(), ..Default::default() };
        Snapshot {
            clusters: self.config.clusters.iter().map(cluster).collect(),
            mirrors: policies(&self.config).keys().map(mirror).collect(),
            listeners: self.config.listeners.iter().map(|l| self.blank_listener(&l.name)).collect(),
            ..Default::default()
        }
    }

    fn blank_listener(&self, name: &str) -> ListenerSnapshot {
        let address = self.bound.get(name).map_or_else(String::new, |b| b.1.to_string());
        ListenerSnapshot { name: name.to_owned(), address, ..Default::default() }
    }

    /// A snapshot before the workers' numbers are in it.
    pub(super) fn empty_snapshot(&self, proxy_id: &str, start: u64) -> Snapshot {
        let mut it = self.blank();
        (it.version, it.proxy_id, it.start_time_unix_ms, it.time_unix_ms) = (VERSION, proxy_id.to_owned(), start, unix_ms());
        (it.sequence, it.config_generation, it.config_last_reload_failed) = (self.sequence, self.generation, self.refused.is_some());
        (it.certificates_renewed, it.certificates_refused) = self.renewals;
        for cluster in &mut it.clusters {
            let known = self.endpoints.get(&cluster.name).map(Vec::as_slice).unwrap_or_default();
            let well = known.iter().filter(|e| e.healthy && self.health.is_well(&cluster.name, e.address));
            cluster.endpoints = well.map(|e| e.address.to_string()).collect();
            cluster.endpoints_total = known.len() as u64;
            let ejected = |e: &&Endpoint| self.health.known(&cluster.name, e.address).is_some_and(|h| h.is_ejected());
            cluster.endpoints_ejected = known.iter().filter(ejected).count() as u64;
            cluster.events = self.health.events(&cluster.name).into_iter().map(|(event, n)| (event.to_owned(), n)).collect();
        }
        for (mirror, policy) in it.mirrors.iter_mut().zip(policies(&self.config).values()) {
            mirror.cluster = policy.cluster.map_or_else(String::new, |c| self.config.clusters[c].name.clone());
            mirror.runtime_key = policy.runtime_key.clone().unwrap_or_default();
            let set = self.overrides.get(&mirror.runtime_key);
            mirror.fraction = self.overrides.fraction(&mirror.runtime_key).map_or(policy.fraction, |f| f.0);
            mirror.inclusion_probability = mirror.fraction.min(1.0);
            mirror.fraction_source = if set.is_some() { "runtime" } else { "file" }.into();
            mirror.fraction_expires_unix_ms = set.map_or(0, |v| v.end_unix_ms);
        }
        it
    }
}
