//! What the brain says each interval: estimates, forecasts, a plan, and why. Serialised into the event log and shown by the live page.

use serde::{Deserialize, Serialize};

/// Lower, middle and upper quantile of an estimate (10 %, 50 %, 90 %).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// 10 % quantile.
    pub p10: f64,
    /// Median.
    pub p50: f64,
    /// 90 % quantile.
    pub p90: f64,
}

/// Outcome of one tick.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// The sample's `at_ms`.
    pub at_ms: u64,
    /// What one production replica can take right now, in requests per second; None until known.
    pub capacity_rps: Option<Band>,
    /// Processor use of a production replica at its capacity, over what it requests, both of long-run means; None until known. An autoscaler's target below
    /// it keeps replicas that are not needed; one above it never acts in time.
    pub cpu_at_capacity: Option<f64>,
    /// Shadow's capacity relative to a production replica (learned), when known.
    pub shadow_scale: Option<f64>,
    /// Forecasts, one per horizon.
    pub forecasts: Vec<Forecast>,
    /// Forecast load over (replicas ready x capacity), medians, at the start-up horizon; above 1 is trouble.
    pub margin: Option<f64>,
    /// Which forecaster is in charge.
    pub champion: String,
    /// What to ask the scaler for.
    pub plan: Plan,
    /// What to ask the proxies for.
    pub copies: CopyPlan,
    /// Alarms standing now.
    pub alarms: Vec<Alarm>,
    /// What the shadow adds for this workload, in words, from held-out evidence.
    pub shadow_verdict: String,
    /// Held-out operational loss of each member of the portfolio, lower is better.
    pub portfolio: Vec<MemberScore>,
}

/// What is expected at one horizon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forecast {
    /// Seconds ahead.
    pub horizon_s: f64,
    /// Production load, requests per second.
    pub load_rps: Option<Band>,
    /// Capacity of one replica, requests per second.
    pub capacity_rps: Option<Band>,
    /// Response time at the objective's target quantile, milliseconds.
    pub latency_ms: Option<Band>,
    /// Production processor use, cores.
    pub cpu_cores: Option<Band>,
    /// Production memory, bytes.
    pub memory_bytes: Option<Band>,
    /// Probability that the objective is violated then, with the replicas there are now.
    pub p_violation: Option<f64>,
}

/// What to ask the scaler for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Floor to stand; None = no floor of ours (leave everything to the reactive path).
    pub floor: Option<u32>,
    /// Whether this differs from the floor of the tick before.
    pub changed: bool,
    /// Why, in words and numbers.
    pub reason: String,
    /// What would change it.
    pub would_change: String,
}

/// What to ask the proxies for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CopyPlan {
    /// Copies a second that the shadow should receive.
    pub rate_rps: f64,
    /// Copies per production request that gives this rate now (0 when there is no traffic).
    pub fraction: f64,
    /// Requests a second of the synthetic stream to make up what live traffic cannot give.
    pub synthetic_rps: f64,
    /// Why.
    pub reason: String,
}

/// A standing alarm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarm {
    /// `forecast_violation`, `capacity_falling`, `stale_data`, `shadow_useless`, `cannot_help`, `bad_whatever_load`, ...
    pub kind: String,
    /// Since when, milliseconds since the epoch.
    pub since_ms: u64,
    /// In words and numbers.
    pub text: String,
}

/// Rank of one forecaster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberScore {
    /// Name.
    pub name: String,
    /// Held-out operational loss J, per hour; None until judged.
    pub loss: Option<f64>,
    /// Held-out examples behind it.
    pub examples: u64,
}
