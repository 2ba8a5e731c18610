//! In-place resize of running pods (`pods/resize`): another size without a restart, and back.
//!
//! Called for `sizer`, who acts on the resources axis, and for `sizes`, which puts back. What may be done and how far it is, is pure ([`check`], [`progress`]); the
//! calls are below. Promises: one axis at a time: nothing is begun while a resize is under way or another scaler acts on the size; the
//! quality of service class stays, because Kubernetes refuses anything else; the size before and the time to live stand on the
//! ShadowScaler before the first pod is touched; a resize that the kubelet cannot do is taken back.

use super::mark::{Mark, MarkError};
use super::refusal::Refusal;
use super::scaler::quantity;
use crate::kubernetes::crd::ShadowScaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Our field manager for sizes, apart from that for floors: each owns its own fields.
pub const MANAGER: &str = "foreshadow-resize";
/// Annotation on the ShadowScaler with the size that stands and the one before.
pub const ANNOTATION: &str = "foreshadow.dev/resize";
/// Its label, what a sweep asks for.
pub const LABEL: &str = "foreshadow.dev/resized";

/// Size of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Requests by resource, e.g. `cpu: 500m`.
    #[serde(default)]
    pub requests: BTreeMap<String, String>,
    /// Limits by resource.
    #[serde(default)]
    pub limits: BTreeMap<String, String>,
}

impl Size {
    /// Whether another asks for the same, however it is written.
    pub fn is(&self, other: &Self) -> bool {
        let equal = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
            a.len() == b.len() && a.iter().all(|(resource, quantity)| same(Some(quantity), b.get(resource)))
        };
        equal(&self.requests, &other.requests) && equal(&self.limits, &other.limits)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |map: &BTreeMap<String, String>| map.iter().map(|(r, q)| format!("{r} {q}")).collect::<Vec<_>>().join(", ");
        write!(f, "requests {}; limits {}", part(&self.requests), part(&self.limits))
    }
}

/// Size of one container of every pod of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizing {
    /// The container.
    pub container: String,
    /// Its size.
    pub size: Size,
}

/// How far a resize is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The container runs with it.
    Done,
    /// The kubelet is at it.
    Underway,
    /// The node has no room now; the kubelet tries again.
    Deferred(String),
    /// The node never has room for it.
    Infeasible(String),
}

/// The size that a pod's specification asks for.
pub fn wanted(pod: &Pod, container: &str) -> Option<Size> {
    let found = pod.spec.as_ref()?.containers.iter().find(|c| c.name == container)?;
    let resources = found.resources.clone().unwrap_or_default();
    let plain = |map: Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
        map.unwrap_or_default().into_iter().filter(|(k, _)| k == "cpu" || k == "memory").map(|(k, q)| (k, q.0)).collect()
    };
    Some(Size { requests: plain(resources.requests), limits: plain(resources.limits) })
}

/// Whether a resize may be begun.
///
/// # Errors
/// What stands in the way, in words.
pub fn check(pod: &Pod, sizing: &Sizing) -> Result<(), Refusal> {
    let name = pod.name_any();
    if let Some(condition) = under_way(pod) {
        return Err(Refusal::Situation(format!("a resize of pod {name} is under way ({condition})")));
    }
    let class = pod.status.as_ref().and_then(|s| s.qos_class.clone()).unwrap_or_default();
    let size = &sizing.size;
    let complete = ["cpu", "memory"].iter().all(|r| size.requests.contains_key(*r) && same(size.requests.get(*r), size.limits.get(*r)));
    match class.as_str() {
        "BestEffort" => {
            Err(Refusal::Situation(format!("pod {name} is BestEffort, and a resize may not change its class: give it requests")))
        }
        "Guaranteed" if !complete => {
            let what = format!("pod {name} is Guaranteed, and a resize may not change its class: requests must equal limits");
            Err(Refusal::Situation(what))
        }
        _ => restarts(pod, sizing).map_or(Ok(()), |resource| {
            let what = format!("resizing {resource} of container {} restarts it (its resizePolicy says so)", sizing.container);
            Err(Refusal::Situation(what))
        }),
    }
}

