//! What is kept of a run: sessions, samples, decisions, actions. The one form used by the database, its export and the replay.
//!
//! Written by the control loop through `store`, read by `replay` and `export`. The format only grows.

use crate::config::model::Mode;
use foreshadow_brain::{Decision, Sample, Settings};
use serde::{Deserialize, Serialize};

/// Longest past that a fresh decision core is fed at the start of a run, milliseconds.
pub const WARM_MS: u64 = 3_600_000;
/// Most samples of it. A replay keeps this many in memory.
pub const WARM_SAMPLES: usize = 3_600;

/// One run of the agent. A new one begins with every start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Rises by one with every start.
    pub id: u64,
    /// When it began, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// The workload's name.
    pub workload: String,
    /// How much the agent may do.
    pub mode: Mode,
    /// What the decision core was told.
    pub settings: Settings,
    /// First sample the fresh decision core was fed, so that it resumed with its history; equals `first_seq` when there was none.
    pub warm_from_seq: u64,
    /// First sample of the run itself: decisions exist from here.
    pub first_seq: u64,
    /// Version of the agent.
    pub version: String,
}

/// Something the agent does, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The sample's `at_ms`: the inputs are that sample and the decision of the same tick.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: ActionKind,
    /// Why, in words and numbers.
    pub reason: String,
    /// False: said only (the mode does not allow it).
    pub applied: bool,
}

/// Kinds of actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ActionKind {
    /// Sets the floor.
    SetFloor {
        /// The floor that stood before (0 = none).
        from: u32,
        /// The least that must run.
        replicas: u32,
        /// It falls away after this unless renewed, seconds.
        ttl_s: f64,
        /// Nothing but the time to live changes.
        renewal: bool,
    },
    /// Withdraws the floor.
    WithdrawFloor {
        /// The floor that stood.
        from: u32,
    },
    /// A floor of an earlier run was found standing and is kept.
    AdoptFloor {
        /// It.
        replicas: u32,
    },
    /// Sets the share of requests that is copied, at every sidecar.
    SetFraction {
        /// Copies per request.
        fraction: f64,
        /// It falls back to the file's value after this unless renewed, seconds.
        ttl_s: f64,
        /// Sidecars told.
        proxies: u32,
        /// Nothing but the time to live changes.
        renewal: bool,
    },
    /// Creates the shadow, or changes its profile.
    SetShadow {
        /// Profile.
        profile: String,
    },
    /// Sets the rate of the synthetic stream.
    SetSynthetic {
        /// Requests a second.
        rps: f64,
    },
    /// Changes the size of every replica in place.
    Resize {
        /// Requests and limits before.
        from: String,
        /// Requests and limits asked for.
        to: String,
    },
    /// Changes the workload's template: instance class or bandwidth.
    ChangeTemplate {
        /// What it asked for before.
        from: String,
        /// What it asks for then.
        to: String,
    },
    /// An action of the tick before did not succeed.
    Failed {
        /// What failed.
        what: String,
    },
}

impl ActionKind {
    /// Whether a crash right after it must not forget it. What is said anew every few seconds and falls away by itself, may be.
    pub fn must_survive(&self) -> bool {
        !matches!(self, Self::SetFraction { .. } | Self::SetSynthetic { .. } | Self::SetFloor { renewal: true, .. })
    }
}

/// One line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A run begins.
    Session {
        /// It.
        session: Session,
    },
    /// What was seen.
    Sample {
        /// Its number.
        seq: u64,
        /// It.
        sample: Sample,
    },
    /// What was decided on the sample of the same number.
    Decision {
        /// Its number.
        seq: u64,
        /// It.
        decision: Decision,
    },
    /// What was done then.
    Action {
        /// Number of the sample.
        seq: u64,
        /// It.
        action: Action,
    },
}
