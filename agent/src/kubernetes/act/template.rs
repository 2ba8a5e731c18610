//! Changes of a Deployment's template: instance class, bandwidth, a resized size written back. Each is a rollout, with surge.
//!
//! Called by `act::moves`. What may be done and how far it is, is pure ([`check`], [`rollout`]). Promises: only the fields of the
//! change are applied, server-side, under a manager of their own, never forced, so that putting back is giving them up (but for a size, see
//! `write_back`); never more than one rollout at a time; never without surge, because production must not lose a replica over it; a rollout that fails is taken back.

use super::carrier::resource;
use super::mark::Mark;
use super::refusal::Refusal;
use super::resize::Sizing;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Our field manager for templates.
pub const MANAGER: &str = "foreshadow-template";
/// Annotation on the Deployment with what we changed.
pub const ANNOTATION: &str = "foreshadow.dev/template";
/// Its label, what a sweep asks for.
pub const LABEL: &str = "foreshadow.dev/template-changed";

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Nodes to run on.
    Class(BTreeMap<String, String>),
    /// Bits a second in and out, as Kubernetes writes quantities.
    Bandwidth {
        /// In.
        ingress: String,
        /// Out.
        egress: String,
    },
    /// Size of one container.
    Size(Sizing),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Class(labels) => {
                let all: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "nodes with {}", all.join(", "))
            }
            Self::Bandwidth { ingress, egress } => write!(f, "bandwidth {ingress} in, {egress} out"),
            Self::Size(sizing) => write!(f, "{}", sizing.size),
        }
    }
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// All replicas run the new template.
    Complete,
    /// Not yet.
    Underway,
    /// It does not go on, in words.
    Failed(String),
}

/// Whether the template may be changed now.
///
/// # Errors
/// What stands in the way, in words.
pub fn check(deployment: &DynamicObject, change: &Change) -> Result<(), Refusal> {
    let (spec, name) = (&deployment.data["spec"], deployment.name_any());
    let no = |why: String| Err(Refusal::Situation(format!("the template of Deployment {name} is left alone: {why}")));
    if spec["paused"] == true {
        return no("it is paused".into());
    }
    if spec["strategy"]["type"] == "Recreate" {
        return no("its strategy is Recreate, a change would take every replica down".into());
    }
    if matches!(&spec["strategy"]["rollingUpdate"]["maxSurge"], Value::Number(n) if n.as_u64() == Some(0))
        || spec["strategy"]["rollingUpdate"]["maxSurge"] == "0%"
    {
        return no("its strategy has maxSurge 0, a change would take replicas away before new ones are ready".into());
    }
    match rollout(deployment) {
        Rollout::Complete => {}
        Rollout::Underway => return no("a rollout is under way".into()),
        Rollout::Failed(why) => return no(format!("its last rollout failed: {why}")),
    }
    match set_by_others(deployment, change) {
        Some(what) => no(format!("{what} is set by somebody else")),
        None => Ok(()),
    }
}

/// What of the change the template has already, by somebody else.
fn set_by_others(deployment: &DynamicObject, change: &Change) -> Option<String> {
    if deployment.annotations().contains_key(ANNOTATION) {
        return None;
    }
    let template = &deployment.data["spec"]["template"];
    match change {
        Change::Class(labels) => {
            labels.keys().find(|k| template["spec"]["nodeSelector"].get(k.as_str()).is_some()).map(|k| format!("nodeSelector {k}"))
        }
        Change::Bandwidth { .. } => {
            let annotations = &template["metadata"]["annotations"];
            ["ingress", "egress"].map(bandwidth).into_iter().find(|k| annotations.get(k).is_some())
        }
        // A size always is: the API server says who owns it.
        Change::Size(_) => None,
    }
}

/// The annotation that limits a pod's bandwidth one way: `ingress` or `egress`.
pub fn bandwidth(way: &str) -> String {
    format!("kubernetes.io/{way}-bandwidth")
}

