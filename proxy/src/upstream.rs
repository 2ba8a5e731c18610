//! Upstream clusters of one worker: choose an endpoint, take or make a connection, send, give the connection back.
//!
//! HTTP/1.1 connections are polled by the request that uses them (see [`connection`]), so that a request costs no task and no wake-up of its
//! own. A connection that cannot be established is tried on another endpoint: nothing was sent yet. Not here: what the request means, copies.

pub mod answer;
pub mod balance;
pub mod changed;
pub mod connect;
pub mod connection;
pub mod endpoint;
pub mod errand;
pub mod exchange;
pub mod open;
pub mod original;
pub mod patience;
pub mod replay;
pub mod request;
pub mod retry;
pub mod rtt;
pub mod slots;
pub mod upload;

use crate::config::model::{Breaker, Cluster, Discovery, Endpoint, Protocol};
use crate::error::ProxyError;
use crate::health::registry::Registry;
use crate::stats::ClusterStats;
use crate::tls::client::Client;
use answer::{Flight, UpstreamBody};
use balance::Balancer;
use connect::Connector;
use endpoint::EndpointState;
use errand::Errand;
use exchange::Answer;
use http::header::HOST;
use http::{HeaderValue, Response};
use original::Destinations;
use patience::Patience;
use request::Parcel;
use retry::budget::{Permit, Retries};
use slots::Slots;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Endpoints tried when a connection cannot be established.
const CONNECT_TRIES: usize = 3;

/// An endpoint that was not wanted is asked for anew so often, before any other is taken.
const CHOICES: u32 = 4;

/// A cluster as one worker uses it.
#[derive(Debug)]
pub struct Upstream {
    /// Its configuration.
    pub cluster: Arc<Cluster>,
    /// Its numbers.
    pub stats: Rc<ClusterStats>,
    endpoints: RefCell<Vec<Rc<EndpointState>>>,
    balancer: RefCell<Balancer>,
    /// Circuit breakers of default and of high priority.
    lanes: [Lane; 2],
    connector: Connector,
    health: Arc<Registry>,
    /// Endpoint of the exchange that failed last: for the one who is told of the failure, before anything else runs.
    failed_at: Cell<Option<SocketAddr>>,
    /// Tries of the exchange that was told of last, in the same way.
    tries: Cell<u32>,
    /// Endpoints that requests bring themselves.
    destinations: Option<Box<Destinations>>,
}

/// What is under way under one priority's circuit breakers.
#[derive(Debug)]
struct Lane {
    breaker: Breaker,
    active: Rc<Cell<u32>>,
    slots: Rc<Slots>,
    retries: Retries,
}

impl Lane {
    fn new(breaker: Breaker) -> Self {
        Self { breaker, active: Rc::default(), slots: Slots::new(breaker.max_connections), retries: Retries::default() }
    }
}

impl Upstream {
    /// A cluster with its first endpoints.
    pub fn new(cluster: Arc<Cluster>, stats: Rc<ClusterStats>, endpoints: &[Endpoint], health: Arc<Registry>) -> Self {
        let destinations = match &cluster.discovery {
            Discovery::OriginalDst(settings) => Some(Box::new(Destinations::new(settings))),
            _ => None,
        };
        let connector = Connector::new(cluster.clone(), stats.clone());
        let lanes = [Lane::new(cluster.breaker), Lane::new(cluster.breaker_high)];
        let it = Self {
            cluster,
            stats,
            endpoints: RefCell::default(),
            balancer: RefCell::default(),
            lanes,
            connector,
            health,
            failed_at: Cell::new(None),
            tries: Cell::new(0),
            destinations,
        };
        it.set_endpoints(endpoints);
        it
    }

    /// Replaces the endpoints; connections to those that stay are kept.
    pub fn set_endpoints(&self, endpoints: &[Endpoint]) {
        {
            let mut now = self.endpoints.borrow_mut();
            let known = std::mem::take(&mut *now);
            for endpoint in endpoints.iter().filter(|e| e.healthy) {
                let same =
                    |k: &&Rc<EndpointState>| k.address == endpoint.address && k.hostname.as_ref().map_or("", as_str) == &*endpoint.hostname;
                let health = || self.health.host(&self.cluster, endpoint.address);
                let fresh = || Rc::new(EndpointState::new(endpoint.address, &endpoint.hostname, health()));
                let state = known.iter().find(same).cloned().unwrap_or_else(fresh);
                state.update(endpoint);
                now.push(state);
            }
        }
        self.rebalance();
    }

    /// The health of endpoints changed.
    pub fn health_changed(&self) {
        self.rebalance();
    }

    /// Orders the endpoints anew: they or their health changed.
    fn rebalance(&self) {
        self.endpoints.borrow().iter().for_each(|e| e.look());
        let balancer = Balancer::new(self.cluster.lb, &self.cluster.lb_settings, &self.endpoints.borrow());
        self.balancer.replace(balancer);
    }

