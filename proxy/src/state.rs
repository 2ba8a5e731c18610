//! A configuration as one worker serves it: upstreams, mirrors, prepared header values. Built anew at every reload; requests under way finish on
//! the one they began with.

use crate::access_log::{Logger, Outs};
use crate::config::model::{Cluster, Config, Discovery, Endpoint, Forward, MirrorPolicy, Route, RouteAction, RuntimeFraction};
use crate::health::registry::Registry;
use crate::mirror::caps;
use crate::mirror::sample::Fraction;
use crate::mirror::{Mirror, To};
use crate::router::Circumstances;
use crate::runtime::Overrides;
use crate::stats::{RouteStats, WorkerStats};
use crate::tls::contexts::Contexts;
use crate::upstream::Upstream;
use http::HeaderValue;
use http::header::HOST;
use rand::RngExt as _;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Endpoints by cluster name, as discovery knows them now.
pub type Endpoints = BTreeMap<String, Vec<Endpoint>>;

/// What all workers use together.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Health of endpoints.
    pub health: Arc<Registry>,
    /// Client connections of all workers.
    pub connections: Arc<AtomicU64>,
    /// What copies use.
    pub caps: Arc<caps::Registry>,
}

static SERIAL: AtomicU64 = AtomicU64::new(1);

/// What a worker serves.
#[derive(Debug)]
pub struct State {
    /// The configuration.
    pub config: Arc<Config>,
    /// By cluster index.
    pub upstreams: Vec<Rc<Upstream>>,
    /// The same endpoints, with numbers that nobody reads: for probes.
    pub probes: Vec<Rc<Upstream>>,
    /// A cluster's own mirrors, by cluster index.
    pub cluster_mirrors: Vec<Vec<Rc<Mirror>>>,
    /// Access logs by connection manager.
    pub loggers: Vec<Rc<[Logger]>>,
    /// `server` header by connection manager.
    pub servers: Vec<Option<HeaderValue>>,
    /// Whether any cluster asks where a connection wanted to go.
    pub original_dst: bool,
    by_name: Rc<BTreeMap<String, Rc<Upstream>>>,
    classes: RefCell<HashMap<(*const Cluster, *const Route), Rc<RouteStats>>>,
    mirrors: HashMap<*const MirrorPolicy, Rc<[Rc<Mirror>]>>,
    fractions: BTreeMap<String, (String, Rc<Fraction>)>,
    overrides: RefCell<Arc<Overrides>>,
    tls: RefCell<Arc<Contexts>>,
    /// Differs from that of every other state of the process.
    pub serial: u64,
    clusters: HashMap<String, usize>,
}

impl State {
    /// Prepares a configuration.
    pub fn new(
        config: Arc<Config>,
        endpoints: &Endpoints,
        overrides: &Arc<Overrides>,
        stats: &WorkerStats,
        logs: &Outs,
        shared: &Shared,
    ) -> Self {
        let health = &shared.health;
        let known = |name: &str| endpoints.get(name).map(Vec::as_slice).unwrap_or_default();
        let upstreams: Vec<_> = config
            .clusters
            .iter()
            .map(|c| Rc::new(Upstream::new(c.clone(), stats.cluster(&c.name), known(&c.name), health.clone())))
            .collect();
        let probes =
            config.clusters.iter().map(|c| Rc::new(Upstream::new(c.clone(), Rc::default(), known(&c.name), health.clone()))).collect();
        let by_name = upstreams.iter().map(|u| (u.cluster.name.clone(), u.clone())).collect();
        let loggers = config.managers.iter().map(|m| m.access_logs.iter().map(|log| logs.logger(log)).collect()).collect();
        let servers = config.managers.iter().map(|m| HeaderValue::from_str(&m.server_name).ok()).collect();
        let mut state = Self {
            upstreams,
            probes,
            cluster_mirrors: Vec::new(),
            loggers,
            servers,
            original_dst: config.clusters.iter().any(|c| matches!(c.discovery, Discovery::OriginalDst(_))),
            by_name: Rc::new(by_name),
            classes: RefCell::default(),
            mirrors: HashMap::new(),
            fractions: BTreeMap::new(),
            overrides: RefCell::default(),
            tls: RefCell::default(),
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            clusters: config.clusters.iter().enumerate().map(|(id, c)| (c.name.clone(), id)).collect(),
            config: config.clone(),
        };
        state.cluster_mirrors =
            config.clusters.iter().map(|c| c.mirrors.iter().map(|p| state.mirror(p, stats, shared)).collect()).collect();
        for forward in forwards(&config) {
            let list: Rc<[_]> = forward.mirrors.iter().map(|p| state.mirror(p, stats, shared)).collect();
            if let Some(first) = forward.mirrors.first() {
                state.mirrors.insert(Arc::as_ptr(first), list);
            }
        }
        state.override_fractions(overrides);
        state
    }

