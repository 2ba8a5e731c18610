//! Rights of the shipped roles, by doing: every verb of every rule is carried out as the account that has it (in a dry run where it writes),
//! and what an account has no business doing is refused.

use crate::installed::{Installed, NAMESPACE, shipped};
use crate::scene::{apply, eventually, foreign, install, try_apply};
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Where the objects are that an account's cluster-wide rights are tried on.
const PLACE: &str = "shop";
const ACCOUNTS: [&str; 2] = ["foreshadow-controller", "foreshadow-node"];

/// Version and kind of each resource that a rule names; the scope of the rest is a namespace.
fn version_and_kind(group: &str, resource: &str) -> (&'static str, &'static str) {
    match (group, resource) {
        ("", "services") => ("v1", "Service"),
        ("", "configmaps") => ("v1", "ConfigMap"),
        ("", "pods") => ("v1", "Pod"),
        ("", "namespaces") => ("v1", "Namespace"),
        ("", "secrets") => ("v1", "Secret"),
        ("apps", "deployments") => ("v1", "Deployment"),
        ("apps", "statefulsets") => ("v1", "StatefulSet"),
        ("autoscaling", "horizontalpodautoscalers") => ("v2", "HorizontalPodAutoscaler"),
        ("keda.sh", "scaledobjects") => ("v1alpha1", "ScaledObject"),
        ("autoscaling.k8s.io", "verticalpodautoscalers") => ("v1", "VerticalPodAutoscaler"),
        ("foreshadow.dev", "shadowscalers") => ("v1alpha1", "ShadowScaler"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations") => ("v1", "MutatingWebhookConfiguration"),
        ("events.k8s.io", "events") => ("v1", "Event"),
        ("coordination.k8s.io", "leases") => ("v1", "Lease"),
        ("discovery.k8s.io", "endpointslices") => ("v1", "EndpointSlice"),
        ("authentication.k8s.io", "tokenreviews") => ("v1", "TokenReview"),
        other => panic!("a rule names {other:?}, which this test does not know: tell it how such an object looks"),
    }
}

/// An object of a kind, good enough for the server.
fn sample(group: &str, resource: &str, name: &str) -> Value {
    let (version, kind) = version_and_kind(group, resource);
    let labels = json!({ "app": "web" });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "app", "image": "app:1" }] } });
    let workload = json!({ "spec": { "selector": { "matchLabels": labels }, "serviceName": "web", "template": template } });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let mut object = match kind {
        "Deployment" => json!({ "spec": { "selector": workload["spec"]["selector"], "template": template } }),
        "StatefulSet" => workload,
        "Pod" => json!({ "spec": template["spec"] }),
        "Service" => json!({ "spec": { "ports": [{ "port": 80 }] } }),
        "HorizontalPodAutoscaler" => json!({ "spec": { "scaleTargetRef": target, "maxReplicas": 3 } }),
        "ScaledObject" | "VerticalPodAutoscaler" => json!({ "spec": {} }),
        "ShadowScaler" => json!({ "spec": { "targetRef": { "name": "web" }, "objective": { "thresholdMs": 250 } } }),
        "Lease" => json!({ "spec": { "holderIdentity": "a" } }),
        "EndpointSlice" => json!({ "addressType": "IPv4", "endpoints": [] }),
        "TokenReview" => json!({ "spec": { "token": "abc" } }),
        "Event" => {
            json!({ "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i", "action": "Look",
            "reason": "Looked", "type": "Normal", "regarding": { "kind": "Pod", "name": "web", "namespace": PLACE } })
        }
        _ => json!({}),
    };
    object["apiVersion"] = json!(if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") });
    object["kind"] = json!(kind);
    object["metadata"] = json!({ "name": name });
    object
}

/// One verb on one resource, as a rule of a role allows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    account: String,
    /// None: everywhere.
    namespace: Option<String>,
    group: String,
    resource: String,
    subresource: Option<String>,
    verb: String,
    /// None: any.
    name: Option<String>,
}

/// Every right of the accounts, from the roles as they are shipped.
fn rights() -> BTreeSet<Right> {
    let texts =
        |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(Into::into)).collect() };
    let mut all = BTreeSet::new();
    for role in shipped() {
        let name = role["metadata"]["name"].as_str().unwrap_or_default();
        let kind = role["kind"].as_str().unwrap_or_default();
        if !["Role", "ClusterRole"].contains(&kind) || !ACCOUNTS.contains(&name) {
            continue;
        }
        for rule in role["rules"].as_array().expect("rules") {
            let names: Vec<_> = match texts(&rule["resourceNames"]) {
                none if none.is_empty() => vec![None],
                some => some.into_iter().map(Some).collect(),
            };
            for (group, resource) in
                texts(&rule["apiGroups"]).iter().flat_map(|g| texts(&rule["resources"]).into_iter().map(move |r| (g.clone(), r)))
            {
                let (resource, subresource) = resource.split_once('/').map_or((resource.as_str(), None), |(r, s)| (r, Some(s.to_owned())));
                for (verb, name_of) in texts(&rule["verbs"]).iter().flat_map(|v| names.iter().map(move |n| (v.clone(), n.clone()))) {
                    all.insert(Right {
                        account: name.to_owned(),
                        namespace: (kind == "Role").then(|| NAMESPACE.to_owned()),
                        group: group.clone(),
                        resource: resource.to_owned(),
                        subresource: subresource.clone(),
                        verb,
                        name: name_of,
                    });
                }
            }
        }
    }
    all
}

