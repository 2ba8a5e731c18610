//! foreshadow-proxy: the sidecar. See ARCHITECTURE.md for the map; `stack.rs` has the request path on one screen.

pub mod access_log;
pub mod admin;
pub mod app;
pub mod args;
pub mod clock;
pub mod config;
pub mod control;
pub mod discovery;
pub mod error;
pub mod executor;
pub mod format;
pub mod health;
pub mod http;
pub mod init;
pub mod listener;
pub mod mirror;
pub mod nearest;
pub mod router;
pub mod runtime;
pub mod stack;
pub mod state;
pub mod stats;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod worker;
