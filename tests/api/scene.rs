//! What the tests of the node role stand on: a Deployment `web` in a namespace of its own, with or without a scaler, and its ShadowScaler.

use crate::floor::{minimum, traces};
use foreshadow_agent::kubernetes::act::carrier::{Carrier, neighbours, resource};
use foreshadow_agent::kubernetes::act::expire::{self, Swept};
use foreshadow_agent::kubernetes::act::scaler::{Target, place};
use foreshadow_agent::kubernetes::crd::{self, ShadowScaler};
use foreshadow_agent::kubernetes::hand::Hand;
use foreshadow_agent::kubernetes::tell::Teller;
use foreshadow_cluster::api::ApiServer;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One scene.
pub struct Scene {
    /// With all rights.
    pub client: Client,
    /// Its namespace.
    pub namespace: String,
    /// `namespace/web`.
    pub workload: String,
    /// The ShadowScaler `web`.
    pub scaler: ShadowScaler,
}

/// Waits for something, and fails when it does not come.
pub async fn eventually(most: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < most, "it did not come in {most:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub fn target() -> Target {
    Target { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() }
}

/// The carrier of a scene's floor.
pub async fn carrier_of(scene: &Scene) -> Carrier {
    let near = neighbours(&scene.client, &scene.namespace).await.expect("readable");
    Carrier::new(&scene.client, &scene.namespace, &target(), place(&target(), &near).expect("one"))
}

/// Installs a definition and waits until it is served.
pub async fn install(client: &Client, definition: &CustomResourceDefinition) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = definition.metadata.name.clone().expect("named");
    api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(definition)).await.expect("a definition is taken");
    eventually(Duration::from_secs(30), async || {
        let now = api.get(&name).await.expect("there");
        let conditions = now.status.and_then(|s| s.conditions).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Established" && c.status == "True")
    })
    .await;
}