impl Right {
    fn is_wide(&self) -> bool {
        ["namespaces", "mutatingwebhookconfigurations", "tokenreviews"].contains(&self.resource.as_str())
    }

    /// Name of the object that it is tried on.
    fn object(&self) -> String {
        self.name.clone().unwrap_or_else(|| if self.resource == "namespaces" { PLACE.into() } else { "web".into() })
    }

    /// Path of the collection.
    fn collection(&self) -> String {
        let version = version_and_kind(&self.group, &self.resource).0;
        let root = if self.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", self.group) };
        // Lists and watches of a right that holds everywhere are asked for everywhere.
        let everywhere = self.is_wide() || (self.namespace.is_none() && ["list", "watch"].contains(&self.verb.as_str()));
        let namespace = self.namespace.as_deref().unwrap_or(PLACE);
        if everywhere { format!("{root}/{}", self.resource) } else { format!("{root}/namespaces/{namespace}/{}", self.resource) }
    }

    /// The request that makes use of it; `there` is the object as it stands.
    fn request(&self, there: Option<&Value>) -> (&'static str, String, &'static str, Value) {
        let collection = self.collection();
        let one = format!("{collection}/{}{}", self.object(), self.subresource.as_ref().map(|s| format!("/{s}")).unwrap_or_default());
        let only = self.name.as_ref().map(|n| format!("&fieldSelector=metadata.name%3D{n}")).unwrap_or_default();
        let plain = "application/json";
        match self.verb.as_str() {
            "get" => ("GET", one, plain, Value::Null),
            "list" => ("GET", format!("{collection}?limit=5{only}"), plain, Value::Null),
            "watch" => ("GET", format!("{collection}?watch=true&timeoutSeconds=1{only}"), plain, Value::Null),
            // With a body, options in the path count for nothing.
            "delete" => ("DELETE", one, plain, json!({ "dryRun": ["All"] })),
            "update" => ("PUT", format!("{one}?dryRun=All"), plain, there.cloned().unwrap_or_default()),
            // Creating one of a certain name: only an apply names it before it is there.
            "create" if self.name.is_some() => {
                let new = sample(&self.group, &self.resource, &self.object());
                ("PATCH", format!("{one}?dryRun=All&fieldManager=test&force=true"), "application/apply-patch+yaml", new)
            }
            "create" => ("POST", format!("{collection}?dryRun=All"), plain, sample(&self.group, &self.resource, "new")),
            "patch" => {
                let change = match self.subresource.as_deref() {
                    Some("scale") => json!({ "spec": { "replicas": 2 } }),
                    Some("status") => json!({ "status": { "margin": 0.5 } }),
                    Some(_) => json!({}),
                    None => json!({ "metadata": { "labels": { "touched": "yes" } } }),
                };
                ("PATCH", format!("{one}?dryRun=All"), "application/merge-patch+json", change)
            }
            other => panic!("a rule has the verb {other}, which this test does not know"),
        }
    }
}

/// Sends it; the code and the words of a refusal.
async fn ask(client: &Client, (method, path, kind, body): (&str, String, &str, Value)) -> Result<String, (u16, String)> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).expect("a request");
    client.request_text(request).await.map_err(|e| match e {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => (0, other.to_string()),
    })
}

/// The types of others that rules name, and one object of each resource.
async fn furnish(installed: &Installed) {
    install(&installed.client, &foreign("keda.sh", "v1alpha1", "ScaledObject")).await;
    install(&installed.client, &foreign("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler")).await;
    installed.labelled_namespace(PLACE, json!({})).await;
    for right in rights() {
        if !right.is_wide() {
            let object = sample(&right.group, &right.resource, &right.object());
            let namespace = right.namespace.as_deref().unwrap_or(PLACE);
            // A definition may be served a moment before its objects are.
            eventually(Duration::from_secs(30), async || try_apply(&installed.client, namespace, &object).await.is_ok()).await;
        }
    }
}

