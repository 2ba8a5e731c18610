//! What the API server takes as a ShadowScaler and what it refuses, with the words that people then read.

use crate::scene::install;
use foreshadow_agent::kubernetes::crd;
use foreshadow_cluster::api;
use http::Request;
use kube::Client;
use serde_json::{Value, json};

/// The smallest object, with `change` laid over its spec (RFC 7386).
fn scaler(name: &str, change: &Value) -> Value {
    let mut spec = json!({ "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 } });
    lay_over(&mut spec, change);
    json!({ "apiVersion": "foreshadow.dev/v1alpha1", "kind": "ShadowScaler", "metadata": { "name": name }, "spec": spec })
}

fn lay_over(under: &mut Value, over: &Value) {
    let (Some(fields), Some(changes)) = (under.as_object_mut(), over.as_object()) else {
        *under = over.clone();
        return;
    };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            lay_over(fields.entry(key.clone()).or_insert(json!({})), change);
        }
    }
}

/// Sends it as `kubectl` does, unknown fields refused; what the server made of it, or its words.
async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(body.to_string().into_bytes()).expect("a request");
    client.request::<Value>(request).await.map_err(|e| match e {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("{path}: {other}"),
    })
}

fn path(namespace: &str, rest: &str) -> String {
    format!("/apis/foreshadow.dev/v1alpha1/namespaces/{namespace}/shadowscalers{rest}fieldValidation=Strict")
}

/// What is refused, and words that its error has.
fn refused() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let profile = |fields: Value| json!({ "shadow": { "profiles": ["p"], "customProfiles": [fields] } });
    vec![
        ("no objective", json!({ "objective": null }), &["spec.objective: Required value"]),
        ("no target", json!({ "targetRef": null }), &["spec.targetRef: Required value"]),
        ("a target without a name", json!({ "targetRef": { "name": "" } }), &["spec.targetRef.name", "at least 1 chars long"]),
        (
            "another kind",
            json!({ "targetRef": { "kind": "DaemonSet" } }),
            &["spec.targetRef.kind: Unsupported value: \"DaemonSet\"", "\"Deployment\", \"StatefulSet\""],
        ),
        (
            "another group",
            json!({ "targetRef": { "apiVersion": "batch/v1" } }),
            &["targetRef.apiVersion must be apps/v1: Deployments and StatefulSets can be looked after"],
        ),
        (
            "a mode that is none",
            json!({ "mode": "act" }),
            &["spec.mode: Unsupported value: \"act\"", "\"Observe\", \"Recommend\", \"Act\""],
        ),
        ("a typing error", json!({ "objectives": {} }), &["unknown field \"spec.objectives\""]),
        ("no threshold", json!({ "objective": { "thresholdMs": 0 } }), &["spec.objective.thresholdMs", "greater than or equal to 1"]),
        (
            "a threshold in words",
            json!({ "objective": { "thresholdMs": "250ms" } }),
            &["spec.objective.thresholdMs", "must be of type number"],
        ),
        (
            "a target beyond reach",
            json!({ "objective": { "targetRatio": 1 } }),
            &["spec.objective.targetRatio: Invalid value", "must be at most 0.9999"],
        ),
        (
            "a target upside down",
            json!({ "objective": { "targetRatio": 0.01 } }),
            &["spec.objective.targetRatio: Invalid value", "must be at least 0.5"],
        ),
        (
            "bounds upside down",
            json!({ "bounds": { "minReplicas": 5, "maxReplicas": 3 } }),
            &["bounds.minReplicas is more than bounds.maxReplicas: raise maxReplicas or lower minReplicas"],
        ),
        ("no replicas", json!({ "bounds": { "minReplicas": 0 } }), &["spec.bounds.minReplicas", "greater than or equal to 1"]),
        (
            "a profile that nobody defines",
            json!({ "shadow": { "profiles": ["tiny"] } }),
            &["the predefined ones are same, cpu-half, cpu-quarter and memory-half, others stand in shadow.customProfiles"],
        ),
        (
            "a profile along two axes",
            profile(json!({ "name": "p", "cpu": 0.5, "memory": 0.5 })),
            &["a profile differs from production along one axis"],
        ),
        ("a profile's bandwidth in words", profile(json!({ "name": "p", "bandwidth": "fast" })), &["bandwidth", "should match"]),
        ("a profile's name", profile(json!({ "name": "P" })), &["customProfiles[0].name", "should match"]),
        (
            "copies upside down",
            json!({ "shadow": { "copies": { "minRps": 500 } } }),
            &["shadow.copies.minRps is more than maxRps: raise maxRps or lower minRps"],
        ),
        (
            "synthetic requests that write",
            json!({ "shadow": { "synthetic": { "requests": [{ "method": "POST", "path": "/" }] } } }),
            &["method: Unsupported value: \"POST\"", "\"GET\", \"HEAD\", \"OPTIONS\""],
        ),
        (
            "a synthetic path that is none",
            json!({ "shadow": { "synthetic": { "requests": [{ "path": "search" }] } } }),
            &["requests[0].path", "should match '^/'"],
        ),
        (
            "resources without bounds",
            json!({ "actuation": { "resources": { "enabled": true } } }),
            &["actuation.resources is enabled without bounds: give cpu or memory with min and max"],
        ),
        (
            "resources' bounds upside down",
            json!({ "actuation": { "resources": { "enabled": true, "cpu": { "min": "2", "max": "500m" } } } }),
            &["min is greater than max: the smallest size stands in min"],
        ),
        (
            "a class alone",
            json!({ "actuation": { "class": { "enabled": true, "classes": [{ "name": "a", "nodeSelector": { "pool": "a" }, "relativeCost": 1 }] } } }),
            &["actuation.class is enabled with fewer than two classes: there is nothing to choose from"],
        ),
        (
            "bandwidth without bounds",
            json!({ "actuation": { "bandwidth": { "enabled": true } } }),
            &["give min and max in bits a second, e.g. 10M and 1G"],
        ),
        (
            "a floor for ever",
            json!({ "actuation": { "replicas": { "floorTtlSeconds": 100_000 } } }),
            &["spec.actuation.replicas.floorTtlSeconds", "less than or equal to 86400"],
        ),
        (
            "blocks without an inside",
            json!({ "experiment": { "enabled": true, "blockSeconds": 300, "washoutSeconds": 300 } }),
            &["experiment.washoutSeconds must be shorter than experiment.blockSeconds"],
        ),
        ("no horizon", json!({ "forecast": { "horizonsSeconds": [] } }), &["spec.forecast.horizonsSeconds", "at least 1 items"]),
    ]
}

