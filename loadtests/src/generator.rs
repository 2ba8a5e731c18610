//! Open-loop load: requests leave when the plan says, whatever the service does.
//!
//! Called by `foreshadow-load`, by the demo and by tests: [`run`] with a [`Plan`]. Promises: arrivals are an inhomogeneous Poisson process
//! drawn from the seed alone, so that two runs of a plan send the same requests at the same moments; latency counts from the intended moment,
//! so that neither a slow service nor a late generator hides anything; every intended request is counted once, also those that could not be
//! sent (`overflow`); how late the generator itself was is said. Not here: where load shapes come from ([`crate::trace`]).

pub mod arrivals;
pub mod client;
pub mod curve;
mod engine;
pub mod line;
pub mod plan;
pub mod tally;

pub use engine::{run, run_until};
pub use line::{Failure, Line, Second, Summary};
pub use plan::{Mix, Plan, PlanError, RequestTemplate};
