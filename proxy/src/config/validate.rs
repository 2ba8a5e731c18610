//! Raw configuration -> [`Config`]: what Envoy's messages mean here. One file a message or a family of them.
//!
//! [`config`] reads a whole bootstrap document. Clusters come first, because routes and mirror policies refer to them.
//! A problem never stops the reading: it is noted, and something harmless stands in until the end, where any problem refuses the file.

mod access_log;
mod action;
mod balancing;
mod chains;
mod cluster;
mod clusters;
mod connection;
mod dns;
pub mod eds;
mod endpoint;
mod filters;
mod format;
mod hash;
mod headers;
mod health;
mod http_manager;
mod limits;
mod listener;
mod listener_filters;
mod local_reply;
mod matching;
mod mirror;
mod original;
mod overload;
mod protocol;
mod redirect;
mod retry;
mod rewrites;
mod routes;
mod runtime;
mod tls;
mod weighted;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::decode::Value;
use super::decode::message::Schema;
use super::model::{Cluster, Config, HttpManager, Listener, MirrorPolicy, RouteAction};
use clusters::Names;

const BOOTSTRAP: Schema = Schema {
    name: "envoy.config.bootstrap.v3.Bootstrap",
    fields: "node static_resources layered_runtime admin overload_manager",
    unsupported: "node_context_params dynamic_resources cluster_manager hds_config flags_path stats_sinks deferred_stat_options stats_config \
        stats_flush_interval stats_flush_on_admin stats_eviction_interval watchdog watchdogs tracing enable_dispatcher_stats \
        header_prefix stats_server_version_override use_tcp_for_dns_lookups dns_resolution_config typed_dns_resolver_config \
        bootstrap_extensions fatal_actions config_sources default_config_source default_socket_interface certificate_provider_instances \
        inline_headers perf_tracing_file_path default_regex_engine xds_delegate_extension xds_config_tracker_extension listener_manager \
        application_log_config grpc_async_client_manager_config memory_allocator_manager enable_worker_cpu_affinity",
};

const NODE: Schema = Schema {
    name: "envoy.config.core.v3.Node",
    fields: "id cluster metadata",
    unsupported: "dynamic_parameters locality user_agent_name user_agent_version user_agent_build_version extensions client_features \
        listening_addresses",
};

const STATIC_RESOURCES: Schema =
    Schema { name: "envoy.config.bootstrap.v3.Bootstrap.StaticResources", fields: "listeners clusters", unsupported: "secrets" };

const ADMIN: Schema = Schema {
    name: "envoy.config.bootstrap.v3.Admin",
    fields: "address",
    unsupported: "access_log access_log_path profile_path socket_options ignore_global_conn_limit allow_paths",
};

/// Reads a bootstrap document. The result is usable only when the sink stayed clean. `service_cluster` stands for the whole document's
/// `node.cluster`.
pub fn config(root: &Value<'_>, service_cluster: Option<&str>) -> Option<Config> {
    let fields = root.message(&BOOTSTRAP)?;
    let mut node_cluster = None;
    if let Some(node) = fields.get("node").and_then(|v| v.message(&NODE)) {
        // Labels for a control plane, of which there is none: checked, and without effect but for the cluster's name.
        node.get("id").map(|v| v.string());
        node.get("metadata").map(|v| v.entries());
        node_cluster = node.get("cluster").and_then(|v| v.string());
    }
    let service_cluster = service_cluster.map_or_else(|| node_cluster.unwrap_or_default(), str::to_owned);
    let admin = fields.get("admin").and_then(|v| admin(&v));
    let runtime = fields.get("layered_runtime").map(|v| runtime::layers(&v)).unwrap_or_default();
    let max_connections = fields.get("overload_manager").and_then(|v| overload::max_connections(&v));
    let resources = fields.get("static_resources").and_then(|v| v.message(&STATIC_RESOURCES));
    let (listener_values, cluster_values) = match &resources {
        Some(resources) => (resources.list("listeners"), resources.list("clusters")),
        None => (Vec::new(), Vec::new()),
    };
    let names = Names::collect(&cluster_values);
    let clusters: Vec<Cluster> = cluster_values.iter().filter_map(|v| cluster::cluster(v, &names)).collect();
    // When a cluster could not be read, indices would not fit; then only the names are checked.
    let whole = clusters.len() == names.len();
    let own_mirrors: Vec<Vec<Arc<MirrorPolicy>>> =
        if whole { clusters.iter().map(|c| c.mirrors.clone()).collect() } else { vec![Vec::new(); names.len()] };
    let scope = routes::Scope { names: &names, own_mirrors: &own_mirrors, service_cluster: &service_cluster };
    let mut parts = chains::Parts::default();
    let listeners: Vec<Arc<Listener>> =
        listener_values.iter().filter_map(|v| listener::listener(v, &scope, &mut parts)).map(Arc::new).collect();
    unique_listeners(&listener_values, &listeners);
    let clusters = mark_mirror_only(clusters, &parts.managers);
    Some(Config { admin, runtime, max_connections, listeners, managers: parts.managers, downstream_tls: parts.tls, clusters })
}

fn admin(value: &Value<'_>) -> Option<SocketAddr> {
    let fields = value.message(&ADMIN)?;
    let address = fields.get("address")?;
    endpoint::socket_address(&address)
}

fn unique_listeners(values: &[Value<'_>], listeners: &[Arc<Listener>]) {
    if values.len() != listeners.len() {
        return;
    }
    let mut names = HashSet::new();
    for (value, listener) in values.iter().zip(listeners) {
        if !names.insert(&listener.name) {
            value.problem(format!("a listener named `{}` stands before this one", listener.name), "expected names that are unique");
        }
    }
}

/// A cluster that only mirror policies use takes no production traffic.
fn mark_mirror_only(clusters: Vec<Cluster>, managers: &[Arc<HttpManager>]) -> Vec<Arc<Cluster>> {
    let mut routed = HashSet::new();
    let mut mirrored: HashSet<usize> = clusters.iter().flat_map(|c| &c.mirrors).filter_map(|m| m.cluster).collect();
    let routes = managers.iter().flat_map(|m| &m.routes.virtual_hosts).flat_map(|host| &host.routes);
    for route in routes {
        if let RouteAction::Forward(forward) = &route.action {
            routed.extend(forward.clusters().map(|(id, _)| id));
            mirrored.extend(forward.mirrors.iter().filter_map(|m| m.cluster));
        }
    }
    let mark = |(id, cluster)| {
        let mirror_only = mirrored.contains(&id) && !routed.contains(&id);
        Arc::new(Cluster { mirror_only, ..cluster })
    };
    clusters.into_iter().enumerate().map(mark).collect()
}
