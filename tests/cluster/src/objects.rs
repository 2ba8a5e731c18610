//! Objects of any kind, put into a cluster by an administrator. Called by what surrounds a node, and by the bench of a fleet.

use crate::error::Result;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// Server-side apply. The namespace is the object's own; one without is of the whole cluster.
///
/// # Errors
/// When the API server refuses it or does not answer.
pub async fn apply(client: &Client, object: &Value) -> Result<DynamicObject> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let params = PatchParams::apply("foreshadow-test-cluster").force();
    Ok(api.patch(text("/metadata/name"), &params, &Patch::Apply(object)).await?)
}
