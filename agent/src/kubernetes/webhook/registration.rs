//! The webhook as the API server knows it: which pods it asks about, and whom it trusts.

use crate::kubernetes::names;
use serde_json::{Value, json};

/// Name of the configuration.
pub const NAME: &str = "foreshadow-injector";
/// Path of the question.
pub const PATH: &str = "/inject";
/// Longest that the API server waits.
const TIMEOUT_SECONDS: u32 = 3;

/// The MutatingWebhookConfiguration, with the CAs to trust; without, as it is shipped: the leader puts them in.
///
/// Two rules: namespaces that are labelled (pods say no by themselves), and pods that are labelled in other namespaces. A webhook that is away
/// keeps nobody from making pods.
pub fn configuration(namespace: &str, service: &str, bundle: Option<&str>) -> Value {
    use base64::Engine as _;
    let mut client = json!({ "service": { "name": service, "namespace": namespace, "path": PATH, "port": 443 } });
    if let Some(bundle) = bundle {
        client["caBundle"] = json!(base64::engine::general_purpose::STANDARD.encode(bundle));
    }
    let no_shadow = json!({ "key": names::ROLE, "operator": "NotIn", "values": [names::SHADOW] });
    let enabled = json!({ "key": names::INJECT, "operator": "In", "values": ["enabled"] });
    let unlabelled = json!({ "key": names::INJECT, "operator": "NotIn", "values": ["enabled", "disabled"] });
    let one = |name: &str, namespaces: Value, pods: Value| {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": TIMEOUT_SECONDS,
            // Another mesh's webhook may come after ours: asked again, we answer that the sidecar is there.
            "reinvocationPolicy": "IfNeeded",
            "matchPolicy": "Equivalent",
            "namespaceSelector": { "matchExpressions": namespaces },
            "objectSelector": { "matchExpressions": pods },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced" }],
            "clientConfig": client,
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": NAME, "labels": { "app.kubernetes.io/name": "foreshadow", "app.kubernetes.io/part-of": "foreshadow" } },
        "webhooks": [
            one("namespace.inject.foreshadow.dev", json!([enabled]), json!([no_shadow])),
            one("pod.inject.foreshadow.dev", json!([unlabelled]), json!([enabled, no_shadow])),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_is_away_stops_nobody() {
        let made = configuration("foreshadow", "foreshadow-controller", Some("PEM"));
        for webhook in made["webhooks"].as_array().unwrap() {
            assert_eq!((&webhook["failurePolicy"], &webhook["clientConfig"]["caBundle"]), (&json!("Ignore"), &json!("UEVN")));
        }
    }
}
