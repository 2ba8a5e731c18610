//! Listeners: an address and one filter chain with one HTTP connection manager.

use super::routes::Scope;
use super::{endpoint, http_manager, listener_filters};
use crate::config::decode::Value;
use crate::config::decode::message::{Fields, Schema};
use crate::config::model::{FilterChain, HttpManager, Listener};
use std::sync::Arc;

const LISTENER: Schema = Schema {
    name: "envoy.config.listener.v3.Listener",
    fields: "name address filter_chains use_original_dst listener_filters bind_to_port",
    unsupported: "additional_addresses stat_prefix fcds_config filter_chain_matcher default_filter_chain \
        per_connection_buffer_limit_bytes per_connection_buffer_high_watermark_timeout metadata deprecated_v1 drain_type listener_filters_timeout continue_on_listener_filters_timeout transparent freebind socket_options tcp_fast_open_queue_length \
        traffic_direction udp_listener_config api_listener connection_balance_config reuse_port enable_reuse_port access_log \
        tcp_backlog_size max_connections_to_accept_per_socket_event internal_listener enable_mptcp ignore_global_conn_limit \
        bypass_overload_manager tcp_keepalive",
};

const CHAIN: Schema = Schema {
    name: "envoy.config.listener.v3.FilterChain",
    fields: "filters name",
    unsupported: "filter_chain_match use_proxy_proto metadata transport_socket transport_socket_connect_timeout",
};

const FILTER: Schema = Schema { name: "envoy.config.listener.v3.Filter", fields: "name typed_config", unsupported: "config_discovery" };

/// Reads a listener, and puts its connection managers into `managers`. Without a name it is called by its address.
pub fn listener(value: &Value<'_>, scope: &Scope<'_>, managers: &mut Vec<Arc<HttpManager>>) -> Option<Listener> {
    let fields = value.message(&LISTENER)?;
    let name = fields.get("name").and_then(|v| v.string()).filter(|name| !name.is_empty());
    let address = fields.need("address").and_then(|v| endpoint::socket_address(&v));
    let chains = chains(&fields, scope, managers);
    let filters = listener_filters::read(&fields.list("listener_filters"));
    let flag = |name: &str, default| fields.get(name).and_then(|v| v.wrapper().boolean()).unwrap_or(default);
    let hand_over = flag("use_original_dst", false);
    let bind = flag("bind_to_port", true);
    let ipv4_too = fields.get("address").is_some_and(|v| endpoint::ipv4_compat(&v));
    let address = address?;
    Some(Listener {
        name: name.unwrap_or_else(|| address.to_string()),
        address,
        ipv4_too,
        bind,
        original_dst: hand_over || filters.original_dst,
        hand_over,
        chains: chains?,
    })
}

fn chains(fields: &Fields<'_>, scope: &Scope<'_>, managers: &mut Vec<Arc<HttpManager>>) -> Option<Vec<FilterChain>> {
    let chains = fields.need("filter_chains")?;
    let list = chains.list();
    if list.len() > 1 {
        chains.problem("more than one filter chain is not supported yet", "expected one");
    }
    if list.is_empty() {
        chains.problem("there is no filter chain", "expected one");
    }
    let read: Vec<_> = list.iter().map(|chain| filter_chain(chain, scope)).collect();
    let ready = read.into_iter().map(|manager| {
        managers.push(Arc::new(manager?));
        Some(FilterChain { manager: managers.len() - 1 })
    });
    ready.collect()
}

fn filter_chain(value: &Value<'_>, scope: &Scope<'_>) -> Option<HttpManager> {
    let fields = value.message(&CHAIN)?;
    fields.get("name").map(|v| v.string());
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
