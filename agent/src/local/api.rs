//! Wire types of the local orchestrator's HTTP API (loopback, JSON). The format only grows.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /v1/workload` | - | [`Workload`] |
//! | `PUT /v1/scale` | [`SetScale`] | [`Workload`]: what the reactive scaler asks for |
//! | `PUT /v1/floor` | [`SetFloor`] | [`Workload`]: the floor, with its time to live |
//! | `DELETE /v1/floor` | - | [`Workload`] |
//! | `PUT /v1/shadow` | [`SetShadow`] | [`Workload`]: create the shadow, or change its profile |
//! | `DELETE /v1/shadow` | - | [`Workload`] |
//! | `POST /v1/shutdown` | - | 202: drains and ends everything it started |
//!
//! Calls that change something carry `authorization: Bearer <token>`; address and token stand in `<state_dir>/orchestrator.json`
//! ([`Locator`], mode 0600).

use serde::{Deserialize, Serialize};

/// Where a running orchestrator is found: `<state_dir>/orchestrator.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Locator {
    /// Process id of the orchestrator.
    pub pid: u32,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Bearer token for calls that change something.
    pub token: String,
    /// Fingerprint of the spec it was started from; empty when unknown.
    #[serde(default)]
    pub spec: String,
}

/// Everything about the one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Name.
    pub name: String,
    /// Hash of the application's template: changes with every release.
    pub release: String,
    /// Desired state.
    pub scale: Scale,
    /// The front balancer: where clients send requests.
    pub front: Front,
    /// Production instances, oldest first.
    pub replicas: Vec<Instance>,
    /// The shadow instance, when there is one.
    pub shadow: Option<Instance>,
    /// Things a person should know (e.g. that limits are off without root), in words.
    pub notes: Vec<String>,
    /// Production replica-seconds so far: from start of the process to its end, starting ones included.
    pub replica_seconds: f64,
    /// Shadow replica-seconds so far, weighted by [`Instance::size`].
    pub shadow_replica_seconds: f64,
}

/// Desired state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scale {
    /// What is being aimed at: `clamp(max(requested or initial, floor), min, max)`.
    pub desired: u32,
    /// What the reactive scaler asks for; None when it never spoke.
    pub requested: Option<u32>,
    /// Floor in force; 0 = none.
    pub floor: u32,
    /// When the floor falls away, milliseconds since the Unix epoch.
    pub floor_expires_unix_ms: u64,
    /// Reason given with the floor.
    pub floor_reason: String,
    /// Bounds.
    pub min: u32,
    /// Bounds.
    pub max: u32,
}

/// The front balancer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Front {
    /// Where clients send requests.
    pub url: String,
    /// Its admin address.
    pub admin: String,
    /// Its process.
    pub pid: u32,
}

/// Life of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Started, not yet ready.
    #[default]
    Starting,
    /// Takes traffic.
    Ready,
    /// Out of rotation, finishing what it has.
    Draining,
}

/// One instance: the application's process and, for production, its sidecar's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Name, unique over the life of the orchestrator.
    pub name: String,
    /// Profile: `production`, `same`, `cpu-half`, ...
    pub profile: String,
    /// Cost relative to one production replica.
    pub size: f64,
    /// Where it is in its life.
    pub state: State,
    /// The application's process (leader of its own process group).
    pub pid: u32,
    /// The sidecar's process; None for the shadow.
    pub proxy_pid: Option<u32>,
    /// The application's own address.
    pub app_url: String,
    /// The sidecar's listener.
    pub proxy_url: Option<String>,
    /// The sidecar's admin address.
    pub admin_url: Option<String>,
    /// Directory of the instance's control group per controller (`cpu`, `cpuacct`, `memory`, `unified`); empty when limits are off.
    pub cgroups: std::collections::BTreeMap<String, String>,
    /// Processor limit in cores.
    pub cpu_limit_cores: Option<f64>,
    /// Memory limit in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Start of the process, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// When it became ready, milliseconds since the Unix epoch.
    pub ready_unix_ms: Option<u64>,
}

/// Body of `PUT /v1/scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetScale {
    /// Replicas the reactive scaler asks for.
    pub replicas: u32,
}

/// Body of `PUT /v1/floor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFloor {
    /// The least that must run.
    pub replicas: u32,
    /// It falls away after this many seconds unless renewed.
    pub ttl_s: f64,
    /// Why.
    pub reason: String,
}

/// Body of `PUT /v1/shadow`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetShadow {
    /// Name of a profile.
    pub profile: String,
}
