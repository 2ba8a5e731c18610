//! What the control loop sees with and acts through: one interface for the local orchestrator and for a cluster.
//!
//! Used by `control_loop` and `act`; implemented by `observe::collect` and `orchestrator`, and for a cluster by `kubernetes::node`.
//! Promises asked of every implementation: each call is bounded in time, changes are idempotent, and a refusal comes back in words.

use crate::local::api::SetFloor;
use crate::observe::look::Look;
use futures::future::BoxFuture;

/// Looks at a workload.
pub trait Eyes: Send + Sync {
    /// Everything seen at one moment.
    fn look(&mut self) -> BoxFuture<'_, Look>;
}

/// Changes what a workload runs on.
pub trait Hands: Send + Sync + std::fmt::Debug {
    /// Sets the floor, or renews it.
    fn set_floor(&self, floor: SetFloor) -> BoxFuture<'_, Result<(), String>>;
    /// Withdraws our floor.
    fn clear_floor(&self) -> BoxFuture<'_, Result<(), String>>;
    /// Whether it makes the shadow; `false`: somebody else does, unasked.
    fn makes_the_shadow(&self) -> bool {
        true
    }
    /// Creates the shadow, or changes its profile.
    fn set_shadow(&self, profile: String) -> BoxFuture<'_, Result<(), String>>;
}
