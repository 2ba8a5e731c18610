//! Foreshadow on Kubernetes: the `ShadowScaler` type and everything that talks to the cluster.
//!
//! Called by `main` for the cluster's commands. The types and what is computed from them are pure; IO stands in files of its own.

pub mod act;
pub mod crd;
pub mod lease;
pub mod names;
pub mod node;
