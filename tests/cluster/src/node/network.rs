//! The node's network, inside its own network namespace: the same addresses in every run, and no run meets another.

use super::unsuitable;
use crate::error::{Result, Tried as _};
use std::net::Ipv4Addr;
use std::process::Command;

/// The node's address; API server, kubelet and metrics-server listen on it.
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
/// Range of ClusterIPs.
pub const SERVICES: &str = "10.201.0.0/16";
/// The cluster's DNS service.
pub const DNS: &str = "10.201.0.10";
/// Range of the pods' addresses.
pub const PODS: &str = "10.202.0.0/24";

/// Brings up loopback and an interface with the node's address, and lets the namespace forward packets.
pub fn up() -> Result<()> {
    let address = format!("{NODE}/24");
    ip(&["link", "set", "lo", "up"])?;
    // A bridge without ports, since not every kernel has dummy interfaces.
    ip(&["link", "add", "name", "node0", "type", "bridge"])?;
    ip(&["address", "add", &address, "dev", "node0"])?;
    ip(&["link", "set", "node0", "up"])?;
    // Leads nowhere; kubelet and kube-proxy want to see a default route.
    ip(&["route", "add", "default", "dev", "node0"])?;
    let forward = "/proc/sys/net/ipv4/ip_forward";
    std::fs::write(forward, "1").tried(|| format!("cannot write {forward}"))
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().tried(|| "cannot start ip (package iproute2)".into())?;
    if output.status.success() {
        return Ok(());
    }
    Err(unsuitable(&format!("ip {}", arguments.join(" ")), String::from_utf8_lossy(&output.stderr)))
}
