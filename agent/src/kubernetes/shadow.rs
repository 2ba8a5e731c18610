//! The shadow's objects, computed from production's: Deployment, Service, and the endpoint file for production's sidecars.
//!
//! Pure; the controller applies them. Promises: labels are the shadow's own, so no selector of production's matches; nothing of production's
//! storage is mounted; the shadow's pods are the first to be evicted; the size is production's changed by the profile and by nothing else.

pub mod pod;
pub mod profile;

use super::crd::{ShadowScaler, TargetKind};
use super::inject::ports::Port;
use super::{inject, names};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a shadow is made from.
#[derive(Debug, Clone, Copy)]
pub struct Blueprint<'a> {
    /// Whose shadow.
    pub scaler: &'a ShadowScaler,
    /// Production's pod template.
    pub template: &'a Value,
    /// The profile's name.
    pub profile: &'a str,
    /// Ports that serve requests.
    pub ports: &'a [Port],
}

/// Why there cannot be a shadow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// Host network.
    #[error("production uses the host's network: a shadow beside it would want the same ports of the node")]
    HostNetwork,
    /// Nothing to copy to.
    #[error("no port serves requests: {0}")]
    NoPort(String),
    /// A profile that nobody defines.
    #[error("there is no profile {0}")]
    NoProfile(String),
}

/// What the shadow runs as, and what people should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// Its Deployment.
    pub deployment: Value,
    /// Its Service.
    pub service: Value,
    /// What people should know.
    pub notes: Vec<String>,
    /// Hash of production's template.
    pub template_hash: String,
}

/// Computes the shadow's objects.
///
/// # Errors
/// Why there cannot be one.
pub fn build(from: Blueprint<'_>) -> Result<Shadow, Impossible> {
    if from.template.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true) {
        return Err(Impossible::HostNetwork);
    }
    if from.ports.is_empty() {
        return Err(Impossible::NoPort("none is declared".into()));
    }
    let spec = &from.scaler.spec.shadow;
    let profile = spec.profile(from.profile).ok_or_else(|| Impossible::NoProfile(from.profile.to_owned()))?;
    let template_hash = hash(from.template);
    let labels = pod_labels(&from.scaler.name_any());
    let mut notes = Vec::new();
    let mut template = pod::template(from.template, spec, &labels, &mut notes);
    profile::apply(&mut template, &profile, &mut notes);
    let annotations = json!({ "foreshadow.dev/template-hash": template_hash, "foreshadow.dev/profile": from.profile });
    let mut metadata = metadata(from.scaler, &names::shadow(&from.scaler.spec.target_ref.name));
    metadata["annotations"] = annotations;
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            // Two at once would share the copies.
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": labels },
            "template": template,
        },
    });
    Ok(Shadow { deployment, service: service(from, &labels), notes, template_hash })
}

/// Labels of the shadow's pods: nothing of production's.
pub fn pod_labels(scaler: &str) -> BTreeMap<String, String> {
    [(names::ROLE.to_owned(), names::SHADOW.to_owned()), (names::SCALER.to_owned(), scaler.to_owned())].into()
}

fn metadata(scaler: &ShadowScaler, name: &str) -> Value {
    let owner = scaler.controller_owner_ref(&());
    json!({
        "name": name,
        "namespace": scaler.namespace(),
        "labels": {
            names::ROLE: names::SHADOW,
            names::SCALER: scaler.name_any(),
            "app.kubernetes.io/managed-by": "foreshadow",
        },
        "ownerReferences": owner.map(|o| vec![o]).unwrap_or_default(),
    })
}

/// Copies go on arriving when the shadow says that it is not ready: how it does under pressure is what is wanted.
fn service(from: Blueprint<'_>, labels: &BTreeMap<String, String>) -> Value {
    let ports: Vec<Value> = from
        .ports
        .iter()
        .map(|p| json!({ "name": format!("copies-{}", p.number), "port": p.number, "targetPort": p.number, "protocol": "TCP" }))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(from.scaler, &names::shadow(&from.scaler.spec.target_ref.name)),
        "spec": { "type": "ClusterIP", "selector": labels, "ports": ports, "publishNotReadyAddresses": true },
    })
}

/// The ConfigMap with the endpoint file. Names that were in it stay, without endpoints: a sidecar of an earlier release must still find its own.
pub fn endpoints_config_map(scaler: &ShadowScaler, ports: &[Port], address: Option<&str>, before: Option<&str>) -> Value {
    let target = &scaler.spec.target_ref;
    let kind = match target.kind {
        TargetKind::Deployment => "Deployment",
        TargetKind::StatefulSet => "StatefulSet",
    };
    let mut metadata = metadata(scaler, &names::endpoints_config_map(kind, &target.name));
    if let Some(labels) = metadata["labels"].as_object_mut() {
        labels.remove(names::ROLE);
    }
    let numbers: Vec<u16> = ports.iter().map(|p| p.number).collect();
    let known: BTreeSet<String> = before.map(inject::proxy_config::endpoint_names).unwrap_or_default();
    let file = inject::proxy_config::endpoints(&numbers, address, &known);
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { names::SHADOW_FILE: file } })
}

/// Of a template, so that it can be said which release the shadow runs.
pub fn hash(template: &Value) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in template.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// The profile that is on at a time, and the seconds until the next one: each stays for the same time, in the order of the spec, from the
/// ShadowScaler's creation on. No state to lose.
pub fn profile_at(scaler: &ShadowScaler, now_s: i64) -> (String, u64) {
    let spec = &scaler.spec.shadow;
    let profiles = if spec.profiles.is_empty() { vec!["same".to_owned()] } else { spec.profiles.clone() };
    let created = scaler.metadata.creation_timestamp.as_ref().map_or(0, |t| t.0.as_second());
    let length = i64::from(spec.cycle_minutes.max(1)) * 60;
    let age = (now_s - created).max(0);
    let index = usize::try_from(age / length).unwrap_or(0) % profiles.len();
    (profiles[index].clone(), (length - age % length).unsigned_abs())
}

#[cfg(test)]
mod tests;
