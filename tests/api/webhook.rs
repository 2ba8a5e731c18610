//! The injection webhook as the API server asks it: over TLS that it checks by the controller's own CA, and what holds when it is away.

use crate::installed::Installed;
use crate::scene::{apply, eventually};
use foreshadow_agent::kubernetes::webhook::certificates::Material;
use foreshadow_agent::kubernetes::webhook::registration::{self, NAME};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use std::time::Duration;

/// Busy machines are slow; never waited for when things go well.
const PATIENCE: Duration = Duration::from_secs(180);

/// A pod as a ReplicaSet of the Deployment `web` makes it.
fn pod(labels: Value) -> Pod {
    let mut all = json!({ "app": "web", "pod-template-hash": "5d4c" });
    all.as_object_mut().expect("labels").extend(labels.as_object().cloned().unwrap_or_default());
    let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4c", "uid": "00000000-0000-0000-0000-000000000001", "controller": true });
    serde_json::from_value(json!({
        "metadata": { "generateName": "web-5d4c-", "labels": all, "ownerReferences": [owner] },
        "spec": { "containers": [{ "name": "app", "image": "app:1", "ports": [{ "name": "http", "containerPort": 8080 }] }] } }))
    .expect("a pod")
}

async fn create(installed: &Installed, namespace: &str, labels: Value) -> Result<Pod, kube::Error> {
    Api::<Pod>::namespaced(installed.client.clone(), namespace).create(&PostParams::default(), &pod(labels)).await
}

fn has_sidecar(pod: &Pod) -> bool {
    pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten()).any(|c| c.name == "foreshadow-proxy")
}

async fn registered(installed: &Installed) -> MutatingWebhookConfiguration {
    Api::all(installed.client.clone()).get(NAME).await.expect("shipped")
}

async fn set_policy(installed: &Installed, policy: &str) {
    let mut webhooks = json!(registered(installed).await.webhooks);
    webhooks.as_array_mut().expect("two").iter_mut().for_each(|w| w["failurePolicy"] = json!(policy));
    let api: Api<MutatingWebhookConfiguration> = Api::all(installed.client.clone());
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(json!({ "webhooks": webhooks }))).await.expect("patched");
}

#[tokio::test]
async fn pods_get_sidecars_over_tls_and_come_in_without_when_the_webhook_is_away() {
    let Some(mut installed) = Installed::begin().await else { return };
    installed.labelled_namespace("shop", json!({ "foreshadow.dev/inject": "enabled" })).await;
    installed.labelled_namespace("quiet", json!({})).await;
    installed.deploy("shop", "1").await;
    // As it is shipped, before any controller ran: nobody is kept from making pods.
    assert!(!has_sidecar(&create(&installed, "shop", json!({})).await.expect("Ignore")));

    installed.serve_webhook().await;
    installed.start_controller().await;
    // The API server learns of certificate, Service and endpoints by watches of its own.
    eventually(PATIENCE, async || create(&installed, "shop", json!({})).await.is_ok_and(|p| has_sidecar(&p))).await;
    let made = create(&installed, "shop", json!({})).await.expect("made");
    assert_eq!(made.annotations().get("foreshadow.dev/workload").map(String::as_str), Some("Deployment/web"), "behind the ReplicaSet");
    let ports = made.spec.iter().flat_map(|s| s.init_containers.iter().flatten()).flat_map(|c| c.ports.iter().flatten());
    assert!(ports.into_iter().any(|p| p.name.as_deref() == Some("http")), "the sidecar took the port's name");
    // The namespace decides, and the pod.
    assert!(!has_sidecar(&create(&installed, "quiet", json!({})).await.expect("made")));
    assert!(has_sidecar(&create(&installed, "quiet", json!({ "foreshadow.dev/inject": "enabled" })).await.expect("made")));
    assert!(!has_sidecar(&create(&installed, "shop", json!({ "foreshadow.dev/inject": "disabled" })).await.expect("made")));
    assert!(
        !has_sidecar(&create(&installed, "shop", json!({ "foreshadow.dev/role": "shadow" })).await.expect("made")),
        "a shadow has none"
    );

    installed.kill_controller();
    assert!(!has_sidecar(&create(&installed, "shop", json!({})).await.expect("Ignore: it comes in as it is")));
    set_policy(&installed, "Fail").await;
    // The API server reads its webhooks by a watch, too.
    eventually(PATIENCE, async || create(&installed, "shop", json!({})).await.is_err()).await;
    let refused = create(&installed, "shop", json!({})).await.expect_err("Fail: it does not come in").to_string();
    assert!(refused.contains("failed calling webhook \"namespace.inject.foreshadow.dev\""), "{refused}");
    create(&installed, "quiet", json!({})).await.expect("other namespaces are not concerned");

    installed.start_controller().await;
    eventually(PATIENCE, async || {
        let policies: Vec<_> = registered(&installed).await.webhooks.unwrap_or_default().into_iter().map(|w| w.failure_policy).collect();
        policies.len() == 2 && policies.iter().all(|p| p.as_deref() == Some("Ignore"))
    })
    .await;
    eventually(PATIENCE, async || create(&installed, "shop", json!({})).await.is_ok_and(|p| has_sidecar(&p))).await;
}

#[tokio::test]
async fn only_the_controllers_own_ca_is_trusted() {
    let Some(mut installed) = Installed::begin().await else { return };
    installed.labelled_namespace("shop", json!({ "foreshadow.dev/inject": "enabled", "stranger": "yes" })).await;
    installed.serve_webhook().await;
    installed.start_controller().await;
    eventually(PATIENCE, async || create(&installed, "shop", json!({})).await.is_ok_and(|p| has_sidecar(&p))).await;

    // The same Service, trusted by another CA, and nobody may come in without its answer.
    let names = ["foreshadow-controller.foreshadow.svc".to_owned()];
    let stranger = Material::fresh(&names, now()).expect("a CA");
    let mut other = registration::configuration("foreshadow", "foreshadow-controller", Some(&stranger.bundle));
    other["metadata"]["name"] = json!("stranger");
    for webhook in other["webhooks"].as_array_mut().expect("two") {
        webhook["failurePolicy"] = json!("Fail");
        webhook["reinvocationPolicy"] = json!("Never");
        webhook["namespaceSelector"] = json!({ "matchLabels": { "stranger": "yes" } });
        webhook["objectSelector"] = json!({});
    }
    apply(&installed.client, "", &other).await;
    eventually(PATIENCE, async || create(&installed, "shop", json!({})).await.is_err()).await;
    let refused = create(&installed, "shop", json!({})).await.expect_err("not trusted").to_string();
    assert!(refused.contains("x509") || refused.contains("certificate"), "{refused}");

    // The registered CA is the Secret's.
    let secret = Api::<Secret>::namespaced(installed.client.clone(), "foreshadow").get("foreshadow-webhook").await.expect("made");
    let bundle = secret.data.and_then(|mut d| d.remove("ca.crt")).expect("a CA");
    let webhooks = registered(&installed).await.webhooks.unwrap_or_default();
    assert!(webhooks.len() == 2 && webhooks.iter().all(|w| w.client_config.ca_bundle.as_ref() == Some(&bundle)));
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}
