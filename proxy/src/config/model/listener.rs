//! Listeners and their filter chains: which connections there are, and which HTTP connection manager serves them.

use super::ManagerId;
use std::net::SocketAddr;
use std::time::Duration;

/// Index into [`super::Config::downstream_tls`].
pub type TlsId = usize;

/// A listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Name.
    pub name: String,
    /// Bind address.
    pub address: SocketAddr,
    /// An IPv6 address takes IPv4 connections, too (`ipv4_compat`).
    pub ipv4_too: bool,
    /// Each worker has a socket of its own (`enable_reuse_port`, default true).
    pub reuse_port: bool,
    /// Bytes held for one connection beyond what the kernel holds (`per_connection_buffer_limit_bytes`). Heads may be longer.
    pub buffer_limit: Option<u32>,
    /// False for a listener that only takes connections that another one hands over (`bind_to_port`).
    pub bind: bool,
    /// Ask the kernel where a redirected connection wanted to go (listener filter `original_dst`, or `use_original_dst`).
    pub original_dst: bool,
    /// Hand redirected connections over to the listener of their first destination (`use_original_dst`).
    pub hand_over: bool,
    /// Look at what a connection starts with before its filter chain is chosen (listener filter `tls_inspector`).
    pub inspect: bool,
    /// How long that may take (`listener_filters_timeout`, default 15 s; None = for ever).
    pub patience: Option<Duration>,
    /// Go on without it when it took longer, instead of closing (`continue_on_listener_filters_timeout`).
    pub impatient: bool,
    /// Filter chains, in file order; what they match differs.
    pub chains: Vec<FilterChain>,
    /// For what none of them matches.
    pub default_chain: Option<FilterChain>,
}

impl Listener {
    /// Every filter chain, the default one last.
    pub fn all_chains(&self) -> impl Iterator<Item = &FilterChain> {
        self.chains.iter().chain(&self.default_chain)
    }
}

/// What serves the connections that it matches.
#[derive(Debug, Clone)]
pub struct FilterChain {
    /// Its name; may be empty.
    pub name: String,
    /// Which connections; None for the default chain.
    pub matching: Option<ChainMatch>,
    /// TLS, if any.
    pub tls: Option<TlsId>,
    /// Bound on the TLS handshake (`transport_socket_connect_timeout`; default 15 s here, none in Envoy).
    pub handshake: Duration,
    /// HTTP connection manager, as index into [`super::Config::managers`].
    pub manager: ManagerId,
}

/// What a connection has to be; an empty list or None asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainMatch {
    /// Port that it was made to.
    pub port: Option<u16>,
    /// Server names (SNI), lower case: whole, or `.example.com` for every name below it.
    pub server_names: Vec<String>,
    /// `tls` or `raw_buffer`; empty for both.
    pub transport: String,
    /// Application protocols (ALPN) of which the client offers one.
    pub protocols: Vec<String>,
}
