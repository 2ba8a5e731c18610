//! What may be changed and how: one section an axis. Only replicas are acted on unless more is asked for.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What may be changed, axis by axis. `mode` decides whether anything is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Actuation {
    /// Number of replicas.
    pub replicas: Replicas,
    /// Processor and memory of each replica.
    pub resources: Resources,
    /// Instance class: on which kind of node replicas run.
    pub class: Class,
    /// Network bandwidth of each replica.
    pub bandwidth: Bandwidth,
}

/// The replicas axis: a floor under the scaler that is there.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Replicas {
    /// Whether this axis is acted on.
    pub enabled: bool,
    /// Through what. Auto: a ScaledObject if one targets the workload, else a HorizontalPodAutoscaler, else the workload's own scale.
    pub through: Through,
    /// Replicas are asked for such that forecast load <= replicas x capacity x headroom.
    #[schemars(range(min = 0.05, max = 2.0))]
    pub headroom: f64,
    /// A floor falls away after this unless renewed, in seconds.
    #[schemars(range(min = 10, max = 86_400))]
    pub floor_ttl_seconds: u32,
    /// A floor is lowered only after the need was lower for this long, in seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub lower_after_seconds: u32,
    /// Most replicas added by one decision.
    #[schemars(range(min = 1, max = 1_000))]
    pub max_step_up: u32,
}

/// Through what replicas are asked for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Through {
    /// Whatever scales the workload already.
    #[default]
    Auto,
    /// `spec.minReplicas` of the HorizontalPodAutoscaler.
    HorizontalPodAutoscaler,
    /// `spec.minReplicaCount` of the KEDA ScaledObject.
    ScaledObject,
    /// The workload's scale subresource, when nothing else scales it.
    Scale,
}

/// The resources axis: in-place resize.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "!self.enabled || has(self.cpu) || has(self.memory)", "message": "actuation.resources is enabled without bounds: give cpu or memory with min and max"}]))]
pub struct Resources {
    /// Whether this axis is acted on.
    pub enabled: bool,
    /// The container to resize. Left out: the only one, or the one that serves the first taken port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Bounds of the processor request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<QuantityBounds>,
    /// Bounds of the memory request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<QuantityBounds>,
    /// Whether the workload's template gets the new size too. A resize alone does not reach pods that start later.
    pub write_back: WriteBack,
}

/// Whether a resize is written to the template.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteBack {
    /// No; a condition tells that new pods start at the old size.
    #[default]
    Never,
    /// Yes, when the size has stood on every pod for an hour. This is a rollout, and writes fields that whoever applied the template owns; when
    /// they write theirs again, it is left to them.
    Template,
}

/// Smallest and largest size.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "!quantity(string(self.min)).isGreaterThan(quantity(string(self.max)))", "message": "min is greater than max: the smallest size stands in min"}]))]
pub struct QuantityBounds {
    /// Smallest.
    #[schemars(extend("maxLength" = 32))]
    pub min: Quantity,
    /// Largest.
    #[schemars(extend("maxLength" = 32))]
    pub max: Quantity,
}

/// The class axis: a rollout with surge onto other nodes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "!self.enabled || size(self.classes) > 1", "message": "actuation.class is enabled with fewer than two classes: there is nothing to choose from"}]))]
pub struct Class {
    /// Whether this axis is acted on.
    pub enabled: bool,
    /// Classes to choose from.
    #[schemars(length(max = 16))]
    pub classes: Vec<NodeClass>,
    /// Least time between two changes, in seconds: each one is a rollout.
    #[schemars(range(min = 300, max = 604_800))]
    pub cooldown_seconds: u32,
}

/// A kind of node.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeClass {
    /// Name, also that of its profile.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Labels of such nodes.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub node_selector: BTreeMap<String, String>,
    /// Price of a replica there, relative to the nodes that the workload's own template asks for.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub relative_cost: f64,
}

/// The bandwidth axis: the template's bandwidth annotations, a rollout. A template that names none counts as the largest within bounds.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "!self.enabled || has(self.bounds)", "message": "actuation.bandwidth is enabled without bounds: give min and max in bits a second, e.g. 10M and 1G"}]))]
pub struct Bandwidth {
    /// Whether this axis is acted on.
    pub enabled: bool,
    /// Bounds, bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<QuantityBounds>,
    /// Least time between two changes, in seconds: each one is a rollout.
    #[schemars(range(min = 300, max = 604_800))]
    pub cooldown_seconds: u32,
}

/// A rollout an hour at most, unless asked for otherwise.
const COOLDOWN_SECONDS: u32 = 3_600;

impl Default for Class {
    fn default() -> Self {
        Self { enabled: false, classes: Vec::new(), cooldown_seconds: COOLDOWN_SECONDS }
    }
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self { enabled: false, bounds: None, cooldown_seconds: COOLDOWN_SECONDS }
    }
}

impl Default for Replicas {
    fn default() -> Self {
        Self { enabled: true, through: Through::Auto, headroom: 0.9, floor_ttl_seconds: 120, lower_after_seconds: 60, max_step_up: 4 }
    }
}
