//! The validated configuration. What stands here can be served: every name resolves, every number is in range.
//!
//! Built only by `config::validate`; read by everything else. Durations: `None` = off (Envoy's `0s`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the admin endpoints are served; None = not at all.
    pub admin: Option<SocketAddr>,
    /// Static runtime values (`layered_runtime`), later layers win.
    pub runtime: Vec<(String, f64)>,
    /// Listeners, names unique.
    pub listeners: Vec<Arc<Listener>>,
    /// Clusters, names unique; routes and mirrors refer to them by index.
    pub clusters: Vec<Arc<Cluster>>,
}

/// Index into [`Config::clusters`].
pub type ClusterId = usize;

/// A listener with its one HTTP connection manager.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Name.
    pub name: String,
    /// Bind address.
    pub address: SocketAddr,
    /// An IPv6 address takes IPv4 connections, too (`ipv4_compat`).
    pub ipv4_too: bool,
    /// False for a listener that only takes connections that another one hands over (`bind_to_port`).
    pub bind: bool,
    /// Ask the kernel where a redirected connection wanted to go (listener filter `original_dst`, or `use_original_dst`).
    pub original_dst: bool,
    /// Hand redirected connections over to the listener of their first destination (`use_original_dst`).
    pub hand_over: bool,
    /// HTTP connection manager.
    pub http: HttpManager,
}

/// Protocols a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// HTTP/1.1 or HTTP/2 by preface.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// HTTP connection manager.
#[derive(Debug, Clone)]
pub struct HttpManager {
    /// Prefix of its statistics.
    pub stat_prefix: String,
    /// Protocols.
    pub codec: Codec,
    /// Routes.
    pub routes: RouteTable,
    /// Make an `x-request-id` when there is none (default true).
    pub generate_request_id: bool,
    /// Keep a client's `x-request-id` (default false: replaced at the edge, i.e. when `use_remote_address` is set).
    pub preserve_external_request_id: bool,
    /// Trust the peer address: append it to `x-forwarded-for` and treat the client as external when it is.
    pub use_remote_address: bool,
    /// Trusted hops in `x-forwarded-for`.
    pub xff_num_trusted_hops: u32,
    /// `server` header of answers (default `envoy`'s counterpart: `foreshadow`).
    pub server_name: String,
    /// Largest request head in KiB (default 60).
    pub max_request_headers_kb: u32,
    /// Most request headers (default 100).
    pub max_headers_count: u32,
    /// Idle keep-alive connections are closed after this (default 1 h).
    pub idle_timeout: Option<Duration>,
    /// A stream without progress is ended after this (default 5 min).
    pub stream_idle_timeout: Option<Duration>,
    /// The whole request must have arrived within this (default off).
    pub request_timeout: Option<Duration>,
    /// The request head must have arrived within this (default off).
    pub request_headers_timeout: Option<Duration>,
    /// Grace period of a drain (default 5 s).
    pub drain_timeout: Duration,
}

/// Virtual hosts of a listener.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    /// Name of the route configuration.
    pub name: String,
    /// Virtual hosts, in file order.
    pub virtual_hosts: Vec<VirtualHost>,
}

/// A virtual host.
#[derive(Debug, Clone)]
pub struct VirtualHost {
    /// Name.
    pub name: String,
    /// Domains: exact, `*.suffix`, `prefix.*`, `*`; Envoy's precedence (exact, longest suffix, longest prefix, any).
    pub domains: Vec<Domain>,
    /// Routes: the first match wins.
    pub routes: Vec<Arc<Route>>,
}

/// A domain pattern, lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Domain {
    /// `example.com`
    Exact(String),
    /// `*.example.com`, held as `.example.com`
    Suffix(String),
    /// `example.*`, held as `example.`
    Prefix(String),
    /// `*`
    Any,
}

/// A route: what it matches, what it does.
#[derive(Debug, Clone)]
pub struct Route {
    /// Name, for statistics and logs; may be empty.
    pub name: String,
    /// Path matcher.
    pub path: PathMatch,
    /// Header matchers, all must hold.
    pub headers: Vec<HeaderMatch>,
    /// What to do.
    pub action: RouteAction,
    /// Added to or removed from the request before it goes upstream (route, virtual host and table level already merged, in Envoy's order).
    pub request_headers: HeaderOps,
    /// The same for the answer.
    pub response_headers: HeaderOps,
}

/// Path matcher.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// Path starts with this.
    Prefix(String),
    /// Path equals this.
    Exact(String),
    /// Path equals this or continues with `/`.
    SeparatedPrefix(String),
    /// Whole path matches.
    Regex(regex::Regex),
}

/// Header matcher.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// Lower-case name; `:method`, `:path`, `:authority` are the request line's.
    pub name: String,
    /// How its value must look.
    pub value: HeaderValueMatch,
    /// Negate.
    pub invert: bool,
}

/// How a header's value must look.
#[derive(Debug, Clone)]
pub enum HeaderValueMatch {
    /// Present (true) or absent (false).
    Present(bool),
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// Ends with.
    Suffix(String),
    /// Contains.
    Contains(String),
    /// Whole value matches.
    Regex(regex::Regex),
}

/// Header additions and removals: first everything in `remove`, then everything in `set`.
#[derive(Debug, Clone, Default)]
pub struct HeaderOps {
    /// Set or append, in order.
    pub set: Vec<HeaderSet>,
    /// Remove these.
    pub remove: Vec<http::HeaderName>,
}

