//! Scalers compared at what they cost: each policy swept over its own parameter, bad requests against mean replicas.
//!
//! Called by `bench-scaling` and by tests. Imports [`crate::sim`], which knows nothing of it. The way: [`args`] -> [`cases`] -> [`sweep`] ->
//! [`summary`] -> [`table`], [`page`]. Not here: the simulation.

pub mod args;
pub mod bootstrap;
pub mod cases;
pub mod demonstration;
pub mod observers;
pub mod page;
pub mod plot;
pub mod policies;
pub mod portfolio;
pub mod record;
pub mod summary;
pub mod sweep;
pub mod table;
