//! A real Kubernetes for tests: the API server with its etcd, and a whole node.
//!
//! Called by `cargo test-cluster` and by the suites in `tests/api` and `tests/node`. Everything runs on loopback or in namespaces of its
//! own, listens on ports that were free, is bounded in time, and is gone when the process that started it is: also after a panic, a
//! Ctrl-C or a SIGKILL (see [`guard`]).

pub mod api;
pub mod assets;
pub mod command;
pub mod components;
pub mod control_plane;
pub mod error;
pub mod guard;
pub mod kubeconfig;
pub mod node;
pub mod objects;
pub mod pki;
pub mod process;
pub mod tokens;
