//! The server itself: it takes objects, knows roles, refuses strangers, and keeps what it was told over a kill.

use foreshadow_cluster::api;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{from_value, json};

fn deployment(name: &str) -> Deployment {
    let labels = json!({ "app": name });
    from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "app", "image": "app:1" }] } },
        },
    }))
    .expect("a deployment")
}

#[tokio::test]
async fn takes_a_deployment_and_fills_in_its_defaults() {
    let Some(server) = api::shared() else { return };
    let namespace = server.namespace("deployment").await;
    let deployments: Api<Deployment> = Api::namespaced(server.admin().await, &namespace);
    let created = deployments.create(&PostParams::default(), &deployment("web")).await.expect("the server takes it");
    assert_eq!(created.spec.expect("a deployment has a spec").replicas, Some(1));
    let twice = deployments.create(&PostParams::default(), &deployment("web")).await.expect_err("a name is taken once");
    assert!(matches!(&twice, kube::Error::Api(status) if status.code == 409), "{twice}");
}

#[tokio::test]
async fn a_service_account_without_a_role_may_nothing() {
    let Some(server) = api::shared() else { return };
    let namespace = server.namespace("nobody").await;
    let nobody = server.service_account(&namespace, "nobody").await;
    let refused = Api::<ConfigMap>::namespaced(nobody, &namespace).list(&ListParams::default()).await.expect_err("nobody may read");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_it_had() {
    let Some(mut server) = api::own().await else { return };
    let namespace = server.namespace("killed").await;
    let before = server.admin().await;
    Api::<Deployment>::namespaced(before.clone(), &namespace).create(&PostParams::default(), &deployment("web")).await.expect("taken");
    server.control_plane().kill_api_server();
    let lost = Api::<Deployment>::namespaced(before.clone(), &namespace).get("web").await.expect_err("nobody is there");
    assert!(!matches!(lost, kube::Error::Api(_)), "{lost}");
    server.control_plane().start_api_server().await.expect("it starts again");
    Api::<Deployment>::namespaced(before, &namespace).get("web").await.expect("the same client reads what was written");
}
