//! Production's pod template turned into the shadow's.

use crate::kubernetes::crd::shadow::Shadow;
use crate::kubernetes::{inject, names};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Annotations of production that must not be the shadow's: scraping would count it as production, ours describe production's sidecar.
const NOT_COPIED: [&str; 3] = ["prometheus.io/", "foreshadow.dev/", "kubernetes.io/config"];
/// A shadow under pressure fails probes; restarting it at once would hide what is to be seen.
const PATIENCE: u64 = 5;

/// The shadow's template, still at production's size.
pub fn template(production: &Value, spec: &Shadow, labels: &BTreeMap<String, String>, notes: &mut Vec<String>) -> Value {
    let mut pod = production.clone();
    inject::remove::remove(&mut pod);
    let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut kept: Map<String, Value> = annotations.into_iter().filter(|(k, _)| !NOT_COPIED.iter().any(|p| k.starts_with(p))).collect();
    kept.insert(names::INJECT.into(), json!("disabled"));
    pod["metadata"] = json!({ "labels": labels, "annotations": kept });
    let Some(body) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return pod };
    for field in ["priority", "preemptionPolicy", "nodeName", "hostname", "subdomain"] {
        body.remove(field);
    }
    body.insert("priorityClassName".into(), json!(spec.priority_class_name));
    without_spreading(body);
    volumes(body, notes);
    for list in ["containers", "initContainers"] {
        let Some(containers) = body.get_mut(list).and_then(Value::as_array_mut) else { continue };
        containers.retain(|c| c["name"].as_str().is_none_or(|n| !spec.exclude_containers.iter().any(|e| e == n)));
        containers.iter_mut().for_each(|c| container(c, spec));
    }
    pod
}

fn container(container: &mut Value, spec: &Shadow) {
    let env = container.as_object_mut().map(|c| c.entry("env").or_insert_with(|| json!([])));
    if let Some(Value::Array(env)) = env {
        let role = ("FORESHADOW_ROLE".to_owned(), names::SHADOW.to_owned());
        for (name, value) in spec.env.iter().map(|(k, v)| (k.clone(), v.clone())).chain([role]) {
            env.retain(|e| e["name"] != name);
            if !value.is_empty() {
                env.push(json!({ "name": name, "value": value }));
            }
        }
    }
    if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
        last_of_each(env);
    }
    if let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) {
        let mut seen: Vec<(Value, Value)> = Vec::new();
        ports.retain(|p| {
            let key = (p["containerPort"].clone(), p.get("protocol").cloned().unwrap_or_else(|| json!("TCP")));
            let new = !seen.contains(&key);
            seen.push(key);
            new
        });
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            port.remove("hostPort");
            port.remove("hostIP");
        }
    }
    if let Some(probe) = container.get_mut("livenessProbe").filter(|p| p.is_object()) {
        let failures = probe["failureThreshold"].as_u64().unwrap_or(3);
        probe["failureThreshold"] = json!(failures.saturating_mul(PATIENCE));
    }
}

/// A variable that stands twice has its last value; server-side apply refuses both.
fn last_of_each(env: &mut Vec<Value>) {
    let names: Vec<Value> = env.iter().map(|e| e["name"].clone()).collect();
    let mut index = 0;
    env.retain(|_| {
        index += 1;
        !names[index..].contains(&names[index - 1])
    });
}

/// Rules that speak of production's labels would hold the shadow to production's pods, or keep it from a node that has one.
fn without_spreading(body: &mut Map<String, Value>) {
    body.remove("topologySpreadConstraints");
    if let Some(affinity) = body.get_mut("affinity").and_then(Value::as_object_mut) {
        affinity.remove("podAffinity");
        affinity.remove("podAntiAffinity");
    }
    if body.get("affinity").and_then(Value::as_object).is_some_and(Map::is_empty) {
        body.remove("affinity");
    }
}

/// Production's claims stay production's. Volumes that a StatefulSet makes from claim templates are mounted without being listed.
fn volumes(body: &mut Map<String, Value>, notes: &mut Vec<String>) {
    let mut listed: Vec<String> = Vec::new();
    let volumes = body.entry("volumes").or_insert_with(|| json!([]));
    let Some(volumes) = volumes.as_array_mut() else { return };
    for volume in volumes.iter_mut() {
        let name = volume["name"].as_str().unwrap_or("").to_owned();
        if volume.get("persistentVolumeClaim").is_some() || volume.get("ephemeral").is_some() {
            notes.push(format!("volume {name} is empty in the shadow: production's claim stays production's"));
            *volume = json!({ "name": name, "emptyDir": {} });
        }
        listed.push(name);
    }
    let mounted: Vec<String> = ["containers", "initContainers"]
        .iter()
        .flat_map(|l| body.get(*l).and_then(Value::as_array).into_iter().flatten())
        .flat_map(|c| c.get("volumeMounts").and_then(Value::as_array).into_iter().flatten())
        .filter_map(|m| m["name"].as_str().map(str::to_owned))
        .collect();
    let Some(volumes) = body.get_mut("volumes").and_then(Value::as_array_mut) else { return };
    for name in mounted {
        if !listed.contains(&name) {
            notes.push(format!("volume {name} is empty in the shadow: production's claim stays production's"));
            volumes.push(json!({ "name": name, "emptyDir": {} }));
            listed.push(name);
        }
    }
    if volumes.is_empty() {
        body.remove("volumes");
    }
}
