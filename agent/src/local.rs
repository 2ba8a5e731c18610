//! The local orchestrator: replicas are processes on this machine. What a cluster is to the Kubernetes backend, this is to
//! the embedded mode: it owns desired state, starts and drains instances, and expires floors by itself, also when the agent is dead.
//!
//! ```text
//! client (in the agent) ──HTTP──► server ──► run ◄──► machine (pure: wanted + seen + time -> acts)
//!                                             │
//!                                           launch ──► process, cgroup, probe, rotation (endpoint files)
//! ```
//! Called by `main` (`foreshadow-agent orchestrate`: [`orchestrate`]) and by the agent ([`client::start_or_attach`]). Promises: production is
//! never more than the most allowed; nothing is left behind, however it ends. Not here: any opinion on how many replicas are right.

pub mod api;
mod cgroup;
pub mod client;
mod files;
mod guard;
mod home;
mod launch;
pub mod machine;
mod mark;
mod notes;
mod probe;
mod process;
pub mod profile;
mod proxy_config;
mod rotation;
mod run;
mod server;
pub mod spec;

pub use run::{OrchestrateError, orchestrate};
