//! Listening sockets: one per worker and listener, sharing the port (SO_REUSEPORT), so that the kernel spreads connections; or one
//! for all workers, where the file asks for that (`enable_reuse_port: false`).

pub mod chains;
pub mod client;
pub mod gather;
pub mod original;
pub mod preface;
pub mod stream;

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Pending connections the kernel holds.
const BACKLOG: i32 = 1024;

/// Binds `count` sockets to one address; port 0 takes a free port, the same for all. `ipv4_too` lets an IPv6 socket take IPv4 connections. Without
/// `reuse_port` all of them are one socket, whose connections go to whichever worker comes first.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr, ipv4_too: bool, reuse_port: bool, count: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let first = bind_one(address, ipv4_too, reuse_port)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(if reuse_port { bind_one(bound, ipv4_too, true)? } else { sockets[0].try_clone()? });
    }
    Ok((bound, sockets))
}

fn bind_one(address: SocketAddr, ipv4_too: bool, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!ipv4_too)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether another process listens on the address already: with SO_REUSEPORT a second proxy of the same user would silently share its traffic.
pub fn is_taken(address: SocketAddr, ipv4_too: bool) -> bool {
    if address.port() == 0 {
        return false;
    }
    let plain = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
    plain
        .and_then(|s| {
            s.set_reuse_address(true)?;
            if address.is_ipv6() {
                s.set_only_v6(!ipv4_too)?;
            }
            s.bind(&address.into())?;
            s.listen(1)
        })
        .is_err()
}
