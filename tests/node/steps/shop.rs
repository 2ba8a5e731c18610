//! The application that the product looks after in these steps, and what is asked about it: its objects, its sidecars, its agents.
//!
//! Two Deployments of the sample application in one namespace: `web`, whose Service targets a port by name and which an HPA scales, and
//! `legacy`, whose Service targets a number. A replica's pool of workers is what its processor limit is worth, so half of it is half a pool.

use crate::story::{Result, Story};
use foreshadow_tests::http::{get, request};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Their namespace.
pub const NAMESPACE: &str = "shop";
/// Where Foreshadow is installed.
pub const PRODUCT: &str = "foreshadow";
/// The sidecar's open port, as the manifests' README tells it.
pub const ACCESS: u16 = 17_020;
const AGENT_PAGES: u16 = 17_444;

/// Both Deployments with their Services, and the HPA of one.
pub fn objects() -> Vec<Value> {
    let mut all = vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })];
    all.extend(workload("web", 2, json!("http")));
    all.extend(workload("legacy", 1, json!(8080)));
    all.push(json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web", "namespace": NAMESPACE },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            // No minimum: who owns that field keeps it, and the floor is to be written there.
            "maxReplicas": 6, "behavior": { "scaleDown": { "stabilizationWindowSeconds": 30 } },
            "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } }],
        },
    }));
    all
}

fn workload(name: &str, replicas: u32, target: Value) -> [Value; 2] {
    let labels = json!({ "app": name });
    let container = json!({
        "name": "app", "image": "foreshadow.dev/foreshadow-app:0.1.0", "imagePullPolicy": "IfNotPresent",
        "args": ["--host=0.0.0.0", "--workers-per-core=8"],
        "env": [
            { "name": "CPU_LIMIT_MILLIS", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu", "divisor": "1m" } } },
            { "name": "RELEASE", "value": "1" },
        ],
        "ports": [{ "name": "http", "containerPort": 8080 }],
        "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 1 },
        // Until no node sends to it any more.
        "lifecycle": { "preStop": { "sleep": { "seconds": 3 } } },
        "resources": { "requests": { "cpu": "200m", "memory": "48Mi" }, "limits": { "cpu": "500m", "memory": "96Mi" } },
        "securityContext": {
            "runAsUser": 1000, "runAsNonRoot": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    let pod = json!({ "metadata": { "labels": labels }, "spec": { "containers": [container], "terminationGracePeriodSeconds": 10 } });
    let metadata = json!({ "name": name, "namespace": NAMESPACE });
    [
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": pod } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": { "selector": labels, "ports": [{ "port": 80, "targetPort": target }] } }),
    ]
}

/// A ShadowScaler with the least that there is to say, in a world that goes faster than most.
pub fn scaler(name: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "targetRef": { "name": name }, "mode": mode,
            "objective": { "thresholdMs": 250, "targetRatio": 0.95 },
            "bounds": { "minReplicas": 2, "maxReplicas": 6 },
            "actuation": { "replicas": { "floorTtlSeconds": 60, "lowerAfterSeconds": 30 } },
            "forecast": { "replicaStartSeconds": 6, "horizonsSeconds": [5, 10, 20, 40], "trainEverySeconds": 20 },
            "shadow": { "profiles": ["cpu-half"], "copies": { "maxRps": 120 }, "synthetic": { "requests": [{ "path": "/work" }] } },
        },
    })
}

/// Starts a pod that sends requests to a Service for a while; a line a second in its log.
pub fn load(story: &Story, name: &str, service: &str, rps: &str, seconds: u32) -> Result {
    // By address: eight questions to the cluster's DNS a request would be load of their own.
    let url = format!("http://{}/work", story.cluster_ip(NAMESPACE, service)?);
    let seconds = seconds.to_string();
    // Services balance connections, not requests.
    let args = ["--url", &url, "--rps", rps, "--seconds", &seconds, "--threshold-ms", "250", "--requests-per-connection", "1"];
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [{
            "name": "load", "image": "foreshadow.dev/foreshadow-load:0.1.0", "imagePullPolicy": "IfNotPresent", "args": args,
        }] },
    });
    story.apply(&pod.to_string())
}

/// A pod, as these steps need it.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// What a sidecar's telemetry asks for.
    pub uid: String,
    /// Address.
    pub ip: String,
    /// Whether it takes traffic.
    pub ready: bool,
    /// The whole of it.
    pub object: Value,
}

/// Pods that a selector finds and that are not on their way out.
pub fn pods(story: &Story, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
    let list =
        story.get(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector={}", selector.replace('=', "%3D").replace(',', "%2C")))?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let staying = items.into_iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null());
    Ok(staying.map(pod).collect())
}

fn pod(object: Value) -> Pod {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    Pod { name: text("/metadata/name"), uid: text("/metadata/uid"), ip: text("/status/podIP"), ready, object }
}

/// The shadow's pods.
pub fn shadows(story: &Story, scaler: &str) -> Result<Vec<Pod>> {
    pods(story, NAMESPACE, &format!("foreshadow.dev/role=shadow,foreshadow.dev/scaler={scaler}"))
}

/// Status of a condition of a ShadowScaler, with its reason and message.
pub fn condition(story: &Story, scaler: &str, kind: &str) -> Result<(bool, String)> {
    let object = story.get(&format!("/apis/foreshadow.dev/v1alpha1/namespaces/{NAMESPACE}/shadowscalers/{scaler}"))?;
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind).cloned().unwrap_or_default();
    Ok((found["status"] == "True", format!("{kind}: {} {}", found["reason"], found["message"])))
}

/// What a sidecar counts, told to whoever knows its pod's UID.
pub fn telemetry(pod: &Pod) -> Result<Value> {
    let url = format!("http://{}:{ACCESS}/telemetry", pod.ip);
    let answer = request("GET", &url, &[("x-foreshadow-pod", &pod.uid)], "").ok_or_else(|| format!("{url} does not answer"))?;
    if answer.status != 200 {
        return Err(format!("{url}: {}", answer.head).into());
    }
    Ok(serde_json::from_str(&answer.body)?)
}

/// Requests that came to all of these pods' sidecars, and copies that the shadow answered.
pub fn passed_and_copied(pods: &[Pod]) -> Result<(u64, u64)> {
    let mut sums = (0, 0);
    for pod in pods {
        let seen = telemetry(pod)?;
        let count = |pointer: &str| seen.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        sums = (sums.0 + count("/downstream/requests"), sums.1 + count("/mirrors/0/completed"));
    }
    Ok(sums)
}

/// What the agent that holds a workload knows of it now; None while nobody holds it.
pub fn held(story: &Story, workload: &str) -> Result<Option<Value>> {
    for agent in pods(story, PRODUCT, "app.kubernetes.io/component=node")? {
        let url = format!("http://{}:{AGENT_PAGES}/api/v1/state?workload={workload}", agent.ip);
        if let Some(answer) = get(&url).filter(|a| a.status == 200) {
            return Ok(Some(serde_json::from_str(&answer.body)?));
        }
    }
    Ok(None)
}

/// Restarts of every container of these pods.
pub fn restarts(pods: &[Pod]) -> BTreeMap<String, u64> {
    let count = |pod: &Pod| {
        let statuses = ["containerStatuses", "initContainerStatuses"].map(|list| pod.object["status"][list].as_array().cloned());
        statuses.into_iter().flatten().flatten().filter_map(|s| s["restartCount"].as_u64()).sum()
    };
    pods.iter().map(|pod| (pod.name.clone(), count(pod))).collect()
}
