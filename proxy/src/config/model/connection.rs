//! What a connection manager allows its client connections.

use std::time::Duration;

/// Bounds and protocol settings of client connections.
#[derive(Debug, Clone, Default)]
pub struct ConnectionOptions {
    /// A connection is ended, gracefully, after this (default off).
    pub max_duration: Option<Duration>,
    /// A connection is ended, gracefully, after so many requests (default off).
    pub max_requests: Option<u32>,
    /// Serve HTTP/1.0; without it such requests are answered 426, as in Envoy.
    pub accept_http_10: bool,
    /// HTTP/2.
    pub http2: Http2Options,
    /// Protocols that requests may change to.
    pub upgrades: Upgrades,
}

/// Settings of HTTP/2. None = this proxy's default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Http2Options {
    /// Most streams at once on a connection (default 1,024).
    pub max_streams: Option<u32>,
    /// Bytes a peer may send on a stream before it is read.
    pub stream_window: Option<u32>,
    /// The same for the connection.
    pub connection_window: Option<u32>,
    /// A silent connection is pinged after the first time, and ended when there is no answer within the second.
    pub keepalive: Option<(Duration, Duration)>,
    /// Other protocols may be asked for (RFC 8441).
    pub allow_connect: bool,
}

/// Protocols that may be changed to: what stands here wins over what stands further out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upgrades {
    /// Lower case, and whether they may; `connect` is CONNECT.
    pub protocols: Vec<(String, bool)>,
    /// Tunnels end here, with nothing but bytes towards the endpoint (`connect_config`).
    pub ends_connect: bool,
}

impl Upgrades {
    /// Whether a protocol may be changed to; None when nothing is said of it here.
    pub fn allows(&self, protocol: &str) -> Option<bool> {
        self.protocols.iter().find(|(name, _)| name.eq_ignore_ascii_case(protocol)).map(|(_, allowed)| *allowed)
    }
}
