//! Which filter chain serves a connection, by Envoy's precedence: port, then server name, then transport, then application protocol. On each level the
//! most specific chains that fit go on and the others are out for good, as in Envoy; what is left at the end serves, else the default chain.

use crate::config::model::{ChainMatch, FilterChain, Listener};

/// What is known of a connection before it is served.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    /// Port that it was made to.
    pub port: u16,
    /// Server name that it asks for, lower case; empty when it asks for none or is not looked at.
    pub server_name: String,
    /// Whether it starts with a TLS hello. False when it is not looked at.
    pub tls: bool,
    /// Application protocols that it offers, best first.
    pub protocols: Vec<String>,
}

/// The filter chain for a connection; None when there is none.
pub fn choose<'a>(listener: &'a Listener, greeting: &Greeting) -> Option<&'a FilterChain> {
    matching(&listener.chains, greeting).or(listener.default_chain.as_ref())
}

fn matching<'a>(chains: &'a [FilterChain], greeting: &Greeting) -> Option<&'a FilterChain> {
    let all: Vec<_> = chains.iter().filter_map(|c| Some((c, c.matching.as_ref()?))).collect();
    let on_port = narrow(&all, |m| m.port == Some(greeting.port)).or_else(|| narrow(&all, |m| m.port.is_none()))?;
    let named = by_name(&on_port, &greeting.server_name)?;
    let transport = if greeting.tls { "tls" } else { "raw_buffer" };
    let carried = narrow(&named, |m| m.transport == transport).or_else(|| narrow(&named, |m| m.transport.is_empty()))?;
    let spoken = greeting.protocols.iter().find_map(|offered| narrow(&carried, |m| m.protocols.contains(offered)));
    let left = spoken.or_else(|| narrow(&carried, |m| m.protocols.is_empty()))?;
    left.first().map(|(chain, _)| *chain)
}

type Left<'a> = Vec<(&'a FilterChain, &'a ChainMatch)>;

/// Those that fit, if any do.
fn narrow<'a>(from: &Left<'a>, fits: impl Fn(&ChainMatch) -> bool) -> Option<Left<'a>> {
    let left: Left<'a> = from.iter().filter(|(_, m)| fits(m)).copied().collect();
    (!left.is_empty()).then_some(left)
}

/// By the whole name, by the longest suffix, by none.
fn by_name<'a>(from: &Left<'a>, name: &str) -> Option<Left<'a>> {
    let wanting = |text: &str| narrow(from, |m| m.server_names.iter().any(|n| n == text));
    let suffixes = name.match_indices('.').map(|(at, _)| at).filter(|at| *at > 0).map(|at| &name[at..]);
    let named = if name.is_empty() { None } else { wanting(name).or_else(|| suffixes.into_iter().find_map(wanting)) };
    named.or_else(|| narrow(from, |m| m.server_names.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn chain(name: &str, port: Option<u16>, names: &[&str], transport: &str, protocols: &[&str]) -> FilterChain {
        let owned = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        let matching = ChainMatch { port, server_names: owned(names), transport: transport.into(), protocols: owned(protocols) };
        FilterChain { name: name.into(), matching: Some(matching), tls: None, handshake: Duration::ZERO, manager: 0 }
    }

    #[test]
    fn the_most_specific_chain_wins_and_levels_are_not_gone_back_on() {
        let chains = [
            chain("exact", None, &["a.w.test"], "", &[]),
            chain("below", None, &[".w.test"], "tls", &[]),
            chain("h2 below", None, &[".w.test"], "tls", &["h2"]),
            chain("far below", None, &[".test"], "", &[]),
            chain("plain", None, &[], "raw_buffer", &[]),
            chain("port", Some(9), &["only.test"], "", &[]),
        ];
        let find = |port, name: &str, tls, protocols: &[&str]| {
            let protocols = protocols.iter().map(|t| (*t).to_owned()).collect();
            let greeting = Greeting { port, server_name: name.into(), tls, protocols };
            matching(&chains, &greeting).map_or("none", |c| c.name.as_str())
        };
        assert_eq!(find(1, "a.w.test", true, &["h2"]), "exact");
        assert_eq!(find(1, "b.w.test", true, &["http/1.1"]), "below");
        assert_eq!(find(1, "b.w.test", true, &["http/1.1", "h2"]), "h2 below");
        assert_eq!(find(1, "x.b.w.test", true, &[]), "below");
        assert_eq!(find(1, "w.test", true, &[]), "far below");
        assert_eq!(find(1, "test", true, &[]), "none");
        assert_eq!(find(1, "", false, &[]), "plain");
        assert_eq!(find(1, "", true, &[]), "none");
        assert_eq!(find(9, "only.test", true, &[]), "port");
        // The port's chains are all that is left for its connections.
        assert_eq!(find(9, "a.w.test", true, &[]), "none");
    }
}
