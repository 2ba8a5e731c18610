//! The containers and volumes that are added.

use super::json::{annotation, field, list, list_mut};
use super::probes::direct;
use super::takeover::{Mode, Plan};
use super::{Around, Settings, app_containers, proxy_config};
use crate::kubernetes::names;
use serde_json::{Value, json};

/// Seconds a pod gets to end when it does not say.
const GRACE: u64 = 30;
/// A plain sidecar goes on serving this long after SIGTERM: the time it takes until no node sends to the pod any more.
const LINGER: u64 = 5;

/// Adds all of them.
pub fn add(pod: &mut Value, settings: &Settings, plan: &Plan, around: &Around) {
    let proxy = proxy(pod, settings, plan);
    if plan.mode == Mode::Redirect {
        let init = init(settings, plan);
        list_mut(pod, "initContainers").push(init);
    }
    // Last among the init containers: those of the application run as before, and the application finds the sidecar ready.
    let to = if plan.native { "initContainers" } else { "containers" };
    list_mut(pod, to).push(proxy);
    list_mut(pod, "volumes").push(endpoints_volume(around));
}

fn proxy(pod: &Value, settings: &Settings, plan: &Plan) -> Value {
    let ready = json!({ "httpGet": { "path": "/ready", "port": names::ACCESS_PORT }, "periodSeconds": 2, "timeoutSeconds": 2 });
    let mut starting = ready.clone();
    starting["periodSeconds"] = json!(1);
    starting["failureThreshold"] = json!(60);
    let mut container = json!({
        "name": names::PROXY_CONTAINER,
        "image": settings.proxy_image,
        "args": arguments(pod, settings, plan),
        "env": [
            { "name": "FORESHADOW_POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "FORESHADOW_POD_UID", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } },
        ],
        "ports": container_ports(plan),
        "startupProbe": starting,
        "readinessProbe": ready,
        "resources": resources(pod),
        "securityContext": {
            "runAsUser": names::PROXY_UID,
            "runAsGroup": names::PROXY_UID,
            "runAsNonRoot": true,
            "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{ "name": names::SHADOW_VOLUME, "mountPath": names::SHADOW_DIR, "readOnly": true }],
    });
    if plan.native {
        container["restartPolicy"] = json!("Always");
    }
    if let Some(policy) = &settings.pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    container
}

fn arguments(pod: &Value, settings: &Settings, plan: &Plan) -> Vec<String> {
    let grace = field(field(pod, "spec"), "terminationGracePeriodSeconds").as_u64().unwrap_or(GRACE);
    // A native sidecar is asked to end when the application has ended; a plain one at the same time as the application.
    let linger = if plan.native { 0 } else { LINGER.min(grace / 3) };
    let drain = grace.saturating_sub(linger + 2).max(1);
    let mut all = vec!["--service-node".to_owned(), "$(FORESHADOW_POD_NAME)".to_owned()];
    if linger > 0 {
        all.extend(["--linger-time-s".to_owned(), linger.to_string()]);
    }
    all.extend(["--drain-time-s".to_owned(), drain.to_string()]);
    all.extend(["--config-yaml".to_owned(), proxy_config::bootstrap(plan, settings.families)]);
    all
}

fn container_ports(plan: &Plan) -> Vec<Value> {
    let mut ports = Vec::new();
    if plan.mode == Mode::NamedPort {
        for (index, taken) in plan.ports.iter().enumerate() {
            ports.push(json!({ "name": taken.name, "containerPort": names::INBOUND_PORT + index as u16, "protocol": "TCP" }));
        }
    }
    ports.push(json!({ "name": names::ACCESS_PORT_NAME, "containerPort": names::ACCESS_PORT, "protocol": "TCP" }));
    ports
}

/// Little is asked for; a Guaranteed pod stays Guaranteed.
fn resources(pod: &Value) -> Value {
    let cpu = annotation(pod, names::PROXY_CPU);
    let memory = annotation(pod, names::PROXY_MEMORY);
    if guaranteed(pod) {
        let all = json!({ "cpu": cpu.unwrap_or("250m"), "memory": memory.unwrap_or("128Mi") });
        return json!({ "requests": all, "limits": all });
    }
    let memory = memory.map_or(("32Mi", "256Mi"), |m| (m, m));
    json!({ "requests": { "cpu": cpu.unwrap_or("10m"), "memory": memory.0 }, "limits": { "memory": memory.1 } })
}

/// Whether every container has limits for both, and no requests that differ.
fn guaranteed(pod: &Value) -> bool {
    let whole = |c: &Value| {
        let resources = field(c, "resources");
        let (limits, requests) = (field(resources, "limits"), field(resources, "requests"));
        ["cpu", "memory"].iter().all(|r| limits.get(*r).is_some_and(|l| requests.get(*r).is_none_or(|q| q == l)))
    };
    let apps = app_containers(pod);
    !apps.is_empty() && apps.iter().all(|(_, c)| whole(c)) && list(pod, "initContainers").iter().all(whole)
}

fn init(settings: &Settings, plan: &Plan) -> Value {
    let taken: Vec<String> = plan.ports.iter().map(|p| p.number.to_string()).collect();
    let past: Vec<String> = plan.ports.iter().enumerate().map(|(i, p)| format!("{}:{}", direct(i), p.number)).collect();
    let mut container = json!({
        "name": names::INIT_CONTAINER,
        "image": settings.init_image,
        "args": [
            "init",
            "--inbound-port", names::INBOUND_PORT.to_string(),
            "--include-inbound-ports", taken.join(","),
            "--direct-inbound-ports", past.join(","),
            "--uid", names::PROXY_UID.to_string(),
        ],
        "resources": { "requests": { "cpu": "10m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    if let Some(policy) = &settings.pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    container
}

/// An endpoint file without endpoints, over which the controller's ConfigMap is laid when it is there: a sidecar starts without either.
fn endpoints_volume(around: &Around) -> Value {
    let reference = format!("metadata.annotations['{}']", names::NO_ENDPOINTS);
    let mut sources = vec![json!({ "downwardAPI": { "items": [{ "path": names::SHADOW_FILE, "fieldRef": { "fieldPath": reference } }] } })];
    if let Some((kind, name)) = &around.workload {
        sources.push(json!({ "configMap": { "name": names::endpoints_config_map(kind, name), "optional": true } }));
    }
    json!({ "name": names::SHADOW_VOLUME, "projected": { "sources": sources } })
}
