//! The sidecar beside the sample application, in both ways of taking over its traffic, with copies to a shadow; scraped by a real Prometheus.

use crate::story::{Result, Story, ensure, until};
use foreshadow_cluster::process::Process;
use foreshadow_tests::http::get;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const NAMESPACE: &str = "sidecar";
const ADMIN: u16 = 15000;
const INBOUND: u16 = 15006;
const REQUESTS: u64 = 60;

/// The application's container; its port is named when nothing takes the name over.
fn application(port_name: &str) -> Value {
    json!({
        "name": "app", "image": "foreshadow.dev/foreshadow-app:0.1.0", "imagePullPolicy": "IfNotPresent",
        "args": ["--host=0.0.0.0"],
        "ports": [{ "name": port_name, "containerPort": 8080 }],
        "readinessProbe": { "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1 },
        "resources": { "requests": { "cpu": "50m", "memory": "32Mi" } },
        "securityContext": hardened(1000),
    })
}

/// What a careful platform asks of every container.
fn hardened(user: u32) -> Value {
    json!({
        "runAsUser": user, "runAsNonRoot": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// A native sidecar; `port_name` is the Service's target when it is taken over by name.
fn proxy(port_name: &str) -> Value {
    json!({
        "name": "foreshadow-proxy", "image": "foreshadow.dev/foreshadow-proxy:0.1.0", "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": ["-c", "/config/proxy.yaml"],
        "ports": [{ "name": port_name, "containerPort": INBOUND }],
        "startupProbe": { "httpGet": { "path": "/ready", "port": ADMIN }, "periodSeconds": 1, "failureThreshold": 60 },
        "resources": { "requests": { "cpu": "10m", "memory": "32Mi" } },
        "securityContext": hardened(65532),
        "volumeMounts": [{ "name": "config", "mountPath": "/config", "readOnly": true }],
    })
}

/// Sends what arrives on port 8080 through the proxy.
fn redirect() -> Value {
    json!({
        "name": "foreshadow-init", "image": "foreshadow.dev/foreshadow-init:0.1.0", "imagePullPolicy": "IfNotPresent",
        "args": ["init", "--inbound-port", INBOUND.to_string(), "--include-inbound-ports", "8080", "--uid", "65532"],
        "securityContext": {
            "runAsUser": 0, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"] }, "seccompProfile": { "type": "RuntimeDefault" },
        },
    })
}

fn deployment(name: &str, init: Vec<Value>, app: Value, target: Value) -> [Value; 2] {
    let labels = json!({ "app": name });
    let volumes = json!([{ "name": "config", "configMap": { "name": "proxy" } }]);
    [
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels },
                "spec": { "initContainers": init, "containers": [app], "volumes": volumes },
            } },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": { "selector": labels, "ports": [{ "port": 80, "targetPort": target }] },
        }),
    ]
}

/// Every request is copied to the shadow's Service, found by its name.
fn configuration() -> String {
    let route = json!({
        "cluster": "application",
        "request_mirror_policies": [{ "cluster": "shadow", "runtime_fraction": { "default_value": { "numerator": 100 }, "runtime_key": "mirror.shadow" } }],
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "route_config": { "name": "inbound", "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [{ "match": { "prefix": "/" }, "route": route }] }] },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
    });
    let cluster = |name: &str, kind: &str, host: &str, port: u16| {
        let endpoint = json!({ "endpoint": { "address": { "socket_address": { "address": host, "port_value": port } } } });
        json!({ "name": name, "type": kind, "connect_timeout": "1s", "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] } })
    };
    let all = json!({
        "admin": { "address": { "socket_address": { "address": "0.0.0.0", "port_value": ADMIN } } },
        "static_resources": {
            "listeners": [{
                "name": "inbound", "address": { "socket_address": { "address": "0.0.0.0", "port_value": INBOUND } },
                "filter_chains": [{ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] }],
            }],
            "clusters": [
                cluster("application", "STATIC", "127.0.0.1", 8080),
                cluster("shadow", "STRICT_DNS", &format!("shadow.{NAMESPACE}.svc.cluster.local"), 80),
            ],
        },
    });
    format!("{all:#}")
}

pub fn both_ways_of_taking_over_start(story: &mut Story) -> Result {
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "proxy", "namespace": NAMESPACE },
            "data": { "proxy.yaml": configuration() },
        }),
    ];
    objects.extend(deployment("shadow", Vec::new(), application("http"), json!("http")));
    objects.extend(deployment("by-name", vec![proxy("http")], application("app-direct"), json!("http")));
    objects.extend(deployment("by-redirect", vec![redirect(), proxy("inbound")], application("http"), json!(8080)));
    story.apply(&objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n"))?;
    for name in ["shadow", "by-name", "by-redirect"] {
        story.kubectl(&format!("rollout status deployment/{name} -n {NAMESPACE} --timeout=120s"))?;
    }
    Ok(())
}

