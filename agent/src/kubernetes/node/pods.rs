//! From the pods of this node to what is looked after: which workload each belongs to, how far in its life it is, what its containers are.
//!
//! Called by the node role whenever a pod changes. Pure. Promises: pods that have ended are nobody's; an injected pod whose workload has
//! no ShadowScaler is left alone; a shadow is never counted as production.

use super::groups::Class;
use crate::kubernetes::act::scaler::quantity;
use crate::kubernetes::names;
use crate::local::api::{Instance, State};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A pod of this node that is looked after.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// `namespace/name` of its ShadowScaler.
    pub workload: String,
    /// What is told of it.
    pub instance: Instance,
    /// Whether it is the shadow.
    pub shadow: bool,
    /// Release that it runs.
    pub release: String,
    /// Its uid: names its control groups, and is what its sidecar asks for.
    pub uid: String,
    /// Its class: names its control groups.
    pub class: Class,
    /// Ids of the application's containers that run.
    pub containers: Vec<String>,
}

/// ShadowScalers by namespace, kind and name of their target.
pub type Targets = BTreeMap<(String, String, String), String>;

/// What a pod is to us, if anything.
pub fn local(pod: &Pod, targets: &Targets) -> Option<Local> {
    let (meta, status) = (&pod.metadata, pod.status.as_ref()?);
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let namespace = meta.namespace.clone()?;
    let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).map(String::as_str);
    let shadow = label(names::ROLE) == Some(names::SHADOW);
    let workload = if shadow {
        format!("{namespace}/{}", label(names::SCALER)?)
    } else {
        let (kind, name) = meta.annotations.as_ref()?.get(names::WORKLOAD)?.split_once('/')?;
        targets.get(&(namespace, kind.to_owned(), name.to_owned()))?.clone()
    };
    let release = label("pod-template-hash").or_else(|| label("controller-revision-hash")).unwrap_or_default().to_owned();
    let class = Class::of(status.qos_class.as_deref().unwrap_or_default());
    let containers = applications(pod).filter_map(|(_, s)| running(s?)).collect();
    let uid = meta.uid.clone()?;
    Some(Local { workload, instance: instance(pod, shadow)?, shadow, release, uid, class, containers })
}

fn instance(pod: &Pod, shadow: bool) -> Option<Instance> {
    let status = pod.status.as_ref()?;
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
    let is_ready = ready.is_some_and(|c| c.status == "True");
    let state = match (pod.metadata.deletion_timestamp.is_some(), is_ready) {
        (true, _) => State::Draining,
        (false, true) => State::Ready,
        (false, false) => State::Starting,
    };
    let ip = status.pod_ip.as_deref().and_then(|ip| ip.parse().ok());
    let sidecar = ip.filter(|_| !shadow && has_sidecar(pod)).map(|ip| url(ip, names::ACCESS_PORT));
    let port = || applications(pod).find_map(|(c, _)| c.ports.as_ref()?.first().map(|p| p.container_port));
    let app_url = ip.filter(|_| shadow).zip(port()).map(|(ip, port)| url(ip, u16::try_from(port).unwrap_or(0)));
    Some(Instance {
        name: pod.metadata.name.clone()?,
        profile: if shadow { String::new() } else { "production".into() },
        size: 1.0,
        state,
        app_url: app_url.unwrap_or_default(),
        admin_url: sidecar,
        cpu_limit_cores: total(pod, "cpu"),
        memory_limit_bytes: total(pod, "memory").map(|bytes| bytes as u64),
        started_unix_ms: status.start_time.as_ref().map_or(0, |t| millis(t.0)),
        ready_unix_ms: ready.filter(|_| is_ready).and_then(|c| c.last_transition_time.as_ref()).map(|t| millis(t.0)),
        ..Instance::default()
    })
}

/// The application's own containers with their status: not ours.
fn applications(pod: &Pod) -> impl Iterator<Item = (&Container, Option<&ContainerStatus>)> {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let containers = pod.spec.as_ref().map(|s| s.containers.as_slice()).unwrap_or_default();
    let ours = |c: &&Container| c.name != names::PROXY_CONTAINER;
    containers.iter().filter(ours).map(move |c| (c, statuses.iter().find(|s| s.name == c.name)))
}

fn has_sidecar(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let all = spec.iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    all.into_iter().any(|c| c.name == names::PROXY_CONTAINER)
}

/// The runtime's id of a container that runs, without the runtime's name.
fn running(status: &ContainerStatus) -> Option<String> {
    status.state.as_ref()?.running.as_ref()?;
    let (_, id) = status.container_id.as_deref()?.split_once("://")?;
    Some(id.to_owned())
}

