//! The objects of an installation, and the files under manifests/ that hold them: one source for plain YAML, kustomize and Helm.
//!
//! Called by `foreshadow-agent manifests` and `uninstall`; a test holds manifests/ to it. Objects are built from [`Values`]: for Helm these are
//! template expressions. In an object, the key `#` is a comment that stands before its map, e.g. the reason of an RBAC rule.

mod command;
mod network;
mod rbac;
mod render;
mod workloads;

pub use command::command;
pub use render::text;

use super::crd;
use super::webhook::registration;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What differs between installations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Namespace of Foreshadow itself.
    pub namespace: String,
    /// What stands before images' names.
    pub registry: String,
    /// Images' tag.
    pub tag: String,
    /// When images are pulled.
    pub pull_policy: String,
    /// Replicas of the controller; text, because a template stands there for Helm.
    pub replicas: String,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            namespace: "foreshadow".into(),
            registry: "foreshadow.dev".into(),
            tag: env!("CARGO_PKG_VERSION").into(),
            pull_policy: "IfNotPresent".into(),
            replicas: "2".into(),
        }
    }
}

/// Files with their objects, in the order in which they are applied.
pub fn files(values: &Values) -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("crd.yaml", vec![serde_json::to_value(crd::definition()).unwrap_or_default()]),
        ("namespace.yaml", vec![workloads::namespace(values)]),
        ("priorities.yaml", workloads::priorities()),
        ("rbac.yaml", rbac::objects(values)),
        ("controller.yaml", workloads::controller(values)),
        ("node.yaml", workloads::node(values)),
        ("webhook.yaml", vec![registration::configuration(&values.namespace, workloads::CONTROLLER, None)]),
        ("network.yaml", network::policies(values)),
    ]
}

/// Objects that need another installation's types.
pub fn monitoring(values: &Values) -> Vec<Value> {
    workloads::monitors(values)
}

/// Labels of all our objects.
fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "foreshadow",
        "app.kubernetes.io/part-of": "foreshadow",
        "app.kubernetes.io/component": component,
    })
}

/// Metadata of an object in our namespace.
fn metadata(values: &Values, name: &str, component: &str) -> Value {
    json!({ "name": name, "namespace": values.namespace, "labels": labels(component) })
}

/// Everything under manifests/ that is generated, by path from there.
pub fn tree() -> BTreeMap<String, String> {
    let plain = Values::default();
    let mut all = BTreeMap::new();
    let mut put = |path: String, text: String| all.insert(path, text);
    let files = files(&plain);
    for (name, objects) in &files {
        put(format!("kustomize/base/{name}"), render::file(objects));
    }
    let names: Vec<&str> = files.iter().map(|f| f.0).collect();
    put("kustomize/base/kustomization.yaml".into(), render::kustomization(&json!({ "resources": names })));
    put("kustomize/components/monitoring/podmonitors.yaml".into(), render::file(&monitoring(&plain)));
    let component = json!({ "apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "resources": ["podmonitors.yaml"] });
    put("kustomize/components/monitoring/kustomization.yaml".into(), render::kustomization(&component));
    for (path, text) in render::overlays() {
        put(format!("kustomize/overlays/{path}"), text);
    }
    for (path, text) in render::chart() {
        put(format!("helm/foreshadow/{path}"), text);
    }
    all
}
