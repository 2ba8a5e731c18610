//! The floor on a real API server: ownership of fields, marks, expiry, two holders, a server that goes away.

use crate::scene::{Scene, carrier_of, eventually};
use foreshadow_agent::hands::Hands;
use foreshadow_agent::kubernetes::act::carrier::Outcome;
use foreshadow_agent::kubernetes::act::expire;
use foreshadow_agent::kubernetes::act::floor::Step;
use foreshadow_agent::kubernetes::act::mark::{ANNOTATION, LABEL, MANAGER, Mark, expiry};
use foreshadow_agent::kubernetes::act::refusal::Refusal;
use foreshadow_agent::local::api::SetFloor;
use foreshadow_cluster::api;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

fn floor(replicas: u32, ttl_s: f64) -> SetFloor {
    SetFloor { replicas, ttl_s, reason: "load rises".into() }
}

fn later(seconds: f64) -> Timestamp {
    expiry(Timestamp::now(), seconds)
}

#[tokio::test]
async fn an_hpa_s_floor_is_set_renewed_and_put_back_without_a_trace() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-hpa").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    let hand = scene.hand(1);
    hand.set_floor(floor(5, 100.0)).await.expect("nobody owns the field");
    let hpa = scene.hpa().await;
    assert_eq!(hpa.data["spec"]["minReplicas"], 5);
    let mark = Mark::<Option<u32>>::find(hpa.metadata.annotations.as_ref()).expect("readable").expect("there");
    assert_eq!((mark.value, mark.original, mark.scaler.as_str()), (Some(5), Some(1), scene.workload.as_str()));
    hand.set_floor(floor(5, 100.0)).await.expect("the same again");
    assert_eq!(scene.hpa().await.resource_version(), hpa.resource_version(), "nothing to renew yet, nothing written");
    hand.set_floor(floor(40, 100.0)).await.expect("more");
    assert_eq!(scene.hpa().await.data["spec"]["minReplicas"], 10, "not more than its maximum");
    hand.clear_floor().await.expect("ours to put back");
    scene.assert_untouched(Some(1)).await;
    let events = scene.events().await;
    assert!(["FloorSet", "FloorWithdrawn"].iter().all(|reason| events.iter().any(|e| e.starts_with(reason))), "{events:?}");
}

#[tokio::test]
async fn a_minimum_that_nobody_owns_comes_back_as_the_user_had_it() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-orphan").await;
    scene.apply_hpa(json!({ "minReplicas": 3, "maxReplicas": 10 })).await;
    scene.disown_hpa().await;
    let hand = scene.hand(1);
    hand.set_floor(floor(2, 100.0)).await.expect("less than the user asks for anyway");
    scene.assert_untouched(Some(3)).await;
    hand.set_floor(floor(6, 100.0)).await.expect("nobody owns it");
    assert_eq!(scene.hpa().await.data["spec"]["minReplicas"], 6);
    hand.clear_floor().await.expect("ours to put back");
    scene.assert_untouched(Some(3)).await;
}

#[tokio::test]
async fn a_field_that_somebody_owns_is_never_taken() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-owned").await;
    scene.apply_hpa(json!({ "minReplicas": 2, "maxReplicas": 10 })).await;
    let hand = scene.hand(1);
    let why = hand.set_floor(floor(5, 100.0)).await.expect_err("the user owns it");
    assert!(why.contains("spec.minReplicas is owned by user"), "{why}");
    // The same without looking first: the API server itself says no, because nothing is forced.
    let carrier = carrier_of(&scene).await;
    let seen = carrier.read().await.expect("readable");
    let mark = Mark { value: Some(5), original: Some(2), expires: later(60.0), scaler: "x/y".into(), term: 1, reason: String::new() };
    let refused = carrier.carry(&Step::Write(mark), &seen, false).await.expect_err("409");
    assert!(matches!(&refused, Refusal::OwnedByOther(why) if why.contains("user") && why.contains("spec.minReplicas")), "{refused:?}");
    scene.assert_untouched(Some(2)).await;
    let events = scene.events().await;
    assert!(events.iter().any(|e| e.starts_with("FieldOwnedByOther") && e.contains("never takes")), "{events:?}");
}

#[tokio::test]
async fn who_changes_the_field_while_our_floor_stands_has_it() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-taken").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    let hand = scene.hand(1);
    hand.set_floor(floor(5, 100.0)).await.expect("free");
    scene.edit_hpa(json!({ "spec": { "minReplicas": 4 } })).await;
    let why = hand.set_floor(floor(6, 100.0)).await.expect_err("it is theirs now");
    assert!(why.contains("theirs"), "{why}");
    scene.assert_untouched(Some(4)).await;
}

