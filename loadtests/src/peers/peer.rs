//! Who is measured, and under which load: the words that the other files here share.

use serde::Serialize;

/// A proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// Ours.
    Foreshadow,
    /// Ours as it was (`--before`).
    Before,
    /// The yardstick.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Foreshadow, Self::Before, Self::Nginx, Self::Haproxy, Self::Envoy];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Foreshadow => "foreshadow",
            Self::Before => "before",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }
}

/// What the load looks like.
#[derive(Debug, Clone, Serialize)]
pub struct Shape {
    /// Client connections.
    pub connections: usize,
    /// Requests under way on each.
    pub streams: usize,
    /// Bytes of an answer.
    pub size: usize,
    /// HTTP/2 between client and proxy.
    pub http2: bool,
    /// TLS between client and proxy.
    pub tls: bool,
    /// Every request is copied.
    pub mirrored: bool,
    /// Workers of the proxy.
    pub workers: usize,
}
