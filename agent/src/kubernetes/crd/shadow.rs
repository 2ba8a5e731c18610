//! The shadow: what it runs as, how much is copied to it, and what makes up for traffic that is not there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The shadow of the workload.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self.profiles.all(p, p in ['same', 'cpu-half', 'cpu-quarter', 'memory-half'] || self.customProfiles.exists(c, c.name == p))", "message": "shadow.profiles names a profile that nobody defines: the predefined ones are same, cpu-half, cpu-quarter and memory-half, others stand in shadow.customProfiles"}]))]
pub struct Shadow {
    /// Whether there is one. Without it only production is learned from.
    pub enabled: bool,
    /// Profiles it runs as, in turn: same, cpu-half, cpu-quarter, memory-half, and those of customProfiles.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)))]
    pub profiles: Vec<String>,
    /// More profiles.
    #[schemars(length(max = 16))]
    pub custom_profiles: Vec<Profile>,
    /// Time that a profile stays before the next one, in minutes.
    #[schemars(range(min = 5, max = 10_080))]
    pub cycle_minutes: u32,
    /// What is copied.
    pub copies: Copies,
    /// What is sent when live traffic cannot give the copies wished for.
    pub synthetic: Synthetic,
    /// Environment that differs in the shadow, e.g. the address of a sandbox. An empty value takes the variable away.
    #[schemars(extend("maxProperties" = 64))]
    pub env: BTreeMap<String, String>,
    /// Containers of the template that the shadow goes without, e.g. another mesh's sidecar.
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub exclude_containers: Vec<String>,
    /// PriorityClass of the shadow's pods: anything else evicts them.
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: String,
}

/// How a shadow differs from production, along one axis.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "(self.cpu != 1.0 ? 1 : 0) + (self.memory != 1.0 ? 1 : 0) + (has(self.bandwidth) ? 1 : 0) + (has(self.nodeSelector) ? 1 : 0) <= 1", "message": "a profile differs from production along one axis: cpu, memory, bandwidth or nodeSelector; make several profiles"}]))]
pub struct Profile {
    /// Name.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Factor on the containers' processor requests and limits.
    #[serde(default = "one")]
    #[schemars(range(min = 0.05, max = 16.0))]
    pub cpu: f64,
    /// Factor on the containers' memory requests and limits.
    #[serde(default = "one")]
    #[schemars(range(min = 0.05, max = 16.0))]
    pub memory: f64,
    /// Bandwidth in and out, bits a second, e.g. 10M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]+(k|M|G)?$"))]
    pub bandwidth: Option<String>,
    /// Instance class: labels of the nodes to run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub node_selector: Option<BTreeMap<String, String>>,
}

/// What is copied.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self.minRps <= self.maxRps", "message": "shadow.copies.minRps is more than maxRps: raise maxRps or lower minRps"}]))]
pub struct Copies {
    /// Which requests may be copied. Safe: GET, HEAD and OPTIONS. All: also those that write, so the shadow must write elsewhere (see `env`).
    pub methods: Methods,
    /// Least copies a second.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub min_rps: f64,
    /// Most copies a second.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub max_rps: f64,
    /// Most copies of one request: 4.0 = four.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub max_fraction: f64,
}

/// Which requests may be copied.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Methods {
    /// GET, HEAD, OPTIONS.
    #[default]
    Safe,
    /// Every method but CONNECT.
    All,
}

/// What is sent when live traffic cannot give the copies wished for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Synthetic {
    /// Whether anything is.
    pub enabled: bool,
    /// Requests used until the shapes of real ones have been seen.
    #[schemars(length(max = 64))]
    pub requests: Vec<Request>,
}

/// A synthetic request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Method.
    #[serde(default)]
    pub method: SyntheticMethod,
    /// Path with query.
    #[schemars(length(min = 1, max = 2_048), regex(pattern = "^/"))]
    pub path: String,
}

/// Methods of synthetic requests: none that writes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum SyntheticMethod {
    /// GET.
    #[default]
    Get,
    /// HEAD.
    Head,
    /// OPTIONS.
    Options,
}

fn one() -> f64 {
    1.0
}

impl Default for Shadow {
    fn default() -> Self {
        Self {
            enabled: true,
            profiles: vec!["cpu-half".into()],
            custom_profiles: Vec::new(),
            cycle_minutes: 60,
            copies: Copies::default(),
            synthetic: Synthetic::default(),
            env: BTreeMap::new(),
            exclude_containers: Vec::new(),
            priority_class_name: "foreshadow-shadow".into(),
        }
    }
}

impl Default for Copies {
    fn default() -> Self {
        Self { methods: Methods::Safe, min_rps: 1.0, max_rps: 400.0, max_fraction: 4.0 }
    }
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { enabled: true, requests: Vec::new() }
    }
}

impl Profile {
    /// One of the predefined profiles.
    pub fn predefined(name: &str) -> Option<Self> {
        let (cpu, memory) = match name {
            "same" => (1.0, 1.0),
            "cpu-half" => (0.5, 1.0),
            "cpu-quarter" => (0.25, 1.0),
            "memory-half" => (1.0, 0.5),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), cpu, memory, bandwidth: None, node_selector: None })
    }
}

impl Shadow {
    /// The profile of this name: a custom one wins over a predefined one.
    pub fn profile(&self, name: &str) -> Option<Profile> {
        self.custom_profiles.iter().find(|p| p.name == name).cloned().or_else(|| Profile::predefined(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_profiles_win_over_predefined_ones() {
        let tiny = Profile { name: "cpu-half".into(), cpu: 0.4, memory: 1.0, bandwidth: None, node_selector: None };
        let shadow = Shadow { custom_profiles: vec![tiny], ..Shadow::default() };
        assert_eq!(shadow.profile("cpu-half").map(|p| p.cpu), Some(0.4));
        assert_eq!(shadow.profile("memory-half").map(|p| p.memory), Some(0.5));
        assert_eq!(shadow.profile("huge"), None);
    }
}
