//! The sample application: an HTTP service whose bottleneck is real and which can be made to fail in known ways while it runs.
//!
//! Called by `foreshadow-app` and by tests. A request waits in a bounded queue for one of the pool's workers and holds it for an I/O wait
//! (a timer, log-normal), a dependency call and a processor burn (real cycles on a thread of their own, so that the event loop stays
//! honest); it also touches memory. The pool is the bottleneck as configured: processor use says little about how close the limit is,
//! which is the case that target-based autoscaling gets wrong.
//!
//! Promises: a full queue answers 503 at once; every request is counted once in `/stats`; faults take effect on the next request.
//! Under a control group's CPU limit the burn takes longer while the worker is held, and the whole process (event loop too) pauses when
//! throttled: capacity falls as soon as the limit is below what the pool's rate needs, as in any service.
//! Not here: command line (`src/bin/foreshadow-app.rs`), who switches faults.

pub mod burn;
pub mod class;
pub mod faults;
pub mod memory;
pub mod pool;
pub mod server;
pub mod settings;
pub mod state;
mod watch;

pub use class::Class;
pub use faults::Faults;
pub use server::serve;
pub use settings::Settings;
