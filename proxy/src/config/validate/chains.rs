//! Filter chains of a listener: what they match, their TLS, their HTTP connection manager.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::routes::Scope;
use super::{http_manager, tls};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::tls::DownstreamTls;
use crate::config::model::{ChainMatch, FilterChain, HttpManager};

const CHAIN: Schema = Schema {
    name: "envoy.config.listener.v3.FilterChain",
    fields: "filters name filter_chain_match transport_socket transport_socket_connect_timeout",
    unsupported: "use_proxy_proto metadata",
};

const MATCH: Schema = Schema {
    name: "envoy.config.listener.v3.FilterChainMatch",
    fields: "destination_port server_names transport_protocol application_protocols",
    unsupported: "prefix_ranges address_suffix suffix_len direct_source_prefix_ranges source_type source_prefix_ranges source_ports",
};

const FILTER: Schema = Schema { name: "envoy.config.listener.v3.Filter", fields: "name typed_config", unsupported: "config_discovery" };

/// Where what filter chains refer to by index is put.
#[derive(Default)]
pub struct Parts {
    /// HTTP connection managers.
    pub managers: Vec<Arc<HttpManager>>,
    /// TLS settings.
    pub tls: Vec<Arc<DownstreamTls>>,
}

/// Reads `filter_chains` and `default_filter_chain`.
pub fn read(fields: &Fields<'_>, scope: &Scope<'_>, parts: &mut Parts) -> Option<(Vec<FilterChain>, Option<FilterChain>)> {
    let default = fields.get("default_filter_chain").map(|v| chain(&v, scope, parts, true));
    let list = fields.list("filter_chains");
    if list.is_empty() && default.is_none() {
        fields.value().problem("there is no filter chain", "expected filter_chains with at least one");
        return None;
    }
    let chains: Vec<_> = list.iter().map(|v| chain(v, scope, parts, false)).collect();
    let chains: Option<Vec<_>> = chains.into_iter().collect();
    let chains = chains?;
    unique(&list, &chains);
    Some((chains, default.map_or(Some(None), |d| d.map(Some))?))
}

fn chain(value: &Value<'_>, scope: &Scope<'_>, parts: &mut Parts, default: bool) -> Option<FilterChain> {
    let fields = value.message(&CHAIN)?;
    let name = fields.get("name").and_then(|v| v.string()).unwrap_or_default();
    let matching = match fields.get("filter_chain_match") {
        Some(value) if default => {
            value.problem("the default filter chain matches what no other does", "remove it");
            None
        }
        Some(value) => Some(matching(&value)?),
        None => Some(ChainMatch::default()),
    };
    let socket = fields.get("transport_socket").map_or(Some(None), |v| tls::downstream(&v));
    let handshake = fields.get("transport_socket_connect_timeout").and_then(|v| v.duration()).filter(|d| !d.is_zero());
    let manager = manager(&fields, scope);
    let tls = socket?.map(|settings| tls::index(&mut parts.tls, settings));
    parts.managers.push(Arc::new(manager?));
    let matching = if default { None } else { matching };
    Some(FilterChain { name, matching, tls, handshake: handshake.unwrap_or(tls::HANDSHAKE), manager: parts.managers.len() - 1 })
}

fn matching(value: &Value<'_>) -> Option<ChainMatch> {
    let fields = value.message(&MATCH)?;
    let port = fields.get("destination_port").and_then(|v| v.wrapper().integer(1, 65_535)).map(|p| p as u16);
    let server_names = fields.list("server_names").iter().filter_map(server_name).collect();
    let transport = fields.get("transport_protocol").and_then(|v| v.string()).unwrap_or_default();
    if let Some(v) = fields.get("transport_protocol").filter(|_| !["", "tls", "raw_buffer"].contains(&transport.as_str())) {
        v.problem(format!("the transport protocol `{transport}` is not known here"), "expected tls or raw_buffer");
    }
    let protocols = fields.list("application_protocols").iter().filter_map(Value::name).collect();
    Some(ChainMatch { port, server_names, transport, protocols })
}

/// A whole name or `*.suffix`, as the model has them.
fn server_name(value: &Value<'_>) -> Option<String> {
    let text = value.name()?.to_ascii_lowercase();
    let name = text.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(&text);
    if name.contains('*') {
        value.problem(format!("`{text}` has a `*` where none can be"), "expected a host name, or one that starts with `*.`");
        return None;
    }
    Some(name.to_owned())
}

/// Envoy refuses two chains that one connection could be meant for.
fn unique(values: &[Value<'_>], chains: &[FilterChain]) {
    let none = [String::new()];
    let or_none = |list: &[String]| if list.is_empty() { none.to_vec() } else { list.to_vec() };
    let mut seen = BTreeSet::new();
    for (value, chain) in values.iter().zip(chains) {
        let Some(m) = &chain.matching else { continue };
        let (names, protocols) = (or_none(&m.server_names), or_none(&m.protocols));
        let all = names.iter().flat_map(|n| protocols.iter().map(move |p| (m.port, n.clone(), m.transport.clone(), p.clone())));
        let twice = all.filter(|what| !seen.insert(what.clone())).count();
        if twice > 0 {
            value.problem("a filter chain before this one matches the same connections", "expected chains that differ in what they match");
        }
    }
}

fn manager(fields: &Fields<'_>, scope: &Scope<'_>) -> Option<HttpManager> {
    let filters = fields.need("filters")?;
    let list = filters.list();
    if list.len() != 1 {
        filters.problem(format!("there are {} network filters", list.len()), "expected one, the HTTP connection manager");
    }
    let mut managers: Vec<_> = list.iter().map(|filter| network_filter(filter, scope)).collect();
    if managers.is_empty() { None } else { managers.swap_remove(0) }
}

fn network_filter(value: &Value<'_>, scope: &Scope<'_>) -> Option<HttpManager> {
    let fields = value.message(&FILTER)?;
    fields.need("name").map(|v| v.name());
    http_manager::manager(&fields.need("typed_config")?, scope)
}
