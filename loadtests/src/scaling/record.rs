//! What is written down: one entry a run, in the form that other programs rely on.

use serde::Serialize;

/// One run of one policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Run {
    /// The load's name.
    pub load: String,
    /// The scenario's.
    pub scenario: String,
    /// The policy's.
    pub policy: String,
    /// Value of the policy's own parameter.
    pub setting: f64,
    /// The seed.
    pub seed: u64,
    /// Requests of clients in the judged part.
    pub requests: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// Bad ones among them with far too many replicas.
    pub unavoidable_bad: u64,
    /// Mean replicas, shadow counted.
    pub mean_replicas: f64,
    /// The shadow's part of them.
    pub shadow_replicas: f64,
    /// Times beyond the objective.
    pub violations: usize,
    /// Times that the control (the autoscaler at 70 %) was beyond the objective.
    pub control_violations: usize,
    /// Seconds between the policy's asking for more than the control and the control's violations; those without a warning are left out.
    pub leads_s: Vec<f64>,
    /// Times a day that the policy asked for more than the control and no violation of the control followed.
    pub false_alarms_per_day: f64,
    /// Changes of the replicas asked for.
    pub actions: u64,
    /// Leads and false alarms when only larger differences from the control count as an alarm.
    pub warnings: Vec<Warnings>,
    /// How long a pod takes to start, in seconds: a lead is of use beyond that.
    pub start_s: f64,
    /// Held-out operational loss of each forecaster inside the policy, in bad requests an hour or worth as much.
    pub members: Vec<(String, f64)>,
    /// What the policy says of its shadow's worth.
    pub shadow_verdict: String,
    /// Seconds in which the policy said that more replicas would not help.
    pub cannot_help_s: f64,
    /// What was watched without acting on it, at every threshold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub observers: Vec<Observed>,
}

/// An observer's warnings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Observed {
    /// Its name.
    pub name: String,
    /// By threshold (`factor`), the mildest first.
    pub warnings: Vec<Warnings>,
}

/// Warnings at one strictness.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Warnings {
    /// An alarm is asking for more than this multiple of what the control asks for; of an observer, a score beyond this.
    pub factor: f64,
    /// Leads in seconds.
    pub leads_s: Vec<f64>,
    /// False alarms a day.
    pub false_alarms_per_day: f64,
}

impl Run {
    /// Bad requests that scaling could have avoided, over all.
    pub fn avoidable_ratio(&self) -> f64 {
        self.bad.saturating_sub(self.unavoidable_bad) as f64 / self.requests.max(1) as f64
    }
}
