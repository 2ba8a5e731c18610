//! What a scaler sees and answers.
//!
//! Implemented by [`crate::scaling::policies`]; called by the world after every step. Promises: nothing in a [`View`] but `truth` is more than
//! a real installation has.

use crate::sim::shadow::Profile;
use foreshadow_brain::Sample;

/// Capacity of one replica and load at a moment: what only a clairvoyant knows.
pub trait Truth {
    /// Requests per second that are offered at `t`, and those that one replica takes within the objective then.
    fn at(&self, t: f64) -> (f64, f64);
}

/// The world after a step.
pub struct View<'a> {
    /// Now, seconds since the start.
    pub at_s: f64,
    /// Length of the step that ended, in seconds.
    pub step_s: f64,
    /// Replicas that take traffic.
    pub ready: u32,
    /// Replicas that start.
    pub starting: u32,
    /// Replicas asked for.
    pub desired: u32,
    /// Processor use of production in the step, over what the ready replicas request.
    pub utilisation: f64,
    /// Requests that arrived in the step, per second.
    pub arrival_rps: f64,
    /// The sidecars' numbers, when an interval of theirs ended with this step.
    pub sample: Option<&'a Sample>,
    /// What only a clairvoyant knows.
    pub truth: &'a dyn Truth,
}

/// What a scaler asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Want {
    /// Replicas; the world holds it to the workload's bounds.
    pub replicas: u32,
    /// Copies per production request.
    pub fraction: f64,
    /// Synthetic requests per second for the shadow.
    pub synthetic_rps: f64,
    /// What the reactive scaler alone asks for, when the policy has one inside.
    pub reactive: Option<u32>,
    /// The floor in force.
    pub floor: Option<u32>,
    /// An alarm stands that trouble is coming.
    pub alarm: bool,
    /// The policy says that more replicas would not help.
    pub cannot_help: bool,
}

/// What a policy has learned in a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// Held-out operational loss of each forecaster, in bad requests an hour or worth as much; those judged only.
    pub members: Vec<(String, f64)>,
    /// What it says of its shadow's worth.
    pub verdict: String,
    /// Seconds in which it said that more replicas would not help.
    pub cannot_help_s: f64,
    /// What it watched without acting on it.
    pub observers: Vec<Observer>,
}

/// Something that is watched for signs of trouble to come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observer {
    /// Its name.
    pub name: &'static str,
    /// How near it said trouble was, a number a step; the more, the nearer, and about 1 where it is no longer sure that there is none.
    pub scores: Vec<f32>,
}

/// A scaler.
pub trait Policy {
    /// Asked after every step.
    fn decide(&mut self, view: &View<'_>) -> Want;

    /// What it has learned by the end, when it learns.
    fn learned(&self) -> Learned {
        Learned::default()
    }

    /// The shadow it runs, when it runs one; it counts in the cost.
    fn shadow(&self) -> Option<Profile> {
        None
    }
}
