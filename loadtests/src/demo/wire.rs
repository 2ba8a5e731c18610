//! The parts of other programs' documents that the demo reads: the orchestrator's workload, the agent's decisions, the proxies' telemetry.
//!
//! Every field defaults and unknown ones are ignored, so that these programs may grow. Not here: calls ([`crate::demo::http`]).

use serde::Deserialize;
use std::collections::BTreeMap;

/// `<state_dir>/orchestrator.json`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Locator {
    /// Its address.
    pub url: String,
    /// Bearer token for calls that change something.
    pub token: String,
}

/// `GET /v1/workload` of the orchestrator.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Desired state.
    pub scale: Scale,
    /// The front balancer.
    pub front: Front,
    /// Production instances.
    pub replicas: Vec<Instance>,
    /// The shadow.
    pub shadow: Option<Instance>,
    /// Things a person should know.
    pub notes: Vec<String>,
    /// Production replica-seconds so far.
    pub replica_seconds: f64,
    /// The shadow's, weighted by size.
    pub shadow_replica_seconds: f64,
}

/// Desired state.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Scale {
    /// Replicas aimed at.
    pub desired: u32,
    /// What the reactive scaler asks for.
    pub requested: Option<u32>,
    /// Floor in force; 0 = none.
    pub floor: u32,
    /// Reason given with the floor.
    pub floor_reason: String,
}

/// The front balancer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Front {
    /// Where clients send requests.
    pub url: String,
}

/// One instance.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Name, unique over the life of the orchestrator.
    pub name: String,
    /// `starting`, `ready`, `draining`.
    pub state: String,
    /// The application's process, leader of its group.
    pub pid: u32,
    /// The application's own address.
    pub app_url: String,
    /// The sidecar's admin address.
    pub admin_url: Option<String>,
    /// Directories of its control group; empty when limits are off.
    pub cgroups: BTreeMap<String, String>,
    /// When it began, milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// When it became ready, milliseconds since the Unix epoch.
    pub ready_unix_ms: Option<u64>,
}

impl Instance {
    /// Takes traffic.
    pub fn is_ready(&self) -> bool {
        self.state == "ready"
    }
}

/// Lower, middle and upper quantile.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Band {
    /// 10 %.
    pub p10: f64,
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
}

/// What the agent decided in one interval.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Capacity of one replica, requests per second.
    pub capacity_rps: Option<Band>,
    /// Per horizon.
    pub forecasts: Vec<Forecast>,
    /// Forecast load over what the replicas can take.
    pub margin: Option<f64>,
    /// Forecaster in charge.
    pub champion: String,
    /// What it asks for.
    pub plan: Plan,
    /// What it asks of the proxies.
    pub copies: CopyPlan,
    /// Standing alarms.
    pub alarms: Vec<Alarm>,
    /// What the shadow adds.
    pub shadow_verdict: String,
}

/// What is expected at one horizon.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Forecast {
    /// Probability of a violation.
    pub p_violation: Option<f64>,
}

/// What is asked of the scaler.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The floor; null = none.
    pub floor: Option<u32>,
    /// Whether it differs from the tick before.
    pub changed: bool,
    /// Why.
    pub reason: String,
    /// What would change it.
    pub would_change: String,
}

/// What is asked of the proxies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CopyPlan {
    /// Copies a second.
    pub rate_rps: f64,
}

/// A standing alarm.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Alarm {
    /// Kind.
    pub kind: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// In words.
    pub text: String,
}

/// `GET /telemetry` of a proxy, without the histograms.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// Who wrote it.
    pub proxy_id: String,
    /// When its counters began.
    pub start_time_unix_ms: u64,
    /// Mirror policies.
    pub mirrors: Vec<Mirror>,
}

/// Cumulative numbers of one mirror policy.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Mirror {
    /// Name of the policy.
    pub policy: String,
    /// Mirror cluster.
    pub cluster: String,
    /// Opportunities.
    pub eligible: u64,
    /// Answered whole.
    pub completed: u64,
    /// Waiting or under way.
    pub in_flight: u64,
    /// Not made or not finished, by reason.
    pub dropped: BTreeMap<String, u64>,
}
