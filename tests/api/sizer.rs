//! The resources axis on a real API server: from what profiles measured to resized pods, and back, whoever is left to do it.

use crate::scene::{Scene, apply};
use foreshadow_agent::kubernetes::act::mark::expiry;
use foreshadow_agent::kubernetes::act::resize::{self, wanted};
use foreshadow_agent::kubernetes::act::template;
use foreshadow_agent::kubernetes::sizer::{Sizer, Step};
use foreshadow_agent::kubernetes::tell::Teller;
use foreshadow_agent::live::{Latest, Live, Point};
use foreshadow_agent::notes::{Note, Notes};
use foreshadow_agent::record::{Action, ActionKind};
use foreshadow_brain::decision::{Band, Forecast};
use foreshadow_brain::sample::{PathSample, ScaleState, ShadowSample};
use foreshadow_brain::{Decision, Sample};
use foreshadow_cluster::api;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

fn resources(cpu: &str) -> Value {
    let of = json!({ "cpu": cpu, "memory": "64Mi" });
    json!({ "requests": of, "limits": of })
}

/// A workload of two running pods that was rolled out, whose size may be changed, and whose shadow doubles its processor now and then.
pub async fn workload(scene: &Scene, mode: &str) {
    let labels = json!({ "app": "web" });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [
        { "name": "app", "image": "app:1", "ports": [{ "containerPort": 8080 }], "resources": resources("500m") }] } });
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": template } });
    apply(&scene.client, &scene.namespace, &deployment).await;
    rollout(scene, 2, json!([])).await;
    let nodes: Api<Node> = Api::all(scene.client.clone());
    let node = format!("node-of-{}", scene.namespace);
    nodes
        .create(&PostParams::default(), &serde_json::from_value(json!({ "metadata": { "name": node } })).expect("a node"))
        .await
        .expect("made");
    let room = json!({ "cpu": "4", "memory": "8Gi", "pods": "10" });
    let status = json!({ "status": { "capacity": room, "allocatable": room } });
    nodes.patch_status(&node, &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
    for name in ["web-1", "web-2"] {
        pod(scene, name, &node).await;
    }
    let scaler = json!({
        "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": { "name": "web" },
        "spec": {
            "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 }, "mode": mode, "bounds": { "minReplicas": 1, "maxReplicas": 20 },
            "shadow": { "profiles": ["double"], "customProfiles": [{ "name": "double", "cpu": 2.0 }] },
            "actuation": { "resources": { "enabled": true, "cpu": { "min": "250m", "max": "2" } } },
        },
    });
    apply(&scene.client, &scene.namespace, &scaler).await;
}

/// What the Deployment's controller would say of a rollout that has reached so many of two replicas.
pub async fn rollout(scene: &Scene, updated: u32, conditions: Value) {
    let target = foreshadow_agent::kubernetes::act::carrier::resource("apps/v1", "Deployment");
    let deployments: Api<DynamicObject> = Api::namespaced_with(scene.client.clone(), &scene.namespace, &target);
    let generation = scene.deployment().await.metadata.generation;
    let status = json!({ "status": { "observedGeneration": generation, "replicas": 2, "updatedReplicas": updated, "availableReplicas": 2,
        "readyReplicas": 2, "conditions": conditions } });
    deployments.patch_status("web", &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
}

async fn pod(scene: &Scene, name: &str, node: &str) {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let containers = json!([{ "name": "app", "image": "app:1", "resources": resources("500m") }]);
    let pod = json!({ "metadata": { "name": name, "labels": { "app": "web" } }, "spec": { "nodeName": node, "containers": containers } });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).expect("a pod")).await.expect("made");
    let status = json!({ "status": { "phase": "Running", "containerStatuses": [{ "name": "app", "image": "app:1", "imageID": "", "ready": true,
        "restartCount": 0, "resources": resources("500m") }] } });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
}

/// A holder of the workload whose control loop only records.
pub struct Holder {
    pub sizer: Sizer,
    /// Of the shadow.
    pub profile: &'static str,
    live: Live,
    recorded: Arc<Mutex<Vec<Action>>>,
    now_ms: u64,
}

