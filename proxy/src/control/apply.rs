//! Puts a configuration in force: its sockets are bound and its certificates read before any worker hears of it.

use super::Inner;
use crate::config::model::{Cluster, Config, Discovery, Endpoint};
use crate::listener;
use crate::state::Endpoints;
use crate::tls::contexts::Contexts;
use crate::worker::Order;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// For each worker: its new sockets, by index of their listener.
type Sockets = Vec<Vec<(usize, TcpListener)>>;
/// By listener name: the address as configured and as bound.
type Bound = BTreeMap<String, (SocketAddr, SocketAddr)>;

impl Inner {
    /// All or nothing.
    ///
    /// # Errors
    /// Why it cannot be served, in words; then nothing has changed.
    pub(super) fn apply(&mut self, config: Arc<Config>) -> Result<(), String> {
        let tls = Contexts::new(&config, Some((&self.config, &self.tls)))?;
        let (bound, sockets) = self.bind(&config)?;
        self.tls = Arc::new(tls);
        for cluster in config.clusters.iter().filter(|c| c.tls.as_ref().is_some_and(|t| t.common.validation.trusted_ca.is_none())) {
            tracing::warn!(cluster = cluster.name, "no trusted_ca: whoever answers at its endpoints is believed, as with Envoy");
        }
        let old = std::mem::take(&mut self.endpoints);
        self.endpoints = config.clusters.iter().map(|c| (c.name.clone(), initial(c, &old))).collect();
        self.overrides.load(&config.runtime);
        (self.bound, self.config) = (bound, config);
        self.generation += 1;
        self.tell_overrides();
        for (worker, sockets) in self.workers.iter().zip(sockets) {
            worker.tell(Order::Config(self.config.clone(), sockets, self.endpoints.clone(), self.tls.clone()));
        }
        Ok(())
    }

    /// Sockets of the listeners that are new.
    fn bind(&self, config: &Config) -> Result<(Bound, Sockets), String> {
        let mut sockets: Sockets = self.workers.iter().map(|_| Vec::new()).collect();
        let mut bound = Bound::new();
        for (index, listener) in config.listeners.iter().enumerate().filter(|(_, l)| l.bind) {
            if let Some(kept) = self.bound.get(&listener.name).filter(|b| b.0 == listener.address) {
                bound.insert(listener.name.clone(), *kept);
                continue;
            }
            let cannot = |why: String| format!("listener {} cannot listen on {}: {why}", listener.name, listener.address);
            let ours = self.bound.values().any(|b| b.1 == listener.address);
            if !ours && listener::is_taken(listener.address, listener.ipv4_too) {
                return Err(cannot("the address is in use or may not be bound".into()));
            }
            let made = listener::bind(listener.address, listener.ipv4_too, listener.reuse_port, self.workers.len());
            let (address, made) = made.map_err(|e| cannot(e.to_string()))?;
            made.into_iter().zip(&mut sockets).for_each(|(socket, of)| of.push((index, socket)));
            bound.insert(listener.name.clone(), (listener.address, address));
            tracing::info!(listener = listener.name, %address, "listening");
        }
        Ok((bound, sockets))
    }

    /// Tells all workers the run-time values.
    pub(super) fn tell_overrides(&self) {
        let shared = Arc::new(self.overrides.clone());
        self.workers.iter().for_each(|w| w.tell(Order::Overrides(shared.clone())));
    }
}

/// Endpoints at the start of a configuration: what the file says, or what discovery found before the reload.
fn initial(cluster: &Cluster, old: &Endpoints) -> Vec<Endpoint> {
    match &cluster.discovery {
        Discovery::Static(endpoints) => endpoints.clone(),
        Discovery::EdsFile { initial, .. } => initial.clone(),
        Discovery::OriginalDst(_) => Vec::new(),
        Discovery::Dns(_) => old.get(&cluster.name).cloned().unwrap_or_default(),
    }
}
