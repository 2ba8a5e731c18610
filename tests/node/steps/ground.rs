//! The ground that the product stands on: pods, Services, names, metrics, resizes. When one of these fails, the node is to blame.

use crate::story::{Result, Story, ensure, until};
use foreshadow_tests::http::get;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const NAMESPACE: &str = "ground";

/// The sample application without anything of ours beside it.
fn application() -> String {
    let labels = json!({ "app": "plain" });
    let objects = [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "plain", "namespace": NAMESPACE },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": [{
                    "name": "app", "image": "foreshadow.dev/foreshadow-app:0.1.0", "imagePullPolicy": "IfNotPresent",
                    "args": ["--host=0.0.0.0"],
                    "ports": [{ "name": "http", "containerPort": 8080 }],
                    "readinessProbe": { "httpGet": { "path": "/healthz", "port": "http" }, "periodSeconds": 1 },
                    "resources": { "requests": { "cpu": "20m", "memory": "32Mi" }, "limits": { "cpu": "400m", "memory": "64Mi" } },
                }] } },
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "plain", "namespace": NAMESPACE },
            "spec": { "selector": labels, "ports": [{ "port": 80, "targetPort": "http" }] },
        }),
    ];
    objects.map(|o| o.to_string()).join("\n---\n")
}

pub fn the_sample_application_runs(story: &mut Story) -> Result {
    story.apply(&application())?;
    story.kubectl(&format!("rollout status deployment/plain -n {NAMESPACE} --timeout=120s")).map(|_| ())
}

pub fn a_service_carries_requests_to_it(story: &mut Story) -> Result {
    story.reaches_pods()?;
    let url = format!("http://{}:80/work", story.cluster_ip(NAMESPACE, "plain")?);
    let answer = until("the Service answers", PATIENCE, || Ok(get(&url).filter(|a| a.status == 200)))?;
    ensure(!answer.body.is_empty(), || "the answer is empty".into())
}

/// The load generator, in a pod, finds the application by its Service's name.
pub fn names_are_resolved_in_pods(story: &mut Story) -> Result {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "caller", "namespace": NAMESPACE },
        "spec": { "restartPolicy": "Never", "containers": [{
            "name": "load", "image": "foreshadow.dev/foreshadow-load:0.1.0", "imagePullPolicy": "IfNotPresent",
            "args": ["--url", format!("http://plain.{NAMESPACE}.svc.cluster.local/work"), "--rps", "5", "--seconds", "3", "--summary-only"],
        }] },
    });
    story.apply(&pod.to_string())?;
    story.kubectl(&format!("wait pod/caller -n {NAMESPACE} --for=jsonpath={{.status.phase}}=Succeeded --timeout=60s"))?;
    let summary: serde_json::Value = serde_json::from_str(story.kubectl(&format!("logs caller -n {NAMESPACE}"))?.trim())?;
    let failed = summary["failed"].as_object().ok_or_else(|| format!("no summary: {summary}"))?;
    ensure(failed.is_empty() && summary["done"].as_u64() >= Some(5), || format!("not every request was answered: {summary}"))
}

pub fn metrics_of_pods_are_served(story: &mut Story) -> Result {
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods");
    until("metrics of the pod", PATIENCE, || {
        let list: serde_json::Value = serde_json::from_str(&story.kubectl(&format!("get --raw {path}"))?)?;
        Ok(list["items"].as_array().is_some_and(|items| !items.is_empty()).then_some(()))
    })
}

pub fn a_resize_in_place_shows_in_the_control_group(story: &mut Story) -> Result {
    story.reaches_pods()?;
    let pods = story.json(&format!("get pods -n {NAMESPACE} -l app=plain"))?;
    let pod = &pods["items"][0];
    let (name, id) = (pod["metadata"]["name"].as_str().ok_or("no pod")?, pod["metadata"]["uid"].as_str().ok_or("no uid")?);
    let quota = cpu_quota(id)?;
    // kubectl's arguments are separated by spaces here, and JSON needs none.
    let patch = json!({ "spec": { "containers": [{ "name": "app", "resources": { "limits": { "cpu": "600m" } } }] } });
    story.kubectl(&format!("patch pod {name} -n {NAMESPACE} --subresource=resize --type=strategic --patch={patch}"))?;
    until("the control group follows", PATIENCE, || {
        let now = cpu_quota(id)?;
        Ok((now == quota * 3 / 2).then_some(()))
    })?;
    let restarts = story.json(&format!("get pod {name} -n {NAMESPACE}"))?["status"]["containerStatuses"][0]["restartCount"].clone();
    ensure(restarts == 0, || format!("the container was restarted: {restarts}"))
}

/// Processor time per period of a pod, in microseconds, whichever layout the machine has.
fn cpu_quota(pod: &str) -> Result<u64> {
    let dir = cgroup(pod, &["cpu.cfs_quota_us", "cpu.max"])?;
    let v1 = std::fs::read_to_string(dir.join("cpu.cfs_quota_us"));
    let text = v1.or_else(|_| std::fs::read_to_string(dir.join("cpu.max")))?;
    Ok(text.split_whitespace().next().ok_or("empty")?.parse()?)
}

/// Control group of a pod that has one of these files.
pub fn cgroup(pod: &str, files: &[&str]) -> Result<PathBuf> {
    let found = find(Path::new("/sys/fs/cgroup"), &format!("pod{pod}"), files, 6);
    found.ok_or_else(|| format!("no control group of pod {pod} has {}", files.join(" or ")).into())
}

fn find(dir: &Path, name: &str, files: &[&str], depth: usize) -> Option<PathBuf> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(dir).ok()?.filter_map(std::result::Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        let has = || files.iter().any(|f| path.join(f).exists());
        if entry.file_name().to_string_lossy() == name && has() {
            return Some(path);
        }
        below.push(path);
    }
    if depth == 0 {
        return None;
    }
    below.iter().find_map(|d| find(d, name, files, depth - 1))
}