/// Limit, else request, over the application's containers: what the kubelet has actuated, where it says so. `None` when one has neither.
fn total(pod: &Pod, resource: &str) -> Option<f64> {
    let mut sum = 0.0;
    for (container, status) in applications(pod) {
        let resources = status.and_then(|s| s.resources.as_ref()).or(container.resources.as_ref())?;
        let find = |map: &Option<BTreeMap<String, Quantity>>| map.as_ref().and_then(|m| m.get(resource)).cloned();
        let given = find(&resources.limits).or_else(|| find(&resources.requests))?;
        sum += quantity(&Value::String(given.0))?;
    }
    (sum > 0.0).then_some(sum)
}

fn url(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("http://{ip}:{port}"),
        IpAddr::V6(ip) => format!("http://[{ip}]:{port}"),
    }
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(changes: Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "labels": {"pod-template-hash": "abc"},
                "annotations": {"foreshadow.dev/workload": "Deployment/web"}},
            "spec": {
                "initContainers": [{"name": "foreshadow-proxy", "image": "p", "restartPolicy": "Always"}],
                "containers": [
                    {"name": "app", "image": "a", "ports": [{"containerPort": 8080}], "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}},
                    {"name": "log", "image": "l", "resources": {"requests": {"cpu": "250m", "memory": "32Mi"}}}]},
            "status": {"phase": "Running", "podIP": "10.0.0.7", "qosClass": "Burstable", "startTime": "1970-01-01T00:00:05Z",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:09Z"}],
                "containerStatuses": [
                    {"name": "app", "containerID": "containerd://aa", "image": "a", "imageID": "", "ready": true, "restartCount": 0,
                     "state": {"running": {}}},
                    {"name": "log", "containerID": "containerd://bb", "image": "l", "imageID": "", "ready": false, "restartCount": 2,
                     "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}
        });
        merge(&mut pod, changes);
        serde_json::from_value(pod).unwrap()
    }

    fn merge(into: &mut Value, changes: Value) {
        match (into, changes) {
            (Value::Object(into), Value::Object(changes)) => {
                changes.into_iter().for_each(|(k, v)| merge(into.entry(k).or_insert(Value::Null), v))
            }
            (into, changes) => *into = changes,
        }
    }

    fn targets() -> Targets {
        [(("shop".to_owned(), "Deployment".to_owned(), "web".to_owned()), "shop/web-scaler".to_owned())].into()
    }

    #[test]
    fn an_injected_pod_of_a_target_is_production() {
        let found = local(&pod(json!({})), &targets()).unwrap();
        assert_eq!((found.workload.as_str(), found.release.as_str(), found.shadow), ("shop/web-scaler", "abc", false));
        assert_eq!(found.instance.admin_url.as_deref(), Some("http://10.0.0.7:17020"));
        assert_eq!(
            (found.instance.state, found.instance.started_unix_ms, found.instance.ready_unix_ms),
            (State::Ready, 5_000, Some(9_000))
        );
        assert_eq!((found.instance.cpu_limit_cores, found.instance.memory_limit_bytes), (Some(0.75), Some(96 << 20)));
        assert_eq!(found.containers, ["aa"], "one that does not run has no control group");
        assert_eq!(local(&pod(json!({})), &Targets::new()), None, "no ShadowScaler, no business of ours");
    }

    #[test]
    fn a_shadow_has_no_sidecar_and_an_address_of_its_own() {
        let shadow = json!({"metadata": {"labels": {"foreshadow.dev/role": "shadow", "foreshadow.dev/scaler": "web-scaler"}, "annotations": null},
            "status": {"podIP": "fd00::7"}});
        let found = local(&pod(shadow), &targets()).unwrap();
        assert_eq!((found.workload.as_str(), found.shadow), ("shop/web-scaler", true));
        assert_eq!((found.instance.admin_url, found.instance.app_url.as_str()), (None, "http://[fd00::7]:8080"));
    }

    #[test]
    fn life_goes_from_starting_over_ready_to_draining_and_out() {
        let state = |changes| local(&pod(changes), &targets()).map(|l| l.instance.state);
        assert_eq!(state(json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})), Some(State::Starting));
        assert_eq!(state(json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:09Z"}})), Some(State::Draining));
        assert_eq!(state(json!({"status": {"phase": "Succeeded"}})), None);
    }

    #[test]
    fn what_was_actuated_in_place_counts_and_unlimited_is_unknown() {
        let mut resized = pod(json!({}));
        let status = &mut resized.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
        status.resources = serde_json::from_value(json!({"limits": {"cpu": "1", "memory": "64Mi"}})).unwrap();
        assert_eq!(local(&resized, &targets()).unwrap().instance.cpu_limit_cores, Some(1.25));
        let mut free = pod(json!({}));
        free.spec.as_mut().unwrap().containers[1].resources = None;
        assert_eq!(local(&free, &targets()).unwrap().instance.cpu_limit_cores, None);
    }
}
