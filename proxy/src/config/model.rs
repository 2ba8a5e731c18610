//! The validated configuration. What stands here can be served: every name resolves, every number is in range.
//!
//! Built only by `config::validate`; read by everything else. Durations: `None` = off (Envoy's `0s`).

mod cluster;
mod connection;
mod domains;
mod headers;
mod health;
mod listener;
mod logs;
mod manager;
mod retry;
mod route;
pub mod tls;

pub use cluster::*;
pub use connection::*;
pub use domains::*;
pub use headers::*;
pub use health::*;
pub use listener::*;
pub use logs::*;
pub use manager::*;
pub use retry::*;
pub use route::*;

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
    /// Most client connections of the whole process (`overload_manager`); None = no bound but the workers' own.
    pub max_connections: Option<u64>,
    /// Listeners, names unique.
    pub listeners: Vec<Arc<Listener>>,
    /// HTTP connection managers of all filter chains, which refer to them by index.
    pub managers: Vec<Arc<HttpManager>>,
    /// TLS settings of all filter chains, which refer to them by index.
    pub downstream_tls: Vec<Arc<tls::DownstreamTls>>,
    /// Clusters, names unique; routes and mirrors refer to them by index.
    pub clusters: Vec<Arc<Cluster>>,
}

/// Index into [`Config::clusters`].
pub type ClusterId = usize;

/// Index into [`Config::managers`].
pub type ManagerId = usize;

/// One mirror policy. Envoy's fields, and ours with safe defaults.
#[derive(Debug, Clone)]
pub struct MirrorPolicy {
    /// Stable name: runtime key when it has one, else `<place>/<cluster>`.
    pub name: String,
    /// Mirror cluster; None when a header names it.
    pub cluster: Option<ClusterId>,
    /// The request header that names the mirror cluster.
    pub cluster_header: Option<http::HeaderName>,
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
    /// Most copies waiting or under way per policy (default 256).
    pub max_in_flight: usize,
    /// Most body bytes held for copies per policy (default 8 MiB).
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
    /// Most copies a second per policy (default: no bound).
    pub max_per_second: Option<f64>,
    /// Headers that copies go without.
    pub strip_headers: Vec<http::HeaderName>,
    /// Compare the bodies of the two answers, by a digest.
    pub compare_bodies: bool,
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
            max_per_second: None,
            strip_headers: Vec::new(),
            compare_bodies: false,
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
