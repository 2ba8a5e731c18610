//! Foreshadow on Kubernetes: the `ShadowScaler` type and everything that talks to the cluster.
//!
//! Called by `main` for the cluster's commands. The types and what is computed from them are pure; IO stands in files of its own.

pub mod act;
pub mod ask;
pub mod command;
pub mod controller;
pub mod crd;
pub mod hand;
pub mod inject;
pub mod lease;
pub mod manifests;
pub mod metrics;
pub mod mover;
pub mod names;
pub mod node;
pub mod preflight;
pub mod quantity;
pub mod server;
pub mod shadow;
pub mod sizer;
pub mod tell;
pub mod uninstall;
pub mod watched;
pub mod webhook;
pub mod writer;
pub mod yaml;
