//! What runs: the controller (two replicas) and the node agent (a DaemonSet), with Services, budgets and priorities.

use super::{Values, labels, metadata};
use crate::kubernetes::names;
use serde_json::{Value, json};

/// The controller's name, everywhere.
pub const CONTROLLER: &str = "foreshadow-controller";
/// The node agent's.
pub const NODE: &str = "foreshadow-node";
/// Class of our own pods: before what they look after, after the cluster's own.
const PRIORITY: &str = "foreshadow";
/// User of our images.
const UID: u32 = 65_532;
/// Audience of the tokens by which agents know each other.
const AUDIENCE: &str = "foreshadow";

/// The namespace. The node agent reads control groups of the host, which only the level `privileged` admits; it is not privileged itself.
pub fn namespace(values: &Values) -> Value {
    let mut labels = labels("namespace");
    labels["pod-security.kubernetes.io/enforce"] = json!("privileged");
    labels["pod-security.kubernetes.io/audit"] = json!("baseline");
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": values.namespace, "labels": labels } })
}

/// PriorityClasses.
pub fn priorities() -> Vec<Value> {
    let one = |name: &str, value: i64, policy: &str, what: &str| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": { "name": name, "labels": labels("priorities") },
            "value": value,
            "preemptionPolicy": policy,
            "globalDefault": false,
            "description": what,
        })
    };
    vec![
        one(PRIORITY, 1_000_000, "PreemptLowerPriority", "Foreshadow's own pods."),
        one("foreshadow-shadow", -1_000, "Never", "Shadows: anything else may take their place, and they take nobody's."),
    ]
}

fn selector(component: &str) -> Value {
    json!({ "app.kubernetes.io/name": "foreshadow", "app.kubernetes.io/component": component })
}

/// Nothing that a container does not need.
fn locked_down() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": UID,
        "runAsGroup": UID,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

fn from_field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

fn scraped(port: u16) -> Value {
    json!({ "prometheus.io/scrape": "true", "prometheus.io/port": port.to_string(), "prometheus.io/path": "/metrics" })
}

fn probe(path: &str, port: &str, period: u32) -> Value {
    json!({ "httpGet": { "path": path, "port": port }, "periodSeconds": period, "timeoutSeconds": 3 })
}

/// Deployment, Service, PodDisruptionBudget.
pub fn controller(values: &Values) -> Vec<Value> {
    let pod_labels = selector("controller");
    let image = |name: &str| format!("{}/{name}:{}", values.registry, values.tag);
    let container = json!({
        "name": "controller",
        "image": image("foreshadow-agent"),
        "imagePullPolicy": values.pull_policy,
        "args": ["controller", "--log-format", "json"],
        "env": [
            from_field("POD_NAME", "metadata.name"),
            from_field("POD_NAMESPACE", "metadata.namespace"),
            from_field("POD_IPS", "status.podIPs"),
            { "name": "FORESHADOW_PROXY_IMAGE", "value": image("foreshadow-proxy") },
            { "name": "FORESHADOW_INIT_IMAGE", "value": image("foreshadow-init") },
            { "name": "FORESHADOW_IMAGE_PULL_POLICY", "value": values.pull_policy },
        ],
        "ports": [{ "name": "webhook", "containerPort": 8443 }, { "name": "metrics", "containerPort": 8080 }],
        "readinessProbe": probe("/readyz", "metrics", 2),
        "livenessProbe": probe("/healthz", "metrics", 10),
        "resources": { "requests": { "cpu": "20m", "memory": "32Mi" }, "limits": { "memory": "256Mi" } },
        "securityContext": locked_down(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let spread = json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": pod_labels },
    }]);
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(values, CONTROLLER, "controller"),
        "spec": {
            "replicas": number(&values.replicas),
            "revisionHistoryLimit": 3,
            "selector": { "matchLabels": pod_labels },
            "template": {
                "metadata": { "labels": labels("controller"), "annotations": scraped(8_080) },
                "spec": {
                    "serviceAccountName": CONTROLLER,
                    "priorityClassName": PRIORITY,
                    "terminationGracePeriodSeconds": 10,
                    "topologySpreadConstraints": spread,
                    "containers": [container],
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(values, CONTROLLER, "controller"),
        "spec": { "selector": pod_labels, "ports": [{ "name": "webhook", "port": 443, "targetPort": "webhook" }] },
    });
    let budget = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(values, CONTROLLER, "controller"),
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": pod_labels } },
    });
    vec![deployment, service, budget]
}

