//! The rules in nftables' words: one table of our own, for IPv4 and IPv6 at once, replaced whole in one transaction.

use super::error::InitError;
use super::options::{Cidr, Options, Ports};
use super::tool::run;
use std::collections::BTreeSet;

/// Removes the table; adding it first makes that work also when it is not there.
pub const UNDO: &str = "add table inet foreshadow\ndelete table inet foreshadow\n";

/// Sets the rules.
pub fn apply(options: &Options) -> Result<String, InitError> {
    run("nft", &["-f", "-"], &script(options))?;
    run("nft", &["list", "table", "inet", "foreshadow"], "")
}

/// Removes the rules; whether there were any.
pub fn remove() -> Result<bool, InitError> {
    let there = run("nft", &["list", "tables"], "")?.lines().any(|l| l.trim() == "table inet foreshadow");
    if there {
        run("nft", &["-f", "-"], UNDO)?;
    }
    Ok(there)
}

/// The transaction.
pub fn script(options: &Options) -> String {
    let mut rules = format!(
        "{UNDO}table inet foreshadow {{\n  chain inbound {{\n    type nat hook prerouting priority dstnat; policy accept;\n    iifname \"lo\" return\n"
    );
    rules += &options.direct_inbound_ports.iter().map(|d| format!("    tcp dport {} redirect to :{}\n", d.from, d.to)).collect::<String>();
    rules += &format!("    tcp dport {} return\n", set(&options.inbound_left_alone()));
    rules += &redirect(&options.include_inbound_ports, options.inbound_port);
    rules += "  }\n";
    if let Some(port) = options.outbound_port {
        rules += "  chain outbound {\n    type nat hook output priority -100; policy accept;\n    oifname \"lo\" return\n";
        rules += &format!("    meta skuid {} return\n", options.uid);
        if let Some(gid) = options.gid {
            rules += &format!("    meta skgid {gid} return\n");
        }
        let excluded = options.exclude_outbound_ports.list();
        if !excluded.is_empty() {
            rules += &format!("    tcp dport {} return\n", set(&excluded));
        }
        rules += &networks("ip", &options.exclude_outbound_cidrs, |c| c.address.is_ipv4());
        rules += &networks("ip6", &options.exclude_outbound_cidrs, |c| c.address.is_ipv6());
        rules += &redirect(&options.include_outbound_ports, port);
        rules += "  }\n";
    }
    rules + "}\n"
}

fn redirect(ports: &Ports, to: u16) -> String {
    match ports {
        Ports::All => format!("    meta l4proto tcp redirect to :{to}\n"),
        Ports::Some(ports) if ports.is_empty() => String::new(),
        Ports::Some(ports) => format!("    tcp dport {} redirect to :{to}\n", set(ports)),
    }
}

fn networks(family: &str, all: &[Cidr], which: impl Fn(&&Cidr) -> bool) -> String {
    let of: Vec<_> = all.iter().filter(which).map(Cidr::to_string).collect();
    if of.is_empty() { String::new() } else { format!("    {family} daddr {{ {} }} return\n", of.join(", ")) }
}

fn set(ports: &BTreeSet<u16>) -> String {
    let all: Vec<_> = ports.iter().map(u16::to_string).collect();
    format!("{{ {} }}", all.join(", "))
}