/// The resource whose change would restart the container.
fn restarts(pod: &Pod, sizing: &Sizing) -> Option<String> {
    let found = pod.spec.as_ref()?.containers.iter().find(|c| c.name == sizing.container)?;
    let now = wanted(pod, &sizing.container)?;
    let changed = |resource: &str| {
        !same(now.requests.get(resource), sizing.size.requests.get(resource))
            || !same(now.limits.get(resource), sizing.size.limits.get(resource))
    };
    let policies = found.resize_policy.as_deref().unwrap_or_default();
    policies.iter().find(|p| p.restart_policy == "RestartContainer" && changed(&p.resource_name)).map(|p| p.resource_name.clone())
}

fn under_way(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let found = conditions.iter().find(|c| matches!(c.type_.as_str(), "PodResizePending" | "PodResizeInProgress") && c.status == "True")?;
    Some(found.reason.clone().filter(|r| !r.is_empty()).unwrap_or_else(|| found.type_.clone()))
}

/// How far the pod is on its way to this size.
pub fn progress(pod: &Pod, sizing: &Sizing) -> Progress {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    if let Some(pending) = conditions.iter().find(|c| c.type_ == "PodResizePending" && c.status == "True") {
        let why = pending.message.clone().unwrap_or_default();
        return if pending.reason.as_deref() == Some("Infeasible") { Progress::Infeasible(why) } else { Progress::Deferred(why) };
    }
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let actual = statuses.iter().find(|s| s.name == sizing.container).and_then(|s| s.resources.as_ref());
    let reached = actual.is_some_and(|now| {
        let has = |map: &Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
                   wished: &BTreeMap<String, String>| {
            wished.iter().all(|(r, q)| same(map.as_ref().and_then(|m| m.get(r)).map(|q| &q.0), Some(q)))
        };
        has(&now.requests, &sizing.size.requests) && has(&now.limits, &sizing.size.limits)
    });
    if reached { Progress::Done } else { Progress::Underway }
}

/// Whether two quantities are the same amount, however they are written.
fn same(a: Option<&String>, b: Option<&String>) -> bool {
    let amount = |q: &String| quantity(&Value::String(q.clone()));
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b || amount(a).is_some() && amount(a) == amount(b),
        _ => false,
    }
}

/// The mark of a ShadowScaler whose pods were resized.
///
/// # Errors
/// One that cannot be understood.
pub fn mark_of(scaler: &ShadowScaler) -> Result<Option<Mark<Sizing>>, MarkError> {
    Mark::find_as(scaler.metadata.annotations.as_ref(), ANNOTATION)
}

/// Writes the mark, before any pod is touched; `None` takes it off.
///
/// # Errors
/// What the API server said.
pub async fn put_mark(client: &Client, namespace: &str, scaler: &str, mark: Option<&Mark<Sizing>>) -> Result<(), Refusal> {
    let mut metadata = json!({ "name": scaler });
    if let Some(mark) = mark {
        metadata["labels"] = json!({ LABEL: "true" });
        metadata["annotations"] = json!({ ANNOTATION: mark.to_text() });
    }
    let body = json!({ "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": metadata });
    let api: Api<ShadowScaler> = Api::namespaced(client.clone(), namespace);
    api.patch(scaler, &PatchParams::apply(MANAGER), &Patch::Apply(&body)).await?;
    Ok(())
}

/// Asks for another size of one pod's container. With `dry_run` the API server checks everything and stores nothing.
///
/// # Errors
/// What the API server said: no room on the node, a quota, a class that would change.
pub async fn resize(client: &Client, pod: &Pod, sizing: &Sizing, dry_run: bool) -> Result<Pod, Refusal> {
    check(pod, sizing)?;
    let resources = json!({ "requests": sizing.size.requests, "limits": sizing.size.limits });
    let body = json!({ "spec": { "containers": [{ "name": sizing.container, "resources": resources }] } });
    let params = PatchParams { field_manager: Some(MANAGER.into()), dry_run, ..PatchParams::default() };
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    Ok(api.patch_resize(&pod.name_any(), &params, &Patch::Strategic(&body)).await?)
}

#[cfg(test)]
mod tests;
