//! `foreshadow-proxy init`: sends a network namespace's TCP connections through the proxy, and takes that back.
//!
//! Called by `main` through [`crate::app`], once, by an init container or by a person; needs the right to change the packet filter (NET_ADMIN).
//! Promises: doing it twice is doing it once; `--undo` leaves nothing of ours, whichever tool set it; a refused step leaves the rules as they
//! were (each tool's script is one transaction). Not here: how a connection's first destination is found again (`listener::original`).

pub mod error;
mod iptables;
mod nft;
pub mod options;
mod tool;

use error::InitError;
use options::{Backend, Options};
use tool::Tool;

/// Does what the options say; what a person is to read.
///
/// # Errors
/// When the options contradict each other, when no tool is there, or with the tool's own words.
pub fn run(options: &Options) -> Result<String, InitError> {
    options.check().map_err(InitError::Usage)?;
    let present = Tool::present(options.backend);
    if options.dry_run {
        // Without any tool the rules can still be shown.
        let shown = present.first().cloned().unwrap_or(Tool::Nft);
        return Ok(dry_run(options, &shown));
    }
    if options.undo {
        return undo(&present);
    }
    let Some(tool) = present.first() else {
        let tried = Tool::candidates(options.backend).iter().map(Tool::name).collect::<Vec<_>>().join(", ");
        return Err(InitError::Tool(format!("none of {tried} is on PATH; install nftables or iptables")));
    };
    // Rules that another tool left would redirect once more.
    let others = Tool::present(Backend::Auto).into_iter().filter(|other| other != tool);
    others.map(|other| remove(&other)).collect::<Result<Vec<_>, _>>()?;
    let lines = match tool {
        Tool::Nft => nft::apply(options)?,
        Tool::Iptables(family) => iptables::apply(options, family)?,
    };
    Ok(format!("redirected by {}\n{lines}", tool.name()))
}

fn undo(present: &[Tool]) -> Result<String, InitError> {
    let mut said = String::new();
    for tool in present {
        if remove(tool)? {
            said += &format!("rules removed by {}\n", tool.name());
        }
    }
    Ok(if said.is_empty() { "there was nothing to remove\n".to_owned() } else { said })
}

/// Removes what this tool sees of ours; whether there was anything.
fn remove(tool: &Tool) -> Result<bool, InitError> {
    match tool {
        Tool::Nft => nft::remove(),
        Tool::Iptables(family) => iptables::remove(family),
    }
}

fn dry_run(options: &Options, tool: &Tool) -> String {
    let body = match (tool, options.undo) {
        (Tool::Nft, false) => nft::script(options),
        (Tool::Nft, true) => nft::UNDO.to_owned(),
        (Tool::Iptables(family), false) => iptables::show(options, family),
        (Tool::Iptables(family), true) => iptables::show_undo(family),
    };
    format!("# {}\n{body}", tool.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn shown(arguments: &[&str], tool: &Tool) -> String {
        let line = Line::try_parse_from(std::iter::once("init").chain(arguments.iter().copied())).unwrap();
        line.options.check().unwrap();
        dry_run(&line.options, tool)
    }

    #[test]
    fn the_nft_script_says_what_the_options_say() {
        let text = shown(
            &["--outbound-port", "15001", "--exclude-inbound-ports", "15090,22", "--exclude-outbound-cidrs", "10.0.0.0/8,fd00::/8"],
            &Tool::Nft,
        );
        for line in [
            "delete table inet foreshadow",
            "tcp dport { 22, 15001, 15006, 15090 } return",
            "meta l4proto tcp redirect to :15006",
            "meta skuid 1337 return",
            "oifname \"lo\" return",
            "ip daddr { 10.0.0.0/8 } return",
            "ip6 daddr { fd00::/8 } return",
            "meta l4proto tcp redirect to :15001",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn without_an_outbound_port_nothing_that_leaves_is_touched() {
        let text = shown(&["--include-inbound-ports", "8080,8081", "--direct-inbound-ports", "17100:8080"], &Tool::Nft);
        assert!(!text.contains("hook output"), "{text}");
        assert!(text.contains("tcp dport { 8080, 8081 } redirect to :15006"), "{text}");
        assert!(text.contains("tcp dport 17100 redirect to :8080"), "{text}");
    }

    #[test]
    fn the_iptables_script_is_one_transaction() {
        let text = shown(&["--outbound-port", "15001", "--gid", "1338"], &Tool::Iptables("iptables"));
        for line in [
            "*nat",
            "-A FORESHADOW_INBOUND -p tcp -j REDIRECT --to-ports 15006",
            "-A FORESHADOW_OUTBOUND -m owner --gid-owner 1338 -j RETURN",
            "-A PREROUTING -p tcp -j FORESHADOW_INBOUND",
            "COMMIT",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for arguments in [
            ["--outbound-port", "15006"].as_slice(),
            &["--exclude-outbound-ports", "53"],
            &["--include-inbound-ports", "80", "--exclude-inbound-ports", "22"],
            &["--include-inbound-ports", "15006"],
            &["--direct-inbound-ports", "17100:15006"],
        ] {
            let line = Line::try_parse_from(std::iter::once("init").chain(arguments.iter().copied())).unwrap();
            assert!(line.options.check().is_err(), "{arguments:?}");
        }
        for arguments in
            [["--inbound-port", "0"].as_slice(), &["--exclude-inbound-ports", "1,x"], &["--exclude-outbound-cidrs", "10.0.0.0/33"]]
        {
            assert!(Line::try_parse_from(std::iter::once("init").chain(arguments.iter().copied())).is_err(), "{arguments:?}");
        }
    }
}
