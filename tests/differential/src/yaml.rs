//! Configuration text: every scene becomes a listener and its clusters, all scenes together one file.

use crate::scene::{Role, Scene};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Type of the connection manager.
const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// Type of the router filter.
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
/// Type of a cluster's protocol options.
const PROTOCOL: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// What makes a cluster speak HTTP/2.
const HTTP2: &str = "explicit_http_config: { http2_protocol_options: {} }";

/// A scene's place in one proxy's configuration.
#[derive(Debug, Clone)]
pub struct Place {
    /// Number of the scene.
    pub nth: usize,
    /// Where its listener listens.
    pub listener: SocketAddr,
    /// Where its backends are, in the order of [`Role::ALL`].
    pub backends: [SocketAddr; 3],
    /// Where its access log goes, if it has one.
    pub log: PathBuf,
}

/// The name of a scene's cluster.
pub fn cluster_name(nth: usize, role: Role) -> String {
    format!("s{nth}-{}", role.name())
}

/// A scene's text with its own names in it.
pub fn fill(text: &str, nth: usize) -> String {
    let mut text = text.replace("$key", &format!("s{nth}.key"));
    for role in Role::ALL {
        text = text.replace(&format!("${}", role.name()), &cluster_name(nth, role));
    }
    text
}

fn and(fields: &str) -> String {
    if fields.is_empty() { String::new() } else { format!(", {fields}") }
}

fn address(of: SocketAddr) -> String {
    format!("address: {{ socket_address: {{ address: {}, port_value: {} }} }}", of.ip(), of.port())
}

fn listener(scene: &Scene, place: &Place) -> String {
    let hosts = scene.hosts.clone().unwrap_or_else(|| {
        let domains = "domains: ['*']";
        format!("{{ name: all, {domains}, routes: [{}]{} }}", scene.routes, and(&scene.host))
    });
    let table = format!("route_config: {{ virtual_hosts: [{hosts}]{} }}", and(&scene.table));
    let filters = format!("http_filters: [{{ name: router, typed_config: {{ \"@type\": {ROUTER} }} }}]");
    let nth = place.nth;
    let manager = format!("{{ \"@type\": {MANAGER}, stat_prefix: s{nth}, {table}, {filters}{} }}", and(&scene.http));
    let text = format!(
        "  - {{ name: s{nth}, {}, filter_chains: [{{ filters: [{{ name: http, typed_config: {manager} }}] }}]{} }}\n",
        address(place.listener),
        and(&scene.listener)
    );
    fill(&text, nth).replace("$log", &place.log.display().to_string())
}

fn clusters(scene: &Scene, place: &Place) -> String {
    let mut text = String::new();
    for (role, at) in Role::ALL.into_iter().zip(place.backends).filter(|(role, _)| scene.uses(*role)) {
        let name = cluster_name(place.nth, role);
        let protocol = if scene.h2.contains(&role) {
            format!(
                ", typed_extension_protocol_options: {{ envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{ \"@type\": {PROTOCOL}, {HTTP2} }} }}"
            )
        } else {
            String::new()
        };
        let more = fill(&and(scene.clusters.get(&role).map_or("", String::as_str)), place.nth);
        let endpoint = format!("{{ endpoint: {{ {} }} }}", address(at));
        let _ = writeln!(
            text,
            "  - {{ name: {name}, load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{endpoint}] }}] }}{protocol}{more} }}"
        );
    }
    text
}

/// One file for these scenes.
pub fn file(scenes: &[(&Scene, Place)]) -> String {
    let listeners: String = scenes.iter().map(|(s, p)| listener(s, p)).collect();
    let clusters: String = scenes.iter().map(|(s, p)| clusters(s, p)).collect();
    format!(
        "admin: {{ {} }}
layered_runtime: {{ layers: [{{ name: admin, admin_layer: {{}} }}] }}
static_resources:
  listeners:
{listeners}  clusters:
{clusters}",
        address(SocketAddr::from(([127, 0, 0, 1], 0)))
    )
}
