//! Foreshadow as the README says: installed from the manifests, a namespace labelled, a ShadowScaler applied; then the shadow is there by
//! itself, both ways of taking over carry traffic, copies arrive, and a real Prometheus scrapes everything.

use super::shop::{self, NAMESPACE, PRODUCT, Pod, condition, passed_and_copied, pods};
use crate::story::{Result, Story, ensure, until};
use foreshadow_cluster::process::Process;
use foreshadow_tests::code::workspace;
use foreshadow_tests::http::get;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const REQUESTS: u64 = 60;

pub fn applications_run_without_it(story: &mut Story) -> Result {
    story.apply(&documents(&shop::objects()))?;
    rolled_out(story, NAMESPACE, &["deployment/web", "deployment/legacy"])?;
    story.remember_objects()
}

pub fn it_installs_from_the_manifests(story: &mut Story) -> Result {
    let overlay = workspace().join("manifests/kustomize/overlays/default");
    story.kubectl(&format!("apply --server-side -k {}", overlay.display()))?;
    rolled_out(story, PRODUCT, &["deployment/foreshadow-controller", "daemonset/foreshadow-node"])
}

pub fn a_labelled_namespace_gets_sidecars_and_a_scaler_its_shadow(story: &mut Story) -> Result {
    story.kubectl(&format!("label namespace {NAMESPACE} foreshadow.dev/inject=enabled"))?;
    webhook_is_registered(story)?;
    story.kubectl(&format!("rollout restart deployment/web deployment/legacy -n {NAMESPACE}"))?;
    story.apply(&documents(&[shop::scaler("web", "Act"), shop::scaler("legacy", "Observe")]))?;
    rolled_out(story, NAMESPACE, &["deployment/web", "deployment/legacy"])?;
    for name in ["web", "legacy"] {
        for kind in ["SidecarsReady", "ShadowReady"] {
            until(&format!("{name} is {kind}"), PATIENCE, || {
                let (holds, why) = condition(story, name, kind)?;
                if holds { Ok(Some(())) } else { Err(why.into()) }
            })?;
        }
        let shadows = shop::shadows(story, name)?;
        ensure(shadows.len() == 1 && shadows[0].ready, || format!("{} shadows of {name}, or it is not ready", shadows.len()))?;
        let cpu = &shadows[0].object["spec"]["containers"][0]["resources"]["limits"]["cpu"];
        ensure(cpu == "250m", || format!("the shadow of {name} has {cpu} cores, half of 500m was asked for"))?;
    }
    modes_are(story, &[("web", "named-port"), ("legacy", "redirect")])
}

/// Until the webhook's registration has its certificate, pods start without a sidecar: by design, so it is waited for as a user would.
pub fn webhook_is_registered(story: &Story) -> Result {
    until("the webhook is registered with its authority", PATIENCE, || {
        let registration = story.json("get mutatingwebhookconfiguration foreshadow-injector")?;
        Ok(registration["webhooks"][0]["clientConfig"]["caBundle"].as_str().filter(|ca| !ca.is_empty()).map(|_| ()))
    })
}

fn modes_are(story: &Story, wanted: &[(&str, &str)]) -> Result {
    for (name, mode) in wanted {
        for pod in pods(story, NAMESPACE, &format!("app={name}"))? {
            let injected = pod.object["metadata"]["annotations"]["foreshadow.dev/injected"].as_str().unwrap_or("nothing").to_owned();
            ensure(injected.contains(mode), || format!("{} should be taken over by {mode}: {injected}", pod.name))?;
        }
    }
    Ok(())
}

pub fn a_named_port_carries_traffic_and_copies_arrive(story: &mut Story) -> Result {
    carries(story, "web")
}

pub fn a_redirect_carries_traffic_and_copies_arrive(story: &mut Story) -> Result {
    carries(story, "legacy")
}

/// Requests to the Service come back good and went through sidecars; the agent has them copied, and the shadow answers copies.
fn carries(story: &mut Story, name: &str) -> Result {
    story.reaches_pods()?;
    let service = format!("http://{}:80/work?class=cheap", story.cluster_ip(NAMESPACE, name)?);
    let production = pods(story, NAMESPACE, &format!("app={name}"))?;
    let before = passed_and_copied(&production)?;
    for n in 0..REQUESTS {
        let answer = get(&service).ok_or_else(|| format!("request {n} was not answered"))?;
        ensure(answer.status == 200, || format!("request {n}: {}", answer.head))?;
    }
    let passed = passed_and_copied(&production)?.0 - before.0;
    ensure(passed >= REQUESTS, || format!("{passed} of {REQUESTS} requests went through the sidecars"))?;
    until("copies arrive", PATIENCE, || {
        ensure(get(&service).is_some_and(|a| a.status == 200), || "a request was not answered".into())?;
        let copied = passed_and_copied(&production)?.1 - before.1;
        if copied >= 10 { Ok(Some(())) } else { Err(format!("{copied} copies so far").into()) }
    })
}

