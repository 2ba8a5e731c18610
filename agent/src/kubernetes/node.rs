//! The node role: one agent a node. It sees its own node's pods, tells the holder of each workload what it sees, and holds workloads itself.
//!
//! Parts: `pods` (whose they are), `groups` (their control groups), `wire` (what travels), `board` (reports become a look), `order` (who
//! goes first for a workload's Lease), `settings` (a spec, as the decision core is told).

pub mod board;
pub mod groups;
pub mod order;
pub mod pods;
pub mod settings;
pub mod wire;
