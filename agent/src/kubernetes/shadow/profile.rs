//! A profile applied to a pod template: sizes scaled, annotations and node labels set.

use crate::kubernetes::crd::shadow::Profile;
use crate::kubernetes::quantity;
use serde_json::{Map, Value, json};

/// Applies it.
pub fn apply(template: &mut Value, profile: &Profile, notes: &mut Vec<String>) {
    let mut limited = (false, false);
    for container in template.pointer_mut("/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for part in ["requests", "limits"] {
            let Some(sizes) = container.pointer_mut(&format!("/resources/{part}")).and_then(Value::as_object_mut) else { continue };
            let cpu = scale(sizes, "cpu", profile.cpu, quantity::cpu);
            let memory = scale(sizes, "memory", profile.memory, quantity::memory);
            if part == "limits" {
                limited = (limited.0 || cpu, limited.1 || memory);
            }
        }
    }
    for (factor, limited, what) in [(profile.cpu, limited.0, "processor"), (profile.memory, limited.1, "memory")] {
        if factor < 1.0 && !limited {
            let name = &profile.name;
            notes.push(format!(
                "profile {name} has little effect: no container of production has a {what} limit that could be made smaller"
            ));
        }
    }
    if let Some(bandwidth) = &profile.bandwidth {
        let annotations = &mut template["metadata"]["annotations"];
        annotations["kubernetes.io/ingress-bandwidth"] = json!(bandwidth);
        annotations["kubernetes.io/egress-bandwidth"] = json!(bandwidth);
    }
    for (label, value) in profile.node_selector.iter().flatten() {
        template["spec"]["nodeSelector"][label] = json!(value);
    }
}

fn scale(sizes: &mut Map<String, Value>, name: &str, factor: f64, write: fn(f64) -> String) -> bool {
    let Some(size) = sizes.get_mut(name) else { return false };
    let text = size.as_str().map_or_else(|| size.to_string(), str::to_owned);
    if let Some(number) = quantity::parse(&text).filter(|_| (factor - 1.0).abs() > f64::EPSILON) {
        *size = Value::from(write(number * factor));
    }
    true
}
