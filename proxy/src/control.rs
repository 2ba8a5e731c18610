//! The proxy's one controlling place, on the main thread: the configuration in force, the workers that serve it, run-time values, drain.
//!
//! A reload is all or nothing: the new configuration is loaded and its sockets are bound before any worker hears of it; what fails leaves the
//! old one serving and is told in log, metric and `/ready`. Called by the admin endpoints and by discovery. How a configuration is put in force stands in
//! [`apply`], how numbers become one snapshot in [`numbers`] and [`sum`].

mod apply;
mod numbers;
mod sum;

use crate::access_log::writer::Sender;
use crate::config::model::{Config, Endpoint};
use crate::config::{self, Source};
use crate::health::registry::Registry;
use crate::mirror::caps;
use crate::runtime::Overrides;
use crate::state::{Endpoints, Shared};
use crate::tls::client::Client;
use crate::tls::contexts::Contexts;
use crate::worker::{Order, Worker};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What became of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// The file says what it said.
    Unchanged,
    /// The new configuration serves.
    Applied(u64),
    /// The old configuration goes on serving; why, in words.
    Refused(String),
}

/// Life of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Serving.
    Live,
    /// `/healthcheck/fail` was asked for.
    Failed,
    /// Finishing what is under way.
    Draining,
}

/// The controller.
pub struct Control {
    source: Source,
    proxy_id: String,
    started_unix_ms: u64,
    inner: Mutex<Inner>,
    life: watch::Sender<Life>,
    logs: Sender,
    health: Arc<Registry>,
}

struct Inner {
    config: Arc<Config>,
    /// By listener name: the address as configured and as bound.
    bound: BTreeMap<String, (SocketAddr, SocketAddr)>,
    endpoints: Endpoints,
    overrides: Overrides,
    workers: Vec<Worker>,
    generation: u64,
    sequence: u64,
    refused: Option<String>,
    reloads: (u64, u64),
    tls: Arc<Contexts>,
    /// Certificates read anew, and refused.
    renewals: (u64, u64),
    health: Arc<Registry>,
}

