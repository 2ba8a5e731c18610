//! What an injected sidecar is told: Envoy-format configuration, whole, in the container's arguments, so that production's path through the pod
//! depends on nothing outside the pod. Only the shadow's endpoints come from outside, as a file ([`endpoints`]).
//!
//! * Requests go to the application untouched: no timeout, no retry of ours. WebSockets pass on ports that speak HTTP/1.1.
//! * Probes (`kube-probe`) have a route of their own: neither copied nor counted.
//! * Copies: none until a node agent sets the runtime key, with a time to live.
//! * The access listener gives readiness and metrics to everybody, telemetry and the runtime key to whoever knows the pod's UID: who may read
//!   the pod from the API server. It also tells the asker that the pod behind an address is still the one meant. Admin stays on loopback.

use super::Families;
use super::ports::Port;
use super::takeover::{Mode, Plan};
use crate::kubernetes::{names, yaml};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most connections and requests under way: far above what one replica does.
const BREAKER: u32 = 16_384;
/// Kubernetes replaces this by the pod's UID.
const POD_UID: &str = "$(FORESHADOW_POD_UID)";

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const ORIGINAL_DST: &str = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
const ASSIGNMENT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// The configuration, YAML.
pub fn bootstrap(plan: &Plan, families: Families) -> String {
    let lanes = lanes(plan);
    let mut listeners = inbound(plan, &lanes, families);
    listeners.push(access(families));
    let mut clusters: Vec<Value> = Vec::new();
    for lane in &lanes {
        for name in [&lane.application, &lane.probes] {
            clusters.push(application(plan.mode, name, lane.port, families));
        }
        clusters.push(shadow(&lane.shadow));
    }
    clusters.push(fixed(&format!("{}admin", names::ASIDE), "127.0.0.1", names::ADMIN_PORT));
    let root = json!({
        "node": { "id": "sidecar", "cluster": "foreshadow" },
        "admin": { "address": socket("127.0.0.1", names::ADMIN_PORT) },
        "layered_runtime": { "layers": [{ "name": "admin", "admin_layer": {} }] },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    });
    yaml::write(&root)
}

/// Endpoint file for the sidecars of a workload that serves on `ports`: copies go to the same ports of `address`. Without an address, and for
/// `known` names that are no port's any more, copies are dropped and counted.
pub fn endpoints(ports: &[u16], address: Option<&str>, known: &BTreeSet<String>) -> String {
    let mut all: BTreeMap<String, Option<u16>> = known.iter().map(|name| (name.clone(), None)).collect();
    all.insert(names::SHADOW_CLUSTER.to_owned(), ports.first().copied());
    all.extend(ports.iter().map(|port| (shadow_cluster(*port), Some(*port))));
    let resources: Vec<Value> = all
        .into_iter()
        .map(|(name, port)| {
            let endpoint =
                address.zip(port).map(|(ip, port)| json!([{ "lb_endpoints": [{ "endpoint": { "address": socket(ip, port) } }] }]));
            json!({ "@type": ASSIGNMENT, "cluster_name": name, "endpoints": endpoint.unwrap_or_else(|| json!([])) })
        })
        .collect();
    yaml::write(&json!({ "resources": resources }))
}

/// Names of the clusters in an endpoint file, not more than anybody needs.
pub fn endpoint_names(file: &str) -> BTreeSet<String> {
    const MOST: usize = 64;
    let root = yaml::read(file).ok().and_then(|documents| documents.into_iter().find_map(|d| d.value));
    let resources = root.as_ref().and_then(|r| r.get("resources")).and_then(Value::as_array).into_iter().flatten();
    resources.filter_map(|r| r.get("cluster_name")?.as_str().map(str::to_owned)).take(MOST).collect()
}

fn shadow_cluster(port: u16) -> String {
    format!("{}-{port}", names::SHADOW_CLUSTER)
}

/// The way of one taken port's requests.
struct Lane<'a> {
    port: &'a Port,
    listener: String,
    application: String,
    probes: String,
    shadow: String,
}

/// With one port the names are plain; with several each has its own, so that copies arrive at the port that the request was for.
fn lanes<'a>(plan: &'a Plan) -> Vec<Lane<'a>> {
    let one = |port: &'a Port| -> Lane<'a> {
        let several = plan.ports.len() > 1;
        let named = |base: &str, port: &Port| if several { format!("{base}-{}", port.number) } else { base.to_owned() };
        let application = named(if port.http2 { names::APP_HTTP2_CLUSTER } else { names::APP_CLUSTER }, port);
        Lane {
            listener: named("inbound", port),
            probes: format!("{}probes-{application}", names::ASIDE),
            application,
            shadow: named(names::SHADOW_CLUSTER, port),
            port,
        }
    };
    plan.ports.iter().map(one).collect()
}