/// A real Prometheus scrapes sidecars, agents and controllers where they say that they are to be scraped.
pub fn prometheus_scrapes_sidecars_agents_and_controllers(story: &mut Story) -> Result {
    const ADDRESS: &str = "127.0.0.1:19090";
    story.reaches_pods()?;
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    std::fs::write(dir.join("prometheus.yml"), scraping(story)?.to_string())?;
    let mut command = Command::new("prometheus");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus", &format!("--web.listen-address={ADDRESS}")]);
    let mut prometheus = Process::start(dir, "prometheus", &mut command)?;
    let series = |expression: &str| -> Vec<Value> {
        let answer = get(&format!("http://{ADDRESS}/api/v1/query?query={expression}"));
        answer.and_then(|a| a.json()["data"]["result"].as_array().cloned()).unwrap_or_default()
    };
    for (what, expression, least) in [
        ("both sides of every sidecar", "foreshadow_mirror_completed_total", 3),
        ("the node's agent", "foreshadow_node_pods%3E0", 1),
        ("both controllers", "up{job=\"product\",component=\"controller\"}==1", 2),
    ] {
        let expression = expression.replace('"', "%22").replace('{', "%7B").replace('}', "%7D").replace('=', "%3D");
        until(what, PATIENCE, || {
            prometheus.check()?;
            let found = series(&expression).len();
            if found >= least { Ok(Some(())) } else { Err(format!("{found} series of {least}").into()) }
        })?;
    }
    let down = series("up%3D%3D0");
    ensure(down.is_empty(), || format!("not scraped: {down:?}"))
}

/// Where the manifests and the injected pods say that they are to be scraped: a port's name, or annotations. Prometheus itself looks for pods
/// in this way where it was built with its Kubernetes discovery; Debian's is not.
fn scraping(story: &Story) -> Result<Value> {
    let sidecars = pods(story, NAMESPACE, "foreshadow.dev/sidecar=true")?;
    let sidecars = sidecars.iter().filter(|p| p.ready).filter_map(|p| Some(target(p, named_port(p, "foreshadow")?)));
    let product = pods(story, PRODUCT, "app.kubernetes.io/part-of=foreshadow")?;
    let annotated = |p: &Pod| {
        let annotations = &p.object["metadata"]["annotations"];
        let wanted = annotations["prometheus.io/scrape"] == "true" && annotations["prometheus.io/path"] == "/metrics";
        annotations["prometheus.io/port"].as_str().filter(|_| wanted).and_then(|port| port.parse().ok())
    };
    let product = product.iter().filter_map(|p| Some(target(p, annotated(p)?)));
    let job = |name: &str, path: &str, targets: Vec<Value>| json!({ "job_name": name, "metrics_path": path, "static_configs": targets });
    Ok(json!({
        "global": { "scrape_interval": "2s" },
        "scrape_configs": [job("sidecars", "/stats/prometheus", sidecars.collect()), job("product", "/metrics", product.collect())],
    }))
}

fn target(pod: &Pod, port: u64) -> Value {
    let component = &pod.object["metadata"]["labels"]["app.kubernetes.io/component"];
    json!({ "targets": [format!("{}:{port}", pod.ip)], "labels": { "pod": pod.name, "component": component.as_str().unwrap_or_default() } })
}

fn named_port(pod: &Pod, name: &str) -> Option<u64> {
    let containers = ["initContainers", "containers"].into_iter().filter_map(|list| pod.object["spec"][list].as_array()).flatten();
    let mut ports = containers.filter_map(|c| c["ports"].as_array()).flatten();
    ports.find(|p| p["name"] == name)?["containerPort"].as_u64()
}

/// Waits for rollouts.
pub fn rolled_out(story: &Story, namespace: &str, workloads: &[&str]) -> Result {
    for workload in workloads {
        story.kubectl(&format!("rollout status {workload} -n {namespace} --timeout=120s"))?;
    }
    Ok(())
}

/// Objects as one text for `kubectl apply`.
pub fn documents(objects: &[Value]) -> String {
    objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// Names of pods that are ready.
pub fn ready(pods: &[Pod]) -> Vec<&str> {
    pods.iter().filter(|p| p.ready).map(|p| p.name.as_str()).collect()
}
