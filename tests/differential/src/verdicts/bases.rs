//! The base, with a place for each kind of change.

use super::Case;

/// Type of the connection manager.
pub const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// The router filter.
pub const ROUTER: &str =
    "{ name: router, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }";

/// What can be changed in the base; each part is text in flow style.
#[derive(Debug, Clone)]
pub struct Base {
    /// Lines at the top.
    pub top: &'static str,
    /// More fields of the listener.
    pub listener: &'static str,
    /// More fields of the connection manager.
    pub http: &'static str,
    /// The filters.
    pub filters: String,
    /// More fields of the route configuration.
    pub table: &'static str,
    /// The virtual hosts.
    pub hosts: String,
    /// The cluster `a`.
    pub cluster: String,
    /// More clusters.
    pub more: &'static str,
}

impl Default for Base {
    fn default() -> Self {
        Self {
            top: "",
            listener: "",
            http: "",
            filters: ROUTER.into(),
            table: "",
            hosts: host(&route_to("cluster: a", "")),
            cluster: cluster("a", ""),
            more: "",
        }
    }
}

/// A virtual host for everything with this route.
pub fn host(routes: &str) -> String {
    format!("{{ name: h, domains: ['*'], routes: [{routes}] }}")
}

/// A route for everything.
pub fn route_to(action: &str, more: &str) -> String {
    format!("{{ match: {{ prefix: / }}, route: {{ {action} }}{} }}", and(more))
}

/// A cluster with one endpoint on loopback.
pub fn cluster(name: &str, more: &str) -> String {
    format!("{{ name: {name}, {}{} }}", endpoints(name, "127.0.0.1"), and(more))
}

/// A `load_assignment` with one endpoint.
pub fn endpoints(name: &str, address: &str) -> String {
    format!(
        "load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {address}, \
         port_value: 9 }} }} }} }}] }}] }}"
    )
}

fn and(fields: &str) -> String {
    if fields.is_empty() { String::new() } else { format!(", {fields}") }
}

impl Base {
    /// As a case.
    pub fn case(self, name: &'static str) -> Case {
        let manager = format!(
            "{{ \"@type\": {MANAGER}, stat_prefix: p, route_config: {{ virtual_hosts: [{}]{} }}, http_filters: [{}]{} }}",
            self.hosts,
            and(self.table),
            self.filters,
            and(self.http)
        );
        let text = format!(
            "{}\nstatic_resources:\n  listeners:\n  - {{ name: l, address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}, \
             filter_chains: [{{ filters: [{{ name: http, typed_config: {manager} }}] }}]{} }}\n  clusters:\n  - {}\n{}\n",
            self.top,
            and(self.listener),
            self.cluster,
            self.more
        );
        Case { name, group: "", text }
    }
}

/// More fields of the connection manager.
pub fn with_http(name: &'static str, http: &'static str) -> Case {
    Base { http, ..Base::default() }.case(name)
}

/// A route action.
pub fn with_action(name: &'static str, action: &str) -> Case {
    Base { hosts: host(&route_to(action, "")), ..Base::default() }.case(name)
}

/// Whole routes.
pub fn with_routes(name: &'static str, routes: &str) -> Case {
    Base { hosts: host(routes), ..Base::default() }.case(name)
}

/// A match to cluster `a`.
pub fn with_match(name: &'static str, matcher: &str) -> Case {
    with_routes(name, &format!("{{ match: {{ {matcher} }}, route: {{ cluster: a }} }}"))
}

/// A mirror policy.
pub fn with_mirror(name: &'static str, policy: &str) -> Case {
    with_action(name, &format!("cluster: a, request_mirror_policies: [{{ {policy} }}]"))
}

/// Virtual hosts.
pub fn with_hosts(name: &'static str, hosts: &str) -> Case {
    Base { hosts: hosts.into(), ..Base::default() }.case(name)
}

/// More fields of cluster `a`.
pub fn with_cluster(name: &'static str, more: &str) -> Case {
    Base { cluster: cluster("a", more), ..Base::default() }.case(name)
}

/// Lines at the top.
pub fn with_top(name: &'static str, top: &'static str) -> Case {
    Base { top, ..Base::default() }.case(name)
}

/// More fields of the listener.
pub fn with_listener(name: &'static str, listener: &'static str) -> Case {
    Base { listener, ..Base::default() }.case(name)
}