fn inbound(plan: &Plan, lanes: &[Lane<'_>], families: Families) -> Vec<Value> {
    match (plan.mode, lanes) {
        (Mode::NamedPort, _) => {
            let one = |(i, lane): (usize, &Lane<'_>)| applications(lane, &lane.listener, families, names::INBOUND_PORT + i as u16, plan);
            lanes.iter().enumerate().map(one).collect()
        }
        (Mode::Redirect, [lane]) => {
            let mut one = applications(lane, &lane.listener, families, names::INBOUND_PORT, plan);
            one["listener_filters"] = json!([{ "name": "envoy.filters.listener.original_dst", "typed_config": { "@type": ORIGINAL_DST } }]);
            vec![one]
        }
        (Mode::Redirect, _) => handed_over(lanes, families, plan),
    }
}

/// One listener that connections arrive at, and one for each redirected port, to which they are handed over.
fn handed_over(lanes: &[Lane<'_>], families: Families, plan: &Plan) -> Vec<Value> {
    let nobodys = json!([{ "match": { "prefix": "/" }, "direct_response": { "status": 404 } }]);
    let mut door = listener("inbound", families, names::INBOUND_PORT, &nobodys);
    door["use_original_dst"] = json!(true);
    let mut all = vec![door];
    let both = if families == Families::Dual { vec![Families::V4, Families::V6] } else { vec![families] };
    for lane in lanes {
        for family in &both {
            let suffix = if *family == Families::V6 && families == Families::Dual { "-v6" } else { "" };
            let mut one = applications(lane, &format!("{}{suffix}", lane.listener), *family, lane.port.number, plan);
            one["bind_to_port"] = json!(false);
            all.push(one);
        }
    }
    all
}

/// A listener whose requests are the application's.
fn applications(lane: &Lane<'_>, name: &str, families: Families, port: u16, plan: &Plan) -> Value {
    let mut one = listener(name, families, port, &application_routes(lane, plan));
    if !lane.port.http2 {
        one["filter_chains"][0]["filters"][0]["typed_config"]["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
    }
    one
}

fn application_routes(lane: &Lane<'_>, plan: &Plan) -> Value {
    json!([
        {
            "name": "probes",
            "match": { "prefix": "/", "headers": [{ "name": "user-agent", "string_match": { "prefix": "kube-probe/" } }] },
            "route": { "cluster": lane.probes, "timeout": "0s" },
        },
        {
            "name": "all",
            "match": { "prefix": "/" },
            "metadata": { "filter_metadata": { "foreshadow": { "mirror": { "methods": plan.methods_name() } } } },
            "route": {
                "cluster": lane.application,
                "timeout": "0s",
                "request_mirror_policies": [{
                    "cluster": lane.shadow,
                    "runtime_fraction": {
                        "default_value": { "numerator": 0, "denominator": "HUNDRED" },
                        "runtime_key": names::RUNTIME_KEY,
                    },
                    "disable_shadow_host_suffix_append": true,
                }],
            },
        },
    ])
}

fn access(families: Families) -> Value {
    let admin = json!({ "cluster": format!("{}admin", names::ASIDE), "timeout": "5s" });
    let known = json!([{ "name": names::ACCESS_HEADER, "string_match": { "exact": POD_UID } }]);
    let mut routes: Vec<Value> =
        ["/ready", "/stats/prometheus"].iter().map(|path| json!({ "match": { "path": path }, "route": admin })).collect();
    routes.extend(
        ["/telemetry", "/runtime_modify"].iter().map(|path| json!({ "match": { "path": path, "headers": known }, "route": admin })),
    );
    listener("access", families, names::ACCESS_PORT, &Value::from(routes))
}

fn listener(name: &str, families: Families, port: u16, routes: &Value) -> Value {
    let mut address = socket(if families == Families::V4 { "0.0.0.0" } else { "::" }, port);
    if families == Families::Dual {
        address["socket_address"]["ipv4_compat"] = json!(true);
    }
    json!({
        "name": name,
        "address": address,
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": MANAGER,
                "stat_prefix": name,
                "codec_type": "AUTO",
                "stream_idle_timeout": "0s",
                "generate_request_id": false,
                "preserve_external_request_id": true,
                "server_header_transformation": "PASS_THROUGH",
                "route_config": { "name": name, "virtual_hosts": [{ "name": name, "domains": ["*"], "routes": routes }] },
                "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": ROUTER, "suppress_envoy_headers": true } }],
            },
        }] }],
    })
}

/// Where the application is: at the taken port on loopback, or where the redirected connection wanted to go, the pod's own address.
fn application(mode: Mode, name: &str, port: &Port, families: Families) -> Value {
    let mut cluster = match mode {
        Mode::NamedPort => fixed(name, if families == Families::V6 { "::1" } else { "127.0.0.1" }, port.number),
        Mode::Redirect => json!({
            "name": name,
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "connect_timeout": "5s",
            "circuit_breakers": breakers(),
        }),
    };
    if port.http2 {
        let options =
            json!({ "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"), "explicit_http_config": { "http2_protocol_options": {} } });
        cluster["typed_extension_protocol_options"] = json!({ HTTP_OPTIONS: options });
    }
    cluster
}

fn fixed(name: &str, ip: &str, port: u16) -> Value {
    let assignment = json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(ip, port) } }] }] });
    json!({ "name": name, "type": "STATIC", "connect_timeout": "5s", "circuit_breakers": breakers(), "load_assignment": assignment })
}

fn shadow(name: &str) -> Value {
    json!({
        "name": name,
        "type": "EDS",
        "connect_timeout": "0.25s",
        "eds_cluster_config": { "eds_config": {
            "resource_api_version": "V3",
            "path_config_source": { "path": format!("{}/{}", names::SHADOW_DIR, names::SHADOW_FILE) },
        } },
        "circuit_breakers": { "thresholds": [{ "max_connections": 1024, "max_pending_requests": 1024, "max_requests": 1024 }] },
    })
}

fn breakers() -> Value {
    json!({ "thresholds": [{ "max_connections": BREAKER, "max_pending_requests": BREAKER, "max_requests": BREAKER }] })
}

fn socket(ip: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": ip, "port_value": port } })
}