impl Holder {
    pub fn new(scene: &Scene, term: i64) -> Self {
        let (live, notes, recorded) = (Live::default(), Notes::default(), Arc::<Mutex<Vec<Action>>>::default());
        let teller = Teller::new(scene.client.clone(), "foreshadow-node", "agent-1", scene.scaler.object_ref(&()));
        let sizer = Sizer::new(scene.client.clone(), &scene.scaler, Arc::new(move || Some(term)), teller, notes.clone(), live.clone());
        let history = recorded.clone();
        tokio::spawn(async move {
            loop {
                for note in notes.take() {
                    history.lock().expect("not poisoned").push(note.action.clone());
                    Note::stands(note);
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        Self { sizer, profile: "double", live, recorded, now_ms: 0 }
    }

    /// Ticks in which ten replicas take 100 requests a second each, this load is forecast, and the shadow is worth `share` of a replica.
    pub fn ticks(&mut self, count: u64, load: f64, share: f64, cores: f64) {
        let band = |middle: f64| Some(Band { p10: middle * 0.97, p50: middle, p90: middle * 1.03 });
        for _ in 0..count {
            self.now_ms += 1_000;
            let shadow = ShadowSample { profile: self.profile.into(), ready: true, ..ShadowSample::default() };
            let scale = ScaleState { ready: 10, desired: 10, replica_cores: Some(cores), ..ScaleState::default() };
            let sample =
                Sample { at_ms: self.now_ms, production: Some(PathSample::default()), shadow: Some(shadow), scale, ..Sample::default() };
            let forecasts = vec![Forecast { horizon_s: 30.0, load_rps: band(load), ..Forecast::default() }];
            let decision =
                Decision { at_ms: self.now_ms, capacity_rps: band(100.0), shadow_scale: Some(share), forecasts, ..Decision::default() };
            let latest = Latest { sample: Some(Arc::new(sample)), decision: Some(Arc::new(decision)), ..Latest::default() };
            self.live.publish(latest, Point::default(), &[]);
            self.sizer.learn();
        }
    }

    /// Sizes and templates that were recorded, with whether they were acted on.
    pub fn changes(&self) -> Vec<(bool, String)> {
        let all = self.recorded.lock().expect("not poisoned");
        let of = |a: &Action| match &a.kind {
            ActionKind::Resize { to, .. } | ActionKind::ChangeTemplate { to, .. } => Some((a.applied, to.clone())),
            _ => None,
        };
        all.iter().filter_map(of).collect()
    }
}

/// Processor requests of the pods.
async fn sizes(scene: &Scene) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let all = pods.list(&ListParams::default().labels("app=web")).await.expect("listed").items;
    all.iter().map(|p| wanted(p, "app").expect("a size").requests["cpu"].clone()).collect()
}

async fn marked(scene: &Scene) -> bool {
    let scaler: foreshadow_agent::kubernetes::crd::ShadowScaler =
        Api::namespaced(scene.client.clone(), &scene.namespace).get("web").await.expect("there");
    scaler.annotations().contains_key(resize::ANNOTATION) || scaler.labels().contains_key(resize::LABEL)
}

#[tokio::test]
async fn a_size_that_a_profile_measured_as_cheaper_is_given_to_every_pod_and_a_dead_holder_s_falls_away() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "sizer").await;
    workload(&scene, "Act").await;
    let mut holder = Holder::new(&scene, 1);
    holder.ticks(60, 700.0, 2.9, 0.5);
    assert!(matches!(holder.sizer.round().await, Ok(Step::Keep(why)) if why.contains("measured")), "not measured for long enough");
    holder.ticks(100, 700.0, 2.9, 0.5);
    let step = holder.sizer.round().await.expect("nothing stands in the way");
    assert!(matches!(&step, Step::Give { reason, .. } if reason.contains("other cores")), "{step:?}");
    assert_eq!(sizes(&scene).await, ["1", "1"]);
    assert!(holder.changes().iter().any(|(applied, to)| *applied && to.contains("cpu 1000m")), "recorded: {:?}", holder.changes());
    assert!(marked(&scene).await && scene.events().await.iter().any(|e| e.starts_with("Resized")));
    // A pod that starts later has the template's size, and gets this one.
    pod(&scene, "web-3", &format!("node-of-{}", scene.namespace)).await;
    holder.ticks(20, 700.0, 1.45, 1.0);
    holder.sizer.round().await.expect("renewed");
    assert_eq!(sizes(&scene).await, ["1", "1", "1"]);
    // An earlier holder has no say.
    let refused = Holder::new(&scene, 0).sizer.round().await.expect_err("it has lost the Lease");
    assert!(refused.to_string().contains("later holder"), "{refused}");
    // Nobody renews it any more.
    assert!(scene.sweep(Timestamp::now()).await.is_empty(), "it has time left");
    let swept = scene.sweep(expiry(Timestamp::now(), 601.0)).await;
    assert!(swept.len() == 1 && swept[0].outcome.is_ok(), "{swept:?}");
    assert_eq!(sizes(&scene).await, ["500m", "500m", "500m"]);
    assert!(!marked(&scene).await);
}

#[tokio::test]
async fn a_mode_that_recommends_says_so_and_one_that_stops_acting_puts_back() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "sizer-mode").await;
    workload(&scene, "Recommend").await;
    let mut holder = Holder::new(&scene, 1);
    holder.ticks(150, 700.0, 2.9, 0.5);
    holder.sizer.round().await.expect("said only");
    assert_eq!(sizes(&scene).await, ["500m", "500m"]);
    assert!(holder.changes().iter().all(|(applied, _)| !applied) && holder.changes().len() == 1, "{:?}", holder.changes());
    mode(&scene, "Act").await;
    holder.sizer.round().await.expect("done");
    assert_eq!(sizes(&scene).await, ["1", "1"]);
    mode(&scene, "Observe").await;
    let step = holder.sizer.round().await.expect("put back");
    assert!(matches!(step, Step::PutBack(_)), "{step:?}");
    assert_eq!(sizes(&scene).await, ["500m", "500m"]);
    assert!(!marked(&scene).await);
}

