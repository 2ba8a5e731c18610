//! Takes the sidecar out again: what `inject` did to a pod template, undone.
//!
//! For `inject --remove`, and for shadows of templates that were injected by hand.

use super::json::{annotation, field};
use crate::kubernetes::names;
use serde_json::{Value, json};

/// Removes it; whether there was one.
pub fn remove(pod: &mut Value) -> bool {
    let Some(status) = annotation(pod, names::STATUS).and_then(|s| serde_json::from_str::<Value>(s).ok()) else { return false };
    let ports: Vec<u64> = field(&status, "ports").as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let given = given_names(pod);
    for list in ["containers", "initContainers"] {
        let Some(containers) = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut) else { continue };
        containers.retain(|c| c["name"] != names::PROXY_CONTAINER && c["name"] != names::INIT_CONTAINER);
        for container in containers.iter_mut() {
            names_back(container, &ports, &given);
            probes_back(container, &ports);
        }
    }
    drop_empty(pod, "initContainers");
    if let Some(volumes) = pod.pointer_mut("/spec/volumes").and_then(Value::as_array_mut) {
        volumes.retain(|v| v["name"] != names::SHADOW_VOLUME);
    }
    drop_empty(pod, "volumes");
    if let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| ![names::STATUS, names::NO_ENDPOINTS, names::WORKLOAD].contains(&name.as_str()));
        // Ours, when they point at our port.
        if annotations.get("prometheus.io/port") == Some(&json!(names::ACCESS_PORT.to_string())) {
            annotations.retain(|name, _| !["prometheus.io/scrape", "prometheus.io/port", "prometheus.io/path"].contains(&name.as_str()));
        }
    }
    if let Some(labels) = pod.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(names::INJECTED);
    }
    for part in ["annotations", "labels"] {
        let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(metadata) = metadata.filter(|m| m.get(part).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)) {
            metadata.remove(part);
        }
    }
    true
}

/// Names that the sidecar took, in the order of the taken ports.
fn given_names(pod: &Value) -> Vec<(u64, String)> {
    let lists = ["containers", "initContainers"].into_iter().flat_map(|l| super::json::list(pod, l));
    let ports = lists.filter(|c| c["name"] == names::PROXY_CONTAINER).flat_map(|c| c["ports"].as_array().into_iter().flatten());
    ports
        .filter_map(|p| Some((p["containerPort"].as_u64()?.checked_sub(u64::from(names::INBOUND_PORT))?, p["name"].as_str()?.to_owned())))
        .collect()
}

fn names_back(container: &mut Value, ports: &[u64], given: &[(u64, String)]) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(index) = port["containerPort"].as_u64().and_then(|n| ports.iter().position(|p| *p == n)) else { continue };
        let renamed = port["name"].as_str().is_some_and(|n| n.starts_with("app"));
        if let Some((_, name)) = given.iter().find(|(i, _)| *i == index as u64).filter(|_| renamed) {
            port["name"] = json!(name);
        }
    }
}

fn probes_back(container: &mut Value, ports: &[u64]) {
    for action in super::probes::actions() {
        let Some(port) = container.pointer_mut(&action) else { continue };
        let index = port.as_u64().and_then(|n| n.checked_sub(u64::from(names::DIRECT_PORT)));
        if let Some(number) = index.and_then(|i| ports.get(usize::try_from(i).ok()?)) {
            *port = json!(number);
        }
    }
}

fn drop_empty(pod: &mut Value, list: &str) {
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut)
        && spec.get(list).and_then(Value::as_array).is_some_and(Vec::is_empty)
    {
        spec.remove(list);
    }
}