/// What is taken.
fn taken() -> Vec<(&'static str, Value)> {
    let class = |name: &str, cost: f64| json!({ "name": name, "nodeSelector": { "pool": name }, "relativeCost": cost });
    vec![
        ("the smallest", json!({})),
        ("a StatefulSet", json!({ "targetRef": { "kind": "StatefulSet", "apiVersion": "apps/v1" }, "mode": "Recommend" })),
        ("without a shadow", json!({ "shadow": { "enabled": false } })),
        ("profiles in turn", json!({ "shadow": { "profiles": ["same", "cpu-half", "cpu-quarter", "memory-half"], "cycleMinutes": 5 } })),
        (
            "profiles of one's own",
            json!({ "shadow": { "profiles": ["narrow", "other"], "customProfiles": [
                { "name": "narrow", "bandwidth": "10M" }, { "name": "other", "nodeSelector": { "pool": "old" } }] } }),
        ),
        ("writes copied", json!({ "shadow": { "copies": { "methods": "All" }, "env": { "DATABASE_URL": "sandbox" } } })),
        (
            "every axis",
            json!({ "mode": "Act", "actuation": {
                "replicas": { "through": "HorizontalPodAutoscaler", "headroom": 0.8, "maxStepUp": 10 },
                "resources": { "enabled": true, "cpu": { "min": "100m", "max": 2 }, "memory": { "min": "64Mi", "max": "1Gi" }, "writeBack": "Template" },
                "class": { "enabled": true, "classes": [class("small", 1.0), class("large", 1.8)] },
                "bandwidth": { "enabled": true, "bounds": { "min": "10M", "max": "1G" } } } }),
        ),
        ("an experiment", json!({ "experiment": { "enabled": true, "blockSeconds": 600, "washoutSeconds": 60, "controlRatio": 0.3 } })),
        ("costs", json!({ "cost": { "cpuCoreHour": 0.05, "memoryGibHour": 0 } })),
    ]
}

#[tokio::test]
async fn a_shadow_scaler_is_taken_or_refused_with_what_would_be_right() {
    let Some(server) = api::shared() else { return };
    let (client, namespace) = (server.admin().await, server.namespace("definition").await);
    install(&client, &crd::definition()).await;
    let try_out = path(&namespace, "?dryRun=All&");
    let mut wrong = Vec::new();
    for (what, change) in taken() {
        if let Err(words) = send(&client, "POST", &try_out, &scaler("web", &change)).await {
            wrong.push(format!("{what} is refused: {words}"));
        }
    }
    let refused = refused();
    assert!(refused.len() >= 15);
    for (what, change, words) in refused {
        match send(&client, "POST", &try_out, &scaler("web", &change)).await {
            Ok(made) => wrong.push(format!("{what} is taken: {made}")),
            Err(said) => wrong.extend(words.iter().filter(|w| !said.contains(**w)).map(|w| format!("{what}: `{w}` is not in `{said}`"))),
        }
    }
    let long = send(&client, "POST", &try_out, &scaler(&"x".repeat(53), &json!({}))).await.expect_err("too long a name");
    assert!(long.contains("metadata.name has more than 52 characters: objects are named after it, give a shorter one"), "{long}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn the_smallest_shadow_scaler_has_every_default_and_keeps_its_target() {
    let Some(server) = api::shared() else { return };
    let (client, namespace) = (server.admin().await, server.namespace("defaults").await);
    install(&client, &crd::definition()).await;
    let made = send(&client, "POST", &path(&namespace, "?"), &scaler("web", &json!({}))).await.expect("taken");
    let expected = serde_json::from_value::<crd::ShadowScalerSpec>(scaler("web", &json!({}))["spec"].clone()).expect("the smallest");
    assert_eq!(serde_json::from_value::<crd::ShadowScalerSpec>(made["spec"].clone()).expect("readable"), expected);
    for field in ["/mode", "/bounds/maxReplicas", "/shadow/copies/maxRps", "/actuation/replicas/headroom", "/targetRef/kind"] {
        assert!(made["spec"].pointer(field).is_some(), "the server fills in {field}: people see what holds");
    }
    let mut other = made.clone();
    other["spec"]["targetRef"]["name"] = json!("api");
    let said = send(&client, "PUT", &path(&namespace, "/web?"), &other).await.expect_err("another target");
    assert!(said.contains("targetRef cannot be changed: delete this ShadowScaler and create one for the other workload"), "{said}");
    let mut acting = made;
    acting["spec"]["mode"] = json!("Act");
    send(&client, "PUT", &path(&namespace, "/web?"), &acting).await.expect("everything else may change");
}
