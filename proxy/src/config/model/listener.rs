//! Listeners and their filter chains: which connections there are, and which HTTP connection manager serves them.

use super::ManagerId;
use std::net::SocketAddr;

/// A listener.
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
    /// Filter chains, in file order; what they match differs.
    pub chains: Vec<FilterChain>,
}

/// What serves the connections that it matches.
#[derive(Debug, Clone)]
pub struct FilterChain {
    /// HTTP connection manager, as index into [`super::Config::managers`].
    pub manager: ManagerId,
}
