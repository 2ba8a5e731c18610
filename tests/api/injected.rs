//! Every golden pod of injection, as the API server sees it: taken, in a dry run, exactly as injection writes it.

use foreshadow_agent::kubernetes::yaml;
use foreshadow_cluster::api;
use foreshadow_tests::code::workspace;
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::path::PathBuf;

fn folder() -> PathBuf {
    workspace().join("tests/golden/inject")
}

/// Golden files with what was injected into them: name and documents.
fn injected() -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder()).expect("the golden files are there").flatten() {
        let name = file.file_name().into_string().expect("a name in ASCII");
        let Some(name) = name.strip_suffix(".golden.yaml") else { continue };
        let text = std::fs::read_to_string(file.path()).expect("a readable file");
        if text.contains(": injected\n") {
            let documents = yaml::read(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            all.push((name.to_owned(), documents.into_iter().filter_map(|d| d.value).flat_map(members).collect()));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn members(value: Value) -> Vec<Value> {
    match value["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![value],
    }
}

/// Golden files have the sidecar's configuration in files of their own.
fn with_config(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(file) = text.strip_prefix("<proxy/").and_then(|t| t.strip_suffix(">")) {
                *text = std::fs::read_to_string(folder().join("proxy").join(file)).expect("a configuration");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(with_config),
        Value::Object(fields) => fields.values_mut().for_each(with_config),
        _ => {}
    }
}

/// The pods of an object: itself, or from its template.
fn pod_of(object: &Value) -> Option<Value> {
    let mut pod = if object["kind"] == "Pod" {
        object.clone()
    } else {
        ["/spec/template", "/spec/jobTemplate/spec/template", "/template"].iter().find_map(|path| object.pointer(path))?.clone()
    };
    let metadata = &mut pod["metadata"];
    metadata.as_object_mut()?.retain(|field, _| ["labels", "annotations"].contains(&field.as_str()));
    metadata["generateName"] = json!("golden-");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    Some(pod)
}

/// What the server says against it, in a dry run.
async fn refusal(client: &Client, namespace: &str, mut object: Value) -> Option<String> {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    let (version, kind) = (object["apiVersion"].as_str()?.to_owned(), object["kind"].as_str()?.to_owned());
    let resource = foreshadow_agent::kubernetes::act::carrier::resource(&version, &kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let object = serde_json::from_value(object).expect("an object");
    let params = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&params, &object).await.err().map(|e| format!("{kind}: {e}"))
}

#[tokio::test]
async fn every_golden_pod_is_taken_by_the_api_server() {
    let Some(server) = api::shared() else { return };
    let (client, namespace) = (server.admin().await, server.namespace("golden").await);
    let (mut pods, mut wrong) = (0, Vec::new());
    for (name, documents) in injected() {
        for mut document in documents {
            with_config(&mut document);
            let sidecar = document.to_string().contains("\"foreshadow-proxy\"");
            if let Some(pod) = pod_of(&document).filter(|_| sidecar) {
                wrong.extend(refusal(&client, &namespace, pod).await.map(|why| format!("{name}: {why}")));
                pods += 1;
            }
            // Services beside them, and the workloads themselves, where the server knows the kind.
            if ["v1", "apps/v1", "batch/v1"].iter().any(|v| document["apiVersion"] == **v) && document["kind"] != "Namespace" {
                wrong.extend(refusal(&client, &namespace, document).await.map(|why| format!("{name}: {why}")));
            }
        }
    }
    assert!(pods >= 40, "{pods} pods");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
