//! One endpoint of a cluster, with the connections that one worker keeps to it.

use super::connect::{Connector, Want};
use super::connection::{H1, H2, begin_h1, begin_h2};
use crate::config::model::{Endpoint, Locality};
use crate::error::ProxyError;
use crate::health::host::{HostHealth, Outcome};
use http::HeaderValue;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;

/// Idle connections kept per endpoint and worker.
const MAX_IDLE: usize = 1_024;

/// Shared connections kept per endpoint and worker: one for each name that requests bring.
const MAX_SHARED: usize = 64;

/// A connection to send on.
pub enum Live {
    /// One of its own.
    H1(Box<H1>),
    /// A share of one.
    H2(H2),
}

/// Connections and load of an endpoint.
#[derive(Debug)]
pub struct EndpointState {
    /// Where it is.
    pub address: SocketAddr,
    /// Its name as a request's host, when it has one.
    pub hostname: Option<HeaderValue>,
    /// Its weight, at least 1.
    pub weight: Cell<u32>,
    /// Its priority: 0 is served first.
    pub priority: Cell<u32>,
    /// Its locality.
    pub locality: RefCell<Arc<Locality>>,
    /// Nothing speaks against it.
    pub usable: Cell<bool>,
    /// Requests under way.
    pub active: Cell<u32>,
    /// Its health, which all workers share; None when its cluster has no health settings.
    health: Option<Arc<HostHealth>>,
    idle: RefCell<Vec<H1>>,
    h2: RefCell<Vec<H2>>,
    /// Which protocol it spoke the last time, once it is known.
    http2: Cell<Option<bool>>,
    /// Held while the shared HTTP/2 connection is being made, so that a burst makes one.
    making: tokio::sync::Mutex<()>,
}

impl EndpointState {
    /// An endpoint without connections.
    pub fn new(address: SocketAddr, hostname: &str, health: Option<Arc<HostHealth>>) -> Self {
        let making = tokio::sync::Mutex::const_new(());
        let hostname = HeaderValue::from_str(hostname).ok().filter(|h| !h.is_empty());
        Self {
            address,
            hostname,
            weight: Cell::new(1),
            priority: Cell::new(0),
            locality: RefCell::default(),
            usable: Cell::new(true),
            active: Cell::new(0),
            health,
            idle: RefCell::default(),
            h2: RefCell::default(),
            http2: Cell::new(None),
            making,
        }
    }

    /// Takes over what is said of it now.
    pub fn update(&self, endpoint: &Endpoint) {
        self.weight.set(endpoint.weight.max(1));
        self.priority.set(endpoint.priority);
        self.locality.replace(endpoint.locality.clone());
    }

    /// Looks whether anything speaks against it now.
    pub fn look(&self) {
        self.usable.set(self.health.as_ref().is_none_or(|h| h.is_well()));
    }

    /// It answered with this status.
    pub fn answered(&self, status: u16) {
        if let Some(health) = &self.health {
            health.ended(Outcome::Status(status));
        }
    }

    /// A request to it failed, and it may have been the endpoint's fault.
    pub fn ended(&self, why: ProxyError) {
        let Some(health) = &self.health else { return };
        match why {
            ProxyError::Connect(_) => health.ended(Outcome::Connect),
            ProxyError::Timeout | ProxyError::PerTryTimeout | ProxyError::PerTryIdle => health.ended(Outcome::Timeout),
            ProxyError::Reset(_) | ProxyError::RefusedStream => health.ended(Outcome::Reset),
            _ => {}
        }
    }

    /// What consistent hashing knows it by: its name, if that is wanted and it has one, or its address.
    pub fn hash_key(&self, names: bool) -> String {
        let name = self.hostname.as_ref().filter(|_| names).and_then(|h| h.to_str().ok());
        name.map_or_else(|| self.address.to_string(), str::to_owned)
    }

    /// Takes an idle connection for this name that still lives, the one used last first: the others may grow old. Nobody polls idle connections, so each
    /// is polled once here, which notices that its peer closed it.
    pub fn take_idle(&self, name: Option<&str>) -> Option<H1> {
        loop {
            let mut kept = {
                let mut idle = self.idle.borrow_mut();
                let at = idle.iter().rposition(|c| c.name.as_deref() == name)?;
                idle.remove(at)
            };
            if kept.is_reusable() {
                return Some(kept);
            }
        }
    }

    /// Keeps a connection for the next request; whether there was room for it.
    pub fn keep(&self, connection: H1) -> bool {
        let mut idle = self.idle.borrow_mut();
        let room = idle.len() < MAX_IDLE;
        if room {
            idle.push(connection);
        }
        room
    }

    /// The shared HTTP/2 connection, made if there is none.
    ///
    /// # Errors
    /// When it cannot be established.
    pub async fn h2(&self, connector: &Connector, want: &Want) -> Result<H2, ProxyError> {
        match self.live(connector, want).await? {
            Live::H2(handle) => Ok(handle),
            // Another protocol than the last time: the next request goes by it.
            Live::H1(_) => Err(ProxyError::Connect("the endpoint speaks HTTP/1.1 now")),
        }
    }

    /// A connection of whichever protocol the endpoint speaks: HTTP/2's is shared, HTTP/1.1's is new.
    ///
    /// # Errors
    /// When it cannot be established.
    pub async fn live(&self, connector: &Connector, want: &Want) -> Result<Live, ProxyError> {
        if let Some(kept) = self.live_h2(want) {
            return Ok(Live::H2(kept));
        }
        // Once it is known that nothing can be shared, nobody waits for another's connection.
        let making = if self.http2.get() == Some(false) { None } else { Some(self.making.lock().await) };
        if let Some(made) = self.live_h2(want) {
            return Ok(Live::H2(made));
        }
        let opened = connector.open(self.address, want).await?;
        self.http2.set(Some(opened.http2));
        if !opened.http2 {
            drop(making);
            return Ok(Live::H1(Box::new(begin_h1(opened.stream, connector.cluster.buffer_limit).await?)));
        }
        let fresh = H2 { name: want.name.clone(), ..begin_h2(opened.stream, connector.cluster.buffer_limit).await? };
        let mut shared = self.h2.borrow_mut();
        shared.retain(|h| h.name != want.name && !h.send.is_closed());
        if shared.len() >= MAX_SHARED {
            // Streams on it go on; it closes after the last.
            shared.remove(0);
        }
        shared.push(fresh.clone());
        Ok(Live::H2(fresh))
    }

    /// Whether it spoke HTTP/2 the last time.
    pub fn speaks_http2(&self) -> bool {
        self.http2.get() == Some(true)
    }

    /// Forgets the shared HTTP/2 connection: it takes no more requests.
    pub fn drop_h2(&self, want: &Want) {
        self.h2.borrow_mut().retain(|h| h.name != want.name);
    }

    fn live_h2(&self, want: &Want) -> Option<H2> {
        self.h2.borrow().iter().find(|h| h.name == want.name && !h.send.is_closed()).cloned()
    }
}
