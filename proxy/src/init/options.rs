//! What `foreshadow-proxy init` can be told.

use clap::{Args, ValueEnum};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Redirects a network namespace's TCP connections to the proxy; run once, with the right to change the packet filter
#[derive(Debug, Args)]
pub struct Options {
    /// Port of the proxy's listener for connections that arrive
    #[arg(long, value_name = "PORT", default_value_t = 15006, value_parser = clap::value_parser!(u16).range(1..))]
    pub inbound_port: u16,
    /// Port of the proxy's listener for connections that leave; without it they are left alone
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub outbound_port: Option<u16>,
    /// Redirect only these arriving ports [default: all]
    #[arg(long, value_name = "PORTS", default_value = "*")]
    pub include_inbound_ports: Ports,
    /// Leave these arriving ports alone
    #[arg(long, value_name = "PORTS", default_value = "")]
    pub exclude_inbound_ports: Ports,
    /// Ports that lead past the proxy, such as 17100:8080: what arrives at the first goes to the second directly. For probes
    #[arg(long, value_name = "PORT:PORT", value_delimiter = ',')]
    pub direct_inbound_ports: Vec<Direct>,
    /// Redirect only these leaving ports [default: all]
    #[arg(long, value_name = "PORTS", default_value = "*")]
    pub include_outbound_ports: Ports,
    /// Leave these leaving ports alone
    #[arg(long, value_name = "PORTS", default_value = "")]
    pub exclude_outbound_ports: Ports,
    /// Leave connections to these networks alone, such as 10.96.0.0/12,fd00::/8
    #[arg(long, value_name = "CIDRS", value_delimiter = ',')]
    pub exclude_outbound_cidrs: Vec<Cidr>,
    /// User id of the proxy: what it sends is never redirected
    #[arg(long, value_name = "N", default_value_t = 1337)]
    pub uid: u32,
    /// Group id of the proxy: what it sends is never redirected [default: by user only]
    #[arg(long, value_name = "N")]
    pub gid: Option<u32>,
    /// Tool that sets the rules
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub backend: Backend,
    /// Remove the rules again
    #[arg(long)]
    pub undo: bool,
    /// Print what would be set, and set nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Tools that can set the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The first that is there: nft, iptables-nft, iptables, iptables-legacy.
    Auto,
    /// nftables.
    Nft,
    /// Whatever `iptables` is.
    Iptables,
    /// iptables over nftables.
    IptablesNft,
    /// The old iptables.
    IptablesLegacy,
}

/// A port that leads past the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direct {
    /// Port that is asked.
    pub from: u16,
    /// Port that answers.
    pub to: u16,
}

impl FromStr for Direct {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.trim().parse().ok().filter(|n: &u16| *n > 0);
        let pair = text.split_once(':').and_then(|(from, to)| Some(Self { from: port(from)?, to: port(to)? }));
        pair.ok_or_else(|| format!("`{text}` is not a pair of ports; expected something like 17100:8080"))
    }
}

/// All ports, or a set of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// `*`
    All,
    /// `80,8080`; may be empty.
    Some(BTreeSet<u16>),
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::All);
        }
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let port = |p: &str| {
            p.parse()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("`{p}` is not a port; expected numbers from 1 to 65535 with commas, or *"))
        };
        parts.map(port).collect::<Result<_, _>>().map(Self::Some)
    }
}

impl Ports {
    /// The ports, none for all.
    pub fn list(&self) -> BTreeSet<u16> {
        match self {
            Self::All => BTreeSet::new(),
            Self::Some(ports) => ports.clone(),
        }
    }
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// First address.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub bits: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a network; expected something like 10.0.0.0/8 or fd00::/8");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|b| *b <= most).ok_or_else(wrong)?;
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Options {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// What and why, for people.
    pub fn check(&self) -> Result<(), String> {
        if self.outbound_port == Some(self.inbound_port) {
            return Err("--outbound-port is the inbound port: they need listeners of their own".into());
        }
        let outbound = self.include_outbound_ports != Ports::All
            || self.exclude_outbound_ports != Ports::Some(BTreeSet::new())
            || !self.exclude_outbound_cidrs.is_empty();
        if outbound && self.outbound_port.is_none() {
            return Err("--*-outbound-* options need --outbound-port".into());
        }
        for (include, exclude, way) in [
            (&self.include_inbound_ports, &self.exclude_inbound_ports, "inbound"),
            (&self.include_outbound_ports, &self.exclude_outbound_ports, "outbound"),
        ] {
            if *exclude == Ports::All {
                return Err(format!("--exclude-{way}-ports cannot be *: that would redirect nothing"));
            }
            if *include != Ports::All && !exclude.list().is_empty() {
                return Err(format!("--include-{way}-ports and --exclude-{way}-ports exclude each other"));
            }
        }
        let own = |port: &u16| *port == self.inbound_port || Some(*port) == self.outbound_port;
        if self.include_inbound_ports.list().iter().any(own) {
            return Err("--include-inbound-ports names a port of the proxy itself".into());
        }
        if self.direct_inbound_ports.iter().any(|d| own(&d.from) || own(&d.to)) {
            return Err("--direct-inbound-ports names a port of the proxy itself".into());
        }
        Ok(())
    }

    /// Arriving ports that are left alone: those that were named, and the proxy's own, which are reached directly.
    pub fn inbound_left_alone(&self) -> BTreeSet<u16> {
        let mut ports = self.exclude_inbound_ports.list();
        ports.insert(self.inbound_port);
        ports.extend(self.outbound_port);
        ports
    }
}
