//! The result of a demo run as data: what `--json` writes and what the page and the table are drawn from.
//!
//! Called by the demo (which fills it), by the report (which reads it) and by anybody's scripts. Promises: the documented keys are never
//! renamed or given another meaning, keys are only added, readers default what is missing. Times are seconds since the judged part of an arm
//! began (warm-up is negative) unless a name says otherwise. Not here: any judgement; that is [`crate::demo::judge`].

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run of the demo.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    /// Seed of arrivals, mix, fault times and depths.
    pub seed: u64,
    /// Where the load's shape came from.
    pub load: String,
    /// One entry an arm that ran, in the order they ran.
    pub arms: Vec<Arm>,
    /// Account of the copies made for the shadow, over all arms.
    pub copies: Copies,
    /// What was served.
    pub target: Target,
    /// When a request counts as bad, and how many may be.
    pub objective: Objective,
    /// Length of the judged part of an arm, in seconds.
    pub seconds: f64,
    /// Requests a second that were planned, one value a second; the same in every arm.
    pub planned_rps: Vec<f64>,
    /// Faults, the same in every arm.
    pub faults: Vec<Fault>,
    /// Per trouble: who noticed first.
    pub leads: Vec<Lead>,
    /// The reactive scaler that runs in every arm.
    pub reactive: Reactive,
    /// False when the run ended early: arms may be missing or short.
    pub complete: bool,
    /// Things a reader should know, in words.
    pub notes: Vec<String>,
}

/// What was served.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// The application's command.
    pub command: String,
    /// Request path.
    pub path: String,
    /// Processor cores requested for one replica.
    pub cpu_cores: f64,
    /// How the figures above were found.
    pub how: String,
}

/// The objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Objective {
    /// A slower answer is bad, in milliseconds from the intended send time.
    pub threshold_ms: f64,
    /// Share of answers that must be good.
    pub target_ratio: f64,
}

/// The reactive scaler.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reactive {
    /// Target utilisation of the requested processor cores, 0..1.
    pub target_utilisation: f64,
    /// How many times faster than in a cluster all its periods are.
    pub time_scale: f64,
    /// From asking for a replica until it takes traffic, in seconds.
    pub replica_start_s: f64,
}

/// A fault, or a surge of load, that was injected.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// `hidden-loss`, `costlier-mix`, `leak`, `slow-dependency`, `slow-start`, `surge`.
    pub name: String,
    /// When it begins to ramp.
    pub start_s: f64,
    /// When it is at full depth.
    pub full_s: f64,
    /// When it begins to go away.
    pub easing_s: f64,
    /// When it is gone.
    pub end_s: f64,
    /// Depth at full, in the fault's own unit (see `text`).
    pub depth: f64,
    /// In words.
    pub text: String,
}

/// One arm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Arm {
    /// `reactive` or `foreshadow`.
    pub name: String,
    /// Requests sent in the judged part.
    pub requests: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// What the reactive scaler was told that a replica requests, in cores.
    pub request_cores: f64,
    /// Production replica-seconds in the judged part, starting replicas included.
    pub replica_seconds: f64,
    /// The shadow's, weighted by its size.
    pub shadow_replica_seconds: f64,
    /// Times beyond the objective.
    pub violations: Vec<Violation>,
    /// Times the floor was raised.
    pub floor_raises: Vec<FloorRaise>,
    /// One entry a violation: its onset minus the first signal for it; negative = too late, null = no signal.
    pub lead_s: Vec<Option<f64>>,
    /// One entry a fault: the reactive arm's onset minus this arm's first signal; null = one of them is missing.
    pub lead_vs_reactive_s: Vec<Option<f64>>,
    /// Requests that failed (5xx, refused, reset, timed out), among the bad.
    pub failed: u64,
    /// Seconds inside violations.
    pub violation_seconds: f64,
    /// Response time quantiles, warm-up included, in milliseconds from the intended send time.
    pub latency_ms: Quantiles,
    /// One point a second, from the client.
    pub client: Vec<Second>,
    /// Replicas and floor, some points a second.
    pub scale: Vec<ScalePoint>,
    /// What the agent tracked and forecast.
    pub tracked: Vec<TrackPoint>,
    /// Alarms of the agent.
    pub alarms: Vec<AlarmSpan>,
    /// Decisions that changed something, with their reasons.
    pub decisions: Vec<DecisionNote>,
    /// Who is in charge, and what the shadow adds, in the agent's words at the end.
    pub verdict: Verdict,
    /// What the machine did meanwhile.
    pub machine: Machine,
    /// Account of the copies of this arm.
    pub copies: Copies,
    /// Things a reader should know, in words.
    pub notes: Vec<String>,
}

/// Response time quantiles, in milliseconds; null when no answer came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quantiles {
    /// Median.
    pub p50: Option<f64>,
    /// 95 %.
    pub p95: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
}

/// A time beyond the objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Violation {
    /// First second beyond the objective after a quiet gap.
    pub onset_s: f64,
    /// End of the last one.
    pub end_s: f64,
    /// The fault standing at onset, or `load`.
    pub fault: String,
    /// Bad requests in it.
    pub bad: u64,
}

/// The floor went up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FloorRaise {
    /// When.
    pub at_s: f64,
    /// From this many replicas (0 = there was no floor).
    pub from: u32,
    /// To this many.
    pub to: u32,
    /// The agent's reason.
    pub reason: String,
    /// Whether it asked for more than the reactive scaler did at that moment; only such a raise counts as a signal.
    pub effective: bool,
}