/// How far the Deployment's rollout is.
pub fn rollout(deployment: &DynamicObject) -> Rollout {
    let (spec, status) = (&deployment.data["spec"], &deployment.data["status"]);
    let number = |v: &Value| v.as_u64().unwrap_or(0);
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = conditions.iter().find(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded");
    let current = status["observedGeneration"].as_i64().unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0);
    if let Some(condition) = failed.filter(|_| current) {
        return Rollout::Failed(condition["message"].as_str().unwrap_or("its deadline is over").to_owned());
    }
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let all = number(&status["updatedReplicas"]) >= replicas
        && number(&status["availableReplicas"]) >= replicas
        && number(&status["replicas"]) == number(&status["updatedReplicas"]);
    if current && all { Rollout::Complete } else { Rollout::Underway }
}

/// Applies a change of class or bandwidth with its mark; `None` gives up whatever we changed, which puts back what was there.
///
/// # Errors
/// What the API server said: 409 when somebody else owns a field of it.
pub async fn apply(
    client: &Client,
    namespace: &str,
    name: &str,
    change: Option<(&Change, &Mark<Option<Change>>)>,
    dry_run: bool,
) -> Result<DynamicObject, Refusal> {
    let mut body = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name } });
    if let Some((change, mark)) = change {
        body["metadata"]["labels"] = json!({ LABEL: "true" });
        body["metadata"]["annotations"] = json!({ ANNOTATION: mark.to_text() });
        body["spec"] = json!({ "template": fields(change) });
    }
    let mut params = PatchParams::apply(MANAGER);
    params.dry_run = dry_run;
    Ok(deployments(client, namespace).patch(name, &params, &Patch::Apply(&body)).await?)
}

pub(super) fn deployments(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource("apps/v1", "Deployment"))
}

/// The fields of a pod template that a change writes.
pub(super) fn fields(change: &Change) -> Value {
    match change {
        Change::Class(labels) => json!({ "spec": { "nodeSelector": labels } }),
        Change::Bandwidth { ingress, egress } => {
            json!({ "metadata": { "annotations": { bandwidth("ingress"): ingress, bandwidth("egress"): egress } } })
        }
        Change::Size(Sizing { container, size }) => json!({ "spec": { "containers": [
            { "name": container, "resources": { "requests": size.requests, "limits": size.limits } }] } }),
    }
}

/// The mark of a Deployment whose template we changed.
///
/// # Errors
/// One that cannot be understood.
pub fn mark_of(deployment: &DynamicObject) -> Result<Option<Mark<Option<Change>>>, super::mark::MarkError> {
    Mark::find_as(deployment.metadata.annotations.as_ref(), ANNOTATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(changes: Value) -> DynamicObject {
        let mut object = json!({
            "metadata": {"name": "web", "generation": 3},
            "spec": {"replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}, "template": {"spec": {}}},
            "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}});
        for (pointer, value) in changes.as_object().unwrap() {
            *object.pointer_mut(pointer).unwrap() = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn class() -> Change {
        Change::Class([("pool".to_owned(), "fast".to_owned())].into())
    }

    #[test]
    fn never_without_surge_and_never_two_at_once() {
        assert_eq!(check(&deployment(json!({})), &class()), Ok(()));
        let says = |changes| check(&deployment(changes), &class()).unwrap_err().to_string();
        assert!(says(json!({"/spec/strategy": {"type": "Recreate"}})).contains("Recreate"));
        assert!(says(json!({"/spec/strategy/rollingUpdate": {"maxSurge": 0}})).contains("maxSurge 0"));
        assert!(says(json!({"/status/updatedReplicas": 1})).contains("under way"));
        assert!(says(json!({"/status/observedGeneration": 2})).contains("under way"));
        assert!(says(json!({"/spec/template/spec": {"nodeSelector": {"pool": "slow"}}})).contains("nodeSelector pool"));
    }

    #[test]
    fn a_rollout_that_does_not_go_on_has_failed() {
        let mut stuck = deployment(json!({"/status/updatedReplicas": 1}));
        stuck.data["status"]["conditions"] =
            json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "no progress"}]);
        assert_eq!(rollout(&stuck), Rollout::Failed("no progress".into()));
        assert_eq!(rollout(&deployment(json!({}))), Rollout::Complete);
    }

    #[test]
    fn only_the_fields_of_the_change_are_named() {
        let bandwidth = Change::Bandwidth { ingress: "10M".into(), egress: "20M".into() };
        assert_eq!(fields(&class()), json!({"spec": {"nodeSelector": {"pool": "fast"}}}));
        assert_eq!(fields(&bandwidth)["metadata"]["annotations"]["kubernetes.io/egress-bandwidth"], "20M");
    }
}