#[tokio::test]
async fn an_overdue_floor_is_put_back_by_whoever_finds_it() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-overdue").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    scene.hand(1).set_floor(floor(5, 500.0)).await.expect("free");
    let early = scene.sweep(later(100.0)).await;
    assert!(early.is_empty(), "{early:?}");
    let (one, two) = tokio::join!(scene.sweep(later(501.0)), scene.sweep(later(501.0)));
    let outcomes: Vec<_> = one.into_iter().chain(two).map(|s| s.outcome).collect();
    assert!(outcomes.iter().any(|o| matches!(o, Ok(Outcome::Restored))), "{outcomes:?}");
    let harmless = |o: &Result<Outcome, Refusal>| matches!(o, Ok(Outcome::Restored) | Err(Refusal::Changed(_)));
    assert!(outcomes.iter().all(harmless), "two sweepers at once: {outcomes:?}");
    scene.assert_untouched(Some(1)).await;
}

#[tokio::test]
async fn a_holder_that_lost_its_lease_writes_nothing() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-fenced").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    scene.hand(2).set_floor(floor(6, 100.0)).await.expect("the holder");
    let why = scene.hand(1).set_floor(floor(3, 100.0)).await.expect_err("the holder before");
    assert!(why.contains("later holder"), "{why}");
    assert_eq!(scene.hpa().await.data["spec"]["minReplicas"], 6);
    let nobody = scene.hand_with(|| None).set_floor(floor(3, 100.0)).await.expect_err("no Lease");
    assert!(nobody.contains("not held"), "{nobody}");
}

#[tokio::test]
async fn an_object_that_changed_meanwhile_is_read_again() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-raced").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    let carrier = carrier_of(&scene).await;
    let seen = carrier.read().await.expect("readable");
    scene.edit_hpa(json!({ "metadata": { "labels": { "team": "a" } } })).await;
    let mark = Mark { value: Some(5), original: Some(1), expires: later(60.0), scaler: "x/y".into(), term: 1, reason: String::new() };
    let refused = carrier.carry(&Step::Write(mark), &seen, false).await.expect_err("409 of the resourceVersion");
    assert!(matches!(refused, Refusal::Changed(_)), "{refused:?}");
    scene.hand(1).set_floor(floor(5, 100.0)).await.expect("whoever reads first gets it");
}

#[tokio::test]
async fn a_dry_run_checks_everything_and_stores_nothing() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-dry").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    let finding = foreshadow_agent::kubernetes::preflight::look(&scene.client, &scene.scaler).await;
    assert_eq!((finding.carrier.as_str(), finding.floor), ("HorizontalPodAutoscaler/web", Ok(())));
    scene.assert_untouched(Some(1)).await;
    scene.apply_hpa(json!({ "minReplicas": 2, "maxReplicas": 10 })).await;
    let finding = foreshadow_agent::kubernetes::preflight::look(&scene.client, &scene.scaler).await;
    assert!(matches!(&finding.floor, Err(Refusal::OwnedByOther(_))), "{finding:?}");
}

#[tokio::test]
async fn two_autoscalers_on_one_workload_are_left_alone() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-two").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    scene.apply_hpa_named("second", json!({ "maxReplicas": 5 })).await;
    let why = scene.hand(1).set_floor(floor(5, 100.0)).await.expect_err("Kubernetes disables both");
    assert!(why.contains("HPA second and HPA web"), "{why}");
    scene.assert_untouched(Some(1)).await;
}

#[tokio::test]
async fn keda_s_minimum_carries_the_floor_and_its_hpa_stays_alone() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-keda").await;
    scene.install_keda().await;
    let object = scene.apply_scaled_object().await;
    scene.apply_keda_hpa(&object).await;
    let hand = scene.hand(1);
    hand.set_floor(floor(4, 100.0)).await.expect("nobody owns it");
    let standing = scene.scaled_object().await;
    assert_eq!(standing.data["spec"]["minReplicaCount"], 4);
    assert!(scene.hpa().await.metadata.annotations.unwrap_or_default().is_empty(), "KEDA would revert it");
    hand.clear_floor().await.expect("ours");
    let back = scene.scaled_object().await;
    assert_eq!((back.data["spec"].get("minReplicaCount"), back.annotations().get(ANNOTATION)), (None, None));
}