/// Rights that no request of its own makes use of: asked of the authorizer.
async fn authorizer_allows(client: &Client, right: &Right) -> bool {
    let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": format!("system:serviceaccount:{NAMESPACE}:{}", right.account),
        "resourceAttributes": { "group": right.group, "resource": right.resource, "subresource": right.subresource, "verb": right.verb, "namespace": PLACE } } });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned();
    let answer = ask(client, ("POST", path, "application/json", review)).await.expect("an administrator may ask");
    serde_json::from_str::<Value>(&answer).expect("JSON")["status"]["allowed"] == true
}

#[tokio::test]
async fn every_verb_of_every_shipped_rule_works() {
    let Some(installed) = Installed::begin().await else { return };
    furnish(&installed).await;
    let (mut tried, mut wrong) = (BTreeSet::new(), Vec::new());
    for account in ACCOUNTS {
        let client = installed.server.service_account(NAMESPACE, account).await;
        for right in rights().into_iter().filter(|r| r.account == account) {
            if right.subresource.as_deref() == Some("finalizers") {
                if !authorizer_allows(&installed.client, &right).await {
                    wrong.push(format!("{right:?}"));
                }
            } else {
                let there = right.collection() + "/" + &right.object();
                if right.verb == "create" && right.name.is_some() {
                    ask(&installed.client, ("DELETE", there.clone(), "application/json", json!({}))).await.expect("ours to delete");
                }
                let stands = ask(&installed.client, ("GET", there, "application/json", Value::Null)).await.ok();
                let stands = stands.and_then(|t| serde_json::from_str(&t).ok());
                if let Err((code, words)) = ask(&client, right.request(stands.as_ref())).await {
                    wrong.push(format!("{right:?}: {code} {words}"));
                }
                if right.verb == "create" && right.name.is_some() {
                    for object in shipped().into_iter().filter(|o| o["metadata"]["name"] == right.object().as_str()) {
                        apply(&installed.client, "", &object).await;
                    }
                }
            }
            tried.insert(right);
        }
    }
    assert_eq!(tried, rights());
    assert!(tried.len() > 80, "{} rights", tried.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What nobody in these roles may do: method and path.
fn forbidden(account: &str) -> Vec<(&'static str, &'static str)> {
    let both = [
        ("POST", "/api/v1/namespaces/shop/pods"),
        ("DELETE", "/api/v1/namespaces/shop/pods/web"),
        ("POST", "/api/v1/namespaces/shop/pods/web/exec?command=id&stdout=true"),
        ("GET", "/api/v1/namespaces/shop/pods/web/log"),
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/foreshadow/secrets/another"),
        ("GET", "/api/v1/namespaces/shop/secrets/foreshadow-webhook"),
        ("GET", "/api/v1/configmaps"),
        ("DELETE", "/apis/apps/v1/namespaces/shop/statefulsets/web"),
        ("DELETE", "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web"),
        ("DELETE", "/apis/foreshadow.dev/v1alpha1/namespaces/shop/shadowscalers/web"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler"),
        ("POST", "/api/v1/namespaces/foreshadow/serviceaccounts/foreshadow-controller/token"),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
        ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/foreshadow-node"),
        ("PATCH", "/api/v1/nodes/node-1"),
        ("DELETE", "/api/v1/namespaces/shop"),
        ("PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/shadowscalers.foreshadow.dev"),
    ];
    let own: &[_] = match account {
        "foreshadow-controller" => &[
            ("PATCH", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/another"),
            ("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/foreshadow-injector"),
            ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
            ("GET", "/api/v1/namespaces/shop/pods/web"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/foreshadow/leases/another"),
        ],
        _ => &[
            ("POST", "/apis/apps/v1/namespaces/shop/deployments"),
            ("DELETE", "/apis/apps/v1/namespaces/shop/deployments/web"),
            ("GET", "/api/v1/namespaces/foreshadow/secrets/foreshadow-webhook"),
            ("GET", "/api/v1/namespaces/shop/configmaps/web"),
            ("POST", "/api/v1/namespaces/shop/services"),
            ("PATCH", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/foreshadow-injector"),
        ],
    };
    both.iter().chain(own).copied().collect()
}

#[tokio::test]
async fn what_a_role_has_no_business_doing_is_refused() {
    let Some(installed) = Installed::begin().await else { return };
    furnish(&installed).await;
    let mut wrong = Vec::new();
    for account in ACCOUNTS {
        let client = installed.server.service_account(NAMESPACE, account).await;
        let forbidden = forbidden(account);
        assert!(forbidden.len() >= 10);
        for (method, path) in forbidden {
            let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
            let body = if method == "GET" { Value::Null } else { json!({}) };
            match ask(&client, (method, path.to_owned(), kind, body)).await {
                Err((403, words)) if words.contains(account) && words.contains("cannot") => {}
                other => wrong.push(format!("{account}: {method} {path}: {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
