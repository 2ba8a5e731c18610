//! A request-level simulation of what Foreshadow runs in: a pool of replicas, a shadow, sidecars' numbers, clients, pods that start, faults.
//!
//! Called by `bench-scaling`, by tests, and by whoever tunes the decision core: [`run`] puts a [`Policy`] into a [`Scenario`]. Promises: the same
//! scenario, policy and seed give the same outcome, to the bit; load, request mix and service times do not depend on the policy, so two policies
//! with the same seed are asked the same questions. A replica is a first-come-first-served queue before c workers, which needs no events: each
//! request's start follows from the times at which the workers are next free (Kiefer and Wolfowitz, 1955).
//! Not here: scaling policies ([`crate::scaling`]), the network, CPU contention between workers of one replica.

pub mod capacity;
pub mod faults;
pub mod judge;
pub mod load;
pub mod meter;
pub mod outcome;
pub mod policy;
pub mod pool;
pub mod random;
pub mod replica;
pub mod scenario;
pub mod service;
pub mod shadow;
pub mod workload;
pub mod world;

pub use outcome::Outcome;
pub use policy::{Policy, View, Want};
pub use scenario::Scenario;

/// Runs a policy through a scenario.
pub fn run(scenario: &Scenario, policy: &mut dyn Policy, seed: u64) -> Outcome {
    world::World::new(scenario, seed).run(policy)
}