#[tokio::test]
async fn without_a_scaler_the_scale_subresource_is_written_and_put_back() {
    let Some(server) = api::shared() else { return };
    let scene = Scene::new(server, "floor-scale").await;
    let hand = scene.hand(1);
    hand.set_floor(floor(4, 100.0)).await.expect("nothing else scales it");
    let deployment = scene.deployment().await;
    assert_eq!((deployment.data["spec"]["replicas"].clone(), deployment.labels().contains_key(LABEL)), (json!(4), true));
    hand.set_floor(floor(2, 100.0)).await.expect("down");
    assert_eq!(scene.deployment().await.data["spec"]["replicas"], 4, "not at once");
    scene.sweep(later(101.0)).await;
    let back = scene.deployment().await;
    assert_eq!(back.data["spec"]["replicas"], 1);
    assert!(!back.annotations().contains_key(ANNOTATION) && !back.labels().contains_key(LABEL), "{:?}", back.metadata);
}

#[tokio::test]
async fn a_server_that_goes_away_in_the_middle_costs_a_pause() {
    let Some(mut server) = api::own().await else { return };
    let scene = Scene::new(&server, "floor-away").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    let hand = scene.hand(1);
    hand.set_floor(floor(5, 100.0)).await.expect("free");
    server.control_plane().kill_api_server();
    let why = hand.set_floor(floor(7, 100.0)).await.expect_err("nobody is there");
    assert!(why.contains("does not answer"), "{why}");
    server.control_plane().start_api_server().await.expect("it starts again");
    eventually(Duration::from_secs(60), async || hand.set_floor(floor(7, 100.0)).await.is_ok()).await;
    let hpa = scene.hpa().await;
    assert_eq!(hpa.data["spec"]["minReplicas"], 7);
    assert_eq!(Mark::<Option<u32>>::find(hpa.metadata.annotations.as_ref()).expect("readable").expect("there").original, Some(1));
}

/// The test's own program, started again by the test below, sets a floor and renews it until it is killed.
const CHILD: &str = "FORESHADOW_TEST_FLOOR_CHILD";

#[tokio::test]
async fn the_floor_of_a_process_killed_with_kill_9_falls_away() {
    let Some(server) = api::shared() else { return };
    if let Ok(workload) = std::env::var(CHILD) {
        return renew_until_killed(server, &workload).await;
    }
    let scene = Scene::new(server, "floor-kill").await;
    scene.apply_hpa(json!({ "maxReplicas": 10 })).await;
    let dir = tempfile::tempdir().expect("a directory");
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).expect("written");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["floor::the_floor_of_a_process_killed_with_kill_9_falls_away", "--exact", "--nocapture"])
        .env(CHILD, &scene.workload)
        .env("FORESHADOW_TEST_KUBECONFIG", &kubeconfig)
        .spawn()
        .expect("starts");
    eventually(Duration::from_secs(60), async || scene.hpa().await.data["spec"]["minReplicas"] == 6).await;
    child.kill().expect("SIGKILL");
    child.wait().expect("gone");
    assert!(scene.sweep(Timestamp::now()).await.is_empty(), "its time is not over");
    // Another agent's sweep, as it runs every few seconds.
    eventually(Duration::from_secs(60), async || {
        expire::sweep(&scene.client, Timestamp::now(), false, None).await.expect("listed");
        scene.hpa().await.data["spec"]["minReplicas"] == 1
    })
    .await;
    scene.assert_untouched(Some(1)).await;
}

async fn renew_until_killed(server: &foreshadow_cluster::api::ApiServer, workload: &str) {
    let hand = Scene::hand_for(server.admin().await, workload, || Some(1));
    for _ in 0..600 {
        hand.set_floor(floor(6, 8.0)).await.expect("free");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What is left of us on an object, as JSON: nothing.
pub fn traces(object: &kube::core::DynamicObject) -> Vec<String> {
    let ours = |entry: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| entry.manager.as_deref() == Some(MANAGER);
    let managed = object.metadata.managed_fields.iter().flatten().filter(ours).map(|e| json!(e).to_string());
    let marked = [object.annotations().get(ANNOTATION), object.labels().get(LABEL)].into_iter().flatten().cloned();
    managed.chain(marked).collect()
}

/// Used by `scene`.
pub fn minimum(object: &kube::core::DynamicObject) -> Value {
    object.data["spec"]["minReplicas"].clone()
}
