//! What a sidecar costs the pod that has it: the same application with and without one, in turns, at the same rate. Figures, no verdict: they
//! mean something on a quiet machine and with `--release`. Run when asked for by name.

use super::ground::cgroup;
use super::product;
use super::shop::{self, PRODUCT, Pod, pods};
use crate::story::{Result, Story, ensure, until};
use serde_json::{Value, json};
use std::time::Duration;

const NAMESPACE: &str = "cost";
const PATIENCE: Duration = Duration::from_secs(120);
const PAIRS: usize = 6;
const RPS: f64 = 200.0;
const SECONDS: f64 = 12.0;

/// One turn: latencies in milliseconds, processor time of the whole pod in microseconds a request.
#[derive(Debug, Clone, Copy)]
struct Turn {
    p50: f64,
    p99: f64,
    cpu: f64,
}

pub fn cost_of_being_injected(story: &mut Story) -> Result {
    story.reaches_pods()?;
    if story.kubectl(&format!("get deployment foreshadow-controller -n {PRODUCT}")).is_err() {
        product::it_installs_from_the_manifests(story)?;
        product::webhook_is_registered(story)?;
    }
    story.apply(&product::documents(&objects()))?;
    product::rolled_out(story, NAMESPACE, &["deployment/bare", "deployment/injected"])?;
    let (bare, injected) = (only(story, "bare")?, only(story, "injected")?);
    ensure(shop::telemetry(&injected).is_ok() && shop::telemetry(&bare).is_err(), || "one of them should have a sidecar".into())?;
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        pairs.push((turn(story, &bare)?, turn(story, &injected)?));
    }
    // The first warms both up.
    pairs.remove(0);
    for (what, of) in [("p50 ms", (|t: Turn| t.p50) as fn(Turn) -> f64), ("p99 ms", |t| t.p99), ("processor us/request", |t| t.cpu)] {
        let middle = |side: Vec<f64>| spread(side)[1];
        let (without, with) = (middle(pairs.iter().map(|p| of(p.0)).collect()), middle(pairs.iter().map(|p| of(p.1)).collect()));
        let [least, added, most] = spread(pairs.iter().map(|p| of(p.1) - of(p.0)).collect());
        println!("    {what}: without {without:.2}, with {with:.2}, added {added:.2} ({least:.2} to {most:.2} of {} pairs)", pairs.len());
    }
    story.kubectl(&format!("delete namespace {NAMESPACE} --wait=false")).map(|_| ())
}

/// Least, middle and most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

fn objects() -> Vec<Value> {
    let labels = json!({ "foreshadow.dev/inject": "enabled" });
    let mut all = vec![json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE, "labels": labels } })];
    for (name, inject) in [("bare", "disabled"), ("injected", "enabled")] {
        let labels = json!({ "app": name });
        let container = json!({
            "name": "app", "image": "foreshadow.dev/foreshadow-app:0.1.0", "imagePullPolicy": "IfNotPresent",
            "args": ["--host=0.0.0.0", "--io-ms=2", "--cpu-ms=0.1", "--workers-per-core=64"],
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 1 },
            "resources": { "requests": { "cpu": "100m", "memory": "48Mi" } },
        });
        let template = json!({
            "metadata": { "labels": labels, "annotations": { "foreshadow.dev/inject": inject } },
            "spec": { "containers": [container] },
        });
        let metadata = json!({ "name": name, "namespace": NAMESPACE });
        all.push(json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": { "selector": labels, "ports": [{ "port": 80, "targetPort": "http" }] } }));
        all.push(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": template } }));
    }
    all
}

fn only(story: &Story, app: &str) -> Result<Pod> {
    pods(story, NAMESPACE, &format!("app={app}"))?.into_iter().find(|p| p.ready).ok_or_else(|| format!("no pod of {app}").into())
}

fn turn(story: &Story, pod: &Pod) -> Result<Turn> {
    let app = pod.object["metadata"]["labels"]["app"].as_str().unwrap_or_default().to_owned();
    let url = format!("http://{}/work", story.cluster_ip(NAMESPACE, &app)?);
    let before = used_us(pod)?;
    let args = ["--url".to_owned(), url, "--rps".into(), RPS.to_string(), "--seconds".into(), SECONDS.to_string(), "--summary-only".into()];
    let name = format!("load-{app}");
    let load = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": NAMESPACE, "annotations": { "foreshadow.dev/inject": "disabled" } },
        "spec": { "restartPolicy": "Never", "containers": [{
            "name": "load", "image": "foreshadow.dev/foreshadow-load:0.1.0", "imagePullPolicy": "IfNotPresent", "args": args,
        }] },
    });
    story.apply(&load.to_string())?;
    let ended = || Ok((story.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}"))?["status"]["phase"] == "Succeeded").then_some(()));
    until("the load has run", PATIENCE, ended)?;
    let summary: Value = serde_json::from_str(story.text(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/log"))?.trim())?;
    story.kubectl(&format!("delete pod {name} -n {NAMESPACE}"))?;
    let number = |field: &str| summary[field].as_f64().ok_or_else(|| format!("no {field} in {summary}"));
    ensure(summary["failed"].as_object().is_some_and(serde_json::Map::is_empty), || format!("requests failed: {summary}"))?;
    Ok(Turn { p50: number("p50_ms")?, p99: number("p99_ms")?, cpu: (used_us(pod)? - before) / number("done")? })
}

/// Processor time of a pod so far, in microseconds.
fn used_us(pod: &Pod) -> Result<f64> {
    let dir = cgroup(&pod.uid, &["cpuacct.usage", "cpu.stat"])?;
    if let Ok(nanoseconds) = std::fs::read_to_string(dir.join("cpuacct.usage")) {
        return Ok(nanoseconds.trim().parse::<f64>()? / 1e3);
    }
    let text = std::fs::read_to_string(dir.join("cpu.stat"))?;
    let used = text.lines().find_map(|l| l.strip_prefix("usage_usec ")).ok_or("cpu.stat tells no usage")?;
    Ok(used.trim().parse()?)
}
