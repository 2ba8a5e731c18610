//! `ShadowScaler`, foreshadow.dev/v1alpha1: what people ask for and what they are told back.
//!
//! Used by every Kubernetes part. The schema that the API server checks is generated from these types ([`definition()`]); a test holds
//! manifests/ to it. Field names and units are those of the local configuration (config/local.yaml) in Kubernetes' spelling.

pub mod actuation;
mod definition;
pub mod shadow;
pub mod status;

use actuation::Actuation;
pub use definition::definition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shadow::Shadow;
use status::ShadowScalerStatus;

/// API group of all our types.
pub const GROUP: &str = "foreshadow.dev";
/// Version of the API.
pub const VERSION: &str = "v1alpha1";

/// Watches one workload through a shadow of it, and raises its scaler's floor before the workload reaches its limit.
#[allow(clippy::duplicated_attributes, reason = "columns share their types")]
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "foreshadow.dev",
    version = "v1alpha1",
    kind = "ShadowScaler",
    plural = "shadowscalers",
    shortname = "shs",
    category = "all",
    namespaced,
    status = "ShadowScalerStatus",
    derive = "PartialEq",
    doc = "Watches one workload through a shadow of it, and raises its scaler's floor before the workload reaches its limit.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name", description = "The workload that is looked after"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "How much is done by itself"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether everything is in place"
    ),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas", description = "Production replicas that are ready"),
    printcolumn(
        name = "Floor",
        type_ = "integer",
        json_path = ".status.floor.replicas",
        description = "Fewest replicas asked for right now"
    ),
    printcolumn(
        name = "Capacity",
        type_ = "number",
        json_path = ".status.capacityRps.p50",
        description = "Requests a second that one replica takes right now"
    ),
    printcolumn(
        name = "Margin",
        type_ = "number",
        json_path = ".status.margin",
        description = "Forecast load over what the ready replicas take; above 1 is trouble"
    ),
    printcolumn(
        name = "Champion",
        type_ = "string",
        json_path = ".status.champion",
        priority = 1,
        description = "The forecaster in charge"
    ),
    printcolumn(name = "Profile", type_ = "string", json_path = ".status.profile", priority = 1, description = "What the shadow runs as"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.lastDecision.reason",
        priority = 1,
        description = "Why the last decision was taken"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShadowScalerSpec {
    /// The workload, in the same namespace. It cannot be changed: another workload is another ShadowScaler.
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "targetRef cannot be changed: delete this ShadowScaler and create one for the other workload",
    }, {
        "rule": "self.apiVersion == 'apps/v1'",
        "message": "targetRef.apiVersion must be apps/v1: Deployments and StatefulSets can be looked after",
    }]))]
    pub target_ref: TargetRef,
    /// How much is done by itself. Observe: look only. Recommend: say what would be done. Act: do it.
    #[serde(default)]
    pub mode: Mode,
    /// When a request counts as good, and how many must be.
    pub objective: Objective,
    /// What every plan keeps to.
    #[serde(default)]
    pub bounds: Bounds,
    /// What may be changed, and how.
    #[serde(default)]
    pub actuation: Actuation,
    /// How far ahead is looked.
    #[serde(default)]
    pub forecast: Forecast,
    /// The shadow, and what is copied to it.
    #[serde(default)]
    pub shadow: Shadow,
    /// What resources cost: the optimizer compares configurations by it.
    #[serde(default)]
    pub cost: Cost,
    /// Switchback experiment: blocks with and without action, for an honest estimate of what Foreshadow is worth here.
    #[serde(default)]
    pub experiment: Experiment,
}

/// A workload.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRef {
    /// API group and version.
    #[serde(default = "apps_v1")]
    pub api_version: String,
    /// Kind.
    #[serde(default)]
    pub kind: TargetKind,
    /// Name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Kinds that can be looked after.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetKind {
    /// Deployment.
    #[default]
    Deployment,
    /// StatefulSet; its shadow has empty volumes in place of the claims.
    StatefulSet,
}

/// How much is done by itself.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Look only.
    #[default]
    Observe,
    /// Say what would be done.
    Recommend,
    /// Do it.
    Act,
}

