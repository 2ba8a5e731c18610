//! Listeners: an address, what is found out about connections, and the filter chains.

use super::chains::{self, Parts};
use super::routes::Scope;
use super::{endpoint, listener_filters};
use crate::config::decode::Value;
use crate::config::decode::message::Schema;
use crate::config::model::Listener;
use std::time::Duration;

const LISTENER: Schema = Schema {
    name: "envoy.config.listener.v3.Listener",
    fields: "name address filter_chains default_filter_chain use_original_dst listener_filters listener_filters_timeout \
        continue_on_listener_filters_timeout bind_to_port enable_reuse_port \
        per_connection_buffer_limit_bytes",
    unsupported: "additional_addresses stat_prefix fcds_config filter_chain_matcher \
        per_connection_buffer_high_watermark_timeout metadata deprecated_v1 drain_type transparent \
        freebind socket_options tcp_fast_open_queue_length \
        traffic_direction udp_listener_config api_listener connection_balance_config reuse_port access_log \
        tcp_backlog_size max_connections_to_accept_per_socket_event internal_listener enable_mptcp ignore_global_conn_limit \
        bypass_overload_manager tcp_keepalive",
};

/// Envoy's bound on listener filters.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reads a listener, and puts what its filter chains refer to into `parts`. Without a name it is called by its address.
pub fn listener(value: &Value<'_>, scope: &Scope<'_>, parts: &mut Parts) -> Option<Listener> {
    let fields = value.message(&LISTENER)?;
    let name = fields.get("name").and_then(|v| v.string()).filter(|name| !name.is_empty());
    let address = fields.need("address").and_then(|v| endpoint::socket_address(&v));
    let chains = chains::read(&fields, scope, parts);
    let filters = listener_filters::read(&fields.list("listener_filters"));
    let flag = |name: &str, default| fields.get(name).and_then(|v| v.wrapper().boolean()).unwrap_or(default);
    let hand_over = flag("use_original_dst", false);
    let bind = flag("bind_to_port", true);
    let reuse_port = flag("enable_reuse_port", true);
    let ipv4_too = fields.get("address").is_some_and(|v| endpoint::ipv4_compat(&v));
    let patience = fields.get("listener_filters_timeout").map_or(Some(PATIENCE), |v| v.duration().filter(|d| !d.is_zero()));
    let impatient = fields.flag("continue_on_listener_filters_timeout", false);
    let (address, (chains, default_chain)) = (address?, chains?);
    Some(Listener {
        name: name.unwrap_or_else(|| address.to_string()),
        address,
        ipv4_too,
        reuse_port,
        buffer_limit: fields.get("per_connection_buffer_limit_bytes").and_then(|v| v.wrapper().integer(0, u32::MAX)),
        bind,
        original_dst: hand_over || filters.original_dst,
        hand_over,
        inspect: filters.tls_inspector,
        patience,
        impatient,
        chains,
        default_chain,
    })
}