pub fn a_named_port_carries_traffic_and_copies_arrive(story: &mut Story) -> Result {
    carries(story, "by-name")
}

pub fn a_redirect_carries_traffic_and_copies_arrive(story: &mut Story) -> Result {
    carries(story, "by-redirect")
}

/// Requests to the Service come back good, went through the sidecar, and as many copies came to the shadow; nobody lost one.
fn carries(story: &mut Story, name: &str) -> Result {
    story.node()?;
    let service = format!("http://{}:80/work?class=cheap", story.cluster_ip(NAMESPACE, name)?);
    let admin = admin(story, name)?;
    until("the Service answers", PATIENCE, || Ok(get(&service).filter(|a| a.status == 200)))?;
    let before = snapshot(&admin)?;
    for n in 0..REQUESTS {
        let answer = get(&service).ok_or_else(|| format!("request {n} was not answered"))?;
        ensure(answer.status == 200, || format!("request {n}: {}", answer.head))?;
    }
    let (passed, completed) = until("copies arrive", PATIENCE, || {
        let now = snapshot(&admin)?;
        let passed = count(&now, "/downstream/requests") - count(&before, "/downstream/requests");
        let completed = count(&now, "/mirrors/0/completed") - count(&before, "/mirrors/0/completed");
        Ok((completed >= REQUESTS).then_some((passed, completed)))
    })?;
    ensure(passed >= REQUESTS, || format!("{passed} requests went through the sidecar"))?;
    ensure(completed <= passed + 1, || format!("{completed} copies of {passed} requests"))
}

/// A real Prometheus finds the sidecars through the API server and scrapes them.
pub fn prometheus_scrapes_the_sidecars(story: &mut Story) -> Result {
    const ADDRESS: &str = "127.0.0.1:19090";
    let dir = story.node()?.dir().to_owned();
    let config = json!({
        "global": { "scrape_interval": "2s" },
        "scrape_configs": [{
            "job_name": "sidecars", "metrics_path": "/stats/prometheus",
            "kubernetes_sd_configs": [{ "role": "pod", "kubeconfig_file": dir.join("admin.kubeconfig"), "namespaces": { "names": [NAMESPACE] } }],
            "relabel_configs": [
                { "source_labels": ["__meta_kubernetes_pod_container_name"], "regex": "foreshadow-proxy", "action": "keep" },
                { "source_labels": ["__meta_kubernetes_pod_ip"], "regex": "(.*)", "replacement": format!("$1:{ADMIN}"), "target_label": "__address__" },
                { "source_labels": ["__meta_kubernetes_pod_label_app"], "target_label": "app" },
            ],
        }],
    });
    std::fs::write(dir.join("prometheus.yml"), config.to_string())?;
    let mut command = Command::new("prometheus");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", &format!("--web.listen-address={ADDRESS}")]);
    let mut prometheus = Process::start(&dir, "prometheus", &mut command)?;
    let query = |expression: &str| get(&format!("http://{ADDRESS}/api/v1/query?query={expression}"));
    until("both sidecars are scraped and counted their copies", PATIENCE, || {
        prometheus.check()?;
        let Some(answer) = query("foreshadow_mirror_completed_total") else { return Ok(None) };
        let answer = answer.json();
        let apps = answer["data"]["result"].as_array().into_iter().flatten().filter_map(|r| r["metric"]["app"].as_str());
        let mut apps: Vec<&str> = apps.collect();
        apps.sort_unstable();
        apps.dedup();
        Ok((apps == ["by-name", "by-redirect"]).then_some(()))
    })
}

fn admin(story: &Story, app: &str) -> Result<String> {
    let pods = story.json(&format!("get pods -n {NAMESPACE} -l app={app}"))?;
    let ip = pods["items"][0]["status"]["podIP"].as_str().ok_or("the pod has no address")?;
    Ok(format!("http://{ip}:{ADMIN}"))
}

fn snapshot(admin: &str) -> Result<Value> {
    let answer = get(&format!("{admin}/telemetry")).ok_or("the sidecar's admin does not answer")?;
    Ok(serde_json::from_str(&answer.body)?)
}

fn count(snapshot: &Value, pointer: &str) -> u64 {
    snapshot.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}
