//! Writing our own objects: server-side apply under one field manager.
//!
//! Only for what is ours alone, so force is right. What belongs to others (an HPA's floor) is written by `act`, without force.

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::Value;

/// Field manager of the controller.
pub const MANAGER: &str = "foreshadow-controller";

/// Applies a whole object of ours.
///
/// # Errors
/// What the API server says.
pub async fn apply<K>(api: &Api<K>, name: &str, object: &Value) -> Result<K, kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await
}

/// Applies the part of a status that is ours.
///
/// # Errors
/// What the API server says.
pub async fn apply_status<K>(api: &Api<K>, name: &str, object: &Value) -> Result<K, kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await
}
