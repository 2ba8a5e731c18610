//! What a request asks of its cluster besides being sent.

use super::patience::Limits;
use std::net::SocketAddr;

/// Terms of one request, or of one try of it.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// Bounds in time.
    pub limits: Limits,
    /// The name of the chosen endpoint becomes the request's host.
    pub auto_host: bool,
    /// What balancing by hash goes by.
    pub hash: Option<u64>,
    /// It counts under the high priority's circuit breakers.
    pub high_priority: bool,
    /// It came over HTTP/2.
    pub http2: bool,
    /// It is CONNECT: what is granted is not over with its head.
    pub tunnel: bool,
    /// Endpoints that are not to be chosen if there are others.
    pub avoid: &'a [SocketAddr],
    /// One endpoint only, even when it cannot be connected to: whoever asks tries again himself.
    pub once: bool,
}

impl From<Limits> for Errand<'_> {
    fn from(limits: Limits) -> Self {
        Self { limits, auto_host: false, hash: None, high_priority: false, http2: false, tunnel: false, avoid: &[], once: false }
    }
}
