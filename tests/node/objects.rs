//! Every object of a cluster by name, so that before and after can be compared.

use crate::story::{Result, Story};
use serde_json::Value;
use std::collections::BTreeSet;

/// Kinds that come and go by themselves: pods and what is made for each rollout, measurements, news.
const PASSING: [&str; 8] = [
    "events",
    "events.events.k8s.io",
    "pods",
    "replicasets.apps",
    "nodes.metrics.k8s.io",
    "pods.metrics.k8s.io",
    "componentstatuses",
    "endpoints",
];

/// Kind, namespace and name of every object; with `(ours)` behind it where something of the product's is on it: a field that its managers
/// own, a label or an annotation.
pub fn all(story: &Story) -> Result<BTreeSet<String>> {
    let kinds = story.kubectl("api-resources --verbs=list -o name")?;
    let kinds: Vec<&str> = kinds.lines().filter(|k| !PASSING.contains(k)).collect();
    let list = story.json(&format!("get {} -A --show-managed-fields", kinds.join(",")))?;
    Ok(list["items"].as_array().into_iter().flatten().map(name).collect())
}

fn name(object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let metadata = &object["metadata"];
    let marked = ["labels", "annotations"].iter().any(|of| {
        let keys = metadata[of].as_object().into_iter().flatten().map(|(key, _)| key);
        keys.into_iter().any(|key| key.contains("foreshadow.dev/"))
    });
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let owned = managers.filter_map(|m| m["manager"].as_str()).any(|m| m.starts_with("foreshadow") && !m.starts_with("foreshadow-test"));
    let ours = if marked || owned { " (ours)" } else { "" };
    // A Service's slice has a new name whenever its ports lead elsewhere.
    let service = object.pointer("/metadata/labels/kubernetes.io~1service-name").and_then(Value::as_str);
    let name = service.filter(|_| object["kind"] == "EndpointSlice").unwrap_or(text("/metadata/name"));
    format!("{} {}/{name}{ours}", text("/kind"), text("/metadata/namespace"))
}
