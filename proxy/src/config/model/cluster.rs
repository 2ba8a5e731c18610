//! Clusters as they can be served. Part of [`super`], which re-exports it.

use super::tls::UpstreamTls;
use super::{HealthCheck, MirrorPolicy, Outlier};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// An upstream cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Name.
    pub name: String,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// Time allowed to connect (default 5 s).
    pub connect_timeout: Duration,
    /// Bytes held for one connection beyond what the kernel holds (`per_connection_buffer_limit_bytes`). Heads may be longer.
    pub buffer_limit: Option<u32>,
    /// Balancing.
    pub lb: LbPolicy,
    /// How exactly.
    pub lb_settings: LbSettings,
    /// What is spoken to its endpoints.
    pub protocol: Protocol,
    /// TLS to its endpoints, if any.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Passive health; None = off.
    pub outlier: Option<Outlier>,
    /// Active health; None = off.
    pub health_check: Option<HealthCheck>,
    /// Circuit breaker thresholds of requests of default priority.
    pub breaker: Breaker,
    /// The same of high priority.
    pub breaker_high: Breaker,
    /// Only ever the target of mirror policies.
    pub mirror_only: bool,
    /// The cluster's own mirror policies: when there are any, they are in force instead of [`super::Forward::mirrors`] for requests that
    /// go to this cluster. (For routes to one cluster, `Forward::mirrors` holds them already.)
    pub mirrors: Vec<Arc<MirrorPolicy>>,
}

/// What is spoken to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, known beforehand.
    Http2,
    /// Whichever the TLS handshake settles.
    Auto,
    /// What the client spoke.
    Downstream,
}

/// Where endpoints come from.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// Given addresses.
    Static(Vec<Endpoint>),
    /// Names resolved again and again.
    Dns(Dns),
    /// Wherever the connection wanted to go before it was redirected.
    OriginalDst(OriginalDst),
    /// A file with a ClusterLoadAssignment in a DiscoveryResponse, re-read when it changes.
    EdsFile {
        /// Path.
        path: std::path::PathBuf,
        /// Name to look for in the file.
        service_name: String,
        /// What the file said when the configuration was loaded.
        initial: Vec<Endpoint>,
    },
}

/// Settings of clusters of type ORIGINAL_DST.
#[derive(Debug, Clone)]
pub struct OriginalDst {
    /// A request header that names the destination (`address:port`) instead.
    pub header: Option<http::HeaderName>,
    /// Port to use instead of the destination's.
    pub port: Option<u16>,
    /// Destinations not used for this long are forgotten (default 5 s).
    pub cleanup: Duration,
}

/// An upstream endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address.
    pub address: SocketAddr,
    /// Its name: of DNS, or given; empty when it has none.
    pub hostname: Arc<str>,
    /// Weight (default 1).
    pub weight: u32,
    /// False when the file says UNHEALTHY, DRAINING or TIMEOUT.
    pub healthy: bool,
    /// 0 is served first; the next ones take what it cannot.
    pub priority: u32,
    /// Its locality.
    pub locality: Arc<Locality>,
}

/// A group of endpoints that are near each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Locality {
    /// Region, zone, sub-zone.
    pub name: [String; 3],
    /// Its share when balancing goes by locality; 0 when none is given, and then it takes nothing.
    pub weight: u32,
}

/// Names of a cluster of type STRICT_DNS or LOGICAL_DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The names.
    pub hosts: Vec<DnsHost>,
    /// How often they are looked up (default 5 s).
    pub refresh: Duration,
    /// Longer by up to this, at random.
    pub jitter: Duration,
    /// After a failure: the first and the longest wait; None = as ever.
    pub failure_refresh: Option<(Duration, Duration)>,
    /// Which addresses are used.
    pub family: DnsFamily,
    /// One address at a time is used (LOGICAL_DNS); otherwise every address is an endpoint.
    pub logical: bool,
    /// Looked up again when their records expire, rather than at `refresh`.
    pub ttl: bool,
    /// Who is asked; None = as the system says.
    pub servers: Option<DnsServers>,
}

/// Servers of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsServers {
    /// Where they are.
    pub addresses: Vec<SocketAddr>,
    /// Asked over TCP only.
    pub tcp: bool,
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsFamily {
    /// All. (Also for AUTO, where Envoy would leave out IPv4 when there is IPv6: an endpoint that cannot be reached is passed over anyway.)
    #[default]
    All,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// IPv4, or IPv6 when there is none.
    V4Preferred,
}

/// A name in DNS whose addresses are endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsHost {
    /// The name, or an IP address.
    pub name: String,
    /// Port of the endpoints.
    pub port: u16,
    /// What the endpoints are like, but for their address.
    pub like: Endpoint,
}

/// Balancing policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LbPolicy {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The least loaded of some random ones; by weight and load when weights differ.
    LeastRequest,
    /// Any.
    Random,
    /// By a hash of the request, on a ring (ketama).
    RingHash,
    /// By a hash of the request, out of a table (Maglev).
    Maglev,
}

/// Settings of the balancing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LbSettings {
    /// Endpoints that [`LbPolicy::LeastRequest`] looks at (default 2).
    pub choices: u32,
    /// How much load counts against weight in [`LbPolicy::LeastRequest`] (default 1).
    pub active_bias: f64,
    /// Least points on the ring (default 1,024).
    pub ring_min: u64,
    /// Most points on the ring (default 8 Mi).
    pub ring_max: u64,
    /// Size of Maglev's table, a prime (default 65,537).
    pub table_size: u32,
    /// Hashes are of names, not of addresses.
    pub hash_names: bool,
    /// Below this share of healthy endpoints all of them are used (default 50).
    pub panic_percent: f64,
    /// How much more than its share of healthy endpoints a priority takes, percent (default 140).
    pub overprovisioning: u32,
    /// Localities share the load by their weights.
    pub by_locality: bool,
}

impl Default for LbSettings {
    fn default() -> Self {
        Self {
            choices: 2,
            active_bias: 1.0,
            ring_min: 1024,
            ring_max: 8 << 20,
            table_size: 65_537,
            hash_names: false,
            panic_percent: 50.0,
            overprovisioning: 140,
            by_locality: false,
        }
    }
}

/// Circuit breaker thresholds; Envoy's default is 1,024 each and 3 retries.
#[derive(Debug, Clone, Copy)]
pub struct Breaker {
    /// Most connections per worker.
    pub max_connections: u32,
    /// Most requests waiting for a connection.
    pub max_pending_requests: u32,
    /// Most requests under way.
    pub max_requests: u32,
    /// Most retries under way.
    pub retries: RetryLimit,
}

/// Bound on retries under way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RetryLimit {
    /// So many.
    AtOnce(u32),
    /// A share of the requests under way, but at least so many.
    Budget {
        /// Percent.
        percent: f64,
        /// At least.
        least: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self { max_connections: 1024, max_pending_requests: 1024, max_requests: 1024, retries: RetryLimit::AtOnce(3) }
    }
}