/// One header addition.
#[derive(Debug, Clone)]
pub struct HeaderSet {
    /// Name.
    pub name: http::HeaderName,
    /// Value.
    pub value: http::HeaderValue,
    /// What to do when it is there.
    pub mode: HeaderSetMode,
}

/// Envoy's `append_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderSetMode {
    /// Add one more.
    #[default]
    Append,
    /// Only when absent.
    AddIfAbsent,
    /// Replace all, or add.
    Overwrite,
    /// Replace only when present.
    OverwriteIfExists,
}

/// What a route does.
#[derive(Debug, Clone)]
pub enum RouteAction {
    /// Proxy.
    Forward(Forward),
    /// Answer at once.
    Direct {
        /// Status.
        status: http::StatusCode,
        /// Body.
        body: bytes::Bytes,
    },
}

/// Proxying.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Where to: one or more clusters with weights (one entry when not weighted).
    pub clusters: Vec<(ClusterId, u32)>,
    /// Replaces the matched prefix.
    pub prefix_rewrite: Option<String>,
    /// Replaces the host.
    pub host_rewrite: Option<http::HeaderValue>,
    /// Whole-request timeout (default 15 s).
    pub timeout: Option<Duration>,
    /// Mirror policies in force here (the most specific non-empty list already chosen).
    pub mirrors: Vec<Arc<MirrorPolicy>>,
}

/// One mirror policy. Envoy's fields, and ours with safe defaults.
#[derive(Debug, Clone)]
pub struct MirrorPolicy {
    /// Stable name: runtime key when it has one, else `<place>/<cluster>`.
    pub name: String,
    /// Mirror cluster.
    pub cluster: ClusterId,
    /// Copies per eligible request when no runtime value stands (1.0 = all; above 1.0 by our extension only).
    pub fraction: f64,
    /// Runtime key by which the fraction is set.
    pub runtime_key: Option<String>,
    /// Do not put `-shadow` into the copy's host.
    pub keep_host: bool,
    /// The copy's host, when given.
    pub host_rewrite: Option<http::HeaderValue>,
    /// Mutations of the copy's headers.
    pub request_headers: HeaderOps,
    /// Our extension.
    pub limits: MirrorLimits,
}

/// Foreshadow's own mirror settings (`metadata.filter_metadata.foreshadow.mirror` or `typed_per_filter_config`).
#[derive(Debug, Clone)]
pub struct MirrorLimits {
    /// Which methods may be copied.
    pub methods: MirrorMethods,
    /// Most copies waiting or under way per policy and worker (default 256).
    pub max_in_flight: usize,
    /// Most body bytes held for copies per policy and worker (default 8 MiB).
    pub max_buffered_bytes: usize,
    /// Largest body of one copy (default 1 MiB); a larger one costs the copy, not production.
    pub max_body_bytes: usize,
    /// A copy is ended after this (default 5 s).
    pub timeout: Duration,
    /// Extra copies above 100 % are spread over this time (default 1 s).
    pub spread: Duration,
    /// Sample by the hash of this, so that whole sessions are in or out.
    pub key: Option<SampleKey>,
    /// Copy only what production accepted (answer below 500), after its answer.
    pub only_accepted: bool,
}

impl Default for MirrorLimits {
    fn default() -> Self {
        Self {
            methods: MirrorMethods::All,
            max_in_flight: 256,
            max_buffered_bytes: 8 << 20,
            max_body_bytes: 1 << 20,
            timeout: Duration::from_secs(5),
            spread: Duration::from_secs(1),
            key: None,
            only_accepted: false,
        }
    }
}

/// Which methods may be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MirrorMethods {
    /// Every method but CONNECT (Envoy's default).
    #[default]
    All,
    /// GET, HEAD, OPTIONS (the default of injected sidecars).
    Safe,
}

/// What keyed sampling hashes.
#[derive(Debug, Clone)]
pub enum SampleKey {
    /// A header's value.
    Header(http::HeaderName),
    /// A cookie's value.
    Cookie(String),
    /// A query parameter's value.
    Query(String),
    /// The client's address.
    SourceIp,
}

/// An upstream cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Name.
    pub name: String,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// Time allowed to connect (default 5 s).
    pub connect_timeout: Duration,
    /// Balancing.
    pub lb: LbPolicy,
    /// HTTP/2 with prior knowledge to upstream.
    pub http2: bool,
    /// Circuit breaker thresholds (default priority).
    pub breaker: Breaker,
    /// Only ever the target of mirror policies.
    pub mirror_only: bool,
    /// The cluster's own mirror policies: when there are any, they are in force instead of [`Forward::mirrors`] for requests that
    /// go to this cluster. (For routes to one cluster, `Forward::mirrors` holds them already.)
    pub mirrors: Vec<Arc<MirrorPolicy>>,
}

/// Where endpoints come from.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// Given addresses.
    Static(Vec<Endpoint>),
    /// Names resolved again and again; every address is an endpoint.
    StrictDns {
        /// Names, ports, weights.
        hosts: Vec<(String, u16, u32)>,
        /// How often (default 5 s).
        refresh: Duration,
    },
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
    /// Weight (default 1).
    pub weight: u32,
    /// False when the file says UNHEALTHY, DRAINING or TIMEOUT.
    pub healthy: bool,
}

/// Balancing policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LbPolicy {
    /// In turn.
    #[default]
    RoundRobin,
    /// The less loaded of two random ones.
    LeastRequest,
    /// Any.
    Random,
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
}

impl Default for Breaker {
    fn default() -> Self {
        Self { max_connections: 1024, max_pending_requests: 1024, max_requests: 1024 }
    }
}
