//! The object that carries a workload's floor, read and written: HorizontalPodAutoscaler, KEDA ScaledObject, or the scale subresource.
//!
//! Called by the lease holder (through `hand`), by `expire` and by preflight. What to write is decided by `floor`. Promises:
//! * an autoscaler's field is written by server-side apply under our manager, never forced, mark and value in one request, and only if
//!   the object is still the one that was read (its resourceVersion is sent along);
//! * what comes back is checked: a value that admission changed is put back and told;
//! * putting back gives the field up again: afterwards nothing of ours is on the object, also not in its managed fields. Every step of it
//!   may be the last one of a killed process; the next sweep goes on from there.

use super::floor::{Field, FloorMark, Kind, Step};
use super::mark::{ANNOTATION, LABEL, MANAGER, Mark};
use super::owners;
use super::refusal::Refusal;
use super::scaler::{Neighbours, Place, Target};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

/// One object that carries a floor.
#[derive(Clone)]
pub struct Carrier {
    api: Api<DynamicObject>,
    resource: ApiResource,
    namespace: String,
    place: Place,
}

/// The object as it was read.
#[derive(Debug, Clone)]
pub struct Seen {
    /// All of it.
    pub object: DynamicObject,
    /// The field that carries the floor.
    pub field: Field,
}

/// What a carried-out step left standing.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nothing was written.
    Kept,
    /// Value and mark stand.
    Written,
    /// What stood there before stands again, and nothing of ours.
    Restored,
    /// Our mark is gone; the value is somebody else's.
    Forgotten,
}

/// The API of a kind, e.g. `autoscaling/v2`, `HorizontalPodAutoscaler`.
pub fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The API of what carries a floor.
pub fn carrier_resource(kind: Kind, target: &Target) -> ApiResource {
    match kind {
        Kind::Hpa => resource("autoscaling/v2", "HorizontalPodAutoscaler"),
        Kind::Keda => resource("keda.sh/v1alpha1", "ScaledObject"),
        Kind::Scale => resource(&target.api_version, &target.kind),
    }
}

/// Reads what `scaler` decides from. KEDA and the vertical autoscaler need not be installed.
///
/// # Errors
/// What the API server said.
pub async fn neighbours(client: &Client, namespace: &str) -> Result<Neighbours, Refusal> {
    let hpas = list(client, namespace, &resource("autoscaling/v2", "HorizontalPodAutoscaler")).await?;
    let scaled_objects = optional(list(client, namespace, &resource("keda.sh/v1alpha1", "ScaledObject")).await)?;
    let vpas = optional(list(client, namespace, &resource("autoscaling.k8s.io/v1", "VerticalPodAutoscaler")).await)?;
    Ok(Neighbours { hpas, scaled_objects, vpas })
}

async fn list(client: &Client, namespace: &str, resource: &ApiResource) -> Result<Vec<DynamicObject>, Refusal> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    Ok(api.list(&ListParams::default()).await?.items)
}

/// A kind that is not installed has no objects.
fn optional(listed: Result<Vec<DynamicObject>, Refusal>) -> Result<Vec<DynamicObject>, Refusal> {
    match listed {
        Err(Refusal::Unsupported(_) | Refusal::Gone(_)) => Ok(Vec::new()),
        other => other,
    }
}

impl Carrier {
    /// The one at `place`.
    pub fn new(client: &Client, namespace: &str, target: &Target, place: Place) -> Self {
        let resource = carrier_resource(place.kind, target);
        Self { api: Api::namespaced_with(client.clone(), namespace, &resource), resource, namespace: namespace.to_owned(), place }
    }

    /// `Kind/name`, for people.
    pub fn title(&self) -> String {
        format!("{}/{}", self.resource.kind, self.place.name)
    }

    /// What kind of object it is.
    pub fn kind(&self) -> Kind {
        self.place.kind
    }

    /// Reads it.
    ///
    /// # Errors
    /// What the API server said, or a mark that cannot be understood.
    pub async fn read(&self) -> Result<Seen, Refusal> {
        seen(self.place.kind, self.api.get(&self.place.name).await?)
    }

    /// Carries a step out; with `dry_run` the API server checks everything and stores nothing.
    ///
    /// # Errors
    /// What the API server said.
    pub async fn carry(&self, step: &Step, seen: &Seen, dry_run: bool) -> Result<Outcome, Refusal> {
        match step {
            Step::Keep => Ok(Outcome::Kept),
            Step::Write(mark) => self.write(mark, seen, dry_run).await.map(|()| Outcome::Written),
            Step::Restore(mark) => self.restore(mark, seen, dry_run).await.map(|()| Outcome::Restored),
            Step::Forget => self.apply(seen, None, None, dry_run).await.map(|_| Outcome::Forgotten),
        }
    }

    async fn write(&self, mark: &FloorMark, seen: &Seen, dry_run: bool) -> Result<(), Refusal> {
        if self.place.kind == Kind::Scale {
            let marked = self.apply(seen, Some(mark), None, dry_run).await?;
            let based_on = if dry_run { &seen.object } else { &marked };
            return self.scale(mark.value, based_on, dry_run).await;
        }
        let written = self.apply(seen, Some(mark), mark.value, dry_run).await?;
        let stands = value(self.place.kind, &written);
        if stands == mark.value {
            return Ok(());
        }
        let back = Mark { value: stands, ..mark.clone() };
        let seen = self::seen(self.place.kind, written)?;
        if !dry_run {
            self.restore(&back, &seen, false).await?;
        }
        let title = self.title();
        Err(Refusal::Denied(format!("admission made {} of the floor {} on {title}; it was put back", words(stands), words(mark.value))))
    }

