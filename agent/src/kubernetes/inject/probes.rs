//! Probes and lifecycle hooks keep asking the application itself: a sidecar that is slow must not fail them, and one that listens must not
//! answer a TCP probe for an application that is gone.
//!
//! With named ports, references by name become numbers. With redirection, they go to a port that the redirect leads past the sidecar.

use super::json::port;
use super::takeover::{Mode, Plan};
use crate::kubernetes::names;
use serde_json::{Value, json};

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
const HOOKS: [&str; 2] = ["/lifecycle/postStart", "/lifecycle/preStop"];

/// Where a container's probes and hooks say which port they ask.
pub fn actions() -> Vec<String> {
    let places = PROBES.iter().map(|p| format!("/{p}")).chain(HOOKS.map(str::to_owned));
    places.flat_map(|place| ["httpGet", "tcpSocket", "grpc"].map(|kind| format!("{place}/{kind}/port"))).collect()
}

/// Rewrites all of them.
pub fn past_the_sidecar(pod: &mut Value, plan: &Plan) {
    for list in ["containers", "initContainers"] {
        let Some(containers) = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            let named = named_ports(container);
            for action in actions() {
                if let Some(value) = container.pointer_mut(&action) {
                    rewrite(value, &named, plan);
                }
            }
        }
    }
}

/// A container's own ports by name: that is where Kubernetes looks names up.
fn named_ports(container: &Value) -> Vec<(String, u16)> {
    let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
    ports.filter_map(|p| Some((p.get("name")?.as_str()?.to_owned(), port(p.get("containerPort")?)?))).collect()
}

fn rewrite(value: &mut Value, named: &[(String, u16)], plan: &Plan) {
    let number = match &*value {
        Value::String(text) => text.parse().ok().or_else(|| named.iter().find(|(name, _)| name == text).map(|(_, number)| *number)),
        other => port(other),
    };
    let Some(number) = number else { return };
    let taken = plan.ports.iter().position(|p| p.number == number);
    match (plan.mode, taken) {
        (Mode::Redirect, Some(index)) => *value = json!(direct(index)),
        (Mode::NamedPort, Some(_)) if value.is_string() => *value = json!(number),
        _ => {}
    }
}

/// The port that leads past the sidecar to the taken port of this index.
pub fn direct(index: usize) -> u16 {
    names::DIRECT_PORT + index as u16
}