impl Control {
    /// Starts `workers` workers on a configuration.
    ///
    /// # Errors
    /// When a listener cannot be bound or a thread not started, in words.
    pub fn start(source: Source, config: Config, workers: usize, proxy_id: String) -> Result<Self, String> {
        let logs = Sender::start().map_err(|e| format!("the writer of access logs cannot be started: {e}"))?;
        let health = Arc::<Registry>::default();
        let shared = Shared { health: health.clone(), connections: Arc::default(), caps: Arc::<caps::Registry>::default() };
        let workers = (0..workers)
            .map(|nth| Worker::start(nth, logs.clone(), shared.clone()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| format!("a worker cannot be started: {e}"))?;
        let mut inner = Inner {
            config: Arc::new(Config {
                listeners: Vec::new(),
                managers: Vec::new(),
                downstream_tls: Vec::new(),
                clusters: Vec::new(),
                ..config.clone()
            }),
            bound: BTreeMap::new(),
            endpoints: Endpoints::new(),
            overrides: Overrides::default(),
            workers,
            generation: 0,
            sequence: 0,
            refused: None,
            reloads: (0, 0),
            tls: Arc::default(),
            renewals: (0, 0),
            health: health.clone(),
        };
        inner.apply(Arc::new(config))?;
        Ok(Self {
            source,
            proxy_id,
            started_unix_ms: unix_ms(),
            logs,
            health,
            inner: Mutex::new(inner),
            life: watch::Sender::new(Life::Live),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads the configuration again.
    pub fn reload(&self) -> Reload {
        let loaded = config::load(&self.source).map_err(|p| p.to_string());
        let mut inner = self.inner();
        let outcome = match loaded.and_then(|config| inner.apply(Arc::new(config))) {
            Ok(()) => Reload::Applied(inner.generation),
            Err(why) => Reload::Refused(why),
        };
        match &outcome {
            Reload::Refused(why) => {
                inner.reloads.1 += 1;
                inner.refused = Some(why.clone());
                tracing::error!("reload refused, the last good configuration keeps serving:\n{why}");
            }
            _ => {
                inner.reloads.0 += 1;
                inner.refused = None;
                tracing::info!(generation = inner.generation, "reload applied");
            }
        }
        outcome
    }

    /// Files of certificates changed: takes what they say now, as far as it can be used.
    pub fn renew_certificates(&self) {
        let mut inner = self.inner();
        let outcome = inner.tls.renewed(&inner.config);
        for why in &outcome.refused {
            inner.renewals.1 += 1;
            tracing::error!("certificates refused, the ones before stay: {why}");
        }
        if let Some(contexts) = outcome.contexts {
            inner.renewals.0 += outcome.renewed as u64;
            inner.tls = Arc::new(contexts);
            inner.workers.iter().for_each(|w| w.tell(Order::Tls(inner.tls.clone())));
            tracing::info!(contexts = outcome.renewed, "certificates read anew");
        }
    }

    /// TLS contexts in force.
    pub fn tls(&self) -> Arc<Contexts> {
        self.inner().tls.clone()
    }

    /// New endpoints of a cluster.
    pub fn set_endpoints(&self, cluster: &str, endpoints: Vec<Endpoint>) {
        let mut inner = self.inner();
        if inner.endpoints.get(cluster) != Some(&endpoints) {
            inner.endpoints.insert(cluster.to_owned(), endpoints.clone());
            inner.workers.iter().for_each(|w| w.tell(Order::Endpoints(cluster.to_owned(), endpoints.clone())));
        }
    }

    /// Health of endpoints.
    pub fn health(&self) -> Arc<Registry> {
        self.health.clone()
    }

    /// The TLS context now in force towards a cluster.
    pub fn client_tls(&self, cluster: &str) -> Option<Arc<Client>> {
        let inner = self.inner();
        let nth = inner.config.clusters.iter().position(|c| c.name == cluster)?;
        inner.tls.clients.get(nth)?.clone()
    }

    /// The health of a cluster's endpoints changed.
    pub fn health_changed(&self, cluster: &str) {
        self.inner().workers.iter().for_each(|w| w.tell(Order::Health(cluster.to_owned())));
    }

    /// Sets run-time values, all or none.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn modify(&self, values: &[(String, String)], ttl: Option<Duration>) -> Result<(), String> {
        let mut inner = self.inner();
        let mut changed = inner.overrides.clone();
        values.iter().try_for_each(|(key, text)| changed.modify(key, text, ttl))?;
        inner.overrides = changed;
        inner.tell_overrides();
        Ok(())
    }

    /// Run-time values.
    pub fn overrides(&self) -> Overrides {
        self.inner().overrides.clone()
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.inner().config.clone()
    }

    /// Endpoints now known.
    pub fn endpoints(&self) -> Endpoints {
        self.inner().endpoints.clone()
    }

    /// Listeners with their bound addresses.
    pub fn bound(&self) -> Vec<(String, SocketAddr)> {
        self.inner().bound.iter().map(|(n, b)| (n.clone(), b.1)).collect()
    }

    /// Why the last reload was refused, if it was, and how many were applied and refused.
    pub fn reloads(&self) -> (Option<String>, u64, u64) {
        let inner = self.inner();
        (inner.refused.clone(), inner.reloads.0, inner.reloads.1)
    }

    /// For how long it has been running.
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(unix_ms().saturating_sub(self.started_unix_ms))
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.inner().workers.len()
    }

    /// Life now, to be watched.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Fails or mends readiness; a drain cannot be taken back.
    pub fn set_failed(&self, failed: bool) {
        self.life.send_if_modified(|life| {
            let next = if failed { Life::Failed } else { Life::Live };
            let change = *life != Life::Draining && *life != next;
            if change {
                *life = next;
            }
            change
        });
    }

    /// Stops accepting and lets everything under way finish within `grace`.
    pub fn drain(&self, grace: Duration) {
        self.life.send_replace(Life::Draining);
        self.inner().workers.iter().for_each(|w| w.tell(Order::Drain(grace)));
    }

    /// Has access log files opened anew.
    pub fn reopen_logs(&self) {
        self.logs.reopen();
    }

    /// Waits until the access logs are written, within bounds.
    pub fn finish_logs(&self) {
        self.logs.finish();
    }

    /// Whether all workers have ended.
    pub fn is_over(&self) -> bool {
        self.inner().workers.iter().all(Worker::is_over)
    }
}

/// Milliseconds since the Unix epoch.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
