//! The controller with the rights of its shipped role: a shadow made, kept to production, and taken away without a trace.

use crate::installed::Installed;
use crate::scene::{Scene, apply, eventually};
use foreshadow_agent::hands::Hands as _;
use foreshadow_agent::kubernetes::act::carrier::resource;
use foreshadow_agent::kubernetes::crd::ShadowScaler;
use foreshadow_agent::kubernetes::crd::status::{READY, SHADOW_READY, ShadowScalerStatus};
use foreshadow_agent::local::api::SetFloor;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Busy machines are slow; never waited for when things go well.
const PATIENCE: Duration = Duration::from_secs(180);
/// Kinds that anything of ours could be of.
const KINDS: [(&str, &str); 9] = [
    ("v1", "ConfigMap"),
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("coordination.k8s.io/v1", "Lease"),
    ("foreshadow.dev/v1alpha1", "ShadowScaler"),
];

fn objects(installed: &Installed, namespace: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(installed.client.clone(), namespace, &resource(version, kind))
}

async fn object(installed: &Installed, namespace: &str, version: &str, kind: &str, name: &str) -> Option<Value> {
    let found = objects(installed, namespace, version, kind).get_opt(name).await.ok()??;
    Some(serde_json::to_value(found).expect("JSON"))
}

pub async fn shadow(installed: &Installed, namespace: &str) -> Option<Value> {
    object(installed, namespace, "apps/v1", "Deployment", "web-shadow").await
}

async fn status(installed: &Installed, namespace: &str) -> ShadowScalerStatus {
    let api: Api<ShadowScaler> = Api::namespaced(installed.client.clone(), namespace);
    api.get("web").await.ok().and_then(|s| s.status).unwrap_or_default()
}

async fn condition(installed: &Installed, namespace: &str, kind: &str) -> (String, String, String) {
    let conditions = status(installed, namespace).await.conditions;
    conditions.into_iter().find(|c| c.type_ == kind).map(|c| (c.status, c.reason, c.message)).unwrap_or_default()
}

/// Every object of a namespace, but Events, with what it asks for.
pub async fn everything(installed: &Installed, namespace: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (version, kind) in KINDS {
        let listed = match objects(installed, namespace, version, kind).list(&ListParams::default()).await {
            // The definition is not installed any more.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            other => other.expect("listed"),
        };
        for one in listed {
            let (labels, annotations) = (json!(one.labels()), json!(one.annotations()));
            all.insert(format!("{kind}/{} {labels} {annotations} {}", one.name_any(), one.data.get("spec").unwrap_or(&Value::Null)));
        }
    }
    all
}

fn image(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]["image"]
}

#[tokio::test]
async fn a_shadow_is_made_follows_production_and_goes_without_a_trace() {
    let Some(mut installed) = Installed::begin().await else { return };
    installed.labelled_namespace("shop", json!({})).await;
    installed.deploy("shop", "1").await;
    let hpa = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" }, "spec": {
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "maxReplicas": 9 } });
    apply(&installed.client, "shop", &hpa).await;
    let before = everything(&installed, "shop").await;
    installed.start_controller().await;
    installed.apply_scaler("shop").await;

    made_as_asked_for(&installed).await;
    follows_releases(&mut installed).await;

    // A floor of the scaler's goes with it.
    let hand = Scene::hand_for(installed.client.clone(), "shop/web", || Some(1));
    hand.set_floor(SetFloor { replicas: 5, ttl_s: 3_600.0, reason: "load rises".into() }).await.expect("nobody owns the field");
    let scalers: Api<ShadowScaler> = Api::namespaced(installed.client.clone(), "shop");
    assert_eq!(scalers.get("web").await.expect("there").finalizers(), ["foreshadow.dev/cleanup"]);
    scalers.delete("web", &DeleteParams::default()).await.expect("deleted");
    eventually(PATIENCE, async || scalers.get_opt("web").await.is_ok_and(|s| s.is_none())).await;
    installed.deploy("shop", "1").await;
    let after = everything(&installed, "shop").await;
    assert_eq!(after, before, "nothing is left, nothing is missing");
}

