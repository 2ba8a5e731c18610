//! Tests against a real kube-apiserver and etcd, without a node: `cargo test-cluster -- --api-only`.
//!
//! All share one server; each works in namespaces of its own. A test that kills the server starts one of its own.

mod agents;
mod controller;
mod definition;
mod floor;
mod injected;
mod installed;
mod lease;
mod mover;
mod rights;
mod scene;
mod server;
mod sizer;
mod sizes;
mod uninstall;
mod webhook;
