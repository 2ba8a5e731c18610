//! The class axis on a real API server: a template changed, rolled out, renewed, and taken back for every reason there is.

use crate::scene::{Scene, apply};
use crate::sizer::{Holder, mode, rollout, workload};
use foreshadow_agent::kubernetes::act::expire;
use foreshadow_agent::kubernetes::act::mark::expiry;
use foreshadow_agent::kubernetes::act::template::{self, MANAGER};
use foreshadow_agent::kubernetes::crd::ShadowScaler;
use foreshadow_agent::kubernetes::sizer::Step;
use foreshadow_cluster::api;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// A workload whose shadow runs on cheap nodes now and then, which take nearly what the others do.
async fn with_classes(name: &str) -> Option<(Scene, Holder)> {
    let scene = Scene::new(api::shared()?, name).await;
    workload(&scene, "Act").await;
    let class = |name: &str, cost: f64| json!({ "name": name, "nodeSelector": { "pool": name }, "relativeCost": cost });
    let spec = json!({
        "shadow": { "profiles": ["spot"], "customProfiles": [{ "name": "spot", "nodeSelector": { "pool": "spot" } }] },
        "actuation": { "resources": Value::Null, "class": { "enabled": true, "classes": [class("spot", 0.4), class("standard", 1.0)] } },
    });
    let api: Api<ShadowScaler> = Api::namespaced(scene.client.clone(), &scene.namespace);
    api.patch("web", &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await.expect("patched");
    let mut holder = Holder::new(&scene, 1);
    holder.profile = "spot";
    holder.ticks(150, 700.0, 0.95, 0.5);
    Some((scene, holder))
}

async fn nodes(scene: &Scene) -> Option<String> {
    scene.deployment().await.data["spec"]["template"]["spec"]["nodeSelector"]["pool"].as_str().map(str::to_owned)
}

async fn is_marked(scene: &Scene) -> bool {
    let deployment = scene.deployment().await;
    let ours = deployment.metadata.managed_fields.iter().flatten().any(|f| f.manager.as_deref() == Some(MANAGER));
    ours || deployment.annotations().contains_key(template::ANNOTATION) || deployment.labels().contains_key(template::LABEL)
}

#[tokio::test]
async fn a_cheaper_class_is_rolled_out_and_taken_back_when_its_rollout_fails() {
    let Some((scene, mut holder)) = with_classes("mover").await else { return };
    assert_eq!(holder.sizer.round().await, Ok(Step::Moved));
    assert_eq!(nodes(&scene).await.as_deref(), Some("spot"));
    assert!(holder.changes().contains(&(true, "nodes with pool=spot".into())), "{:?}", holder.changes());
    assert!(scene.events().await.iter().any(|e| e.starts_with("TemplateChanged: nodes with pool=spot: other class")));
    // Nothing more while it is under way, and an earlier holder has no say.
    let template = scene.deployment().await.data["spec"]["template"].clone();
    rollout(&scene, 1, json!([])).await;
    assert!(matches!(holder.sizer.round().await, Ok(Step::Keep(_))));
    let refused = Holder::new(&scene, 0).sizer.round().await.expect_err("it has lost the Lease");
    assert!(refused.to_string().contains("later holder"), "{refused}");
    // A later holder's renewal writes its term and is no rollout.
    let mut later = Holder::new(&scene, 2);
    assert!(matches!(later.sizer.round().await, Ok(Step::Keep(_))));
    let deployment = scene.deployment().await;
    assert_eq!(template::mark_of(&deployment).expect("readable").map(|m| m.term), Some(2));
    assert_eq!(deployment.data["spec"]["template"], template);
    let failed = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no node has room" }]);
    rollout(&scene, 1, failed).await;
    assert_eq!(later.sizer.round().await, Ok(Step::Moved));
    assert_eq!((nodes(&scene).await, is_marked(&scene).await), (None, false));
    assert!(scene.events().await.iter().any(|e| e.starts_with("TemplateTakenBack") && e.contains("no node has room")));
}

#[tokio::test]
async fn a_class_falls_away_when_it_is_not_acted_on_and_when_nobody_renews_it() {
    let Some((scene, mut holder)) = with_classes("mover-end").await else { return };
    assert_eq!(holder.sizer.round().await, Ok(Step::Moved));
    rollout(&scene, 2, json!([])).await;
    assert!(matches!(holder.sizer.round().await, Ok(Step::Keep(_))));
    assert!(scene.events().await.iter().any(|e| e.starts_with("TemplateRolledOut")));
    mode(&scene, "Observe").await;
    assert_eq!(holder.sizer.round().await, Ok(Step::Moved));
    assert_eq!((nodes(&scene).await, is_marked(&scene).await), (None, false));

    mode(&scene, "Act").await;
    rollout(&scene, 2, json!([])).await;
    let mut next = Holder::new(&scene, 2);
    next.profile = "spot";
    next.ticks(150, 700.0, 0.95, 0.5);
    assert_eq!(next.sizer.round().await, Ok(Step::Moved));
    assert!(scene.sweep(Timestamp::now()).await.is_empty(), "it has time left");
    let swept = scene.sweep(expiry(Timestamp::now(), 3_601.0)).await;
    assert!(swept.len() == 1 && swept[0].outcome.is_ok(), "{swept:?}");
    assert_eq!((nodes(&scene).await, is_marked(&scene).await), (None, false));
}

#[tokio::test]
async fn a_class_goes_with_its_scaler() {
    let Some((scene, mut holder)) = with_classes("mover-gone").await else { return };
    assert_eq!(holder.sizer.round().await, Ok(Step::Moved));
    let swept = expire::put_back(&scene.client, &scene.workload).await.expect("listed");
    assert!(swept.iter().any(|s| s.title == "template of Deployment/web" && s.outcome.is_ok()), "{swept:?}");
    assert_eq!((nodes(&scene).await, is_marked(&scene).await), (None, false));
}

#[tokio::test]
async fn nodes_that_somebody_asks_for_are_theirs() {
    let Some((scene, mut holder)) = with_classes("mover-theirs").await else { return };
    let labels = json!({ "app": "web" });
    let resources = json!({ "requests": { "cpu": "500m", "memory": "64Mi" } });
    let theirs = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": {
        "replicas": 2, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
            "spec": { "nodeSelector": { "pool": "standard" }, "containers": [{ "name": "app", "image": "app:1", "resources": resources }] } } } });
    apply(&scene.client, &scene.namespace, &theirs).await;
    rollout(&scene, 2, json!([])).await;
    let refused = holder.sizer.round().await.expect_err("the template names the pool");
    assert!(refused.to_string().contains("nodeSelector pool is set by somebody else"), "{refused}");
    assert_eq!((nodes(&scene).await.as_deref(), is_marked(&scene).await), (Some("standard"), false));
    assert!(holder.changes().is_empty());
}