impl Scene {
    /// Makes it.
    pub async fn new(server: &ApiServer, name: &str) -> Self {
        let (client, namespace) = (server.admin().await, server.namespace(name).await);
        install(&client, &crd::definition()).await;
        let labels = json!({ "app": "web" });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "app", "image": "app:1" }] } } } });
        apply(&client, &namespace, &deployment).await;
        let scaler = json!({
            "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": { "name": "web" },
            "spec": { "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 }, "mode": "Act" } });
        // The definition may be served a moment before its objects are.
        eventually(Duration::from_secs(30), async || try_apply(&client, &namespace, &scaler).await.is_ok()).await;
        let scaler = Api::<ShadowScaler>::namespaced(client.clone(), &namespace).get("web").await.expect("there");
        Self { client, workload: format!("{namespace}/web"), namespace, scaler }
    }

    /// A hand whose Lease has this term.
    pub fn hand(&self, term: i64) -> Hand {
        self.hand_with(move || Some(term))
    }

    /// A hand with this fence.
    pub fn hand_with(&self, fence: impl Fn() -> Option<i64> + Send + Sync + 'static) -> Hand {
        let teller = Teller::new(self.client.clone(), "foreshadow-node", "agent-1", self.scaler.object_ref(&()));
        Hand::new(self.client.clone(), &self.workload, target(), Arc::new(fence), teller)
    }

    /// The same from nothing but the workload's name.
    pub fn hand_for(client: Client, workload: &str, fence: impl Fn() -> Option<i64> + Send + Sync + 'static) -> Hand {
        let about = ObjectReference { namespace: workload.split('/').next().map(str::to_owned), ..ObjectReference::default() };
        let teller = Teller::new(client.clone(), "foreshadow-node", "agent-1", about);
        Hand::new(client, workload, target(), Arc::new(fence), teller)
    }

    /// The user applies the HPA `web`, server-side, as `user`.
    pub async fn apply_hpa(&self, spec: Value) {
        self.apply_hpa_named("web", spec).await;
    }

    /// The same under another name.
    pub async fn apply_hpa_named(&self, name: &str, mut spec: Value) {
        spec["scaleTargetRef"] = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
        let hpa = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name }, "spec": spec });
        apply(&self.client, &self.namespace, &hpa).await;
    }

    /// A person edits the HPA, as `kubectl edit` does.
    pub async fn edit_hpa(&self, patch: Value) {
        let params = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
        self.hpas().patch("web", &params, &Patch::Merge(&patch)).await.expect("edited");
    }

    /// The user gives `spec.minReplicas` up and leaves its value.
    pub async fn disown_hpa(&self) {
        let mut managed = json!(self.hpa().await.metadata.managed_fields);
        for entry in managed.as_array_mut().expect("managed") {
            if let Some(spec) = entry.pointer_mut("/fieldsV1/f:spec").and_then(Value::as_object_mut) {
                spec.remove("f:minReplicas");
            }
        }
        let nobody = json!({ "metadata": { "managedFields": managed } });
        self.hpas().patch("web", &PatchParams::default(), &Patch::Merge(&nobody)).await.expect("disowned");
    }

    fn hpas(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource("autoscaling/v2", "HorizontalPodAutoscaler"))
    }

    /// The HPA now.
    pub async fn hpa(&self) -> DynamicObject {
        self.hpas().get("web").await.expect("there")
    }

    /// The Deployment now.
    pub async fn deployment(&self) -> DynamicObject {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource("apps/v1", "Deployment"));
        api.get("web").await.expect("there")
    }

    /// The HPA's minimum is this, and nothing of ours is on it.
    pub async fn assert_untouched(&self, expected: Option<u32>) {
        let hpa = self.hpa().await;
        assert_eq!(minimum(&hpa), json!(expected));
        assert_eq!(traces(&hpa), [""; 0]);
    }

    /// Puts back what will be overdue then, of this scene only: other scenes of the same server are at other times.
    pub async fn sweep(&self, now: Timestamp) -> Vec<Swept> {
        expire::sweep(&self.client, now, false, Some(&self.workload)).await.expect("listed")
    }

    /// `reason: note` of every Event about the ShadowScaler.
    pub async fn events(&self) -> Vec<String> {
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace).list(&ListParams::default()).await.expect("listed");
        let about = |e: &Event| e.regarding.as_ref().and_then(|r| r.kind.clone()).as_deref() == Some("ShadowScaler");
        let text = |e: &Event| format!("{}: {}", e.reason.clone().unwrap_or_default(), e.note.clone().unwrap_or_default());
        events.items.iter().filter(|e| about(e)).map(text).collect()
    }

    /// Serves ScaledObjects: the part of KEDA's definition that matters here.
    pub async fn install_keda(&self) {
        install(&self.client, &foreign("keda.sh", "v1alpha1", "ScaledObject")).await;
    }

    /// The user applies a ScaledObject for `web`.
    pub async fn apply_scaled_object(&self) -> DynamicObject {
        let object = json!({ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": { "name": "web" },
            "spec": { "scaleTargetRef": { "name": "web" }, "maxReplicaCount": 9 } });
        eventually(Duration::from_secs(30), async || try_apply(&self.client, &self.namespace, &object).await.is_ok()).await;
        self.scaled_object().await
    }

    /// The ScaledObject now.
    pub async fn scaled_object(&self) -> DynamicObject {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource("keda.sh/v1alpha1", "ScaledObject"));
        api.get("web").await.expect("there")
    }

    /// KEDA makes its HPA.
    pub async fn apply_keda_hpa(&self, owner: &DynamicObject) {
        self.apply_hpa(json!({ "maxReplicas": 9 })).await;
        let owned = json!({ "metadata": { "ownerReferences": [{
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web", "uid": owner.metadata.uid }] } });
        self.edit_hpa(owned).await;
    }
}

/// Another project's type, as far as it matters here: an object with a spec of any form.
pub fn foreign(group: &str, version: &str, kind: &str) -> CustomResourceDefinition {
    let singular = kind.to_ascii_lowercase();
    let spec = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": { "spec": spec } } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {
            "name": format!("{singular}s.{group}"), "annotations": { "api-approved.kubernetes.io": "unapproved, for tests" } },
        "spec": { "group": group, "scope": "Namespaced",
            "names": { "plural": format!("{singular}s"), "singular": singular, "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{ "name": version, "served": true, "storage": true, "schema": schema }] } });
    serde_json::from_value(definition).expect("a definition")
}

/// Server-side apply as `user`; an empty namespace is for objects of the whole cluster.
pub async fn apply(client: &Client, namespace: &str, object: &Value) {
    try_apply(client, namespace, object).await.expect("applied");
}

pub async fn try_apply(client: &Client, namespace: &str, object: &Value) -> Result<(), kube::Error> {
    let text = |field: &str| object[field].as_str().expect("text").to_owned();
    let resource = resource(&text("apiVersion"), &text("kind"));
    let api: Api<DynamicObject> = match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let name = object["metadata"]["name"].as_str().expect("named").to_owned();
    api.patch(&name, &PatchParams::apply("user"), &Patch::Apply(object)).await.map(|_| ())
}
