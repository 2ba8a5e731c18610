//! What is in the cluster: our installation's rights and definition, simulated nodes, the workloads; and how far they are.

use crate::Say;
use crate::cluster::failed;
use foreshadow_agent::kubernetes::crd::ShadowScaler;
use foreshadow_agent::kubernetes::yaml;
use foreshadow_cluster::objects::apply;
use foreshadow_loadtests::demo::error::Error;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Where our installation is.
pub const NAMESPACE: &str = "foreshadow";
/// Namespaces that the workloads are spread over.
const TEAMS: u16 = 10;
/// Kinds of the shipped objects that would run pods, or send questions to them: here the programs run as processes.
const LEFT_OUT: [&str; 3] = ["DaemonSet", "Deployment", "MutatingWebhookConfiguration"];

/// Applies the shipped base but for its pods.
pub async fn install(client: &Client) -> Result<(), Error> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/kustomize/base");
    let read = |name: &str| {
        let text = std::fs::read_to_string(base.join(name)).map_err(|e| Error::failed(name, e))?;
        let documents = yaml::read(&text).map_err(|e| Error::Failed(format!("{name}: {e:?}")))?;
        Ok::<_, Error>(documents.into_iter().filter_map(|d| d.value).collect::<Vec<Value>>())
    };
    let list = read("kustomization.yaml")?;
    let names = list.iter().filter_map(|v| v["resources"].as_array()).flatten().filter_map(Value::as_str);
    for name in names {
        for object in read(name)?.iter().filter(|o| !LEFT_OUT.iter().any(|k| o["kind"] == *k)) {
            apply(client, object).await.map_err(failed(name))?;
        }
    }
    Ok(())
}

/// Nodes that kwok looks after.
pub async fn nodes(client: &Client, count: u16) -> Result<(), Error> {
    let room = json!({ "cpu": "1k", "memory": "1Ti", "pods": "1000" });
    for i in 0..count {
        let name = node(i);
        let node = json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "annotations": { "kwok.x-k8s.io/node": "fake" }, "labels": { "kubernetes.io/hostname": name } },
            "status": { "allocatable": room, "capacity": room } });
        apply(client, &node).await.map_err(failed("node"))?;
    }
    Ok(())
}

/// Name of a node.
pub fn node(i: u16) -> String {
    format!("node-{i:03}")
}

/// Deployments as injection leaves them, each with its autoscaler and its ShadowScaler.
pub async fn workloads(client: &Client, count: u16, replicas: u16, say: &Say) -> Result<(), Error> {
    for team in 0..TEAMS.min(count) {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": format!("team-{team}") } });
        apply(client, &namespace).await.map_err(failed("namespace"))?;
    }
    for i in 0..count {
        for object in workload(i, replicas) {
            taken(client, &object).await?;
        }
        if i % 100 == 99 {
            say.line(&format!("workloads made: {}", i + 1));
        }
    }
    Ok(())
}

/// The definition may be served a moment before its objects are.
async fn taken(client: &Client, object: &Value) -> Result<(), Error> {
    let mut refused = None;
    for _ in 0..30 {
        match apply(client, object).await {
            Ok(_) => return Ok(()),
            Err(e) => refused = Some(e),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(Error::Failed(refused.map_or_else(String::new, |e| e.to_string())))
}

fn workload(i: u16, replicas: u16) -> [Value; 3] {
    let (name, namespace) = (format!("app-{i:04}"), format!("team-{}", i % TEAMS));
    let meta = json!({ "name": name, "namespace": namespace });
    let resources = json!({ "requests": { "cpu": "500m", "memory": "256Mi" }, "limits": { "cpu": "1", "memory": "256Mi" } });
    let template = json!({
        "metadata": { "labels": { "app": name, "foreshadow.dev/sidecar": "true" },
            "annotations": { "foreshadow.dev/workload": format!("Deployment/{name}") } },
        "spec": {
            "initContainers": [{ "name": "foreshadow-proxy", "image": "proxy:1", "restartPolicy": "Always" }],
            "containers": [{ "name": "app", "image": "app:1", "resources": resources, "ports": [{ "name": "http", "containerPort": 8080 }] }] } });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": name });
    let metric =
        json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
    [
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } }, "template": template } }),
        json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta,
            "spec": { "scaleTargetRef": target, "minReplicas": replicas, "maxReplicas": 10, "metrics": [metric] } }),
        json!({ "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": meta,
            "spec": { "targetRef": { "name": name }, "objective": { "thresholdMs": 250 } } }),
    ]
}

/// The agents that are ready, as the endpoint controller would say if they were pods.
pub async fn agents(client: &Client, names: &[String]) -> Result<(), Error> {
    // Nobody calls it (RFC 5737): a holder's address is in its Leases, and loopback is no address of an endpoint.
    let endpoint = |name: &String| json!({ "addresses": ["192.0.2.1"], "conditions": { "ready": true }, "targetRef": { "kind": "Pod", "name": name, "namespace": NAMESPACE } });
    for (i, part) in names.chunks(100).enumerate() {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": format!("foreshadow-node-{i}"), "namespace": NAMESPACE,
                "labels": { "kubernetes.io/service-name": "foreshadow-node", "endpointslice.kubernetes.io/managed-by": "bench" } },
            "ports": [{ "name": "report", "port": 17_443 }],
            "endpoints": part.iter().map(endpoint).collect::<Vec<_>>() });
        apply(client, &slice).await.map_err(failed("agents' endpoints"))?;
    }
    Ok(())
}

/// Workloads' own pods that are ready.
pub async fn running(client: &Client) -> Result<usize, Error> {
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default().labels("foreshadow.dev/sidecar=true")).await;
    let ready = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
    };
    Ok(pods.map_err(|e| Error::failed("pods", e))?.items.iter().filter(|p| ready(p)).count())
}

/// Workloads held, by agent.
pub async fn holders(client: &Client) -> Result<BTreeMap<String, usize>, Error> {
    let leases = Api::<Lease>::namespaced(client.clone(), NAMESPACE).list(&ListParams::default()).await;
    let mut held = BTreeMap::new();
    for lease in leases.map_err(|e| Error::failed("Leases", e))?.items {
        let of_workload = lease.metadata.annotations.as_ref().is_some_and(|a| a.contains_key("foreshadow.dev/workload"));
        let holder = lease.spec.and_then(|s| s.holder_identity).filter(|h| !h.is_empty() && of_workload);
        if let Some(holder) = holder {
            *held.entry(holder).or_default() += 1;
        }
    }
    Ok(held)
}

/// Workloads whose numbers arrive.
pub async fn observed(client: &Client) -> Result<usize, Error> {
    let scalers = Api::<ShadowScaler>::all(client.clone()).list(&ListParams::default()).await;
    let observes = |s: &ShadowScaler| {
        let conditions = s.status.iter().flat_map(|s| &s.conditions);
        conditions.into_iter().any(|c| c.type_ == "Observing" && c.status == "True")
    };
    Ok(scalers.map_err(|e| Error::failed("ShadowScalers", e))?.items.iter().filter(|s| observes(s)).count())
}
