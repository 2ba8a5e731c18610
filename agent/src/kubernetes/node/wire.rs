//! What nodes tell the holder of a workload once a second, and what it answers. JSON over TLS; the format only grows.
//!
//! Written and read by the node role on both ends. A sidecar's snapshot travels as the text it came as: only the holder parses it, so that
//! a node with a hundred pods does no work that somebody else repeats. Everything that counts is cumulative, so a report that is lost
//! loses nothing.

use crate::act::copies::Telling;
use crate::local::api::Instance;
use crate::observe::usage::Usage;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What one node sees of the workloads that one agent holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The reporting node.
    pub node: String,
    /// The reporting agent.
    pub agent: String,
    /// Rises with every report of this agent.
    pub sequence: u64,
    /// By workload, `namespace/name` of its ShadowScaler. One whose last pod has left the node is there once more, without pods.
    pub workloads: BTreeMap<String, Vec<PodReport>>,
}

/// One pod, as its node sees it.
#[derive(Debug, Serialize, Deserialize)]
pub struct PodReport {
    /// What it is and how far in its life; `admin_url` names its sidecar.
    pub instance: Instance,
    /// Whether it is the shadow.
    #[serde(default)]
    pub shadow: bool,
    /// Release that it runs: hash of its template.
    #[serde(default)]
    pub release: String,
    /// What its application's containers have used so far.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// The sidecar's snapshot, as it came.
    #[serde(default)]
    pub snapshot: Option<Box<RawValue>>,
    /// Why there is none.
    #[serde(default)]
    pub error: Option<String>,
}

/// The holder's answer: what the node is to tell its sidecars.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// Shares of requests to copy.
    pub fractions: Vec<FractionOrder>,
    /// Workloads of the report that the answering agent does not hold.
    pub not_held: Vec<String>,
}

/// Sidecars to be told a share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FractionOrder {
    /// Which, and the runtime keys.
    pub tellings: Vec<Telling>,
    /// Copies per request.
    pub fraction: f64,
    /// It falls back to the file's after this, seconds.
    pub ttl_s: f64,
}
