//! One endpoint of a cluster, with the connections that one worker keeps to it.

use super::connection::{H1, H2, connect_h2};
use crate::error::ProxyError;
use crate::stats::ClusterStats;
use http::HeaderValue;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

/// Idle connections kept per endpoint and worker.
const MAX_IDLE: usize = 256;

/// Connections and load of an endpoint.
#[derive(Debug)]
pub struct EndpointState {
    /// Where it is.
    pub address: SocketAddr,
    /// Its name as a request's host, when it has one.
    pub hostname: Option<HeaderValue>,
    /// Its weight, at least 1.
    pub weight: Cell<u32>,
    /// Requests under way.
    pub active: Cell<u32>,
    idle: RefCell<Vec<H1>>,
    h2: RefCell<Option<H2>>,
    /// Held while the shared HTTP/2 connection is being made, so that a burst makes one.
    making: tokio::sync::Mutex<()>,
}

impl EndpointState {
    /// An endpoint without connections.
    pub fn new(address: SocketAddr, hostname: &str) -> Self {
        let making = tokio::sync::Mutex::const_new(());
        let hostname = HeaderValue::from_str(hostname).ok().filter(|h| !h.is_empty());
        Self { address, hostname, weight: Cell::new(1), active: Cell::new(0), idle: RefCell::default(), h2: RefCell::default(), making }
    }

    /// Takes an idle connection that still lives, the one used last first: the others may grow old. Nobody polls idle connections, so each
    /// is polled once here, which notices that its peer closed it.
    pub fn take_idle(&self) -> Option<H1> {
        loop {
            let mut kept = self.idle.borrow_mut().pop()?;
            if kept.is_reusable() {
                return Some(kept);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub fn keep(&self, connection: H1) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// The shared HTTP/2 connection, made if there is none.
    ///
    /// # Errors
    /// When it cannot be established.
    pub async fn h2(&self, patience: Duration, stats: &ClusterStats) -> Result<H2, ProxyError> {
        if let Some(kept) = self.live_h2() {
            return Ok(kept);
        }
        let _making = self.making.lock().await;
        if let Some(made) = self.live_h2() {
            return Ok(made);
        }
        let fresh = connect_h2(self.address, patience, stats).await?;
        self.h2.replace(Some(fresh.clone()));
        Ok(fresh)
    }

    /// Forgets the shared HTTP/2 connection: it takes no more requests.
    pub fn drop_h2(&self) {
        self.h2.replace(None);
    }

    fn live_h2(&self) -> Option<H2> {
        self.h2.borrow().as_ref().filter(|h| !h.is_closed()).cloned()
    }
}