async fn made_as_asked_for(installed: &Installed) {
    eventually(PATIENCE, async || condition(installed, "shop", SHADOW_READY).await.1 == "Starting").await;
    let shadow = shadow(installed, "shop").await.expect("made");
    let scaler = object(installed, "shop", "foreshadow.dev/v1alpha1", "ShadowScaler", "web").await.expect("there");
    assert_eq!((image(&shadow), &shadow["spec"]["replicas"]), (&json!("app:1"), &json!(1)));
    assert_eq!(shadow["metadata"]["ownerReferences"][0]["uid"], scaler["metadata"]["uid"]);
    let template = &shadow["spec"]["template"];
    assert!(template["metadata"]["labels"].get("app").is_none(), "no selector of production's matches: {template}");
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["cpu"], "200m", "the profile cpu-half");
    let role = json!({ "name": "FORESHADOW_ROLE", "value": "shadow" });
    assert!(container["env"].as_array().expect("env").contains(&role), "{container}");
    let service = object(installed, "shop", "v1", "Service", "web-shadow").await.expect("made");
    assert_eq!(
        (&service["spec"]["selector"], &service["spec"]["ports"][0]["port"]),
        (&shadow["spec"]["selector"]["matchLabels"], &json!(8080))
    );
    let address = format!("{}:8080", service["spec"]["clusterIP"].as_str().expect("an address"));
    let status = status(installed, "shop").await;
    assert_eq!((status.shadow.and_then(|s| s.address), status.profile.as_deref()), (Some(address), Some("cpu-half")));
    let map = object(installed, "shop", "v1", "ConfigMap", "foreshadow-deployment-web").await.expect("made");
    let file = map["data"]["endpoints.yaml"].as_str().expect("the endpoint file");
    assert!(file.contains(service["spec"]["clusterIP"].as_str().expect("an address")) && file.contains("8080"), "{file}");

    // What a Deployment controller would say of it.
    let running = json!({ "status": { "observedGeneration": shadow["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1 } });
    let api = objects(installed, "shop", "apps/v1", "Deployment");
    api.patch_status("web-shadow", &PatchParams::default(), &Patch::Merge(&running)).await.expect("a status");
    eventually(PATIENCE, async || condition(installed, "shop", SHADOW_READY).await.1 == "Running").await;
    let (ready, reason, message) = condition(installed, "shop", READY).await;
    assert_eq!((ready.as_str(), reason.as_str(), message.as_str()), ("False", "NoPods", "Deployment/web has no pods"));
    let events = Api::<Event>::namespaced(installed.client.clone(), "shop").list(&ListParams::default()).await.expect("listed");
    let reasons: BTreeSet<_> = events.items.into_iter().filter_map(|e| e.reason).collect();
    assert!(["Starting", "Running"].iter().all(|r| reasons.contains(*r)), "{reasons:?}");
}

async fn follows_releases(installed: &mut Installed) {
    let hash = status(installed, "shop").await.shadow.expect("told").template_hash;
    installed.deploy("shop", "2").await;
    eventually(PATIENCE, async || shadow(installed, "shop").await.is_some_and(|s| image(&s) == "app:2")).await;
    eventually(PATIENCE, async || status(installed, "shop").await.shadow.is_some_and(|s| s.template_hash != hash)).await;

    // A hand at the shadow, and what it should have kept from.
    let api = objects(installed, "shop", "apps/v1", "Deployment");
    let edit = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    api.patch("web-shadow", &edit, &Patch::Merge(json!({ "spec": { "replicas": 4 } }))).await.expect("edited");
    eventually(PATIENCE, async || shadow(installed, "shop").await.is_some_and(|s| s["spec"]["replicas"] == 1)).await;
    api.delete("web-shadow", &DeleteParams::default()).await.expect("deleted");
    eventually(PATIENCE, async || shadow(installed, "shop").await.is_some_and(|s| image(&s) == "app:2")).await;

    // An API server that goes away, and a release meanwhile.
    installed.server.control_plane().kill_api_server();
    installed.server.control_plane().start_api_server().await.expect("it starts again");
    installed.deploy("shop", "3").await;
    eventually(PATIENCE, async || shadow(installed, "shop").await.is_some_and(|s| image(&s) == "app:3")).await;

    // The controller killed, and a release meanwhile: the next one takes the lead when the Lease has expired, or is its own.
    installed.kill_controller();
    installed.deploy("shop", "4").await;
    installed.start_controller().await;
    eventually(PATIENCE, async || shadow(installed, "shop").await.is_some_and(|s| image(&s) == "app:4")).await;
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_and_nobody_elses_objects_are_touched() {
    let Some(mut installed) = Installed::begin().await else { return };
    installed.labelled_namespace("alone", json!({})).await;
    installed.labelled_namespace("taken", json!({})).await;
    let theirs =
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web-shadow" }, "spec": { "ports": [{ "port": 1 }] } });
    apply(&installed.client, "taken", &theirs).await;
    installed.deploy("taken", "1").await;
    installed.start_controller().await;
    installed.apply_scaler("alone").await;
    installed.apply_scaler("taken").await;

    eventually(PATIENCE, async || condition(&installed, "alone", SHADOW_READY).await.1 == "TargetNotFound").await;
    let (_, _, message) = condition(&installed, "alone", READY).await;
    assert!(message.contains("there is no Deployment web in namespace alone: create it"), "{message}");
    eventually(PATIENCE, async || condition(&installed, "taken", SHADOW_READY).await.1 == "NameTaken").await;
    let (_, _, message) = condition(&installed, "taken", SHADOW_READY).await;
    assert!(message.contains("Service web-shadow is there already and not ours"), "{message}");

    installed.deploy("alone", "1").await;
    eventually(PATIENCE, async || shadow(&installed, "alone").await.is_some()).await;
    for namespace in ["alone", "taken"] {
        let scalers: Api<ShadowScaler> = Api::namespaced(installed.client.clone(), namespace);
        scalers.delete("web", &DeleteParams::default()).await.expect("deleted");
        eventually(PATIENCE, async || scalers.get_opt("web").await.is_ok_and(|s| s.is_none())).await;
    }
    let kept = object(&installed, "taken", "v1", "Service", "web-shadow").await.expect("theirs stays");
    assert_eq!(kept["spec"]["ports"][0]["port"], 1);
    assert_eq!(shadow(&installed, "alone").await, None);
}