/// A second as the client saw it; a request belongs to the second in which it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Second {
    /// Start of the second.
    pub at_s: f64,
    /// Requests.
    pub requests: u64,
    /// Bad ones.
    pub bad: u64,
    /// Failed ones among the bad.
    pub failed: u64,
    /// Median response time in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99 % quantile in milliseconds.
    pub p99_ms: Option<f64>,
    /// How late the generator itself sent, 99 % quantile, in milliseconds.
    pub send_lag_ms: f64,
}

/// Replicas at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalePoint {
    /// When.
    pub at_s: f64,
    /// Replicas aimed at.
    pub desired: u32,
    /// Replicas taking traffic.
    pub ready: u32,
    /// Replicas starting.
    pub starting: u32,
    /// Floor in force; 0 = none.
    pub floor: u32,
    /// What the reactive scaler asks for.
    pub requested: u32,
}

/// What the agent thought at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackPoint {
    /// When.
    pub at_s: f64,
    /// Capacity of one replica in requests per second: 10 %, 50 %, 90 %.
    pub capacity_rps: Option<[f64; 3]>,
    /// Forecast load over what the replicas can take; above 1 is trouble.
    pub margin: Option<f64>,
    /// Highest probability of a violation over the horizons.
    pub p_violation: Option<f64>,
    /// Copies a second asked for.
    pub copy_rps: f64,
}

/// An alarm, from its first to its last moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlarmSpan {
    /// Kind, in the agent's words.
    pub kind: String,
    /// First seen standing.
    pub start_s: f64,
    /// Last seen standing.
    pub end_s: f64,
    /// Its text when it was raised.
    pub text: String,
}

/// A decision worth reading.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecisionNote {
    /// When.
    pub at_s: f64,
    /// The floor asked for; null = none.
    pub floor: Option<u32>,
    /// Why.
    pub reason: String,
    /// What would change it.
    pub would_change: String,
}

/// The agent's own judgement at the end of the arm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    /// Forecaster in charge.
    pub champion: String,
    /// What the shadow adds for this workload.
    pub shadow: String,
}

/// The machine during the judged part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Share of all cores in use, mean, 0..1.
    pub cpu_mean: f64,
    /// The same, the busiest second.
    pub cpu_max: f64,
    /// Share of seconds above [`crate::report::document::BUSY`].
    pub busy_share: f64,
    /// 95 % quantile over the seconds of how late the generator sent (99 % quantile of each), in milliseconds.
    pub send_lag_p95_ms: f64,
}

/// Above this share of all cores in use, the machine itself is a bottleneck.
pub const BUSY: f64 = 0.85;

/// An account of copies; it closes: `eligible == completed + sum(dropped)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copies {
    /// Opportunities for a copy.
    pub eligible: u64,
    /// Copies answered whole.
    pub completed: u64,
    /// Copies not made or not finished, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Copies {
    /// Whether the account closes.
    pub fn closes(&self) -> bool {
        self.eligible == self.completed + self.dropped.values().sum::<u64>()
    }

    /// Adds another account.
    pub fn add(&mut self, other: &Self) {
        self.eligible += other.eligible;
        self.completed += other.completed;
        for (reason, count) in &other.dropped {
            *self.dropped.entry(reason.clone()).or_default() += count;
        }
    }
}

/// Who noticed a trouble, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lead {
    /// The fault, or `load`.
    pub fault: String,
    /// When it began.
    pub start_s: f64,
    /// First floor raise for it in the foreshadow arm.
    pub first_raise_s: Option<f64>,
    /// First alarm for it in the foreshadow arm.
    pub first_alarm_s: Option<f64>,
    /// Onset of the violation in the foreshadow arm; null = averted, or never in danger.
    pub onset_s: Option<f64>,
    /// Onset in the reactive arm; null = none.
    pub reactive_onset_s: Option<f64>,
    /// `onset_s` minus the earlier of raise and alarm.
    pub lead_s: Option<f64>,
    /// `reactive_onset_s` minus the earlier of raise and alarm.
    pub lead_vs_reactive_s: Option<f64>,
    /// The reactive arm was beyond the objective here and the foreshadow arm was not.
    pub averted: bool,
}

impl Document {
    /// The arm of this name.
    pub fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|a| a.name == name)
    }

    /// Bad requests of the foreshadow arm over those of the reactive arm; None unless both ran and the reactive arm had some.
    pub fn bad_ratio(&self) -> Option<f64> {
        let (reactive, foreshadow) = (self.arm("reactive")?, self.arm("foreshadow")?);
        (reactive.bad > 0).then(|| foreshadow.bad as f64 / reactive.bad as f64)
    }

    /// Replica-seconds of the foreshadow arm, the shadow counted, over those of the reactive arm.
    pub fn cost_ratio(&self) -> Option<f64> {
        let (reactive, foreshadow) = (self.arm("reactive")?, self.arm("foreshadow")?);
        (reactive.cost() > 0.0).then(|| foreshadow.cost() / reactive.cost())
    }
}

impl Arm {
    /// Replica-seconds, the shadow counted.
    pub fn cost(&self) -> f64 {
        self.replica_seconds + self.shadow_replica_seconds
    }

    /// Share of requests that were bad; 0 when there were none.
    pub fn bad_ratio(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.bad as f64 / self.requests as f64 }
    }
}
