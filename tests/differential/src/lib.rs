//! The proxy beside the real Envoy: both load the same configuration, the same bytes go in, and what both backends and the client saw is compared.
//!
//! Used by the command `cargo diff-envoy` and by a test. It knows the proxy as a program only: nothing of its insides is imported.
//! A scene ([`scene`]) says what is configured and sent; [`stage`] runs it; [`transcript`] makes two accounts comparable; [`deviations`] lists by
//! name, with its reason, every difference that is meant.

pub mod backend;
pub mod client;
pub mod conformance;
pub mod deviations;
pub mod error;
pub mod play;
pub mod programs;
pub mod report;
pub mod run;
pub mod scene;
pub mod scenes;
pub mod stage;
pub mod transcript;
pub mod verdicts;
pub mod wire;
pub mod yaml;
