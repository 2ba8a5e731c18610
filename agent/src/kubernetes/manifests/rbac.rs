//! Rights: one rule, one reason. The node role cannot create pods, and nobody reads Secrets but the webhook's own.

use super::workloads::{CONTROLLER, NODE};
use super::{Values, labels, metadata};
use crate::kubernetes::controller::{election, secret};
use crate::kubernetes::webhook::registration;
use serde_json::{Value, json};

/// Group, resources, verbs, names (none: all), why.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str], &'static str);

const CONTROLLER_CLUSTER: [Rule; 15] = [
    ("foreshadow.dev", &["shadowscalers"], &["get", "list", "watch", "patch"], &[], "what people ask for; patch is for the finalizer"),
    ("foreshadow.dev", &["shadowscalers/status"], &["patch"], &[], "what people are told back"),
    (
        "foreshadow.dev",
        &["shadowscalers/finalizers"],
        &["update"],
        &[],
        "owner references that block deletion, where the server checks that",
    ),
    (
        "apps",
        &["deployments"],
        &["get", "list", "watch", "create", "patch", "delete"],
        &[],
        "production's templates read; shadows made, kept and removed; overdue marks put back",
    ),
    ("apps", &["statefulsets"], &["get", "list", "watch", "patch"], &[], "production's templates read; overdue marks put back"),
    ("apps", &["deployments/scale", "statefulsets/scale"], &["get", "patch"], &[], "a floor of ours that is overdue is put back"),
    ("autoscaling", &["horizontalpodautoscalers"], &["get", "list", "patch"], &[], "a floor of ours that is overdue is put back"),
    ("keda.sh", &["scaledobjects"], &["get", "list", "patch"], &[], "a floor of ours that is overdue is put back"),
    (
        "",
        &["services"],
        &["get", "list", "watch", "create", "patch", "delete"],
        &[],
        "which ports serve requests; the shadow's own Service",
    ),
    (
        "",
        &["configmaps"],
        &["get", "create", "patch", "delete"],
        &[],
        "the endpoint file of a workload's sidecars; no list: nothing else is read",
    ),
    ("", &["pods"], &["list"], &[], "how many of production's pods have a sidecar"),
    ("", &["pods/resize"], &["patch"], &[], "a size of ours that is overdue is put back"),
    ("", &["namespaces"], &["get", "list", "watch"], &[], "where injection was asked for, and what Pod Security enforces there"),
    (
        "admissionregistration.k8s.io",
        &["mutatingwebhookconfigurations"],
        &["get", "create", "patch"],
        &[registration::NAME],
        "the webhook's own registration, with its CA",
    ),
    ("events.k8s.io", &["events"], &["create", "patch"], &[], "Events about ShadowScalers"),
];

const CONTROLLER_OWN: [Rule; 4] = [
    ("", &["secrets"], &["create"], &[], "the webhook's certificate is made; creating cannot be limited to a name"),
    ("", &["secrets"], &["get", "list", "watch", "update"], &[secret::NAME], "the webhook's certificate, and no other Secret"),
    ("coordination.k8s.io", &["leases"], &["create"], &[], "the leader's Lease is made; creating cannot be limited to a name"),
    ("coordination.k8s.io", &["leases"], &["get", "update"], &[election::NAME], "which controller leads"),
];

const NODE_CLUSTER: [Rule; 11] = [
    (
        "foreshadow.dev",
        &["shadowscalers"],
        &["get", "list", "watch", "patch"],
        &[],
        "what people ask for; patch is for marks of what was changed",
    ),
    ("foreshadow.dev", &["shadowscalers/status"], &["patch"], &[], "capacity, margin, floor and the last decision"),
    ("", &["pods"], &["get", "list", "watch"], &[], "the node's own pods: whose they are, where their sidecars are"),
    ("", &["pods/resize"], &["patch"], &[], "the resources axis: resize in place"),
    (
        "apps",
        &["deployments", "statefulsets"],
        &["get", "list", "watch", "patch"],
        &[],
        "which workload a pod is of; marks, and templates on axes that are enabled",
    ),
    ("apps", &["deployments/scale", "statefulsets/scale"], &["get", "patch"], &[], "the floor where nothing else scales the workload"),
    ("autoscaling", &["horizontalpodautoscalers"], &["get", "list", "watch", "patch"], &[], "the floor where an HPA scales the workload"),
    ("keda.sh", &["scaledobjects"], &["get", "list", "watch", "patch"], &[], "the floor where KEDA scales the workload"),
    ("autoscaling.k8s.io", &["verticalpodautoscalers"], &["get", "list"], &[], "an axis that a VPA acts on is left alone"),
    ("events.k8s.io", &["events"], &["create", "patch"], &[], "Events about decisions and refusals"),
    ("authentication.k8s.io", &["tokenreviews"], &["create"], &[], "agents tell each other by ServiceAccount tokens"),
];

const NODE_OWN: [Rule; 2] = [
    ("coordination.k8s.io", &["leases"], &["get", "create", "update"], &[], "one Lease for each workload: who acts"),
    ("discovery.k8s.io", &["endpointslices"], &["get", "list", "watch"], &[], "which agents live"),
];

/// ServiceAccounts, roles, bindings.
pub fn objects(values: &Values) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, cluster, own) in [(CONTROLLER, &CONTROLLER_CLUSTER[..], &CONTROLLER_OWN[..]), (NODE, &NODE_CLUSTER[..], &NODE_OWN[..])] {
        let component = name.trim_start_matches("foreshadow-");
        let subject = json!([{ "kind": "ServiceAccount", "name": name, "namespace": values.namespace }]);
        let role_ref = |kind: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name });
        let wide = json!({ "name": name, "labels": labels(component) });
        all.push(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(values, name, component) }));
        all.push(role("ClusterRole", wide.clone(), cluster));
        all.push(role("Role", metadata(values, name, component), own));
        all.push(binding("ClusterRoleBinding", wide, role_ref("ClusterRole"), &subject));
        all.push(binding("RoleBinding", metadata(values, name, component), role_ref("Role"), &subject));
    }
    all.push(aggregated(
        "foreshadow-view",
        &["view", "edit", "admin"],
        &["get", "list", "watch"],
        "people who may see a namespace's workloads see its ShadowScalers",
    ));
    let edit = ["create", "update", "patch", "delete", "deletecollection"];
    all.push(aggregated(
        "foreshadow-edit",
        &["edit", "admin"],
        &edit,
        "people who may change a namespace's workloads change its ShadowScalers",
    ));
    all
}

fn role(kind: &str, metadata: Value, rules: &[Rule]) -> Value {
    let one = |(group, resources, verbs, names, why): &Rule| {
        let mut rule = json!({ "#": why, "apiGroups": [group], "resources": resources, "verbs": verbs });
        if !names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        rule
    };
    let rules: Vec<Value> = rules.iter().map(one).collect();
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules })
}

fn binding(kind: &str, metadata: Value, role_ref: Value, subjects: &Value) -> Value {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "roleRef": role_ref, "subjects": subjects })
}

/// A role that is part of Kubernetes' own roles for people.
fn aggregated(name: &str, to: &[&str], verbs: &[&str], why: &str) -> Value {
    let mut labels = labels("access");
    for role in to {
        labels[format!("rbac.authorization.k8s.io/aggregate-to-{role}")] = json!("true");
    }
    let rule = json!({ "#": why, "apiGroups": ["foreshadow.dev"], "resources": ["shadowscalers"], "verbs": verbs });
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name, "labels": labels }, "rules": [rule] })
}