    /// The TLS context for new connections.
    pub fn set_tls(&self, client: Option<Arc<Client>>) {
        self.connector.set_tls(client);
    }

    /// Forgets destinations that are not used any more.
    pub fn sweep(&self) {
        if let Some(destinations) = &self.destinations {
            destinations.sweep();
        }
    }

    /// Of the exchange whose outcome was just told: where it failed, if it did, and how often it was tried, if it may have been more than once.
    pub fn last_told(&self) -> (Option<SocketAddr>, u32) {
        (self.failed_at.take(), self.tries.take())
    }

    /// Sends a request and waits for the head of its answer; the limits hold for the whole answer.
    ///
    /// # Errors
    /// When there is no endpoint, no connection, a threshold or a limit is reached, or the connection breaks.
    pub async fn send(&self, parcel: &mut Parcel, errand: &Errand<'_>) -> Result<Response<UpstreamBody>, ProxyError> {
        self.attempt(parcel, errand, &mut None).await
    }

    /// The same; `to` is set to the endpoint that was chosen last.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn attempt(
        &self,
        parcel: &mut Parcel,
        errand: &Errand<'_>,
        to: &mut Option<SocketAddr>,
    ) -> Result<Response<UpstreamBody>, ProxyError> {
        self.stats.requests.add(1);
        let lane = self.lane(errand.high_priority);
        let mut flight = Flight::start(&self.stats, &lane.active, errand.limits.arrived);
        flight.tunnels(errand.tunnel);
        if lane.active.get() > lane.breaker.max_requests {
            return Err(flight.fail(ProxyError::Overflow));
        }
        let mut patience = Patience::new(errand.limits, parcel.as_ref().and_then(|r| r.body().upload()));
        let sent = {
            let mut sending = pin!(self.try_endpoints(parcel, errand, to, &mut flight));
            poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Pending => patience.poll(cx).map(Err),
                ready => ready,
            })
            .await
        };
        match sent {
            Ok(answer) => Ok(flight.answered(answer, patience)),
            Err(why) => {
                self.failed_at.set(flight.address());
                Err(flight.fail(why))
            }
        }
    }

    fn lane(&self, high_priority: bool) -> &Lane {
        &self.lanes[usize::from(high_priority)]
    }

    /// The right to one more retry, if there may be one now.
    pub fn retry_permit(&self, high_priority: bool) -> Option<Permit> {
        let lane = self.lane(high_priority);
        lane.retries.permit(lane.breaker.retries, lane.active.get())
    }

    async fn try_endpoints(
        &self,
        parcel: &mut Parcel,
        errand: &Errand<'_>,
        tried: &mut Option<SocketAddr>,
        flight: &mut Flight,
    ) -> Result<Answer, ProxyError> {
        let shared = self.cluster.protocol == Protocol::Http2 || self.cluster.protocol == Protocol::Downstream && errand.http2;
        if !shared {
            let lane = self.lane(errand.high_priority);
            let slot = match lane.slots.try_take() {
                Some(slot) => slot,
                None => lane.slots.wait(lane.breaker.max_pending_requests).await?,
            };
            flight.hold(slot);
        }
        let mut error = ProxyError::NoHealthyUpstream;
        for _ in 0..if errand.once { 1 } else { CONNECT_TRIES } {
            let endpoint = match &self.destinations {
                Some(_) if tried.is_some() => break,
                Some(destinations) => destinations.choose(parcel.as_ref())?,
                None => match self.pick(errand, *tried) {
                    Some(endpoint) => endpoint,
                    None => break,
                },
            };
            flight.towards(&endpoint);
            *tried = Some(endpoint.address);
            if let (true, Some(name), Some(request)) = (errand.auto_host, &endpoint.hostname, parcel.as_mut()) {
                request.headers_mut().insert(HOST, name.clone());
            }
            match exchange::send(&endpoint, &self.connector, parcel, errand.http2).await {
                Err(why) => {
                    endpoint.ended(why);
                    error = why;
                    if parcel.is_none() {
                        return Err(why);
                    }
                }
                done => return done,
            }
        }
        Err(error)
    }

    /// An endpoint by the cluster's policy; not the one tried before, and none of those to avoid, if there is another.
    fn pick(&self, errand: &Errand<'_>, not: Option<SocketAddr>) -> Option<Rc<EndpointState>> {
        let balancer = self.balancer.borrow();
        if balancer.in_panic() {
            self.stats.events.add("lb_healthy_panic");
        }
        let first = balancer.choose(errand.hash, 0)?;
        let wanted = |e: &Rc<EndpointState>| not != Some(e.address) && !errand.avoid.contains(&e.address);
        if wanted(first) {
            return Some(first.clone());
        }
        let next = (1..CHOICES).filter_map(|attempt| balancer.choose(errand.hash, attempt)).find(|e| wanted(e));
        let other = next.or_else(|| balancer.hosts().find(|e| wanted(e)));
        // Trying the only one again at once would not help; after a wait it may.
        other.or(if not.is_none() { Some(first) } else { None }).cloned()
    }
}

fn as_str(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}
