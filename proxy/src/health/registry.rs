//! Where the health of all endpoints is kept, by cluster and address: the same for every worker and over reloads. Locked only when endpoints come and go
//! and when somebody asks for numbers, never by a request.

use super::host::{HostHealth, Report};
use crate::config::model::Cluster;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Hosts = HashMap<(String, SocketAddr), Arc<HostHealth>>;

/// All endpoints with health settings.
#[derive(Debug)]
pub struct Registry {
    hosts: Mutex<Hosts>,
    /// What happened, by cluster and Envoy's name for it.
    events: Mutex<BTreeMap<(String, &'static str), u64>>,
    reports: UnboundedSender<Report>,
    inbox: Mutex<Option<UnboundedReceiver<Report>>>,
}

impl Default for Registry {
    fn default() -> Self {
        let (reports, inbox) = unbounded_channel();
        Self { hosts: Mutex::default(), events: Mutex::default(), reports, inbox: Mutex::new(Some(inbox)) }
    }
}

impl Registry {
    /// An endpoint of a cluster, new or known; None when the cluster has no health settings.
    pub fn host(&self, cluster: &Cluster, address: SocketAddr) -> Option<Arc<HostHealth>> {
        if cluster.outlier.is_none() && cluster.health_check.is_none() {
            return None;
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(HostHealth::new(&cluster.name, address, self.reports.clone()));
        let host = hosts.entry((cluster.name.clone(), address)).or_insert_with(fresh).clone();
        host.configure(cluster.outlier.as_ref());
        Some(host)
    }

    /// One that is known.
    pub fn known(&self, cluster: &str, address: SocketAddr) -> Option<Arc<HostHealth>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(&(cluster.to_owned(), address)).cloned()
    }

    /// Whether nothing speaks against an endpoint.
    pub fn is_well(&self, cluster: &str, address: SocketAddr) -> bool {
        self.known(cluster, address).is_none_or(|h| h.is_well())
    }

    /// Forgets all others.
    pub fn retain(&self, keep: impl Fn(&str, SocketAddr) -> bool) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).retain(|(cluster, address), _| keep(cluster, *address));
    }

    /// Counts something.
    pub fn count(&self, cluster: &str, event: &'static str) {
        *self.events.lock().unwrap_or_else(PoisonError::into_inner).entry((cluster.to_owned(), event)).or_default() += 1;
    }

    /// What was counted for a cluster.
    pub fn events(&self, cluster: &str) -> Vec<(&'static str, u64)> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|(key, _)| key.0 == cluster).map(|(key, n)| (key.1, *n)).collect()
    }

    /// Workers' reports, for the one who acts on them.
    pub fn take_reports(&self) -> Option<UnboundedReceiver<Report>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
