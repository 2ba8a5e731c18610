//! Seeing: from sidecars, the orchestrator, control groups and `/proc` to one aligned sample a tick.
//!
//! `collect` looks, `align` makes the sample; the rest are their parts. Data runs one way: source -> look -> sample.

pub mod accounts;
pub mod align;
pub mod cgroup;
pub mod collect;
pub mod counts;
pub mod look;
pub mod process;
pub mod resources;
pub mod source;
pub mod usage;
