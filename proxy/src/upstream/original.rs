//! Endpoints of a cluster of type ORIGINAL_DST: each request brings its own, known for as long as it is used.
//!
//! Bounded: at most [`MOST`] destinations per cluster and worker; past that a request is refused as overflow. A sweep forgets those that were not used
//! for the configured time, with their idle connections.

use super::endpoint::EndpointState;
use crate::config::model::OriginalDst as Settings;
use crate::error::ProxyError;
use crate::listener::original::OriginalDst;
use http::request::Request;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Most destinations of one cluster in one worker.
pub const MOST: usize = 4096;

/// Destinations now known.
#[derive(Debug)]
pub struct Destinations {
    settings: Settings,
    known: RefCell<HashMap<SocketAddr, Known>>,
}

#[derive(Debug)]
struct Known {
    endpoint: Rc<EndpointState>,
    used: Cell<Instant>,
}

impl Destinations {
    /// None yet.
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), known: RefCell::default() }
    }

    /// The destination of a request.
    ///
    /// # Errors
    /// When it has none, or when there are too many.
    pub fn choose<B>(&self, request: Option<&Request<B>>) -> Result<Rc<EndpointState>, ProxyError> {
        let address = request.and_then(|r| self.address(r)).ok_or(ProxyError::NoHealthyUpstream)?;
        let mut known = self.known.borrow_mut();
        if let Some(found) = known.get(&address) {
            found.used.set(Instant::now());
            return Ok(found.endpoint.clone());
        }
        if known.len() >= MOST {
            return Err(ProxyError::Overflow);
        }
        let endpoint = Rc::new(EndpointState::new(address, "", None));
        known.insert(address, Known { endpoint: endpoint.clone(), used: Cell::new(Instant::now()) });
        Ok(endpoint)
    }

    /// The header, when it may say so and does; else where the connection wanted to go.
    fn address<B>(&self, request: &Request<B>) -> Option<SocketAddr> {
        let named = self.settings.header.as_ref().and_then(|name| request.headers().get(name));
        let named = named.and_then(|v| v.to_str().ok()).and_then(|text| text.parse().ok());
        let mut address: SocketAddr = named.or_else(|| request.extensions().get::<OriginalDst>().map(|o| o.0))?;
        if let Some(port) = self.settings.port {
            address.set_port(port);
        }
        Some(address)
    }

    /// Forgets what was not used for a while.
    pub fn sweep(&self) {
        let patience: Duration = self.settings.cleanup;
        self.known.borrow_mut().retain(|_, k| k.endpoint.active.get() > 0 || k.used.get().elapsed() < patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(header: Option<&str>, original: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        if let Some(header) = header {
            request.headers_mut().insert("x-to", header.parse().unwrap());
        }
        if let Some(original) = original {
            request.extensions_mut().insert(OriginalDst(original.parse().unwrap()));
        }
        request
    }

    #[test]
    fn a_request_goes_where_its_header_or_its_connection_says() {
        let settings = |header: bool, port| Settings {
            header: header.then_some(http::HeaderName::from_static("x-to")),
            port,
            cleanup: Duration::ZERO,
        };
        let of = |s: &Settings, h, o| Destinations::new(s).choose(Some(&request(h, o))).map(|e| e.address.to_string());
        let plain = settings(false, None);
        assert_eq!(of(&plain, Some("9.9.9.9:9"), Some("1.2.3.4:80")), Ok("1.2.3.4:80".into()));
        assert_eq!(of(&plain, None, None), Err(ProxyError::NoHealthyUpstream));
        let header = settings(true, Some(8080));
        assert_eq!(of(&header, Some("[::1]:9"), Some("1.2.3.4:80")), Ok("[::1]:8080".into()));
        assert_eq!(of(&header, Some("not an address"), Some("1.2.3.4:80")), Ok("1.2.3.4:8080".into()));
    }

    #[test]
    fn destinations_are_bounded_and_forgotten() {
        let destinations = Destinations::new(&Settings { header: None, port: None, cleanup: Duration::ZERO });
        for n in 0..MOST {
            let to = format!("10.0.{}.{}:80", n / 256, n % 256);
            destinations.choose(Some(&request(None, Some(&to)))).unwrap();
        }
        let more = request(None, Some("10.1.0.0:80"));
        assert_eq!(destinations.choose(Some(&more)).map(|e| e.address), Err(ProxyError::Overflow));
        let busy = destinations.choose(Some(&request(None, Some("10.0.0.7:80")))).unwrap();
        busy.active.set(1);
        destinations.sweep();
        assert_eq!(destinations.known.borrow().len(), 1);
        assert!(destinations.choose(Some(&more)).is_ok());
    }
}
