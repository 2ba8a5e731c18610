//! The data plane from the outside: the real program, real sockets, applications and shadows made here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "dataplane/attacks.rs"]
mod attacks;
#[path = "dataplane/backend.rs"]
mod backend;
#[path = "dataplane/balancing.rs"]
mod balancing;
#[path = "dataplane/changing.rs"]
mod changing;
#[path = "dataplane/client.rs"]
mod client;
#[path = "dataplane/dns.rs"]
mod dns;
#[path = "dataplane/failures.rs"]
mod failures;
#[path = "dataplane/forwarding.rs"]
mod forwarding;
#[path = "dataplane/health.rs"]
mod health;
#[path = "dataplane/interception.rs"]
mod interception;
#[path = "dataplane/lifecycle.rs"]
mod lifecycle;
#[path = "dataplane/logs.rs"]
mod logs;
#[path = "dataplane/manager.rs"]
mod manager;
#[path = "dataplane/mirroring.rs"]
mod mirroring;
#[path = "dataplane/namespace.rs"]
mod namespace;
#[path = "dataplane/program.rs"]
mod program;
#[path = "dataplane/promises.rs"]
mod promises;
#[path = "dataplane/resting.rs"]
mod resting;
#[path = "dataplane/retries.rs"]
mod retries;
#[path = "dataplane/routing.rs"]
mod routing;
#[path = "dataplane/sampling.rs"]
mod sampling;
#[path = "dataplane/secure.rs"]
mod secure;
#[path = "dataplane/strict.rs"]
mod strict;
#[path = "dataplane/telemetry.rs"]
mod telemetry;
#[path = "dataplane/tls.rs"]
mod tls;
#[path = "dataplane/tunnels.rs"]
mod tunnels;