/// DaemonSet and the headless Service by which agents find each other.
pub fn node(values: &Values) -> Vec<Value> {
    let pod_labels = selector("node");
    let container = json!({
        "name": "node",
        "image": format!("{}/foreshadow-agent:{}", values.registry, values.tag),
        "imagePullPolicy": values.pull_policy,
        "args": ["node", "--log-format", "json"],
        "env": [
            from_field("NODE_NAME", "spec.nodeName"),
            from_field("POD_NAME", "metadata.name"),
            from_field("POD_NAMESPACE", "metadata.namespace"),
            from_field("POD_IP", "status.podIP"),
        ],
        "ports": [{ "name": "report", "containerPort": 17_443 }, { "name": "metrics", "containerPort": 17_444 }],
        "readinessProbe": probe("/readyz", "metrics", 2),
        "livenessProbe": probe("/healthz", "metrics", 10),
        "resources": { "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } },
        "securityContext": locked_down(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            { "name": "cgroup", "mountPath": "/host/sys/fs/cgroup", "readOnly": true },
            { "name": "history", "mountPath": "/var/lib/foreshadow" },
            { "name": "token", "mountPath": "/var/run/secrets/foreshadow", "readOnly": true },
        ],
    });
    let token = json!({ "serviceAccountToken": { "audience": AUDIENCE, "path": "token", "expirationSeconds": 3_600 } });
    let daemon_set = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(values, NODE, "node"),
        "spec": {
            "selector": { "matchLabels": pod_labels },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "10%" } },
            "template": {
                "metadata": { "labels": labels("node"), "annotations": scraped(17_444) },
                "spec": {
                    "serviceAccountName": NODE,
                    "priorityClassName": PRIORITY,
                    "terminationGracePeriodSeconds": 15,
                    "securityContext": { "fsGroup": UID },
                    "tolerations": [{ "operator": "Exists" }],
                    "containers": [container],
                    "volumes": [
                        { "name": "cgroup", "hostPath": { "path": "/sys/fs/cgroup", "type": "Directory" } },
                        { "name": "history", "emptyDir": { "sizeLimit": "1Gi" } },
                        { "name": "token", "projected": { "sources": [token] } },
                    ],
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(values, NODE, "node"),
        "spec": { "clusterIP": "None", "selector": pod_labels, "ports": [{ "name": "report", "port": 17_443, "targetPort": "report" }] },
    });
    vec![daemon_set, service]
}

/// PodMonitors of the Prometheus operator: our own pods, and every sidecar.
pub fn monitors(values: &Values) -> Vec<Value> {
    let one = |name: &str, namespaces: Value, labels: Value, endpoints: Value| {
        json!({
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": metadata(values, name, "monitoring"),
            "spec": { "namespaceSelector": namespaces, "selector": { "matchLabels": labels }, "podMetricsEndpoints": endpoints },
        })
    };
    vec![
        one(
            "foreshadow",
            json!({ "matchNames": [values.namespace] }),
            json!({ "app.kubernetes.io/name": "foreshadow" }),
            json!([{ "port": "metrics", "path": "/metrics" }]),
        ),
        one(
            "foreshadow-sidecars",
            json!({ "any": true }),
            json!({ names::INJECTED: "true" }),
            json!([{ "port": names::ACCESS_PORT_NAME, "path": "/stats/prometheus" }]),
        ),
    ]
}

/// A number, or a template that becomes one.
fn number(text: &str) -> Value {
    text.parse::<u32>().map_or_else(|_| json!(text), |n| json!(n))
}