/// When a request is good, and how many must be.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objective {
    /// A slower answer is bad, in milliseconds; so are 5xx, timeouts and resets.
    #[schemars(range(min = 1.0, max = 3_600_000.0))]
    pub threshold_ms: f64,
    /// Share of answers that must be good.
    #[serde(default = "target_ratio")]
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub target_ratio: f64,
}

/// What every plan keeps to.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self.minReplicas <= self.maxReplicas", "message": "bounds.minReplicas is more than bounds.maxReplicas: raise maxReplicas or lower minReplicas"}]))]
pub struct Bounds {
    /// Fewest replicas that a plan asks for.
    #[schemars(range(min = 1, max = 10_000))]
    pub min_replicas: u32,
    /// Most replicas that a plan asks for. An HPA's or ScaledObject's own maximum holds as well.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: u32,
}

/// How far ahead is looked.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Forecast {
    /// From asking for a replica until it takes traffic, in seconds; learned further while running.
    #[schemars(range(min = 1.0, max = 3_600.0))]
    pub replica_start_seconds: f64,
    /// Horizons, in seconds, ascending.
    #[schemars(length(min = 1, max = 12), inner(range(min = 1.0, max = 3_600.0)))]
    pub horizons_seconds: Vec<f64>,
    /// Between two trainings of the models, in seconds.
    #[schemars(range(min = 5.0, max = 86_400.0))]
    pub train_every_seconds: f64,
    /// Seed of everything random.
    pub seed: u32,
}

/// What resources cost, in any one currency.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cost {
    /// One core for one hour.
    #[schemars(range(min = 0.0))]
    pub cpu_core_hour: f64,
    /// One GiB of memory for one hour.
    #[schemars(range(min = 0.0))]
    pub memory_gib_hour: f64,
    /// One gigabit a second of bandwidth for one hour.
    #[schemars(range(min = 0.0))]
    pub bandwidth_gbit_hour: f64,
}

/// Switchback experiment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self.washoutSeconds < self.blockSeconds", "message": "experiment.washoutSeconds must be shorter than experiment.blockSeconds: nothing would be left of a block"}]))]
pub struct Experiment {
    /// Whether there is one. It takes proactive scaling away in some blocks, so it is off unless asked for.
    pub enabled: bool,
    /// Length of a block, in seconds.
    #[schemars(range(min = 60, max = 86_400))]
    pub block_seconds: u32,
    /// Left out at the beginning of each block, in seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub washout_seconds: u32,
    /// Share of blocks without action.
    #[schemars(range(min = 0.05, max = 0.95))]
    pub control_ratio: f64,
}

fn apps_v1() -> String {
    "apps/v1".into()
}

fn target_ratio() -> f64 {
    0.99
}

impl Default for Bounds {
    fn default() -> Self {
        Self { min_replicas: 1, max_replicas: 10 }
    }
}

impl Default for Forecast {
    fn default() -> Self {
        Self { replica_start_seconds: 30.0, horizons_seconds: vec![10.0, 30.0, 60.0, 120.0, 300.0], train_every_seconds: 60.0, seed: 0 }
    }
}

impl Default for Cost {
    /// About what the large clouds ask for general-purpose machines: only the proportion matters. Bandwidth comes with the machine there.
    fn default() -> Self {
        Self { cpu_core_hour: 0.03, memory_gib_hour: 0.004, bandwidth_gbit_hour: 0.0 }
    }
}

impl Default for Experiment {
    fn default() -> Self {
        Self { enabled: false, block_seconds: 1_800, washout_seconds: 300, control_ratio: 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_smallest_object_has_every_default() {
        let spec: ShadowScalerSpec =
            serde_json::from_value(json!({"targetRef": {"name": "web"}, "objective": {"thresholdMs": 250}})).unwrap();
        assert_eq!(
            (spec.mode, spec.target_ref.kind, spec.target_ref.api_version.as_str()),
            (Mode::Observe, TargetKind::Deployment, "apps/v1")
        );
        assert_eq!((spec.objective.target_ratio, spec.bounds.max_replicas, spec.shadow.enabled), (0.99, 10, true));
        assert_eq!(spec.shadow.profiles, ["cpu-half"]);
        assert!(!spec.experiment.enabled && spec.actuation.replicas.enabled && !spec.actuation.resources.enabled);
    }
}