    async fn restore(&self, mark: &FloorMark, seen: &Seen, dry_run: bool) -> Result<(), Refusal> {
        match self.place.kind {
            Kind::Scale => {
                self.scale(mark.original, &seen.object, dry_run).await?;
                let now = if dry_run { seen.clone() } else { self.read().await? };
                self.apply(&now, None, None, dry_run).await.map(|_| ())
            }
            // Unset, or what the API server sets by itself: giving the field up puts it back.
            kind if mark.original.is_none() || (kind == Kind::Hpa && mark.original == Some(1)) => {
                self.apply(seen, None, None, dry_run).await.map(|_| ())
            }
            kind => {
                let last = Mark { value: mark.original, expires: k8s_openapi::jiff::Timestamp::UNIX_EPOCH, ..mark.clone() };
                let back = self.apply(seen, Some(&last), mark.original, dry_run).await?;
                if dry_run { Ok(()) } else { self.give_up(&self::seen(kind, back)?).await }
            }
        }
    }

    /// Server-side apply of exactly mark and value; what we owned before and is not named now is given up.
    async fn apply(&self, seen: &Seen, mark: Option<&FloorMark>, value: Option<u32>, dry_run: bool) -> Result<DynamicObject, Refusal> {
        let mut metadata = json!({
            "name": self.place.name,
            "namespace": self.namespace,
            "resourceVersion": seen.object.metadata.resource_version,
        });
        if let Some(mark) = mark {
            metadata["labels"] = json!({ LABEL: "floor" });
            metadata["annotations"] = json!({ ANNOTATION: mark.to_text() });
        }
        let mut body = json!({ "apiVersion": self.resource.api_version, "kind": self.resource.kind, "metadata": metadata });
        if let (Some(value), Some(field)) = (value, field_of(self.place.kind)) {
            body["spec"] = json!({ field: value });
        }
        let mut params = PatchParams::apply(MANAGER);
        params.dry_run = dry_run;
        Ok(self.api.patch(&self.place.name, &params, &Patch::Apply(&body)).await?)
    }

    async fn scale(&self, replicas: Option<u32>, based_on: &DynamicObject, dry_run: bool) -> Result<(), Refusal> {
        let body = json!({
            "metadata": { "resourceVersion": based_on.metadata.resource_version },
            "spec": { "replicas": replicas.unwrap_or(1) },
        });
        let params = PatchParams { field_manager: Some(MANAGER.into()), dry_run, ..PatchParams::default() };
        self.api.patch_scale(&self.place.name, &params, &Patch::Merge(&body)).await?;
        Ok(())
    }

    /// Takes our mark off and our manager out of the managed fields, leaving every value as it is.
    async fn give_up(&self, seen: &Seen) -> Result<(), Refusal> {
        let others: Vec<Value> = seen
            .object
            .metadata
            .managed_fields
            .iter()
            .flatten()
            .filter(|entry| entry.manager.as_deref() != Some(MANAGER))
            .filter_map(|entry| serde_json::to_value(entry).ok())
            .collect();
        let body = json!({ "metadata": {
            "resourceVersion": seen.object.metadata.resource_version,
            "labels": { LABEL: Value::Null },
            "annotations": { ANNOTATION: Value::Null },
            "managedFields": if others.is_empty() { json!([{}]) } else { json!(others) },
        }});
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        self.api.patch(&self.place.name, &params, &Patch::Merge(&body)).await?;
        Ok(())
    }
}

/// What an object says about the floor.
///
/// # Errors
/// A mark that cannot be understood.
pub fn seen(kind: Kind, object: DynamicObject) -> Result<Seen, Refusal> {
    let mark = Mark::find(object.metadata.annotations.as_ref()).map_err(|e| Refusal::Situation(e.to_string()))?;
    let most = match kind {
        Kind::Hpa => number(&object.data["spec"]["maxReplicas"]),
        Kind::Keda => number(&object.data["spec"]["maxReplicaCount"]).or(Some(100)),
        Kind::Scale => None,
    };
    let field = field_of(kind).unwrap_or("replicas");
    let owners = owners::of_field(object.metadata.managed_fields.as_deref(), &["spec", field], MANAGER);
    let foreign = if owners.is_empty() { String::new() } else { owners::remedy(&format!("spec.{field}"), &owners) };
    Ok(Seen { field: Field { value: value(kind, &object), most, mark, foreign }, object })
}

/// The field of its spec that server-side apply writes.
fn field_of(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Hpa => Some("minReplicas"),
        Kind::Keda => Some("minReplicaCount"),
        Kind::Scale => None,
    }
}

fn value(kind: Kind, object: &DynamicObject) -> Option<u32> {
    number(&object.data["spec"][field_of(kind).unwrap_or("replicas")])
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

fn words(value: Option<u32>) -> String {
    value.map_or_else(|| "nothing".into(), |v| v.to_string())
}
