//! The local orchestrator with real processes: this test program plays the application, the proxy and the orchestrator's own program
//! ([`standin`]), so that nothing has to be built first and every behaviour can be asked for.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[path = "local/end.rs"]
mod end;
#[path = "local/fixture.rs"]
mod fixture;
#[path = "local/life.rs"]
mod life;
#[path = "local/standin.rs"]
mod standin;
#[path = "local/start.rs"]
mod start;
