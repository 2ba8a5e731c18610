//! In-place resizes and changes of the template on a real API server.

use crate::scene::{Scene, apply};
use foreshadow_agent::kubernetes::act::mark::{Mark, expiry};
use foreshadow_agent::kubernetes::act::refusal::Refusal;
use foreshadow_agent::kubernetes::act::resize::{self, Progress, Size, Sizing, resize};
use foreshadow_agent::kubernetes::act::template::{self, Change};
use foreshadow_cluster::api;
use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

fn sizing(cpu: &str) -> Sizing {
    let of: std::collections::BTreeMap<String, String> =
        [("cpu".to_owned(), cpu.to_owned()), ("memory".to_owned(), "64Mi".to_owned())].into();
    Sizing { container: "app".into(), size: Size { requests: of.clone(), limits: of } }
}

/// A running pod on a node with four cores, as a kubelet would have it.
async fn running_pod(scene: &Scene) -> Pod {
    let nodes: Api<Node> = Api::all(scene.client.clone());
    let node = format!("node-of-{}", scene.namespace);
    let object = serde_json::from_value(json!({ "metadata": { "name": node } })).expect("a node");
    nodes.create(&PostParams::default(), &object).await.expect("created");
    let capacity = json!({ "cpu": "4", "memory": "8Gi", "pods": "10" });
    let status = json!({ "status": { "capacity": capacity, "allocatable": capacity } });
    nodes.patch_status(&node, &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let resources = json!({ "cpu": "500m", "memory": "64Mi" });
    let pod = json!({ "metadata": { "name": "web-1" }, "spec": { "nodeName": node, "containers": [
        { "name": "app", "image": "app:1", "resources": { "requests": resources, "limits": resources } }] } });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).expect("a pod")).await.expect("created");
    let status = json!({ "status": { "phase": "Running", "containerStatuses": [
        { "name": "app", "image": "app:1", "imageID": "", "ready": true, "restartCount": 0, "resources": { "requests": resources, "limits": resources } }] } });
    pods.patch_status("web-1", &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status")
}

#[tokio::test]
async fn a_pod_is_resized_in_place_and_back() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "resize").await;
    let pod = running_pod(&scene).await;
    let before = resize::wanted(&pod, "app").expect("a size");
    let mark = Mark {
        value: sizing("1"),
        original: Sizing { container: "app".into(), size: before.clone() },
        expires: expiry(Timestamp::now(), 60.0),
        scaler: scene.workload.clone(),
        term: 1,
        reason: "costlier requests".into(),
    };
    resize::put_mark(&scene.client, &scene.namespace, "web", Some(&mark)).await.expect("marked");
    resize(&scene.client, &pod, &sizing("1"), true).await.expect("a dry run");
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    assert_eq!(resize::wanted(&pods.get("web-1").await.expect("there"), "app"), Some(before.clone()), "a dry run stores nothing");
    let resized = resize(&scene.client, &pod, &sizing("1"), false).await.expect("resized");
    assert_eq!(resize::wanted(&resized, "app"), Some(sizing("1").size));
    assert_eq!((resized.uid(), resize::progress(&resized, &sizing("1"))), (pod.uid(), Progress::Underway), "the same pod, no kubelet yet");
    let scaler = Api::namespaced(scene.client.clone(), &scene.namespace).get("web").await.expect("there");
    let marked = resize::mark_of(&scaler).expect("readable").expect("there");
    assert_eq!(marked.original.size, before);
    resize(&scene.client, &resized, &marked.original, false).await.expect("back");
    resize::put_mark(&scene.client, &scene.namespace, "web", None).await.expect("taken off");
    let scaler = Api::namespaced(scene.client.clone(), &scene.namespace).get("web").await.expect("there");
    assert_eq!(resize::mark_of(&scaler), Ok(None));
    assert_eq!(resize::wanted(&pods.get("web-1").await.expect("there"), "app"), Some(before));
}

#[tokio::test]
async fn what_cannot_be_had_has_its_answer() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "resize-no").await;
    let pod = running_pod(&scene).await;
    let quota: ResourceQuota =
        serde_json::from_value(json!({ "metadata": { "name": "q" }, "spec": { "hard": { "requests.cpu": "2" } } })).expect("a quota");
    let mut class = sizing("1");
    class.size.limits.insert("cpu".into(), "2".into());
    let refused = resize(&scene.client, &pod, &class, false).await.expect_err("the class would change");
    assert!(matches!(refused, Refusal::Situation(_)), "{refused:?}");
    let refused = resize(&scene.client, &pod, &sizing("64"), false).await.expect_err("more than the node has");
    assert!(matches!(refused, Refusal::Infeasible(_)), "{refused:?}");
    let quotas: Api<ResourceQuota> = Api::namespaced(scene.client.clone(), &scene.namespace);
    quotas.create(&PostParams::default(), &quota).await.expect("created");
    let used = json!({ "status": { "hard": { "requests.cpu": "2" }, "used": { "requests.cpu": "500m" } } });
    quotas.patch_status("q", &PatchParams::default(), &Patch::Merge(&used)).await.expect("a status");
    let refused = resize(&scene.client, &pod, &sizing("3"), false).await.expect_err("more than the quota");
    assert!(matches!(&refused, Refusal::Infeasible(why) if why.contains("quota")), "{refused:?}");
}

#[tokio::test]
async fn a_template_is_changed_and_given_back_and_a_foreign_field_is_not_taken() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "template").await;
    let change = Change::Class([("pool".to_owned(), "fast".to_owned())].into());
    let mark = Mark {
        value: Some(change.clone()),
        original: None,
        expires: expiry(Timestamp::now(), 3_600.0),
        scaler: scene.workload.clone(),
        term: 1,
        reason: "the cheapest that holds".into(),
    };
    let changed = template::apply(&scene.client, &scene.namespace, "web", Some((&change, &mark)), false).await.expect("nobody owns it");
    assert_eq!(changed.data["spec"]["template"]["spec"]["nodeSelector"], json!({ "pool": "fast" }));
    assert_eq!(template::mark_of(&changed).expect("readable").and_then(|m| m.value), Some(change.clone()));
    let back = template::apply(&scene.client, &scene.namespace, "web", None, false).await.expect("ours");
    assert_eq!((back.data["spec"]["template"]["spec"].get("nodeSelector"), back.annotations().get(template::ANNOTATION)), (None, None));
    let labels = json!({ "app": "web" });
    let theirs = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": {
        "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
            "spec": { "nodeSelector": { "pool": "slow" }, "containers": [{ "name": "app", "image": "app:1" }] } } } });
    apply(&scene.client, &scene.namespace, &theirs).await;
    let refused = template::apply(&scene.client, &scene.namespace, "web", Some((&change, &mark)), false).await.expect_err("409");
    assert!(matches!(&refused, Refusal::OwnedByOther(why) if why.contains("user")), "{refused:?}");
}
