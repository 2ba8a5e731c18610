//! NetworkPolicies: who may talk to Foreshadow's pods, and to whom these talk.
//!
//! The API server has no label to select it by, so ports stand where peers would.

use super::workloads::{CONTROLLER, NODE};
use super::{Values, metadata};
use serde_json::{Value, json};

/// Both policies.
pub fn policies(values: &Values) -> Vec<Value> {
    let to_api_server =
        json!({ "#": "the API server", "ports": [{ "port": 443, "protocol": "TCP" }, { "port": 6_443, "protocol": "TCP" }] });
    let to_dns = json!({ "#": "names", "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" }] });
    let everywhere = json!([{ "namespaceSelector": {} }]);
    let nodes = json!([{ "podSelector": { "matchLabels": pods("node") } }]);
    vec![
        policy(
            values,
            CONTROLLER,
            "controller",
            json!([
                { "#": "the API server asks the webhook", "ports": [{ "port": 8_443, "protocol": "TCP" }] },
                { "#": "metrics, for pods of any namespace", "from": everywhere, "ports": [{ "port": 8_080, "protocol": "TCP" }] },
            ]),
            json!([to_api_server, to_dns]),
        ),
        policy(
            values,
            NODE,
            "node",
            json!([
                { "#": "agents among themselves", "from": nodes, "ports": [{ "port": 17_443, "protocol": "TCP" }] },
                { "#": "metrics, for pods of any namespace", "from": everywhere, "ports": [{ "port": 17_444, "protocol": "TCP" }] },
            ]),
            json!([
                to_api_server,
                to_dns,
                { "#": "agents among themselves", "to": nodes, "ports": [{ "port": 17_443, "protocol": "TCP" }] },
                { "#": "sidecars, and shadows on whatever port they serve (the synthetic stream)", "to": everywhere },
            ]),
        ),
    ]
}

fn pods(component: &str) -> Value {
    json!({ "app.kubernetes.io/name": "foreshadow", "app.kubernetes.io/component": component })
}

fn policy(values: &Values, name: &str, component: &str, ingress: Value, egress: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(values, name, component),
        "spec": { "podSelector": { "matchLabels": pods(component) }, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress },
    })
}
