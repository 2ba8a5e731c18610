//! The rules in iptables' words: two chains of our own in the nat table, for IPv4 and, where there is IPv6, for that.
//!
//! What is there of ours is read first and replaced in one `iptables-restore` transaction per address family.

use super::error::InitError;
use super::options::{Options, Ports};
use super::tool::{on_path, run};
use std::net::IpAddr;

const INBOUND: &str = "FORESHADOW_INBOUND";
const OUTBOUND: &str = "FORESHADOW_OUTBOUND";
/// Our chains with the built-in chain that leads to each.
const CHAINS: [(&str, &str); 2] = [("PREROUTING", INBOUND), ("OUTPUT", OUTBOUND)];

/// The command of one address family and its restore command.
struct Commands {
    rules: String,
    restore: String,
    v6: bool,
}

/// `iptables-nft` -> `ip6tables-nft`, `ip6tables-nft-restore`.
fn commands(tool: &str, v6: bool) -> Commands {
    let rules = if v6 { tool.replacen("iptables", "ip6tables", 1) } else { tool.to_owned() };
    Commands { restore: format!("{rules}-restore"), rules, v6 }
}

/// The families to serve: IPv6 where the kernel has it and the tool, too.
fn families(tool: &str) -> Vec<Commands> {
    let mut all = vec![commands(tool, false)];
    let six = commands(tool, true);
    if std::path::Path::new("/proc/net/if_inet6").exists() && on_path(&six.rules) {
        all.push(six);
    }
    all
}

/// Sets the rules.
pub fn apply(options: &Options, tool: &str) -> Result<String, InitError> {
    let mut said = String::new();
    for family in families(tool) {
        let script = format!("*nat\n{}{}COMMIT\n", removal(&listed(&family)?), addition(options, family.v6));
        run(&family.restore, &["--noflush", "--wait"], &script)?;
        let now = listed(&family)?;
        said += &now.lines().filter(|l| l.contains("FORESHADOW_")).map(|l| format!("{}: {l}\n", family.rules)).collect::<String>();
    }
    if !on_path(&commands(tool, true).rules) {
        said += "IPv6 is left alone: there is no ip6tables\n";
    }
    Ok(said)
}

/// Removes the rules; whether there were any.
pub fn remove(tool: &str) -> Result<bool, InitError> {
    let mut any = false;
    for family in families(tool) {
        // Looking at a table of the old kind makes it; where there is none, nothing of ours is in it.
        let old = if family.v6 { "/proc/net/ip6_tables_names" } else { "/proc/net/ip_tables_names" };
        let made = || std::fs::read_to_string(old).is_ok_and(|names| names.lines().any(|n| n == "nat"));
        if is_old(&family.rules) && !made() {
            continue;
        }
        let steps = removal(&listed(&family)?);
        if !steps.is_empty() {
            run(&family.restore, &["--noflush", "--wait"], &format!("*nat\n{steps}COMMIT\n"))?;
            any = true;
        }
    }
    Ok(any)
}

/// Whether a command works on the kernel's old tables.
fn is_old(command: &str) -> bool {
    command.ends_with("-legacy") || run(command, &["--version"], "").is_ok_and(|v| v.contains("legacy"))
}

fn listed(family: &Commands) -> Result<String, InitError> {
    run(&family.rules, &["--wait", "-t", "nat", "-S"], "")
}

/// Steps that take away what `listed` shows of ours.
fn removal(listed: &str) -> String {
    let mut steps = String::new();
    for (from, ours) in CHAINS {
        for jump in listed.lines().filter(|l| l.starts_with(&format!("-A {from} ")) && l.ends_with(&format!("-j {ours}"))) {
            steps += &format!("{}\n", jump.replacen("-A", "-D", 1));
        }
        if listed.lines().any(|l| l == format!("-N {ours}")) {
            steps += &format!("-F {ours}\n-X {ours}\n");
        }
    }
    steps
}

fn addition(options: &Options, v6: bool) -> String {
    let mut steps = format!("-N {INBOUND}\n-A {INBOUND} -i lo -j RETURN\n");
    for direct in &options.direct_inbound_ports {
        steps += &format!("-A {INBOUND} -p tcp --dport {} -j REDIRECT --to-ports {}\n", direct.from, direct.to);
    }
    for port in options.inbound_left_alone() {
        steps += &format!("-A {INBOUND} -p tcp --dport {port} -j RETURN\n");
    }
    steps += &redirect(INBOUND, &options.include_inbound_ports, options.inbound_port);
    steps += &format!("-A PREROUTING -p tcp -j {INBOUND}\n");
    let Some(port) = options.outbound_port else { return steps };
    steps += &format!("-N {OUTBOUND}\n-A {OUTBOUND} -o lo -j RETURN\n-A {OUTBOUND} -m owner --uid-owner {} -j RETURN\n", options.uid);
    if let Some(gid) = options.gid {
        steps += &format!("-A {OUTBOUND} -m owner --gid-owner {gid} -j RETURN\n");
    }
    for port in options.exclude_outbound_ports.list() {
        steps += &format!("-A {OUTBOUND} -p tcp --dport {port} -j RETURN\n");
    }
    for network in options.exclude_outbound_cidrs.iter().filter(|c| matches!(c.address, IpAddr::V6(_)) == v6) {
        steps += &format!("-A {OUTBOUND} -d {network} -j RETURN\n");
    }
    steps += &redirect(OUTBOUND, &options.include_outbound_ports, port);
    steps + &format!("-A OUTPUT -p tcp -j {OUTBOUND}\n")
}

fn redirect(chain: &str, ports: &Ports, to: u16) -> String {
    match ports {
        Ports::All => format!("-A {chain} -p tcp -j REDIRECT --to-ports {to}\n"),
        Ports::Some(ports) => ports.iter().map(|port| format!("-A {chain} -p tcp --dport {port} -j REDIRECT --to-ports {to}\n")).collect(),
    }
}

/// What [`apply`] would run on tables without anything of ours.
pub fn show(options: &Options, tool: &str) -> String {
    let one = |family: Commands| format!("{} --noflush --wait <<END\n*nat\n{}COMMIT\nEND\n", family.restore, addition(options, family.v6));
    families(tool).into_iter().map(one).collect()
}

/// What [`remove`] would run on tables with everything of ours.
pub fn show_undo(tool: &str) -> String {
    let all: String = CHAINS.iter().map(|(from, ours)| format!("-N {ours}\n-A {from} -p tcp -j {ours}\n")).collect();
    families(tool).iter().map(|f| format!("{} --noflush --wait <<END\n*nat\n{}COMMIT\nEND\n", f.restore, removal(&all))).collect()
}
