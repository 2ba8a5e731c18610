//! `foreshadow-agent uninstall`: says first, then leaves nothing of its own and touches nothing of others, with the controller gone.

use crate::controller::{everything, shadow};
use crate::installed::{Installed, NAMESPACE, shipped};
use crate::scene::{Scene, apply, eventually};
use foreshadow_agent::hands::Hands as _;
use foreshadow_agent::kubernetes::act::carrier::resource;
use foreshadow_agent::kubernetes::lease::Contact;
use foreshadow_agent::kubernetes::lease::api::Leases;
use foreshadow_agent::local::api::SetFloor;
use kube::Api;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::time::Duration;

/// Objects of the installation that are there and not on their way out.
async fn standing(installed: &Installed) -> Vec<String> {
    let mut found = Vec::new();
    for object in shipped() {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let resource = resource(&text("/apiVersion"), &text("/kind"));
        let api: Api<DynamicObject> = match text("/metadata/namespace").as_str() {
            "" => Api::all_with(installed.client.clone(), &resource),
            namespace => Api::namespaced_with(installed.client.clone(), namespace, &resource),
        };
        let there = api.get_metadata_opt(&text("/metadata/name")).await.expect("an answer");
        if there.is_some_and(|o| o.metadata.deletion_timestamp.is_none()) {
            found.push(format!("{}/{}", text("/kind"), text("/metadata/name")));
        }
    }
    found
}

#[tokio::test]
async fn uninstalling_says_first_and_leaves_nothing_then() {
    let Some(mut installed) = Installed::begin().await else { return };
    installed.labelled_namespace("shop", json!({ "foreshadow.dev/inject": "enabled" })).await;
    installed.deploy("shop", "1").await;
    let hpa = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" }, "spec": {
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "maxReplicas": 9 } });
    apply(&installed.client, "shop", &hpa).await;
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web-1", "labels": { "foreshadow.dev/sidecar": "true" },
        "annotations": { "foreshadow.dev/workload": "Deployment/web" } }, "spec": { "containers": [{ "name": "app", "image": "app:1" }] } });
    apply(&installed.client, "shop", &pod).await;
    let before = everything(&installed, "shop").await;
    let nothing = everything(&installed, NAMESPACE).await;

    installed.start_controller().await;
    installed.apply_scaler("shop").await;
    eventually(Duration::from_secs(180), async || shadow(&installed, "shop").await.is_some()).await;
    let hand = Scene::hand_for(installed.client.clone(), "shop/web", || Some(1));
    hand.set_floor(SetFloor { replicas: 5, ttl_s: 3_600.0, reason: "load rises".into() }).await.expect("nobody owns the field");
    let contact = Contact { url: "https://10.1.1.1:17443".into(), certificate: "0".repeat(64) };
    Leases::new(installed.client.clone(), NAMESPACE, "agent-1", contact).create("shop/web").await.expect("free");
    // Its pods end with its Deployment; there is no kubelet here to do it.
    installed.kill_controller();
    assert!(everything(&installed, NAMESPACE).await.len() > nothing.len(), "Secret and Leases");

    let all = standing(&installed).await;
    assert_eq!(all.len(), shipped().len());
    let with = everything(&installed, "shop").await;
    let (code, said) = installed.agent(&["uninstall"]);
    assert!(code == Some(0) && said.contains("nothing was changed; `foreshadow-agent uninstall --yes` does it"), "{said}");
    assert!(said.contains("would have: removed ShadowScaler shop/web with its shadow"), "{said}");
    assert_eq!((standing(&installed).await, everything(&installed, "shop").await), (all, with));

    let (code, said) = installed.agent(&["uninstall", "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("put back the floor of HorizontalPodAutoscaler/web in shop"), "{said}");
    assert!(said.contains("kubectl rollout restart -n shop deployment/web   # 1 pods"), "{said}");
    assert!(said.contains("kubectl label namespace shop foreshadow.dev/inject-"), "{said}");
    assert_eq!(standing(&installed).await, [""; 0]);
    let after = everything(&installed, "shop").await;
    assert_eq!(after, before, "{said}");
    assert!(everything(&installed, NAMESPACE).await.is_empty());
    let (code, said) = installed.agent(&["uninstall"]);
    assert!(code == Some(0), "{said}");
}
