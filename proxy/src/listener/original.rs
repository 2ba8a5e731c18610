//! Where a redirected connection wanted to go before the packet filter sent it here (`SO_ORIGINAL_DST`), and which listener that belongs to.
//!
//! Called by the accept loop for listeners that are configured for it. Not here: the rules that redirect (`crate::init`).

use crate::config::model::Config;
use socket2::SockRef;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;

/// The first destination of a redirected connection, as a request carries it to a cluster of type ORIGINAL_DST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalDst(pub SocketAddr);

/// The first destination; None when the connection was not redirected. (A connection straight to the proxy's port would otherwise be sent on
/// to that very port, for ever.)
pub fn destination(stream: &TcpStream) -> Option<SocketAddr> {
    let local = plain(stream.local_addr().ok()?);
    let socket = SockRef::from(stream);
    let found = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    let original = plain(found.ok()?.as_socket()?);
    (original != local).then_some(original)
}

/// An IPv4 address in IPv6's clothes as what it is.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The listener for a destination: the one at this very address, else the one at this port on any address.
pub fn listener_for(config: &Config, to: SocketAddr) -> Option<usize> {
    let at = |ip: IpAddr| config.listeners.iter().position(|l| l.address == SocketAddr::new(ip, to.port()));
    let any = if to.is_ipv4() { at(Ipv4Addr::UNSPECIFIED.into()) } else { None };
    at(to.ip()).or(any).or_else(|| at(Ipv6Addr::UNSPECIFIED.into()))
}
