//! The proxy's one controlling place, on the main thread: the configuration in force, the workers that serve it, run-time values, drain.
//!
//! A reload is all or nothing: the new configuration is loaded and its sockets are bound before any worker hears of it; what fails leaves the
//! old one serving and is told in log, metric and `/ready`. Called by the admin endpoints and by discovery.

use crate::access_log::writer::Sender;
use crate::config::model::{Cluster, Config, Discovery, Endpoint};
use crate::config::{self, Source};
use crate::health::registry::Registry;
use crate::listener;
use crate::runtime::Overrides;
use crate::state::{Endpoints, policies};
use crate::stats::{mean_of_known, role};
use crate::tls::client::Client;
use crate::tls::contexts::Contexts;
use crate::worker::{Order, Worker};
use foreshadow_snapshot::{ClusterSnapshot, ListenerSnapshot, MirrorSnapshot, Snapshot, VERSION};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};

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
        let workers = (0..workers)
            .map(|nth| Worker::start(nth, logs.clone(), health.clone()))
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

    /// Numbers of all workers.
    pub async fn snapshot(&self) -> Snapshot {
        let (mut sum, asked) = {
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
                add(&mut sum, &part);
            }
        }
        sum
    }
}

impl Inner {
    fn apply(&mut self, config: Arc<Config>) -> Result<(), String> {
        let tls = Contexts::new(&config, Some((&self.config, &self.tls)))?;
        let mut sockets: Vec<Vec<(usize, TcpListener)>> = self.workers.iter().map(|_| Vec::new()).collect();
        let mut bound = BTreeMap::new();
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
            let (address, made) =
                listener::bind(listener.address, listener.ipv4_too, self.workers.len()).map_err(|e| cannot(e.to_string()))?;
            made.into_iter().zip(&mut sockets).for_each(|(socket, of)| of.push((index, socket)));
            bound.insert(listener.name.clone(), (listener.address, address));
            tracing::info!(listener = listener.name, %address, "listening");
        }
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

    fn tell_overrides(&self) {
        let shared = Arc::new(self.overrides.clone());
        self.workers.iter().for_each(|w| w.tell(Order::Overrides(shared.clone())));
    }

    /// Names to be filled in by workers.
    fn blank(&self) -> Snapshot {
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

    fn empty_snapshot(&self, proxy_id: &str, start: u64) -> Snapshot {
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

/// Endpoints at the start of a configuration: what the file says, or what discovery found before the reload.
fn initial(cluster: &Cluster, old: &Endpoints) -> Vec<Endpoint> {
    match &cluster.discovery {
        Discovery::Static(endpoints) => endpoints.clone(),
        Discovery::EdsFile { initial, .. } => initial.clone(),
        Discovery::OriginalDst(_) => Vec::new(),
        Discovery::Dns(_) => old.get(&cluster.name).cloned().unwrap_or_default(),
    }
}

/// Adds a worker's part: same configuration, same order; a part made just before a reload may lack or have entries, hence by name.
fn add(sum: &mut Snapshot, part: &Snapshot) {
    for mine in &part.clusters {
        let Some(all) = sum.clusters.iter_mut().find(|c| c.name == mine.name) else { continue };
        all.requests += mine.requests;
        all.responses.iter_mut().zip(mine.responses).for_each(|(a, m)| *a += m);
        all.in_flight += mine.in_flight;
        mine.failures.iter().for_each(|(r, n)| *all.failures.entry(r.clone()).or_default() += n);
        mine.events.iter().for_each(|(e, n)| *all.events.entry(e.clone()).or_default() += n);
        // One shape everywhere: adding cannot fail.
        let _ = all.total_us.add(&*mine.total_us);
        let _ = all.first_byte_us.add(&*mine.first_byte_us);
        let _ = all.connect_us.add(&*mine.connect_us);
        all.bytes_sent += mine.bytes_sent;
        all.bytes_received += mine.bytes_received;
        let _ = all.tcp_rtt_us.add(&*mine.tcp_rtt_us);
        all.rtt_us = mean_of_known(all.rtt_us, mine.rtt_us);
    }
    for mine in &part.mirrors {
        let Some(all) = sum.mirrors.iter_mut().find(|m| m.policy == mine.policy) else { continue };
        all.eligible_requests += mine.eligible_requests;
        all.eligible += mine.eligible;
        all.completed += mine.completed;
        all.in_flight += mine.in_flight;
        all.buffered_bytes += mine.buffered_bytes;
        all.status_match += mine.status_match;
        all.status_mismatch += mine.status_mismatch;
        all.body_match += mine.body_match;
        all.body_mismatch += mine.body_mismatch;
        all.represented += mine.represented;
        let _ = all.slower_us.add(&*mine.slower_us);
        let _ = all.faster_us.add(&*mine.faster_us);
        mine.dropped.iter().for_each(|(r, n)| *all.dropped.entry(r.clone()).or_default() += n);
    }
    for mine in &part.routes {
        let all = sum.route(&mine.cluster, &mine.route);
        all.requests += mine.requests;
        all.failures += mine.failures;
        all.responses.iter_mut().zip(mine.responses).for_each(|(a, m)| *a += m);
        let _ = all.total_us.add(&*mine.total_us);
        let _ = all.first_byte_us.add(&*mine.first_byte_us);
    }
    for mine in &part.listeners {
        let Some(all) = sum.listeners.iter_mut().find(|l| l.name == mine.name) else { continue };
        mine.events.iter().for_each(|(r, n)| *all.events.entry(r.clone()).or_default() += n);
    }
    let (all, mine) = (&mut sum.downstream, &part.downstream);
    all.responses.iter_mut().zip(mine.responses).for_each(|(a, m)| *a += m);
    all.requests += mine.requests;
    all.connections += mine.connections;
    all.connections_total += mine.connections_total;
    all.access_log_written += mine.access_log_written;
    all.access_log_dropped += mine.access_log_dropped;
    mine.refused.iter().for_each(|(r, n)| *all.refused.entry(r.clone()).or_default() += n);
    for shape in &part.recent_requests {
        if sum.recent_requests.len() < 64 && !sum.recent_requests.contains(shape) {
            sum.recent_requests.push(shape.clone());
        }
    }
}

/// Milliseconds since the Unix epoch.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
