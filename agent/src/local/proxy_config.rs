//! What the proxies are told: Envoy-format YAML for sidecars and the front balancer, and the files with their endpoints (EDS).
//!
//! Pure text. Called by `local::launch` and `local::rotation`. Not here: anything that only the agent decides; the copied share starts at 0 and
//! is set through the runtime key.

use super::spec::{Methods, Mirror};
use std::fmt::Write as _;
use std::path::Path;

/// Name of the cluster that the front balances over.
pub const FRONT_CLUSTER: &str = "production";
/// Name of the sidecar's cluster with the application.
pub const APP_CLUSTER: &str = "app";
/// Name of the cluster that copies go to.
pub const SHADOW_CLUSTER: &str = "shadow";

/// Most connections, and requests under way, that a proxy carries: far above what one replica does, so that the application's limit is
/// met before the proxy's.
const BREAKER: u32 = 16_384;

/// A sidecar: its listener forwards to the application and copies to the shadow.
pub fn sidecar(listener_port: u16, app_port: u16, shadow_endpoints: &Path, runtime_key: &str, mirror: &Mirror) -> String {
    let route = format!(
        "                metadata: {{ filter_metadata: {{ foreshadow: {{ mirror: {limits} }} }} }}
                route:
                  cluster: {APP_CLUSTER}
                  timeout: 0s # the client's own patience counts
                  request_mirror_policies:
                  - cluster: {SHADOW_CLUSTER}
                    runtime_fraction: {{ default_value: {{ numerator: 0, denominator: HUNDRED }}, runtime_key: {key} }}
                    disable_shadow_host_suffix_append: true
",
        limits = limits(mirror),
        key = quoted(runtime_key),
    );
    let clusters = format!(
        "  - name: {APP_CLUSTER}
    type: STATIC
    connect_timeout: 1s
{breaker}    load_assignment:
      cluster_name: {APP_CLUSTER}
      endpoints:
      - lb_endpoints:
        - endpoint: {app}
{shadow}",
        breaker = breaker(),
        app = socket(app_port),
        shadow = eds_cluster(SHADOW_CLUSTER, "ROUND_ROBIN", "0.25s", shadow_endpoints),
    );
    bootstrap("inbound", listener_port, &route, &clusters)
}

/// The front balancer. LEAST_REQUEST: of two replicas drawn at random, the one with fewer requests under way is taken. Equal replicas get
/// equal shares, and one that has become slow gets less, where taking turns would let requests pile up on it.
pub fn front(listener_port: u16, endpoints: &Path) -> String {
    let route = format!(
        "                route:
                  cluster: {FRONT_CLUSTER}
                  timeout: 0s # the client's own patience counts
"
    );
    bootstrap("front", listener_port, &route, &eds_cluster(FRONT_CLUSTER, "LEAST_REQUEST", "1s", endpoints))
}

/// Endpoints of an EDS cluster. No port: nothing in rotation.
pub fn endpoints(cluster: &str, version: u64, ports: &[u16]) -> String {
    let mut text = format!(
        "version_info: \"{version}\"
resources:
- \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: {cluster}
"
    );
    if ports.is_empty() {
        text.push_str("  endpoints: []\n");
        return text;
    }
    text.push_str("  endpoints:\n  - lb_endpoints:\n");
    for port in ports {
        let _ = writeln!(text, "    - endpoint: {}", socket(*port));
    }
    text
}

fn bootstrap(name: &str, listener_port: u16, route: &str, clusters: &str) -> String {
    format!(
        "# Written by foreshadow-agent; changes are lost.
node: {{ id: {name}, cluster: local }}
admin:
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
static_resources:
  listeners:
  - name: {name}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listener_port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          route_config:
            name: {name}
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - name: all
                match: {{ prefix: / }}
{route}          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
{clusters}"
    )
}

fn eds_cluster(name: &str, policy: &str, connect_timeout: &str, file: &Path) -> String {
    format!(
        "  - name: {name}
    type: EDS
    connect_timeout: {connect_timeout}
    lb_policy: {policy}
{breaker}    eds_cluster_config:
      eds_config:
        resource_api_version: V3
        path_config_source: {{ path: {path} }}
",
        breaker = breaker(),
        path = quoted(&file.display().to_string()),
    )
}

fn breaker() -> String {
    format!(
        "    circuit_breakers: {{ thresholds: [{{ max_connections: {BREAKER}, max_pending_requests: {BREAKER}, max_requests: {BREAKER} }}] }}\n"
    )
}

fn limits(mirror: &Mirror) -> String {
    let methods = match mirror.methods {
        Methods::Safe => "safe",
        Methods::All => "all",
    };
    let seconds = mirror.timeout_ms as f64 / 1_000.0;
    let (count, body) = (mirror.max_in_flight, mirror.max_body_bytes);
    format!("{{ methods: {methods}, max_in_flight: {count}, max_body_bytes: {body}, timeout: {seconds}s }}")
}

fn socket(port: u16) -> String {
    format!("{{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}")
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_forwards_to_its_application_and_copies_nothing_by_itself() {
        let mirror = Mirror { timeout_ms: 1_500, ..Mirror::default() };
        let text = sidecar(7001, 7002, Path::new("/state \"x\"/shadow.yaml"), "foreshadow.mirror", &mirror);
        for expected in [
            "port_value: 7001",
            "- endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 7002 } } }",
            r#"path: "/state \"x\"/shadow.yaml""#,
            "numerator: 0",
            r#"runtime_key: "foreshadow.mirror""#,
            "mirror: { methods: safe, max_in_flight: 256, max_body_bytes: 1048576, timeout: 1.5s }",
            "disable_shadow_host_suffix_append: true",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn endpoints_are_listed_or_explicitly_none() {
        let text = endpoints("production", 3, &[1, 2]);
        assert_eq!(text.matches("- endpoint:").count(), 2);
        assert!(text.starts_with("version_info: \"3\"") && text.contains("cluster_name: production"));
        assert!(endpoints("shadow", 1, &[]).ends_with("endpoints: []\n"));
    }
}
