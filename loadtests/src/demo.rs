//! The demo: the whole loop on one machine, judged at the client.
//!
//! Called by `cargo demo` (the `demo` binary). Reads: a schedule is made from the seed, each arm runs it against real processes, the judge looks at
//! what the client saw, the report is written. Promises: the same seed gives the same arrivals, mix and faults in both arms; everything started is
//! ended, whatever happens; results are written even when only one arm ran. Not here: how things are drawn ([`crate::report`]).

pub mod args;
pub mod arm;
pub mod bench;
pub mod binaries;
pub mod calibrate;
pub mod error;
pub mod fleet;
pub mod http;
pub mod inject;
pub mod judge;
pub mod machine;
pub mod processor;
pub mod reactive;
pub mod run;
pub mod schedule;
pub mod setup;
pub mod target;
pub mod traffic;
pub mod ui;
pub mod watch;
pub mod wire;