/// What the kubelet would say when it has done what the pods ask for.
async fn resized(scene: &Scene, cpu: &str) {
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    for name in ["web-1", "web-2"] {
        let status = json!({ "status": { "containerStatuses": [{ "name": "app", "image": "app:1", "imageID": "", "ready": true,
            "restartCount": 0, "resources": resources(cpu) }] } });
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.expect("a status");
    }
}

/// Processor request of the template.
async fn written(scene: &Scene) -> String {
    let deployment = scene.deployment().await;
    deployment.data["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().expect("a size").to_owned()
}

/// A workload of pods with a size that has stood for long enough, and was written to the template.
async fn written_back(name: &str) -> Option<(Scene, Holder)> {
    let scene = Scene::new(api::shared()?, name).await;
    workload(&scene, "Act").await;
    let scalers: Api<foreshadow_agent::kubernetes::crd::ShadowScaler> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let spec = json!({ "spec": { "actuation": { "resources": { "writeBack": "Template" } } } });
    scalers.patch("web", &PatchParams::default(), &Patch::Merge(&spec)).await.expect("patched");
    let mut holder = Holder::new(&scene, 1);
    holder.sizer = holder.sizer.written_back_after(std::time::Duration::ZERO);
    holder.ticks(150, 700.0, 2.9, 0.5);
    assert!(matches!(holder.sizer.round().await, Ok(Step::Give { .. })));
    assert!(matches!(holder.sizer.round().await, Ok(Step::Give { .. })), "renewed: the kubelet has not done it yet");
    assert_eq!(written(&scene).await, "500m");
    resized(&scene, "1").await;
    // Nothing is begun for ten minutes after a change; a holder that comes new does not know of it.
    let mut next = Holder::new(&scene, 2);
    next.sizer = next.sizer.written_back_after(std::time::Duration::ZERO);
    assert_eq!(next.sizer.round().await, Ok(Step::Moved));
    assert_eq!((written(&scene).await.as_str(), sizes(&scene).await), ("1", vec!["1".to_owned(), "1".to_owned()]));
    assert!(scene.events().await.iter().any(|e| e.starts_with("TemplateChanged: requests cpu 1000m")));
    rollout(&scene, 2, json!([])).await;
    assert!(matches!(next.sizer.round().await, Ok(Step::Give { .. })), "renewed");
    Some((scene, next))
}

#[tokio::test]
async fn a_size_that_has_stood_is_written_to_the_template_and_goes_with_its_mode() {
    let Some((scene, mut holder)) = Box::pin(written_back("sizer-written")).await else { return };
    mode(&scene, "Observe").await;
    assert_eq!(holder.sizer.round().await, Ok(Step::Moved));
    assert_eq!((written(&scene).await.as_str(), scene.deployment().await.annotations().get(template::ANNOTATION)), ("500m", None));
    let step = holder.sizer.round().await;
    assert!(matches!(step, Ok(Step::PutBack(_))), "{step:?}");
    assert_eq!(sizes(&scene).await, ["500m", "500m"]);
}

#[tokio::test]
async fn a_written_size_that_nobody_renews_is_put_back() {
    let Some((scene, _)) = Box::pin(written_back("sizer-forgotten")).await else { return };
    let swept = scene.sweep(expiry(Timestamp::now(), 3_601.0)).await;
    assert!(swept.len() == 2 && swept.iter().all(|s| s.outcome.is_ok()), "the pods' size and the template: {swept:?}");
    let deployment = scene.deployment().await;
    assert_eq!((written(&scene).await.as_str(), sizes(&scene).await), ("500m", vec!["500m".to_owned(), "500m".to_owned()]));
    assert!(!deployment.annotations().contains_key(template::ANNOTATION) && !deployment.labels().contains_key(template::LABEL));
}

#[tokio::test]
async fn a_template_that_its_owner_writes_again_is_left_to_them() {
    let Some((scene, mut holder)) = Box::pin(written_back("sizer-theirs")).await else { return };
    let target = foreshadow_agent::kubernetes::act::carrier::resource("apps/v1", "Deployment");
    let deployments: Api<DynamicObject> = Api::namespaced_with(scene.client.clone(), &scene.namespace, &target);
    let theirs = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "resources": resources("750m") }] } } } });
    deployments.patch("web", &PatchParams::default(), &Patch::Strategic(&theirs)).await.expect("patched");
    rollout(&scene, 2, json!([])).await;
    for _ in 0..2 {
        assert!(matches!(holder.sizer.round().await, Ok(Step::Give { .. })), "the pods' size is another matter");
        let deployment = scene.deployment().await;
        assert_eq!((written(&scene).await.as_str(), deployment.annotations().get(template::ANNOTATION)), ("750m", None));
    }
    assert!(scene.events().await.iter().any(|e| e.starts_with("TemplateIsTheirs")));
}

pub async fn mode(scene: &Scene, mode: &str) {
    let api: Api<foreshadow_agent::kubernetes::crd::ShadowScaler> = Api::namespaced(scene.client.clone(), &scene.namespace);
    api.patch("web", &PatchParams::default(), &Patch::Merge(json!({ "spec": { "mode": mode } }))).await.expect("patched");
}
