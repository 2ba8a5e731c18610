//! What people are told back. The controller owns the conditions it sets and `shadow`, the lease holder owns the numbers: each applies its own
//! fields under its own field manager, so that neither overwrites the other.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Condition: everything that was asked for is in place.
pub const READY: &str = "Ready";
/// Condition: the shadow runs the release that production runs.
pub const SHADOW_READY: &str = "ShadowReady";
/// Condition: production's pods have sidecars, with the settings that hold now.
pub const SIDECARS_READY: &str = "SidecarsReady";
/// Condition: the lease holder sees fresh samples.
pub const OBSERVING: &str = "Observing";
/// Condition: the last action was accepted, or why none can be taken.
pub const ACTING: &str = "Acting";

/// How things stand.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ShadowScalerStatus {
    /// Generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, ShadowReady, SidecarsReady, Observing, Acting.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Production replicas that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// The floor that stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
    /// Requests a second that one production replica takes right now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_rps: Option<Quantiles>,
    /// Forecast load over what the ready replicas take; above 1 is trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// The forecaster in charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub champion: Option<String>,
    /// The profile that the shadow runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The shadow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowStatus>,
    /// The last decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// Agent that holds the workload's lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// A floor under the scaler.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Floor {
    /// Fewest replicas asked for.
    pub replicas: u32,
    /// Through what: HorizontalPodAutoscaler/web, ScaledObject/web, Deployment/web.
    pub through: String,
    /// When it falls away unless renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// Lower, middle and upper quantile of an estimate (10 %, 50 %, 90 %).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// 10 % quantile.
    pub p10: f64,
    /// Median.
    pub p50: f64,
    /// 90 % quantile.
    pub p90: f64,
}

/// The shadow, as the cluster has it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ShadowStatus {
    /// Its Deployment.
    pub name: String,
    /// Address that copies are sent to, host:port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Pods that are ready.
    pub ready_replicas: u32,
    /// Hash of the production template that it follows.
    pub template_hash: String,
}

/// The last decision, in words and numbers.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// When it was taken.
    pub at: Time,
    /// Why.
    pub reason: String,
    /// What would change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_change: Option<String>,
    /// Floor that it asks for, with Recommend too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<u32>,
    /// Whether it was done.
    pub applied: bool,
}