    fn mirror(&mut self, policy: &Arc<MirrorPolicy>, stats: &WorkerStats, shared: &Shared) -> Rc<Mirror> {
        let key = policy.runtime_key.clone().unwrap_or_default();
        let fresh = || (key, Rc::new(Fraction::new(policy.fraction, &policy.name)));
        let fraction = self.fractions.entry(policy.name.clone()).or_insert_with(fresh).1.clone();
        let to = match (policy.cluster, &policy.cluster_header) {
            (Some(cluster), _) => To::One(self.upstreams[cluster].clone()),
            (None, header) => To::Named(header.clone().unwrap_or(HOST), self.by_name.clone()),
        };
        Rc::new(Mirror::new(policy.clone(), to, shared.caps.of(&policy.name), stats.mirror(&policy.name), fraction))
    }

    /// Numbers of a route towards a cluster; None when the route has no name.
    pub fn class(&self, stats: &WorkerStats, route: &Route, upstream: &Upstream) -> Option<Rc<RouteStats>> {
        if route.name.is_empty() {
            return None;
        }
        let key = (Arc::as_ptr(&upstream.cluster), std::ptr::from_ref(route));
        let fresh = || stats.route(&upstream.cluster.name, &route.name);
        Some(self.classes.borrow_mut().entry(key).or_insert_with(fresh).clone())
    }

    /// Mirrors of a route.
    pub fn route_mirrors(&self, to: &Forward) -> &[Rc<Mirror>] {
        match to.mirrors.first() {
            None => &[],
            Some(first) => self.mirrors.get(&Arc::as_ptr(first)).map_or(&[], |m| m),
        }
    }

    /// Applies run-time values.
    pub fn override_fractions(&self, overrides: &Arc<Overrides>) {
        self.overrides.replace(overrides.clone());
        for (key, fraction) in self.fractions.values() {
            fraction.set(overrides.fraction(key));
        }
    }

    /// Run-time values now.
    pub fn overrides(&self) -> Arc<Overrides> {
        self.overrides.borrow().clone()
    }

    /// TLS contexts from now on.
    pub fn set_tls(&self, contexts: &Arc<Contexts>) {
        for (upstream, probe) in self.upstreams.iter().zip(&self.probes) {
            let id = self.clusters.get(&upstream.cluster.name);
            let client = id.and_then(|id| contexts.clients.get(*id).cloned().flatten());
            upstream.set_tls(client.clone());
            probe.set_tls(client);
        }
        self.tls.replace(contexts.clone());
    }

    /// TLS contexts now.
    pub fn tls(&self) -> Arc<Contexts> {
        self.tls.borrow().clone()
    }

    /// Looks after what only time changes.
    pub fn sweep(&self) {
        self.upstreams.iter().chain(&self.probes).for_each(|u| u.sweep());
    }

    /// The health of a cluster's endpoints changed.
    pub fn health_changed(&self, cluster: &str) {
        let both = self.upstreams.iter().chain(&self.probes).filter(|u| u.cluster.name == cluster);
        both.for_each(|u| u.health_changed());
    }

    /// New endpoints of a cluster.
    pub fn set_endpoints(&self, cluster: &str, endpoints: &[Endpoint]) {
        let both = self.upstreams.iter().chain(&self.probes).filter(|u| u.cluster.name == cluster);
        both.for_each(|u| u.set_endpoints(endpoints));
    }
}

impl Circumstances for State {
    fn takes_in(&self, fraction: &RuntimeFraction) -> bool {
        let set = fraction.key.as_ref().and_then(|key| self.overrides.borrow().fraction(key));
        let part = set.map_or(fraction.default, |(value, _)| value);
        part >= 1.0 || rand::rng().random_range(0.0..1.0) < part
    }

    fn cluster(&self, name: &str) -> Option<usize> {
        self.clusters.get(name).copied()
    }
}

/// Every proxying action of a configuration.
pub fn forwards(config: &Config) -> impl Iterator<Item = &Forward> {
    let routes = config.managers.iter().flat_map(|m| &m.routes.virtual_hosts).flat_map(|v| &v.routes);
    routes.filter_map(|r| match &r.action {
        RouteAction::Forward(to) => Some(to),
        RouteAction::Direct { .. } | RouteAction::Redirect(_) => None,
    })
}

/// Every mirror policy of a configuration, each name once.
pub fn policies(config: &Config) -> BTreeMap<String, Arc<MirrorPolicy>> {
    let all = forwards(config).flat_map(|f| &f.mirrors).chain(config.clusters.iter().flat_map(|c| &c.mirrors));
    all.map(|p| (p.name.clone(), p.clone())).collect()
}
